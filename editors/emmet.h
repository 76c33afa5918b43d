// EMMET: the batch version of ROME (methods.md 5.10; Gupta et al. 2024, arXiv 2403.14236): among the changes that take
// every key to its value exactly, the one that disturbs the model's other keys least,
//
//   C' = w C + mu I,   D = R (K^T C'^-1 K + epsilon I)^-1 K^T C'^-1
//
// With epsilon above 0 near-equal keys do no harm, and values are reached only nearly.
#pragma once

#include "editors/mechanisms/moment_source.h"
#include "editors/registry.h"
#include "tensor/matrix.h"

namespace retune {

struct EmmetWeights {
  double preserved = 1;  // w > 0
  double mu = 0;         // >= 0
  double epsilon = 0;    // >= 0; `relative`: in means of the diagonal of K^T C'^-1 K
  bool relative = false;
};

// X [in, N] with D = R X^T. Failure where C' is singular.
Matrix emmet_factor(const PreservedKeys& preserved, const Matrix& keys, const EmmetWeights& weights);

EditingMethod emmet_method();

}  // namespace retune
