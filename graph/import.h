// From an ONNX file to a Graph, and from a Graph to an ONNX file.
#pragma once

#include <filesystem>
#include <map>
#include <string>

#include "graph/graph.h"
#include "graph/session.h"
#include "weights/onnx_model.h"

namespace retune {

// The graph of a model file, checked: acyclic, every value produced once, producers before consumers (nodes are sorted,
// stably). Floats and codes become parameters, integers and scalars constants. Model functions are inlined. Limits:
// 1e6 nodes, nesting 32. Operator sets newer than Retune knows are refused, as is a domain imported as two of them.
// `file` is what Value::file says, the path relative to the bundle. User errors name file and node. Operators are not
// looked up here.
Graph import_onnx(const OnnxModel& model, const std::string& file);

// The tensors of every parameter of `graph`, mapped; versions are (file, initializer, content hash of the payload).
Parameters parameters_of(const Graph& graph, const OnnxModel& model);

struct GraphWriteOptions {
  int opset = 17;
  int ir_version = 8;
  std::string producer = "retune";
  std::uint64_t external_from = UINT64_MAX;  // tensors of this many bytes and more go to FILE_data beside the file
};

// Writes a graph made by GraphBuilder as a standard ONNX model, whole or not at all. A node of domain "retune" is a
// user error.
void export_onnx(const Graph& graph, const Parameters& parameters, const std::filesystem::path& path,
                 const GraphWriteOptions& options = {});

}  // namespace retune
