// A graph made ready to run for one set of shapes: specialised, intervened on, canonicalised, differentiated, pruned.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "graph/graph.h"
#include "graph/op.h"
#include "graph/session.h"

namespace retune {

struct Plan {
  Graph graph;
  std::vector<const Op*> ops;                        // a node
  std::vector<std::vector<TypeShape>> output_types;  // a node
  std::vector<Version> signatures;  // a node: operator, attributes and output types, for versions of values
  std::vector<ValueId> outputs;     // one per requested output
  std::vector<ValueId> gradients;   // one per wrt; kNoValue for a zero gradient
  std::vector<bool> kept;           // a value: whether it belongs to the frontier or to the kept outputs
  std::vector<Version> constants;   // a value: version of a constant
};

// Throws NeedsInput (specialize.h) if a shape depends on the value of an input that the request does not pin. A
// gradient whose activations are beyond `activation_bytes` computes some again (rematerialize.h).
Plan make_plan(const Graph& graph, const Request& request, ThreadPool& pool,
               std::int64_t activation_bytes = SessionOptions().activation_bytes);

}  // namespace retune
