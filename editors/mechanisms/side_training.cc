#include "editors/mechanisms/side_training.h"

#include <algorithm>
#include <cmath>

#include "editors/mechanisms/side_routing.h"
#include "graph/graph_builder.h"
#include "lalm/activation.h"
#include "lalm/answer.h"
#include "learning/site_weight.h"
#include "tensor/error.h"

namespace retune {

namespace {

constexpr double kSettledLoss = 0.02, kSettledChange = 1e-4;

// Adds `scale * max(0, value)`'s share to a mean over what is positive.
struct Hinges {
  struct Term {
    double value;
    std::ptrdiff_t inside, outside;  // -1: none
  };
  std::vector<Term> positive;

  void add(double value, std::ptrdiff_t inside, std::ptrdiff_t outside) {
    if (value > 0) positive.push_back({value, inside, outside});
  }
  void close(ActivationLoss& loss) {
    const auto count = static_cast<double>(positive.size());
    for (const Term& term : positive) {
      loss.loss += term.value / count;
      if (term.inside >= 0) loss.inside[static_cast<std::size_t>(term.inside)] -= 1 / count;
      if (term.outside >= 0) loss.outside[static_cast<std::size_t>(term.outside)] += 1 / count;
    }
    positive.clear();
  }
};

void add_scaled(Tensor& sum, const Tensor& gradient, double scale) {
  const auto factor = static_cast<float>(scale);
  float* to = sum.mutable_data<float>();
  for (std::int64_t i = 0; i < sum.numel(); ++i) to[i] += factor * gradient.data<float>()[i];
}

// keys [rows, in], weight [in, out], base [rows, out] -> activated [rows, out], distance []
Graph distance_graph(const Bundle& bundle, const Site& site) {
  Graph graph;
  graph.name = "side distance";
  GraphBuilder builder(graph);
  const ValueId keys = graph.add_input("keys", DType::kF32, {{-1, "rows"}, {site.in, ""}});
  const ValueId weight = graph.add_input("weight", DType::kF32, {{site.in, ""}, {site.out, ""}});
  const ValueId base = graph.add_input("base", DType::kF32, {{-1, "rows"}, {site.out, ""}});
  ValueId output = builder.op("MatMul", {keys, weight});
  if (site.bias)
    output = builder.add(output, builder.constant(bundle.parameters().at(*site.bias).tensor.cast(DType::kF32)));
  const ValueId activated = builder.op(
      "Identity", {append_activation(builder, find_activation(*bundle.graph(), site), output)}, {}, "activated");
  const std::vector<std::int64_t> last{1}, first{0};
  const ValueId norms =
      builder.op("ReduceL2", {builder.sub(activated, base)}, {{"axes", last}, {"keepdims", std::int64_t{0}}});
  const ValueId distance =
      builder.op("ReduceMean", {norms}, {{"axes", first}, {"keepdims", std::int64_t{0}}}, "distance");
  graph.outputs = {activated, distance};
  return graph;
}

// The model with the trained weight in the layer's place, and how likely the lessons' targets are by it.
class SidePath {
 public:
  SidePath(Session& session, const Bundle& bundle, const SideProblem& problem)
      : session_(session),
        bundle_(with_path(bundle, problem)),
        losses_(loss_graphs(bundle_)),
        parameters_(bundle_.parameters()),
        leaf_(leaf_of(problem)) {
    for (const Lesson& lesson : problem.inside) {
      SuffixRequest suffix = lesson_request(session, bundle_, losses_, lesson, 0, {leaf_});
      suffix.request.outputs = {kLessonLoss};
      suffix.request.loss = kLessonLoss;
      suffix.request.wrt = {leaf_};
      requests_.push_back(std::move(suffix));
    }
  }

