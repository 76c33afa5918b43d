// Closed-form updates of a linear layer as a product of two thin matrices, D = R X^T: R [out, N] holds what the values
// of N keys are short of, X [in, N] is found from the keys alone.
#pragma once

#include "adapters/tensor_delta.h"
#include "editors/mechanisms/moment_source.h"
#include "lalm/bundle.h"
#include "tensor/matrix.h"

namespace retune {

// (lambda C + K K^T)^-1 K, [in, N], for keys [in, N]: R X^T is then the minimiser of ||D K - R||^2 + lambda tr(D C
// D^T). Through narrow_solve() where there are fewer keys than columns of C, else directly. Failure where the sum is
// singular, which lambda = 0 with more keys than columns may be.
Matrix key_solve(const PreservedKeys& preserved, const Matrix& keys, double lambda);

// Y (K^T Y + shift I)^-1 for Y = C^-1 K, [in, N]: by Woodbury's identity what (shift C + K K^T)^-1 K is. Where the sum
// is singular, as with equal keys and no shift, its pseudo-inverse: values of equal keys are averaged.
Matrix narrow_solve(const Matrix& y, const Matrix& keys, double shift);

// R X^T as a delta of the site: low-rank where two thin matrices are smaller than the weight.
TensorDelta thin_delta(const Bundle& bundle, const Site& site, const Matrix& r, const Matrix& x);

}  // namespace retune
