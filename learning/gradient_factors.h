// The gradient of a linear layer's weight, as the factors that it is the sum of (methods.md 5.13; Mitchell et al. 2022,
// arXiv 2110.11309, section 3.1): with x_t what token t brings into y = W x (+ b) and g_t = dL/dy_t,
//
//   dL/dW = sum_t g_t x_t^T
//
//   const FactorReading reading = gradient_factors(session, bundle, losses, sites, lesson);
//   reading.factors[0].inputs;       // x of sites[0]: f32 [tokens, in]
//   reading.factors[0].gradients;    // g of sites[0]: f32 [tokens, out]
//
// Methods that turn gradients into edits (MEND, UltraEdit) work on the factors: there are as many as tokens, and the
// whole gradient is never formed. No weight needs a gradient for them, so a step costs memory for activations alone.
#pragma once

#include <span>
#include <vector>

#include "graph/session.h"
#include "lalm/bundle.h"
#include "learning/lesson.h"

namespace retune {

// Of one site, a row a token, in the order of the tokens. In the decoder the tokens are those of the prompt (audio
// slots included) and of the target but its last; in encoder and connector the frames of the clip. Nothing is left out
// and nothing is padding; tokens that the loss does not depend on have a g of zeros.
struct GradientFactors {
  Tensor inputs;     // x, f32 [tokens, in]
  Tensor gradients;  // g, f32 [tokens, out]
};

struct FactorReading {
  double loss = 0;                       // the lesson's, nats
  std::vector<GradientFactors> factors;  // in the order of the sites
};

// Of the bundle as it stands, patches included. One forward and backward pass for all sites, which may lie in different
// parts of the model; the values beneath the first of them are kept for the next call on the same lesson. User errors:
// no site, two of one name, one that is no linear layer, one that hears where the lesson has no clip, an empty target;
// failure: a loss that is not finite.
FactorReading gradient_factors(Session& session, const Bundle& bundle, const LossGraphs& losses,
                               std::span<const Site> sites, const Lesson& lesson);

}  // namespace retune
