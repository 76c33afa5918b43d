// From a graph as it was written to one with concrete shapes, ready to differentiate and to run.
#pragma once

#include <map>
#include <span>
#include <string>
#include <vector>

#include "graph/graph.h"
#include "graph/op.h"

namespace retune {

class ThreadPool;

struct InputSpec {
  TypeShape type;
  Tensor pinned;  // if defined, the input is a constant of this value (use_cache_branch, num_logits_to_keep, ...)
};

// Returns a graph with the same value names in which every shape is concrete: integer and shape arithmetic is folded
// (constants up to 65,536 elements), an If with a constant condition is inlined, a Loop or Scan whose trips can be
// counted is unrolled (up to 4,096 nodes in all), and only what `outputs` (value names) need is kept. Throws NeedsInput
// if a shape depends on the value of an input that is not pinned; user errors name the node. `inputs` must name every
// input that the outputs reach.
Graph specialize(const Graph& graph, const std::map<std::string, InputSpec>& inputs,
                 const std::vector<std::string>& outputs, ThreadPool& pool);

// A shape, a condition or a trip count depends on the values of these inputs; plan again with them pinned.
struct NeedsInput {
  std::vector<std::string> inputs;
};

// Whether the node is an If, Loop or Scan, which specialize() handles: they are in no operator family.
bool is_control_flow(const Node& node);
// Whether the node works on sequences or optional values, which specialize() resolves: they are in no family either.
bool is_list_operator(const Node& node);
struct ListOperator {
  const char* name;
  int since;
  const char* gradient;  // "yes", or why there is none
};
std::span<const ListOperator> list_operators();

}  // namespace retune
