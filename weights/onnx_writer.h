// Writes a new ONNX file from a graph without payloads and its weights. For models that were read and only change in
// weights, use onnx_export.h, which keeps every other byte.
#pragma once

#include <cstdint>
#include <filesystem>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "tensor/tensor.h"
#include "weights/onnx_model.h"

namespace retune {

struct OnnxWriteOptions {
  // Tensors of this many bytes and more go to FILE_data beside the ONNX file, each aligned to 4,096 bytes; none by
  // default.
  std::uint64_t external_from = std::numeric_limits<std::uint64_t>::max();
  // The model from whose skeleton TensorProtos of `model` were copied, if any: they get their payloads from it.
  const OnnxModel* payloads = nullptr;
};

// `model` with `initializers` appended to those of its graph, in the given order, as raw_data. TensorProtos with data
// inside stay as they are. Weights are streamed, never held twice; the files replace existing ones when they are
// complete. User errors: two initializers of a name, or more than 2 GiB in the ONNX file (set external_from). Failure:
// disk full.
void write_onnx(const onnx::ModelProto& model, const std::vector<std::pair<std::string, Tensor>>& initializers,
                const std::filesystem::path& file, const OnnxWriteOptions& options = {});

}  // namespace retune
