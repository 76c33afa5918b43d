// What OnnxModel holds, for the reading and writing code of this room.
#pragma once

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
  std::string location;
  MappedFile map;
};

struct OnnxContents {
  std::filesystem::path file;
  MappedFile map;
  OnnxLayout layout;
  std::vector<ExternalFile> externals;                             // in order of first mention
  std::map<std::string, std::size_t, std::less<>> external_index;  // location to position in externals
  onnx::ModelProto skeleton;
  ContentHash graph_hash;
  std::vector<std::string> names;
  std::map<std::string, std::vector<const onnx::TensorProto*>> by_name;

  // The file that holds a record's payload.
  const MappedFile& payload_file(const TensorRecord& record) const;
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

// The index that the skeleton's private entry holds; nothing for a message that no OnnxModel made.
std::optional<std::size_t> payload_index(const onnx::TensorProto& proto);

}  // namespace retune
