// One ONNX file ready to run, with its inputs from a tensor file: what `run` and `grad` share.
#pragma once

#include <filesystem>
#include <memory>

#include "graph/graph.h"
#include "graph/session.h"
#include "weights/onnx_model.h"

namespace retune {

struct OnnxProgram {
  OnnxModel model;  // keeps the parameters' bytes mapped
  std::shared_ptr<const Graph> graph;
  Parameters parameters;
};

// User errors: see OnnxModel::open and import_onnx.
OnnxProgram open_program(const std::filesystem::path& file);

// A request with the tensors of the file as inputs. User errors: see read_tensors; a tensor that is no input of the
// graph, with the nearest that is; one of another type than the graph declares.
Request request_from(const Graph& graph, const std::filesystem::path& inputs);

}  // namespace retune
