// Runs one operator on concrete tensors.
#pragma once

#include <span>
#include <vector>

#include "graph/op.h"

namespace retune {

// Outputs in order; those that the node does not name may be undefined. f16 and bf16 inputs are widened to f32 and
// outputs rounded unless the operator takes them itself. User errors are prefixed with the node's text.
std::vector<Tensor> evaluate(const Node& node, const Op& op, std::span<const Tensor> inputs,
                             std::span<const TypeShape> output_types, ThreadPool& pool,
                             const ForwardContext::Allocate& allocate);

// A failure naming the node if one of its outputs is larger than this machine's memory.
void require_room(const Node& node, std::span<const TypeShape> output_types);

}  // namespace retune
