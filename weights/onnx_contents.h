// What OnnxModel holds, for the reading and writing code of this room.
#pragma once

#include <cstdint>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "weights/external_data.h"
#include "weights/mapped_file.h"
#include "weights/onnx_model.h"
#include "weights/onnx_wire.h"

namespace retune {

struct ExternalFile {
  std::string location;  // without "." components: "./w" and "w" are one file
  MappedFile map;
};

struct OnnxContents {
  std::filesystem::path file;
  MappedFile map;
  OnnxLayout layout;
  std::vector<ExternalFile> externals;    // in order of first mention
  std::vector<std::int32_t> external_of;  // for each of layout.tensors, its position in externals; -1 if it is inline
  onnx::ModelProto skeleton;
  ContentHash graph_hash;
  std::vector<std::string> names;
  std::map<std::string, std::vector<const onnx::TensorProto*>> by_name;

  // The file that holds the payload of layout.tensors[index].
  const MappedFile& payload_file(std::size_t index) const;
  // Position in layout.tensors; throws a logic error for a message that no OnnxModel made.
  std::size_t index_of(const onnx::TensorProto& in_skeleton) const;
  Tensor tensor(std::size_t index) const;
  ContentHash tensor_hash(std::size_t index) const;

 private:
  // Payloads that had to be copied, and hashes, once computed.
  mutable std::mutex mutex_;
  mutable std::map<std::size_t, Tensor> copied_;
  mutable std::map<std::size_t, ContentHash> hashes_;
};

// The private external_data entry of a skeleton's TensorProto: an index into layout.tensors. Setting it replaces all
// other entries.
void set_payload_index(onnx::TensorProto& proto, std::size_t index);
// Nothing for a message that no OnnxModel made.
std::optional<std::size_t> payload_index(const onnx::TensorProto& proto);

}  // namespace retune
