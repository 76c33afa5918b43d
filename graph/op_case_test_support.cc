#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <limits>
#include <memory>

#include "graph/graph_builder.h"
#include "graph/op_attack.h"
#include "graph/op_case.h"
#include "graph/op_coverage.h"
#include "graph/op_registry.h"
#include "graph/session.h"
#include "graph/specialize.h"
#include "tensor/error.h"
#include "tensor/rng.h"

namespace retune {

namespace {

std::string input_name(std::size_t i) { return "x" + std::to_string(i); }
std::string output_name(int i) { return "y" + std::to_string(i); }
std::string weight_name(int i) { return "w" + std::to_string(i); }

// The node of a case on graph inputs (or constants); with `loss`, also the sum of its float outputs times given
// weights.
std::shared_ptr<const Graph> graph_of(const OpCase& op_case, const std::vector<Tensor>& inputs,
                                      const std::vector<Tensor>* weights) {
  auto graph = std::make_shared<Graph>();
  Node node{.domain = op_case.domain, .op = op_case.op, .version = op_case.version, .name = "case"};
  node.attributes = op_case.attributes;
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    const bool constant = std::count(op_case.constants.begin(), op_case.constants.end(), static_cast<int>(i)) != 0;
    if (!inputs[i].defined())
      node.inputs.push_back(kNoValue);
    else if (constant)
      node.inputs.push_back(graph->add_constant(inputs[i], input_name(i)));
    else
      node.inputs.push_back(graph->add_input(input_name(i), inputs[i].dtype()));
  }
  std::vector<std::string> names;
  for (int i = 0; i < op_case.outputs; ++i) names.push_back(output_name(i));
  const std::vector<ValueId> outputs = graph->add_node(std::move(node), names);
  if (weights == nullptr) return graph;

  GraphBuilder b(*graph);
  ValueId loss = kNoValue;
  for (int i = 0; i < op_case.outputs; ++i) {
    const Tensor& weight = (*weights)[static_cast<std::size_t>(i)];
    if (!weight.defined()) continue;
    const ValueId product =
        b.mul(outputs[static_cast<std::size_t>(i)], graph->add_input(weight_name(i), weight.dtype()));
    const ValueId sum = b.op("ReduceSum", {product}, {{"keepdims", std::int64_t{0}}});
    loss = loss == kNoValue ? sum : b.add(loss, sum);
  }
  graph->rename(loss, "loss");
  return graph;
}

class CaseRun {
 public:
  CaseRun(const OpCase& op_case, std::vector<Tensor> inputs) : case_(op_case), inputs_(std::move(inputs)) {}

  Request request(const std::vector<Tensor>* weights) const {
    Request r;
    for (std::size_t i = 0; i < inputs_.size(); ++i) {
      const bool constant = std::count(case_.constants.begin(), case_.constants.end(), static_cast<int>(i)) != 0;
      if (inputs_[i].defined() && !constant) r.inputs[input_name(i)] = {inputs_[i]};
    }
    if (weights == nullptr) {
      for (int i = 0; i < case_.outputs; ++i) r.outputs.push_back(output_name(i));
      return r;
    }
    for (std::size_t i = 0; i < weights->size(); ++i)
      if ((*weights)[i].defined()) r.inputs[weight_name(static_cast<int>(i))] = {(*weights)[i]};
    r.outputs = {"loss"};
    return r;
  }

  std::vector<Tensor> forward(Session& session) const {
    const Results results = session.run(graph_of(case_, inputs_, nullptr), {}, request(nullptr));
    std::vector<Tensor> outputs;
    for (int i = 0; i < case_.outputs; ++i) outputs.push_back(results[output_name(i)].tensor);
    return outputs;
  }

  std::vector<Tensor> gradients(Session& session, const std::vector<Tensor>& weights) const {
    Request r = request(&weights);
    r.loss = "loss";
    for (const int i : case_.gradients) r.wrt.push_back(input_name(static_cast<std::size_t>(i)));
    const Results results = session.run(graph_of(case_, inputs_, &weights), {}, r);
    std::vector<Tensor> found;
    for (const std::string& name : r.wrt) found.push_back(results["grad:" + name].tensor);
    return found;
  }

