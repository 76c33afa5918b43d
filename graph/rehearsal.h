// A node's part in a rehearsal (SessionOptions::rehearse): its memory without its work.
#pragma once

#include <span>
#include <vector>

#include "graph/op.h"

namespace retune {

// Results are read by whoever asked, so they get values: ones, of which neither a loss nor a norm is zero or not
// finite.
enum class Role { kPassing, kResult };

// Outputs in order, as evaluate() would allocate them and, but for results, uninitialised. Operators that only reshape
// give a view; what others may need as scratch is allocated as one more tensor of the largest output, and given back.
std::vector<Tensor> rehearse(const Node& node, std::span<const Tensor> inputs, std::span<const TypeShape> output_types,
                             Role role, const ForwardContext::Allocate& allocate);

}  // namespace retune
