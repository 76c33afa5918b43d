// Weights trained until a part of the model gives targets: AdamW on the weighted squared error (UnKE; Deng et al. 2025,
// arXiv 2405.15349, equation 9; methods.md 5.11).
//
//   min over the weights of sum over prompts, rows and elements of w (f(x) - t)^2
//
// x is what the part reads, t what it gave before the first step, with a shift added at some rows; both stay as they
// are. Prompts run in padded batches; padding has no weight.
#pragma once

#include <cstdint>
#include <vector>

#include "adapters/tensor_delta.h"
#include "lalm/bundle.h"
#include "learning/model_part.h"
#include "learning/padded_batch.h"
#include "learning/step_observer.h"

namespace retune {

// One prompt that the part reads.
struct PartExample {
  Inputs inputs;  // as the whole model reads it, without its sound, and the part's leaves [1, rows, ..]
  std::int64_t rows = 0;
  double weight = 1;              // w of each element
  std::int64_t shifted_row = -1;  // the row whose target is moved; -1: none
  std::vector<double> shift;      // by so much, [width]
};

struct PartFitOptions {
  std::int64_t steps = 50;      // >= 0
  double learning_rate = 2e-4;  // of AdamW; >= 0
  double weight_decay = 0.01;   // of matrices and of linear layers' biases; norms and other vectors have none; >= 0
  void validate() const;        // user errors
};

struct PartFitResult {
  std::vector<TensorDelta> deltas;  // dense, a site each, in the order of `sites`; sites that did not change have none
  std::vector<double> losses;       // before each update
};

// `sites`: the weights that `part` was cut for. Failure: a loss that is not finite.
PartFitResult fit_part(Session& session, const Bundle& bundle, const ModelPart& part, const std::vector<Site>& sites,
                       const std::vector<PartExample>& examples, const PartFitOptions& options,
                       const StepObserver& observer = {});

}  // namespace retune