 private:
  const OpCase& case_;
  std::vector<Tensor> inputs_;
};

double largest_magnitude(const std::vector<double>& values) {
  double largest = 0;
  for (const double v : values)
    if (std::isfinite(v)) largest = std::max(largest, std::fabs(v));
  return largest;
}

// Equal NaN and infinities, finite values within `tolerance` of the largest magnitude (at least 1e-3 of one, so that a
// result that should be zero may carry the rounding of what cancelled).
void expect_close(const Tensor& got, const Tensor& want, double tolerance, const std::string& what) {
  ASSERT_EQ(got.shape().text(), want.shape().text()) << what;
  const std::vector<double> a = got.to_f64(), b = want.to_f64();
  const double bound = tolerance * std::max(largest_magnitude(b), 1e-3);
  for (std::size_t i = 0; i < a.size(); ++i) {
    if (std::isnan(b[i]) ? std::isnan(a[i]) : std::isinf(b[i]) ? a[i] == b[i] : std::fabs(a[i] - b[i]) <= bound)
      continue;
    FAIL() << what << ", element " << i << " of " << want.shape().text() << ": expected " << b[i] << ", got " << a[i]
           << " (tolerance " << bound << ")";
  }
}

void expect_all_close(const std::vector<Tensor>& got, const std::vector<Tensor>& want, double tolerance,
                      const std::string& what) {
  ASSERT_EQ(got.size(), want.size()) << what;
  for (std::size_t i = 0; i < got.size(); ++i) expect_close(got[i], want[i], tolerance, what + " " + std::to_string(i));
}

std::vector<Tensor> converted(const std::vector<Tensor>& tensors, DType from, DType to) {
  std::vector<Tensor> result = tensors;
  for (Tensor& tensor : result)
    if (tensor.defined() && tensor.dtype() == from) tensor = tensor.cast(to);
  return result;
}

void expect_inference_to_agree(const OpCase& op_case, Session& session, const std::vector<Tensor>& outputs,
                               const std::string& what) {
  std::map<std::string, InputSpec> specs;
  const Request r = CaseRun(op_case, op_case.inputs).request(nullptr);
  for (const auto& [name, feed] : r.inputs) specs[name] = {{feed.tensor.dtype(), feed.tensor.shape()}, feed.tensor};
  const Graph planned = specialize(*graph_of(op_case, op_case.inputs, nullptr), specs, r.outputs, session.pool());
  for (int i = 0; i < op_case.outputs; ++i) {
    const Value& value = planned.value(planned.require(output_name(i)));
    EXPECT_EQ(value.dtype, outputs[static_cast<std::size_t>(i)].dtype()) << what;
    ASSERT_TRUE(value.shape.has_value()) << what;
    EXPECT_EQ(value.shape->text(), outputs[static_cast<std::size_t>(i)].shape().text()) << what;
  }
}

// In f32, against f64 on the same rounded inputs.
void expect_f32_to_follow(const OpCase& op_case, Session& session, const std::string& what) {
  const std::vector<Tensor> narrow = converted(op_case.inputs, DType::kF64, DType::kF32);
  const std::vector<Tensor> rounded = converted(narrow, DType::kF32, DType::kF64);
  const std::vector<Tensor> want =
      op_case.reference ? op_case.reference(rounded) : CaseRun(op_case, rounded).forward(session);
  expect_all_close(CaseRun(op_case, narrow).forward(session), want, 1e-5, what + " in f32, output");
}

void expect_gradients_to_be_slopes(const OpCase& op_case, Session& session, const std::vector<Tensor>& weights,
                                   const std::string& what) {
  const std::vector<Tensor> gradients = CaseRun(op_case, op_case.inputs).gradients(session, weights);
  const std::shared_ptr<const Graph> graph = graph_of(op_case, op_case.inputs, &weights);
  for (std::size_t g = 0; g < gradients.size(); ++g) {
    const auto index = static_cast<std::size_t>(op_case.gradients[g]);
    const Tensor& input = op_case.inputs[index];
    Tensor slopes = Tensor::zeros(DType::kF64, input.shape());
    const auto loss_at = [&](std::int64_t element, double by) {
      Request r = CaseRun(op_case, op_case.inputs).request(&weights);
      Tensor moved = input.copy();
      moved.mutable_data<double>()[element] += by;
      r.inputs[input_name(index)] = {moved};
      return session.run(graph, {}, r)["loss"].tensor.to_f64()[0];
    };
    for (std::int64_t i = 0; i < input.numel(); ++i)
      slopes.mutable_data<double>()[i] = (loss_at(i, op_case.step) - loss_at(i, -op_case.step)) / (2 * op_case.step);
    expect_close(gradients[g], slopes, op_case.gradient_tolerance,
                 what + ", gradient of input " + std::to_string(index));
  }
}

void expect_the_same_bytes_with_any_threads(const OpCase& op_case, const std::vector<Tensor>& outputs,
                                            const std::vector<Tensor>& weights, const std::vector<Tensor>& gradients,
                                            const std::string& what) {
  for (const int threads : {2, 4}) {
    Session session({.threads = threads});
    const CaseRun run(op_case, op_case.inputs);
    const std::vector<Tensor> again = run.forward(session);
    for (std::size_t i = 0; i < outputs.size(); ++i)
      EXPECT_TRUE(identical(outputs[i], again[i])) << what << ", output " << i << " with " << threads << " threads";
    if (op_case.gradients.empty()) continue;
    const std::vector<Tensor> slopes = run.gradients(session, weights);
    for (std::size_t i = 0; i < gradients.size(); ++i)
      EXPECT_TRUE(identical(gradients[i], slopes[i]))
          << what << ", gradient " << i << " with " << threads << " threads";
  }
}

// Variations of each case. The seeds are fixed, so that a failure comes again.
constexpr int kAttacks = 12;

// Finite differences of a large case would take minutes; its gradients are compared between threads only.
constexpr std::int64_t kLargestSlopes = 4096;

std::int64_t count_of_slopes(const OpCase& op_case) {
  std::int64_t elements = 0;
  for (const int i : op_case.gradients) elements += op_case.inputs[static_cast<std::size_t>(i)].numel();
  return elements;
}

void note_what_was_checked(const OpCase& op_case, const Counters& counters) {
  const OpRegistry& registry = OpRegistry::standard();
  // Control flow has no entry: planning unrolls it, or puts a private operator in its place.
  const Op* op = registry.find(op_case.domain, op_case.op, op_case.version);
  if (op && op_case.reference) note(*op, Checked::kForward);
  const std::int64_t slopes = count_of_slopes(op_case);
  if (slopes == 0 || slopes > kLargestSlopes) return;
  if (op) note(*op, Checked::kGradient);
  for (const auto& [name, seconds] : counters.seconds_by_op)
    if (const Op* used = registry.find("retune", name, 1)) note(*used, Checked::kInUse);
}

void check_all(const OpCase& op_case, const std::string& what) {
  Session session({.threads = 1});
  session.profile(true);  // names the operators that were run
  const CaseRun run(op_case, op_case.inputs);
  const std::vector<Tensor> outputs = run.forward(session);
  if (op_case.reference)
    expect_all_close(outputs, op_case.reference(op_case.inputs), op_case.tolerance, what + ", output");
  expect_inference_to_agree(op_case, session, outputs, what);
  const auto in_f64 = [](const Tensor& t) { return t.defined() && t.dtype() == DType::kF64; };
  if (std::any_of(op_case.inputs.begin(), op_case.inputs.end(), in_f64)) expect_f32_to_follow(op_case, session, what);

  std::vector<Tensor> weights(outputs.size()), gradients;
  if (!op_case.gradients.empty()) {
    for (std::size_t i = 0; i < outputs.size(); ++i)
      if (in_f64(outputs[i])) weights[i] = random_f64(outputs[i].shape(), 977 + i, 0.5, 1.5);
    gradients = run.gradients(session, weights);
    if (count_of_slopes(op_case) <= kLargestSlopes) expect_gradients_to_be_slopes(op_case, session, weights, what);
  }
  expect_the_same_bytes_with_any_threads(op_case, outputs, weights, gradients, what);
  note_what_was_checked(op_case, session.counters());
}

}  // namespace

