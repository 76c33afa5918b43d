// Gradients of several requests, added by name: the gradient of a sum of losses is the sum of theirs, and one request's
// activations are in memory at a time.
#pragma once

#include <map>
#include <span>
#include <string>
#include <vector>

#include "learning/lesson.h"
#include "tensor/tensor.h"

namespace retune {

using GradientSums = std::map<std::string, Tensor>;  // f32

// The first of a name is taken as it is; what was handed on is never written.
void add_gradient(GradientSums& sums, const std::string& name, const Tensor& gradient);

// Of each lesson the request for its loss and the loss's gradient with respect to these leaves, which vary. Over the
// whole sequence: a weight acts at every position, and the prefix's cache would be that of the weights before the edit.
// Errors as lesson_request.
std::vector<SuffixRequest> gradient_requests(Session& session, const Bundle& bundle, const LossGraphs& losses,
                                             std::span<const Lesson> lessons, const std::vector<std::string>& leaves);

}  // namespace retune
