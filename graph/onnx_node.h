// A node of a Graph as an ONNX message.
#pragma once

#include <functional>
#include <string>

#include "graph/graph.h"
#include "weights/onnx_proto.h"

namespace retune {

// `name_of`: what a value is called in the file; never asked for kNoValue, which has the empty name. User errors: a
// node of domain "retune", an attribute that is a subgraph.
onnx::NodeProto onnx_node(const Node& node, const std::function<std::string(ValueId)>& name_of);

}  // namespace retune