  // The loss; its gradient is added to `gradient`.
  double loss(const Tensor& weight, Tensor& gradient) {
    parameters_[leaf_] = {weight, session_.fresh_version()};
    double loss = 0;
    for (const SuffixRequest& suffix : requests_) {
      const Results results = session_.run(suffix.graph, parameters_, suffix.request);
      loss += static_cast<double>(results[kLessonLoss].tensor.data<float>()[0]);
      add_scaled(gradient, results["grad:" + leaf_].tensor, 1);
    }
    return loss;
  }

 private:
  static Bundle with_path(const Bundle& bundle, const SideProblem& problem) {
    Patch patch;
    patch.method = "side";
    patch.graph_hash = bundle.view().graph_hash();
    patch.files = bundle.view().files();
    patch.beneath = bundle.view().patch_ids();
    patch.inserts.push_back(side_path_insert(bundle, problem.insert, problem.site, problem.start));
    return bundle.with(std::make_shared<const Patch>(std::move(patch)));
  }

  // The linked name of the path's weight: the one tensor of its shape that the insert brings.
  std::string leaf_of(const SideProblem& problem) const {
    const Bundle plain = without_patches(bundle_);
    for (const auto& [name, feed] : bundle_.parameters())
      if (name.find(problem.insert) != std::string::npos && feed.tensor.shape() == problem.original.shape() &&
          !plain.parameters().contains(name))
        return name;
    throw std::logic_error("the side path has no weight in the linked graph");
  }

  Session& session_;
  Bundle bundle_;
  LossGraphs losses_;
  Parameters parameters_;
  std::string leaf_;
  std::vector<SuffixRequest> requests_;
};

void update(Tensor& weight, const Tensor& gradient, const SideProblem& problem, const SideOptions& options) {
  const auto rate = static_cast<float>(options.learning_rate), decay = static_cast<float>(options.weight_decay),
             bound = static_cast<float>(options.bound);
  float* w = weight.mutable_data<float>();
  const float *g = gradient.data<float>(), *w0 = problem.original.data<float>();
  for (std::int64_t i = 0; i < weight.numel(); ++i) {
    if (problem.mask[static_cast<std::size_t>(i)] != 0)
      w[i] -= rate * (g[i] + decay * w[i]);
    else if (options.reference_decay)
      w[i] -= rate * decay * w[i];
    else
      continue;
    w[i] = std::clamp(w[i], w0[i] - bound, w0[i] + bound);
  }
}

// The distances of lessons on both sides of the scope, and the gradient of what the hinges make of them.
class Scope {
 public:
  Scope(const SideDistance& distance, const SideProblem& problem) : distance_(distance) {
    for (const Lesson& lesson : problem.inside) inside_.push_back(distance.rows_of(lesson));
    for (const Lesson& lesson : problem.outside) outside_.push_back(distance.rows_of(lesson));
  }

  std::vector<double> inside(const Tensor& weight) const { return distances(inside_, weight); }

  double loss(const Tensor& weight, const std::vector<double>& inside, const SideOptions& options,
              Tensor& gradient) const {
    const ActivationLoss hinges = activation_loss(inside, distances(outside_, weight), options);
    add_gradients(inside_, hinges.inside, weight, gradient);
    add_gradients(outside_, hinges.outside, weight, gradient);
    return hinges.loss;
  }

 private:
  using AllRows = std::vector<SideDistance::Rows>;

  std::vector<double> distances(const AllRows& prompts, const Tensor& weight) const {
    std::vector<double> result;
    for (const auto& rows : prompts) result.push_back(distance_.at(rows, weight));
    return result;
  }
  void add_gradients(const AllRows& prompts, const std::vector<double>& slopes, const Tensor& weight,
                     Tensor& gradient) const {
    for (std::size_t i = 0; i < prompts.size(); ++i)
      if (slopes[i] != 0) add_scaled(gradient, distance_.gradient(prompts[i], weight), slopes[i]);
  }

