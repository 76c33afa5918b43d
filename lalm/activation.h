// The activation of a block's MLP, as its file spells it, found from the structure of the graph (never assumed): SiLU
// as Sigmoid and Mul, GELU as Erf or Tanh among products, or one operator.
//
//   const Graph phi = find_activation(*bundle.graph(), bundle.site("decoder.block.3.mlp.down"));
//   ValueId y = append_activation(builder, phi, x);
#pragma once

#include <functional>
#include <vector>

#include "graph/graph.h"
#include "graph/graph_builder.h"
#include "lalm/site.h"

namespace retune {

// One input, one output of its shape, element by element; the nodes and operator set of the file, constants for
// everything else. `down` is the linear layer that the activation leads to: with a gate (act(gate) * up, in two
// matrices or packed in one) or without (act(up)). User error for a layer that reads no activation of one value.
Graph find_activation(const Graph& linked, const Site& down);

// How the nodes of an activation are written elsewhere.
struct ActivationWriter {
  std::function<ValueId(const Tensor& constant)> constant;
  std::function<std::vector<ValueId>(const Node& node, std::vector<ValueId> inputs)> node;
};
// Of the input's own type (activation.value(activation.inputs[0]).dtype). Returns what stands for the output.
ValueId write_activation(const Graph& activation, ValueId x, const ActivationWriter& writer);

// The same behind an f32 value of a graph, with Casts where the file computes in 16 bits.
ValueId append_activation(GraphBuilder& builder, const Graph& activation, ValueId x);

}  // namespace retune
