#include "editors/mechanisms/target_optimizer.h"

#include <algorithm>
#include <cmath>

#include "graph/optimizer.h"
#include "lalm/answer.h"
#include "tensor/error.h"

namespace retune {

namespace {

constexpr const char* kDelta = "target delta";

double norm(std::span<const double> vector) {
  double sum = 0;
  for (const double item : vector) sum += item * item;
  return std::sqrt(sum);
}

std::vector<double> wide(const Tensor& tensor) {
  const Tensor f32 = tensor.cast(DType::kF32);
  return {f32.data<float>(), f32.data<float>() + f32.numel()};
}

Tensor narrow(const std::vector<double>& values) {
  return Tensor::vector<float>(std::vector<float>(values.begin(), values.end()));
}

// Natural log-softmax of chosen rows of logits [.., V], in f64, as f32 [rows, V].
Tensor log_probabilities(const Tensor& logits, const std::vector<std::int64_t>& rows) {
  const Tensor f32 = logits.cast(DType::kF32);
  const std::int64_t vocabulary = f32.shape().back();
  Tensor result = Tensor::empty(DType::kF32, {static_cast<std::int64_t>(rows.size()), vocabulary});
  for (std::size_t r = 0; r < rows.size(); ++r) {
    const float* from = f32.data<float>() + rows[r] * vocabulary;
    float* to = result.mutable_data<float>() + static_cast<std::int64_t>(r) * vocabulary;
    const double highest = *std::max_element(from, from + vocabulary);
    double sum = 0;
    for (std::int64_t v = 0; v < vocabulary; ++v) sum += std::exp(static_cast<double>(from[v]) - highest);
    for (std::int64_t v = 0; v < vocabulary; ++v)
      to[v] = static_cast<float>(static_cast<double>(from[v]) - highest - std::log(sum));
  }
  return result;
}

}  // namespace

void TargetOptions::validate() const {
  const auto require = [](bool holds, const char* name, const char* range, double value) {
    if (!holds) throw user_error("target vector: {} must be {}, got {}", name, range, value);
  };
  require(steps >= 1, "target_steps", "1 or more", static_cast<double>(steps));
  require(learning_rate >= 0, "target_learning_rate", "0 or more", learning_rate);
  require(decay >= 0, "target_decay", "0 or more", decay);
  require(clamp > 0, "target_clamp", "above 0", clamp);
  require(kl_weight >= 0, "kl_weight", "0 or more", kl_weight);
}

TargetObjective::TargetObjective(Session& session, const Bundle& bundle, const LossGraphs& losses,
                                 const TargetProblem& problem, const TargetOptions& options)
    : session_(session), bundle_(bundle), options_(options), start_norm_(norm(problem.readings[0].value)) {
  options.validate();
  for (std::size_t i = 0; i < problem.views.size(); ++i) {
    const ContextView& context = problem.views[i];
    const Placement& placement = problem.readings[i].placement;
    const Lesson lesson{context.view.prompt, problem.target, context.weight, Objective::kTargetNew};
    Term term{lesson_request(session, bundle, losses, lesson, placement.cut), kLessonLoss, 1.0};
    intervene(term, problem, placement);
    terms_.push_back(std::move(term));
  }
  if (problem.kl_prompt && options.kl_weight > 0) add_divergence(losses, problem);
}

void TargetObjective::intervene(Term& term, const TargetProblem& problem, const Placement& placement) {
  Request& request = term.suffix.request;
  const Tensor zero = Tensor::zeros(DType::kF32, {problem.site.out});
  request.interventions = {{kDelta, problem.site.value, problem.kind, placement.rows, zero}};
  request.varying = {kDelta};
  request.outputs = {term.loss};
  request.loss = term.loss;
  request.wrt = {kDelta};
}

void TargetObjective::add_divergence(const LossGraphs& losses, const TargetProblem& problem) {
  const Placement& placement = problem.kl_reading->placement;
  Term term{suffix_request(session_, bundle_, problem.kl_prompt->prompt, {}, placement.cut), kDivergence,
            options_.kl_weight};
  std::vector<std::int64_t> rows;
  for (const std::int64_t position : placement.positions) rows.push_back(position - term.suffix.cut);
  Request before = term.suffix.request;
  before.outputs = {"logits"};
  const Tensor logits = session_.run(term.suffix.graph, bundle_.parameters(), before)["logits"].tensor;
  term.suffix.request.inputs["divergence_rows"] = {Tensor::vector<std::int64_t>(rows), {}};
  term.suffix.request.inputs["divergence_reference"] = {log_probabilities(logits, rows), {}};
  term.suffix.graph = losses.for_request(bundle_, term.suffix);
  intervene(term, problem, placement);
  terms_.push_back(std::move(term));
}

TargetObjective::Evaluation TargetObjective::at(const Tensor& delta) {
  const std::vector<double> at = wide(delta);
  Evaluation result{0, std::vector<double>(at.size(), 0.0)};
  for (Term& term : terms_) {
    term.suffix.request.interventions[0].delta = delta;
    const Results results = session_.run(term.suffix.graph, bundle_.parameters(), term.suffix.request);
    result.loss += term.weight * wide(results[term.loss].tensor)[0];
    const std::vector<double> gradient = wide(results[std::string("grad:") + kDelta].tensor);
    for (std::size_t i = 0; i < gradient.size(); ++i) result.gradient[i] += term.weight * gradient[i];
  }
  const double length = norm(at);
  if (length > 0 && start_norm_ > 0) {
    const double scale = options_.decay / (start_norm_ * start_norm_);
    result.loss += scale * length;
    for (std::size_t i = 0; i < at.size(); ++i) result.gradient[i] += scale * at[i] / length;
  }
  return result;
}

TargetVector optimize_target(Session& session, const Bundle& bundle, const LossGraphs& losses,
                             const TargetProblem& problem, const TargetOptions& options, const StepObserver& observer) {
  TargetObjective objective(session, bundle, losses, problem, options);
  TargetVector result;
  result.start = problem.readings[0].value;
  const bool replaces = problem.kind == Intervention::Kind::kReplace;
  std::map<std::string, Tensor> masters = {
      {kDelta, replaces ? narrow(problem.initial) : Tensor::zeros(DType::kF32, {problem.site.out})}};
  Tensor& delta = masters[kDelta];
  Adam adam({.learning_rate = options.learning_rate});
  const double limit = std::isinf(options.clamp) ? options.clamp : options.clamp * objective.start_norm();
  for (std::int64_t step = 0; step < options.steps; ++step) {
    const TargetObjective::Evaluation evaluation = objective.at(delta.copy());
    if (!std::isfinite(evaluation.loss))
      throw failure("target vector at {}: the loss at step {} is not finite; lower target_learning_rate ({})",
                    problem.site.name, step + 1, options.learning_rate);
    result.losses.push_back(evaluation.loss);
    if (observer) observer({"target vector", step + 1, options.steps, evaluation.loss});
    if (evaluation.loss < options.stop_loss || step + 1 == options.steps) break;
    adam.step(masters, {{kDelta, narrow(evaluation.gradient)}}, session.pool());
    ++result.updates;
    const double length = norm(wide(delta));
    if (length <= limit) continue;
    for (std::int64_t i = 0; i < delta.numel(); ++i) {
      float& item = delta.mutable_data<float>()[i];
      item = static_cast<float>(static_cast<double>(item) * limit / length);
    }
  }
  result.delta = wide(delta);
  return result;
}

std::vector<Setting> target_settings() {
  const auto number = Setting::Type::kNumber;
  return {{"target_steps",
           Setting::Type::kInteger,
           25,
           1,
           100000,
           {},
           "steps of the target vector at most; the last makes no update"},
          {"target_learning_rate", number, 0.1, 0, 1e6, {}, "Adam's rate for the target vector"},
          {"target_decay",
           number,
           1e-3,
           0,
           1e6,
           {},
           "weight of the target vector's length over the squared length of the original value"},
          {"target_clamp", number, 1.0, 1e-9, 1e6, {}, "longest target vector, in lengths of the original value"},
          {"target_stop_loss", number, 5e-2, 0, 1e6, {}, "loss in nats below which the target vector is good enough"},
          {"kl_weight", number, 0.0625, 0, 1e6, {}, "weight of staying with the original answer to kl_question"},
          {"kl_question",
           Setting::Type::kText,
           "Is the recording loud or quiet?",
           {},
           {},
           {},
           "a neutral question about the same clip, whose answer is to stay"}};
}

TargetOptions target_options(const Settings& settings) {
  TargetOptions options;
  options.steps = settings.at("target_steps").get<std::int64_t>();
  options.learning_rate = settings.at("target_learning_rate").get<double>();
  options.decay = settings.at("target_decay").get<double>();
  options.clamp = settings.at("target_clamp").get<double>();
  options.stop_loss = settings.at("target_stop_loss").get<double>();
  options.kl_weight = settings.at("kl_weight").get<double>();
  return options;
}

}  // namespace retune
