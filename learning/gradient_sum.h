// Gradients of several requests, added by name: the gradient of a sum of losses is the sum of theirs, and one request's
// activations are in memory at a time.
#pragma once

#include <map>
#include <string>

#include "tensor/tensor.h"

namespace retune {

using GradientSums = std::map<std::string, Tensor>;  // f32

// The first of a name is taken as it is; what was handed on is never written.
void add_gradient(GradientSums& sums, const std::string& name, const Tensor& gradient);

}  // namespace retune
