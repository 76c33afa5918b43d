// TIES: one change made of several of the same weight (methods.md 5.20; Yadav et al. 2023, arXiv 2306.01708).
#pragma once

#include <span>

#include "tensor/tensor.h"

namespace retune {

// Each change is trimmed to its floor(density * n) elements of largest magnitude (of equal ones the first); an
// element's sign is that of the sum, 0 counting as +; the result is the mean of those that have it. Changes are f32 of
// one shape, at least one; sums are f64.
Tensor ties_merge(std::span<const Tensor> changes, double density);

}  // namespace retune
