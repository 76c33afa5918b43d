// Runs a specialised graph node after node, without plan, patterns, cache or buffer reuse (tests only): what the
// answers of a Session, and of a graph that was rewritten, are compared with.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "graph/graph.h"

namespace retune {

using Leaves = std::map<std::string, Tensor, std::less<>>;  // inputs and parameters by their value names

// The values of `wanted`, in their order.
std::vector<Tensor> run_node_by_node(const Graph& specialised, const Leaves& leaves,
                                     const std::vector<ValueId>& wanted);

// specialize() to the shapes of `leaves`, none of them pinned.
Graph specialize_to(const Graph& graph, const Leaves& leaves, const std::vector<std::string>& outputs);

// The largest absolute difference over the largest magnitude of `expected`; infinity where shapes or types differ.
double relative_difference(const Tensor& got, const Tensor& expected);

// f32, standard normal.
Tensor normal_f32(Shape shape, std::uint64_t seed);

}  // namespace retune
