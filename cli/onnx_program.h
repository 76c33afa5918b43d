// One ONNX file ready to run, with its inputs from a tensor file: what `run` and `grad` share.
#pragma once

#include <filesystem>
#include <memory>
#include <string>

#include "graph/graph.h"
#include "graph/session.h"
#include "weights/onnx_model.h"

namespace retune {

struct OnnxProgram {
  OnnxModel model;  // keeps the parameters' bytes mapped
  std::shared_ptr<const Graph> graph;
  Parameters parameters;
};

// User errors: see OnnxModel::open and import_onnx; `outputs` is one of the model's files of external data.
OnnxProgram open_program(const std::filesystem::path& file, const std::filesystem::path& outputs);

// Makes a float constant of the graph (an initializer of one element) a parameter, so that a gradient can be taken with
// respect to it. Patterns that need its value while planning do not find it then.
void make_parameter(OnnxProgram& program, const std::string& constant);

// A request with the tensors of the file as inputs. User errors: see read_tensors; a tensor that is no input of the
// graph, with the nearest that is; one of another type than the graph declares.
Request request_from(const Graph& graph, const std::filesystem::path& inputs);

}  // namespace retune
