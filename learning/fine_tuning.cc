#include "learning/fine_tuning.h"

#include <algorithm>
#include <cmath>
#include <map>

#include "graph/optimizer.h"
#include "learning/gradient_sum.h"
#include "learning/site_weight.h"
#include "learning/tuned_weights.h"
#include "tensor/error.h"

namespace retune {

namespace {

// What the constraint holds each weight to, by site name, lying as the masters do.
std::map<std::string, Tensor> anchors_of(const Bundle& bundle, const std::vector<Site>& sites,
                                         const FineTuningOptions& options) {
  std::map<std::string, Tensor> anchors;
  if (options.constraint == Constraint::kNone) return anchors;
  const Bundle held = options.anchor == Anchor::kOriginal ? without_patches(bundle) : bundle;
  for (const Site& site : sites) anchors[site.name] = stored_master(held.view(), site);
  return anchors;
}

void project_linf(float* weight, const float* anchor, std::int64_t count, float bound) {
  for (std::int64_t i = 0; i < count; ++i) weight[i] = std::clamp(weight[i], anchor[i] - bound, anchor[i] + bound);
}

void project_l2(float* weight, const float* anchor, std::int64_t count, double share) {
  double moved = 0, size = 0;
  for (std::int64_t i = 0; i < count; ++i) {
    const double difference = static_cast<double>(weight[i]) - static_cast<double>(anchor[i]);
    moved += difference * difference;
    size += static_cast<double>(anchor[i]) * static_cast<double>(anchor[i]);
  }
  const double limit = share * std::sqrt(size);
  if (std::sqrt(moved) <= limit) return;  // also where W = W0, and 0/0 would follow
  const double scale = limit / std::sqrt(moved);
  for (std::int64_t i = 0; i < count; ++i) {
    const double difference = static_cast<double>(weight[i]) - static_cast<double>(anchor[i]);
    weight[i] = static_cast<float>(static_cast<double>(anchor[i]) + scale * difference);
  }
}

void project(TunedWeights& weights, const std::map<std::string, Tensor>& anchors, const FineTuningOptions& options) {
  for (const auto& [site, held] : anchors) {
    Tensor& master = weights.masters().at(site);
    float* weight = master.mutable_data<float>();
    const float* anchor = held.data<float>();
    if (options.constraint == Constraint::kLinf)
      project_linf(weight, anchor, master.numel(), static_cast<float>(options.bound));
    else
      project_l2(weight, anchor, master.numel(), options.bound);
  }
}

// Loss and gradients of all lessons, one after another: the gradient of a sum is the sum of gradients, and one prompt's
// activations are in memory at a time.
double evaluate_lessons(Session& session, std::vector<SuffixRequest>& requests, const TunedWeights& weights,
                        GradientSums& gradients) {
  double loss = 0;
  for (const SuffixRequest& suffix : requests) {
    const Results results = session.run(suffix.graph, weights.parameters(), suffix.request);
    loss += static_cast<double>(results[kLessonLoss].tensor.data<float>()[0]);
    weights.add_gradients(results, gradients);
  }
  return loss;
}

}  // namespace

void FineTuningOptions::validate() const {
  if (steps < 0) throw user_error("fine-tuning: steps must be 0 or more, got {}", steps);
  if (!(learning_rate >= 0) || !std::isfinite(learning_rate))
    throw user_error("fine-tuning: learning_rate must be 0 or more, got {}", learning_rate);
  if (!(stop_loss >= 0)) throw user_error("fine-tuning: stop_loss must be 0 or more, got {}", stop_loss);
  if (!(bound >= 0)) throw user_error("fine-tuning: bound must be 0 or more, got {}", bound);
}

FineTuningResult fine_tune(Session& session, const Bundle& bundle, const LossGraphs& losses,
                           const std::vector<Site>& sites, const std::vector<Lesson>& lessons,
                           const FineTuningOptions& options, const StepObserver& observer) {
  options.validate();
  if (lessons.empty()) throw user_error("fine-tuning needs at least one lesson");
  TunedWeights weights(bundle, sites);
  const std::map<std::string, Tensor> anchors = anchors_of(bundle, sites, options);
  std::vector<SuffixRequest> requests = gradient_requests(session, bundle, losses, lessons, weights.names());
  FineTuningResult result;
  Adam adam({.learning_rate = options.learning_rate});
  for (std::int64_t step = 0; step < options.steps; ++step) {
    GradientSums gradients;
    const double loss = evaluate_lessons(session, requests, weights, gradients);
    if (!std::isfinite(loss))
      throw failure("fine-tuning: the loss at step {} is not finite; lower learning_rate ({})", step + 1,
                    options.learning_rate);
    result.losses.push_back(loss);
    if (observer) observer({"fine-tuning", step + 1, options.steps, loss});
    if (loss >= options.stop_loss) {
      adam.step(weights.masters(), gradients, session.pool());
      ++result.updates;
    }
    project(weights, anchors, options);
    weights.publish(session);
    if (loss < options.stop_loss) break;
  }
  result.deltas = weights.deltas();
  return result;
}

}  // namespace retune
