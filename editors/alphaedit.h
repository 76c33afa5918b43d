// AlphaEdit: MEMIT's batch, written only along directions that the model's own keys hardly use, and away from the keys
// of earlier edits (methods.md 5.9; Fang et al. 2025, arXiv 2410.02355). With U the null space of C (null_space.h) and
// Kp the keys of all edits before, which ride in the patches beneath:
//
//   K^ = U^T K,   M = U^T Kp Kp^T U,   D = R ((K^ K^^T + M + l2 I)^-1 K^)^T U^T
//
// which is the paper's R K^T P ((K K^T + Kp Kp^T) P + l2 I)^-1, P = U U^T.
#pragma once

#include "editors/mechanisms/null_space.h"
#include "editors/registry.h"
#include "tensor/matrix.h"

namespace retune {

// X [in, N] with D = R X^T, for keys [in, N], earlier keys [in, M] and l2 > 0: through the (N + M) x (N + M) system
// where that is smaller than the null space, else through that of the null space. Nothing else is inverted.
Matrix alphaedit_factor(const NullSpace& free, const Matrix& keys, const Matrix& earlier, double l2);

EditingMethod alphaedit_method();

}  // namespace retune
