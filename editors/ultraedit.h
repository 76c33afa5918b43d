// UltraEdit: no target vector, no second moment; one forward and backward pass a request and one solve a layer
// (methods.md, end of section 5; Gu et al. 2025, arXiv 2505.14679). With h_t and g_t the input and the output gradient
// of the layer at token t of the requests (learning/gradient_factors.h), H = [h_1 ..]^T, and h^, g^ the same less the
// mean and over the deviation of every token of all edits so far:
//
//   v_t = -eta ||h^_t||^2 g^_t,   D^T = (H^T H + I)^-1 H^T V
//
// (closed_form.h, with C = I and lambda = 1). Every token counts: those of the prompt, audio slots included, and of the
// target. Mean and deviation ride in the patches beneath.
#pragma once

#include <cstdint>
#include <vector>

#include "editors/registry.h"
#include "tensor/matrix.h"

namespace retune {

// Of a stream of vectors: count, mean and sum of squared differences from it, a dimension at a time.
struct RunningMoments {
  std::int64_t count = 0;
  std::vector<double> mean, squares;

  // Of the rows of [n, width].
  static RunningMoments of(const Matrix& rows);
  // Of both streams (Chan et al. 1979). std::logic_error if the widths differ.
  static RunningMoments joined(const RunningMoments& a, const RunningMoments& b);
  // (x - mean) / (deviation + 1e-7), a row at a time; the deviation is that of a sample, sqrt(squares / (count - 1)).
  Matrix normalised(const Matrix& rows) const;
};

EditingMethod ultraedit_method();

}  // namespace retune
