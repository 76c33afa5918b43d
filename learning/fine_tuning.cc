#include "learning/fine_tuning.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "graph/optimizer.h"
#include "learning/site_weight.h"
#include "tensor/error.h"

namespace retune {

namespace {

struct TunedSite {
  Site site;
  std::vector<DeltaTarget> targets;
  std::vector<std::vector<std::string>> parameters;  // linked names that hold each target
  // f32, lying as the first target stores it (learning/site_weight.h); W0 of the constraint is the anchor.
  Tensor start;
  Tensor anchor;
};

// The master copy of the site's weight as its first target stores it.
Tensor stored_master(const ModelView& view, const Site& site, const DeltaTarget& first) {
  return stored_part(view.master(parameters_of(view, first)[0]), site.delta_shape, first);
}

// `part`, which lies as `from` stores it, as `to` does.
Tensor relaid(const Tensor& part, const DeltaTarget& from, const DeltaTarget& to) {
  return from.transposed == to.transposed ? part : transposed(part);
}

Tensor sum_of(const Tensor& a, const Tensor& b) {
  Tensor sum = Tensor::empty(DType::kF32, a.shape());
  float* to = sum.mutable_data<float>();
  for (std::int64_t i = 0; i < sum.numel(); ++i) to[i] = a.data<float>()[i] + b.data<float>()[i];
  return sum;
}

std::vector<TunedSite> open_sites(const Bundle& bundle, const std::vector<Site>& sites, Anchor anchor) {
  if (sites.empty()) throw user_error("fine-tuning needs at least one site");
  const Bundle original = anchor == Anchor::kOriginal ? without_patches(bundle) : bundle;
  std::set<std::string> names;
  std::vector<TunedSite> tuned;
  for (const Site& site : sites) {
    if (!names.insert(site.name).second) throw user_error("fine-tuning got site '{}' twice", site.name);
    TunedSite one{site, hashed_targets(bundle.view(), site), {}, {}, {}};
    one.start = stored_master(bundle.view(), site, one.targets[0]);
    one.anchor = stored_master(original.view(), site, one.targets[0]);
    for (const DeltaTarget& target : one.targets) one.parameters.push_back(parameters_of(bundle.view(), target));
    tuned.push_back(std::move(one));
  }
  return tuned;
}

// The weights in training: f32 masters in site coordinates, and the parameters rounded from them.
class Weights {
 public:
  Weights(const Bundle& bundle, std::vector<TunedSite> sites)
      : sites_(std::move(sites)), parameters_(bundle.parameters()) {
    for (const TunedSite& tuned : sites_) {
      masters_[tuned.site.name] = tuned.start.copy();
      for (const auto& names : tuned.parameters)
        for (const std::string& name : names)
          if (!stored_.contains(name)) stored_[name] = bundle.view().master(name);
    }
    for (const auto& [name, tensor] : stored_) names_.push_back(name);
  }

  const std::vector<TunedSite>& sites() const { return sites_; }
  const std::vector<std::string>& names() const { return names_; }
  const Parameters& parameters() const { return parameters_; }
  std::map<std::string, Tensor>& masters() { return masters_; }

  // The gradient of each site's master: every place that holds the weight adds its own.
  void add_gradients(const Results& results, std::map<std::string, Tensor>& sums) const {
    for (const TunedSite& tuned : sites_)
      for (std::size_t t = 0; t < tuned.targets.size(); ++t)
        for (const std::string& name : tuned.parameters[t]) {
          const DeltaTarget& target = tuned.targets[t];
          const Tensor gradient =
              relaid(stored_part(results["grad:" + name].tensor.cast(DType::kF32), tuned.site.delta_shape, target),
                     target, tuned.targets[0]);
          const auto [it, first] = sums.emplace(tuned.site.name, gradient);
          if (first) continue;
          it->second = sum_of(it->second, gradient);
        }
  }

  // After the masters moved.
  void publish(Session& session) {
    std::set<std::string> copied;  // packed weights hold several sites
    for (const TunedSite& tuned : sites_)
      for (std::size_t t = 0; t < tuned.targets.size(); ++t)
        for (const std::string& name : tuned.parameters[t]) {
          const DeltaTarget& target = tuned.targets[t];
          const Tensor part = relaid(masters_[tuned.site.name], tuned.targets[0], target);
          Tensor& stored = stored_[name];
          if (!target.slice) {
            // The master itself where it lies as the file has it: its new version tells the Session that it moved.
            stored = part.reshaped(stored.shape());
            continue;
          }
          if (copied.insert(name).second) stored = stored.copy();
          write_stored_part(stored, part, target);
        }
    for (const auto& [name, tensor] : stored_) {
      Feed& feed = parameters_.find(name)->second;
      feed = {tensor.cast(feed.tensor.dtype()), session.fresh_version()};
    }
  }

 private:
  std::vector<TunedSite> sites_;
  Parameters parameters_;
  std::map<std::string, Tensor> masters_;  // by site name, as the first target stores it
  std::map<std::string, Tensor> stored_;   // f32, by linked name, in stored orientation
  std::vector<std::string> names_;
};

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

void project(Weights& weights, const FineTuningOptions& options) {
  if (options.constraint == Constraint::kNone) return;
  for (const TunedSite& tuned : weights.sites()) {
    Tensor& master = weights.masters()[tuned.site.name];
    float* weight = master.mutable_data<float>();
    const float* anchor = tuned.anchor.data<float>();
    if (options.constraint == Constraint::kLinf)
      project_linf(weight, anchor, master.numel(), static_cast<float>(options.bound));
    else
      project_l2(weight, anchor, master.numel(), options.bound);
  }
}

TensorDelta delta_of(const TunedSite& tuned, const Tensor& master) {
  Tensor difference = Tensor::empty(DType::kF32, master.shape());
  float* to = difference.mutable_data<float>();
  for (std::int64_t i = 0; i < difference.numel(); ++i) to[i] = master.data<float>()[i] - tuned.start.data<float>()[i];
  if (tuned.targets[0].transposed) difference = transposed(difference);
  return {tuned.site.name, tuned.site.delta_shape, DenseDelta{std::move(difference)}, tuned.targets};
}

// Loss and gradients of all lessons, one after another: the gradient of a sum is the sum of gradients, and one prompt's
// activations are in memory at a time.
double evaluate_lessons(Session& session, std::vector<SuffixRequest>& requests, const Weights& weights,
                        std::map<std::string, Tensor>& gradients) {
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
  Weights weights(bundle, open_sites(bundle, sites, options.anchor));
  // The whole sequence: a weight acts at every position, and the prefix's cache would be that of the weights before the
  // edit.
  std::vector<SuffixRequest> requests;
  for (const Lesson& lesson : lessons) {
    SuffixRequest suffix = lesson_request(session, bundle, losses, lesson, 0, weights.names());
    suffix.request.outputs = {kLessonLoss};
    suffix.request.loss = kLessonLoss;
    suffix.request.wrt = weights.names();
    requests.push_back(std::move(suffix));
  }
  FineTuningResult result;
  Adam adam({.learning_rate = options.learning_rate});
  for (std::int64_t step = 0; step < options.steps; ++step) {
    std::map<std::string, Tensor> gradients;
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
    project(weights, options);
    weights.publish(session);
    if (loss < options.stop_loss) break;
  }
  for (const TunedSite& tuned : weights.sites()) {
    TensorDelta delta = delta_of(tuned, weights.masters()[tuned.site.name]);
    if (!is_zero(delta)) result.deltas.push_back(std::move(delta));
  }
  return result;
}

}  // namespace retune