  const SideDistance& distance_;
  AllRows inside_, outside_;
};

}  // namespace

ActivationLoss activation_loss(std::span<const double> inside, std::span<const double> outside,
                               const SideOptions& options) {
  ActivationLoss result{0, std::vector<double>(inside.size(), 0.0), std::vector<double>(outside.size(), 0.0)};
  Hinges hinges;
  for (std::size_t i = 0; i < inside.size(); ++i)
    for (std::size_t o = 0; o < outside.size(); ++o)
      hinges.add(options.gamma + outside[o] - inside[i], static_cast<std::ptrdiff_t>(i),
                 static_cast<std::ptrdiff_t>(o));
  hinges.close(result);
  for (std::size_t o = 0; o < outside.size(); ++o)
    hinges.add(outside[o] - options.alpha, -1, static_cast<std::ptrdiff_t>(o));
  hinges.close(result);
  for (std::size_t i = 0; i < inside.size(); ++i)
    hinges.add(options.beta - inside[i], static_cast<std::ptrdiff_t>(i), -1);
  hinges.close(result);
  return result;
}

SideDistance::SideDistance(Session& session, const Bundle& bundle, const Site& site, Tensor original)
    : session_(session),
      bundle_(bundle),
      site_(site),
      original_(std::move(original)),
      graph_(std::make_shared<const Graph>(distance_graph(bundle, site))) {}

Results SideDistance::run(const Tensor& keys, const Tensor& base, const Tensor& weight, const Request& what) const {
  Request request = what;
  request.inputs["keys"] = {keys, {}};
  request.inputs["weight"] = {weight, {}};
  if (base.defined()) request.inputs["base"] = {base, {}};
  return session_.run(graph_, {}, request);
}

SideDistance::Rows SideDistance::rows_of(const Lesson& lesson) const {
  std::vector<std::int64_t> continuation = lesson.target;
  if (!continuation.empty()) continuation.pop_back();
  SuffixRequest suffix = suffix_request(session_, bundle_, lesson.prompt, continuation, 0);
  suffix.request.outputs = {site_.key};
  const Tensor keys = session_.run(suffix.graph, bundle_.parameters(), suffix.request)[site_.key].tensor;
  const Tensor rows = keys.cast(DType::kF32).reshaped({keys.numel() / site_.in, site_.in});
  return {rows, run(rows, {}, original_, {.outputs = {"activated"}})["activated"].tensor};
}

double SideDistance::at(const Rows& rows, const Tensor& weight) const {
  return static_cast<double>(
      run(rows.keys, rows.base, weight, {.outputs = {"distance"}})["distance"].tensor.data<float>()[0]);
}

Tensor SideDistance::gradient(const Rows& rows, const Tensor& weight) const {
  return run(rows.keys, rows.base, weight,
             {.outputs = {"distance"}, .loss = "distance", .wrt = {"weight"}})["grad:weight"]
      .tensor;
}

SideTraining train_side_weight(Session& session, const Bundle& bundle, const SideProblem& problem,
                               const SideOptions& options, const StepObserver& observer) {
  const SideDistance distance(session, bundle, problem.site, problem.original);
  const Scope scope(distance, problem);
  SidePath path(session, bundle, problem);
  SideTraining result;
  result.weight = problem.start;
  for (std::int64_t step = 0; step < options.steps; ++step) {
    Tensor gradient = Tensor::zeros(DType::kF32, problem.original.shape());
    result.distances = scope.inside(result.weight);
    const double loss =
        path.loss(result.weight, gradient) + scope.loss(result.weight, result.distances, options, gradient);
    if (!std::isfinite(loss))
      throw failure("side memory at {}: the loss at step {} is not finite; lower learning_rate ({})", problem.site.name,
                    step + 1, options.learning_rate);
    const bool settled =
        !result.losses.empty() && loss <= kSettledLoss && std::abs(loss - result.losses.back()) <= kSettledChange;
    result.losses.push_back(loss);
    if (observer) observer({"side memory", step + 1, options.steps, loss});
    if (settled) break;
    Tensor next = result.weight.copy();
    update(next, gradient, problem, options);
    result.weight = std::move(next);
    ++result.updates;
  }
  return result;
}

}  // namespace retune
