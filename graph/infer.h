// Runs an operator's shape inference on one node of a graph whose input shapes are known.
#pragma once

#include <vector>

#include "graph/op.h"

namespace retune {

// The results for the node's outputs, all set. User errors are prefixed with the node's text; NeedsValue passes
// through.
std::vector<InferContext::Result> infer(const Graph& graph, const Node& node, const Op& op);

// The body of a composite operator (Op::body) for one node. Errors as above.
Graph body_of(const Graph& graph, const Node& node, const Op& op);

// The error with the node before it, on one line: messages repeat what attributes say, which may be anything.
Error error_at(const Node& node, const Error& error);

}  // namespace retune
