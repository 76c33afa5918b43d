// The directions in which a site has hardly any keys (AlphaEdit, methods.md 5.9; Fang et al. 2025, arXiv 2410.02355): a
// change along them leaves the keys of the second moment almost where they are.
#pragma once

#include <cstdint>

#include "tensor/matrix.h"

namespace retune {

struct NullSpace {
  Matrix basis;      // U, [k, r]: orthonormal eigenvectors of C, of the smallest eigenvalues; P = U U^T
  double limit = 0;  // the largest of these: tr(D C D^T) <= limit ||D||^2 for every D = D P
};

struct NullSpaceRule {
  enum class Mode {
    kEnergy,    // the smallest eigenvalues that hold at most the share tau of tr C together
    kAbsolute,  // those below tau
  };
  Mode mode = Mode::kEnergy;
  double tau = 1e-2;
};

// Of a symmetric positive semi-definite C; the basis may have no column. Failure if LAPACK does not converge.
NullSpace null_space(const Matrix& c, const NullSpaceRule& rule);

}  // namespace retune
