#include "learning/part_fitting.h"

#include <cmath>
#include <set>
#include <string>

#include "graph/optimizer.h"
#include "learning/tuned_weights.h"
#include "tensor/error.h"

namespace retune {

namespace {

constexpr std::int64_t kBatchRows = 4096;  // rows of activations that are in memory at a time

using Examples = std::vector<const PartExample*>;

// What a batch gives now, and the same with the shifts: the targets. Then which rows count, and how much.
void add_targets(Inputs& inputs, const Tensor& now, const Examples& examples) {
  Tensor targets = now.dtype() == DType::kF32 ? now.copy() : now.cast(DType::kF32);
  const std::int64_t rows = now.shape()[1], width = now.shape().back();
  Tensor weights = Tensor::zeros(DType::kF32, {now.shape()[0], rows, 1});
  for (std::size_t i = 0; i < examples.size(); ++i) {
    const PartExample& example = *examples[i];
    const std::int64_t first = static_cast<std::int64_t>(i) * rows;
    for (std::int64_t r = 0; r < example.rows; ++r)
      weights.mutable_data<float>()[first + r] = static_cast<float>(example.weight);
    if (example.shifted_row < 0) continue;
    float* row = targets.mutable_data<float>() + (first + example.shifted_row) * width;
    for (std::int64_t j = 0; j < width; ++j) row[j] += static_cast<float>(example.shift[static_cast<std::size_t>(j)]);
  }
  inputs[kPartTargets] = {std::move(targets), {}};
  inputs[kPartRowWeights] = {std::move(weights), {}};
}

std::vector<Request> requests_of(Session& session, const ModelPart& part, const TunedWeights& weights,
                                 const std::vector<PartExample>& examples) {
  std::vector<std::int64_t> rows;
  for (const PartExample& example : examples) rows.push_back(example.rows);
  std::vector<Request> requests;
  for (const auto& batch : batches_of(rows, kBatchRows)) {
    Examples chosen;
    std::vector<const Inputs*> prompts;
    for (const std::size_t i : batch) {
      chosen.push_back(&examples[i]);
      prompts.push_back(&examples[i].inputs);
    }
    Request request;
    request.inputs = padded_batch(session, prompts);
    for (const auto& [name, feed] : request.inputs)
      if (feed.tensor.shape().rank() < 2) request.pinned.push_back(name);  // counts and flags steer the graph
    request.varying = weights.names();
    request.cache = Request::Cache::kUse;
    request.outputs = {part.value};
    const Results now = session.run(part.graph, weights.parameters(), request);
    add_targets(request.inputs, now[part.value].tensor, chosen);
    for (const char* name : {kPartTargets, kPartRowWeights}) request.inputs[name].version = session.fresh_version();
    request.outputs = {kPartLoss};
    request.loss = kPartLoss;
    request.wrt = weights.names();
    requests.push_back(std::move(request));
  }
  return requests;
}

// Sites whose weights decay: matrices, and what linear layers add.
std::set<std::string> decaying(const std::vector<Site>& sites) {
  std::set<std::string> biases, names;
  for (const Site& site : sites)
    if (site.bias) biases.insert(*site.bias);
  for (const Site& site : sites)
    if (site.delta_shape.rank() >= 2 || biases.contains(site.weight)) names.insert(site.name);
  return names;
}

}  // namespace

void PartFitOptions::validate() const {
  if (steps < 0) throw user_error("block fitting: steps must be 0 or more, got {}", steps);
  if (!(learning_rate >= 0) || !std::isfinite(learning_rate))
    throw user_error("block fitting: learning_rate must be 0 or more, got {}", learning_rate);
  if (!(weight_decay >= 0) || !std::isfinite(weight_decay))
    throw user_error("block fitting: weight_decay must be 0 or more, got {}", weight_decay);
}

PartFitResult fit_part(Session& session, const Bundle& bundle, const ModelPart& part, const std::vector<Site>& sites,
                       const std::vector<PartExample>& examples, const PartFitOptions& options,
                       const StepObserver& observer) {
  options.validate();
  PartFitResult result;
  if (options.steps == 0) return result;
  TunedWeights weights(bundle, sites);
  const std::set<std::string> decays = decaying(sites);
  const std::vector<Request> requests = requests_of(session, part, weights, examples);
  Adam with_decay({.learning_rate = options.learning_rate, .weight_decay = options.weight_decay});
  Adam without_decay({.learning_rate = options.learning_rate});
  for (std::int64_t step = 0; step < options.steps; ++step) {
    GradientSums gradients;
    double loss = 0;
    for (const Request& request : requests) {
      const Results results = session.run(part.graph, weights.parameters(), request);
      loss += static_cast<double>(results[kPartLoss].tensor.data<float>()[0]);
      weights.add_gradients(results, gradients);
    }
    if (!std::isfinite(loss))
      throw failure("block fitting: the loss at step {} is not finite; lower learning_rate ({})", step + 1,
                    options.learning_rate);
    result.losses.push_back(loss);
    if (observer) observer({"block fitting", step + 1, options.steps, loss});
    GradientSums plain;
    for (auto it = gradients.begin(); it != gradients.end();)
      if (decays.contains(it->first))
        ++it;
      else
        plain.insert(gradients.extract(it++));
    with_decay.step(weights.masters(), gradients, session.pool());
    without_decay.step(weights.masters(), plain, session.pool());
    weights.publish(session);
  }
  result.deltas = weights.deltas();
  return result;
}

}  // namespace retune
