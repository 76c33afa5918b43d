// Reverse-mode differentiation: the gradient is more graph.
#pragma once

#include <utility>
#include <vector>

#include "graph/graph.h"

namespace retune {

// Appends nodes that compute the gradient of the sum of `loss` with respect to each value of `wrt` (parameters, inputs
// or computed values of a specialised graph), only for the nodes that lie between. Returns one value per entry of
// `wrt`; kNoValue where the loss does not depend on it. A node on the way without a vjp is a user error that names it
// and says why. Where several paths meet, cotangents are added in the order of the nodes, last first.
std::vector<ValueId> differentiate(Graph& graph, ValueId loss, const std::vector<ValueId>& wrt);

// The same for values whose cotangents (gradients of a loss with respect to them) are given: pairs of a value and its
// cotangent, which has its type and shape.
std::vector<ValueId> pull_back(Graph& graph, const std::vector<std::pair<ValueId, ValueId>>& seeds,
                               const std::vector<ValueId>& wrt);

}  // namespace retune
