// Gradient descent on the loss of some lessons, restricted to chosen weights (methods.md 5.1-5.4; Zhu et al. 2020,
// arXiv 2012.00363, for the constraints).
//
// A step: forward and gradient; if the loss is at or above the threshold an Adam step on f32 masters; then the
// projection, also when the step was skipped; then stop if the loss is below the threshold. The forward pass sees the
// masters rounded to the stored type, as the edited model will be. Whatever does not depend on the chosen weights is
// computed once.
//
// Needs differentiable graphs up to the sites, and memory for the activations between the first site and the logits of
// one prompt at a time.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "adapters/tensor_delta.h"
#include "learning/lesson.h"
#include "learning/step_observer.h"

namespace retune {

enum class Constraint {
  kNone,
  kLinf,  // W clamped to [W0 - bound, W0 + bound], elementwise; `bound` in units of the weight
  kL2,    // ||W - W0||_F <= bound * ||W0||_F, a weight at a time
};
// What W0 is.
enum class Anchor {
  kStart,     // the weight when fine_tune was called: over many edits the total drift may grow linearly
  kOriginal,  // the model without any patch
};

struct FineTuningOptions {
  std::int64_t steps = 15;      // at most; >= 0
  double learning_rate = 1e-4;  // of Adam; >= 0
  double stop_loss = 1e-2;      // nats; the step that meets it makes no update
  Constraint constraint = Constraint::kNone;
  double bound = 0;  // >= 0
  Anchor anchor = Anchor::kStart;
  void validate() const;  // user errors
};

struct FineTuningResult {
  std::vector<TensorDelta> deltas;  // dense, a site each, in the order of `sites`; sites that did not change have none
  std::vector<double> losses;       // before each step's update; the last may be below the threshold
  std::int64_t updates = 0;
};

// `lessons`: their weights should sum to one, so that the loss is a mean. Sites may share a stored tensor (packed
// gate|up), not elements of it. User errors: no lesson, no site, two sites of one name, a site without a weight.
FineTuningResult fine_tune(Session& session, const Bundle& bundle, const LossGraphs& losses,
                           const std::vector<Site>& sites, const std::vector<Lesson>& lessons,
                           const FineTuningOptions& options, const StepObserver& observer = {});

}  // namespace retune