void run_case(Session& session, const OpCase& op_case) {
  const CaseRun run(op_case, op_case.inputs);
  const std::vector<Tensor> outputs = run.forward(session);
  if (op_case.gradients.empty()) return;
  std::vector<Tensor> weights(outputs.size());
  for (std::size_t i = 0; i < outputs.size(); ++i)
    if (outputs[i].dtype() == DType::kF64) weights[i] = random_f64(outputs[i].shape(), 977 + i, 0.5, 1.5);
  if (std::any_of(weights.begin(), weights.end(), [](const Tensor& t) { return t.defined(); }))
    run.gradients(session, weights);
}

void check(const OpCase& op_case) {
  std::string what =
      op_case.domain + (op_case.domain.empty() ? "" : ".") + op_case.op + "(" + std::to_string(op_case.version) + ")";
  for (const Tensor& input : op_case.inputs) what += input.defined() ? " " + input.text() : " -";
  SCOPED_TRACE(what);
  try {
    check_all(op_case, what);
    attack(op_case, kAttacks);
  } catch (const std::exception& error) {
    ADD_FAILURE() << what << ": " << error.what();
  }
}

std::string refusal_of(Session& session, Graph graph, const Request& request) {
  const auto start = std::chrono::steady_clock::now();
  std::string message = "no error";
  try {
    session.run(std::make_shared<const Graph>(std::move(graph)), {}, request);
  } catch (const Error& error) {
    message = error.what();
  }
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(20)) << message;
  EXPECT_EQ(message.find('\n'), std::string::npos) << message;
  return message;
}

Tensor random_f64(Shape shape, std::uint64_t seed, double low, double high) {
  Rng rng(seed);
  Tensor result = Tensor::empty(DType::kF64, std::move(shape));
  for (std::int64_t i = 0; i < result.numel(); ++i) result.mutable_data<double>()[i] = rng.uniform(low, high);
  return result;
}

}  // namespace retune
