// Rewrites patterns of a specialised graph into single operators with the same meaning.
#pragma once

#include <string>
#include <vector>

#include "graph/graph.h"

namespace retune {

// Decomposed RMS and layer normalisation, GELU and SiLU, products with a transposed operand, scaled dot-product
// attention and rotary embedding become one operator each (onnx-layouts.md 1.6 lists how exporters spell them). What is
// rewritten depends on the graph alone: a value inside a pattern that somebody asks for is computed beside the fused
// operator, so capturing it changes no other value's bits. Nodes that no output needs are dropped.
//
// `wrt` names the leaves whose gradients will be asked for: a pattern whose operator gives no gradient to the tables
// that it reads (rotary cosines, attention masks) is left alone where they depend on one of these.
Graph canonicalize(const Graph& graph, const std::vector<std::string>& wrt = {});

// The graph without the nodes that its outputs do not need. Inputs stay.
Graph prune(const Graph& graph);

}  // namespace retune
