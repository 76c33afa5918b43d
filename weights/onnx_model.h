// One ONNX file and its external data, memory-mapped: the graph as protobuf messages without a single weight in them,
// and the weights as tensors that lie in the map.
//
//   OnnxModel model = OnnxModel::open("decoder_model_merged.onnx");
//   for (const onnx::TensorProto& proto : model.skeleton().graph().initializer()) {
//     Tensor weight = model.tensor(proto);   // no bytes are read before they are looked at
//   }
//
// Everything that can be checked without reading weights is checked by open(): the wire format, nesting and counts,
// that every external file lies in the folder (external_data.h), that every payload is as long as its type and dims
// say.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "tensor/content_hash.h"
#include "tensor/tensor.h"
#include "weights/onnx_proto.h"

namespace retune {

struct OnnxContents;  // what the reading and writing code of this room shares; weights/onnx_contents.h

class OnnxModel {
 public:
  // Maps the file and parses its skeleton. External data may lie anywhere beneath the model's own folder, through links
  // too as long as they resolve beneath `bundle_folder` (empty: the model's own folder) or into the blobs/ of a Hugging
  // Face cache. User errors (one line naming file and tensor): not a file, not ONNX, truncated, over the limits of
  // onnx_wire.h, external data that is missing, too short or outside, payloads that do not fit type and dims.
  static OnnxModel open(const std::filesystem::path& file, const std::filesystem::path& bundle_folder = {});

  // The model without payloads: each TensorProto, wherever it sits, has name, data_type, dims, doc_string and metadata,
  // but no data; a private external_data entry tells tensor() which payload is meant, and survives copying the message.
  const onnx::ModelProto& skeleton() const;

  // The payload of a TensorProto of the skeleton (or of a copy of it): initializer, attribute, in a subgraph or a
  // function. A view of the map where it is aligned for its type and stored as raw bytes; otherwise copied on the first
  // call and kept with the model. User error naming tensor and type for strings, 4-bit, fp8 and other types that DType
  // does not have, and for values out of the type's range. Thread-safe.
  Tensor tensor(const onnx::TensorProto& in_skeleton) const;
  // SHA-256 of the tensor's bytes as tensor() gives them (row-major, little-endian, nothing else). Computed once.
  // Thread-safe.
  ContentHash tensor_hash(const onnx::TensorProto& in_skeleton) const;

  // Tensors that can be named: initializers, of the graph and of subgraphs (a name may occur several times: both
  // branches of an If), and the value of a Constant node under the name of its output. In file order.
  const std::vector<const onnx::TensorProto*>& tensors_named(const std::string& name) const;
  bool has_tensor(const std::string& name) const;
  // Those names, each once, in file order.
  const std::vector<std::string>& tensor_names() const;

  const std::filesystem::path& path() const;
  // Identifies the graph: SHA-256 over every field of the file in its order, but for the payloads and where and how
  // they are stored (data_location, external_data). Models that differ in weights alone have the same.
  const ContentHash& graph_hash() const;
  // External files by location, in order of first mention; empty if everything is inline.
  std::vector<std::string> external_locations() const;
  // Bytes of the ONNX file and of its external files together.
  std::uint64_t file_bytes() const;

  const OnnxContents& contents() const { return *contents_; }

 private:
  explicit OnnxModel(std::shared_ptr<const OnnxContents> contents) : contents_(std::move(contents)) {}
  std::shared_ptr<const OnnxContents> contents_;
};

// A serialized TensorProto as ONNX's backend tests store inputs and outputs (test_data_set_*/*.pb). User errors as
// above; data kept in external files is refused.
Tensor read_tensor_file(const std::filesystem::path& file);

}  // namespace retune
