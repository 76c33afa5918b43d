#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "graph/graph_builder.h"
#include "graph/op_case.h"
#include "graph/session.h"
#include "tensor/error.h"

namespace retune {
namespace {

// log softmax of row i of [N, V].
std::vector<double> log_softmax(const Tensor& logits, std::int64_t i) {
  const std::int64_t v = logits.shape()[1];
  const double* x = logits.data<double>() + i * v;
  double sum = 0;
  for (std::int64_t k = 0; k < v; ++k) sum += std::exp(x[k]);
  std::vector<double> result;
  for (std::int64_t k = 0; k < v; ++k) result.push_back(x[k] - std::log(sum));
  return result;
}

std::vector<Tensor> weighted(const Tensor& weights, const std::vector<double>& rows) {
  double loss = 0;
  for (std::size_t i = 0; i < rows.size(); ++i) loss += weights.values<double>()[i] * rows[i];
  return {Tensor::scalar<double>(loss), Tensor::vector<double>(rows)};
}

std::vector<Tensor> naive_cross_entropy(const std::vector<Tensor>& in) {
  std::vector<double> rows;
  for (std::int64_t i = 0; i < in[0].shape()[0]; ++i)
    rows.push_back(
        -log_softmax(in[0], i)[static_cast<std::size_t>(in[1].values<std::int64_t>()[static_cast<std::size_t>(i)])]);
  return weighted(in[2], rows);
}

std::vector<Tensor> naive_kl(const std::vector<Tensor>& in) {
  std::vector<double> rows;
  for (std::int64_t i = 0; i < in[0].shape()[0]; ++i) {
    const std::vector<double> p = log_softmax(in[0], i), q = log_softmax(in[1], i);
    double sum = 0;
    for (std::size_t k = 0; k < p.size(); ++k) sum += std::exp(p[k]) * (p[k] - q[k]);
    rows.push_back(sum);
  }
  return weighted(in[2], rows);
}

OpCase cross_entropy(Tensor logits, std::vector<std::int64_t> labels, Tensor weights) {
  return {.domain = "retune",
          .op = "CrossEntropy",
          .version = 1,
          .inputs = {std::move(logits), Tensor::vector(labels), std::move(weights)},
          .outputs = 2,
          .reference = naive_cross_entropy,
          .gradients = {0, 2}};
}

TEST(CrossEntropy, WeighsTheLogLossOfEachRow) {
  check(cross_entropy(random_f64({4, 7}, 1, -3, 3), {0, 6, 3, 3}, random_f64({4}, 2)));
  check(cross_entropy(random_f64({1, 1}, 1), {0}, random_f64({1}, 2)));
  check(cross_entropy(random_f64({0, 3}, 1), {}, random_f64({0}, 2)));
}

TEST(CrossEntropy, GivesOnlyTheLossWhereOnlyThatIsNamed) {
  OpCase test = cross_entropy(random_f64({3, 5}, 1, -3, 3), {4, 0, 2}, random_f64({3}, 2));
  test.outputs = 1;
  test.reference = [](const std::vector<Tensor>& in) { return std::vector<Tensor>{naive_cross_entropy(in)[0]}; };
  check(test);
}

TEST(CrossEntropy, BytesOfALargeCaseDoNotDependOnThreads) {
  std::vector<std::int64_t> labels;
  for (std::int64_t i = 0; i < 70; ++i) labels.push_back(i * 31 % 999);
  check(cross_entropy(random_f64({70, 999}, 1, -3, 3), labels, random_f64({70}, 2)));
}

TEST(CrossEntropy, RefusesALabelOutsideTheClasses) {
  for (const std::int64_t label : {std::int64_t{-1}, std::int64_t{5}}) {
    auto graph = std::make_shared<Graph>();
    GraphBuilder b(*graph);
    const ValueId x = graph->add_input("x", DType::kF32), y = graph->add_input("labels", DType::kI64),
                  w = graph->add_input("w", DType::kF32);
    b.ops("retune", "CrossEntropy", {x, y, w}, {}, {"loss"});
    Session session({.threads = 1});
    const Request request{.inputs = {{"x", {Tensor::zeros(DType::kF32, {1, 5})}},
                                     {"labels", {Tensor::of<std::int64_t>({1}, {label})}},
                                     {"w", {Tensor::zeros(DType::kF32, {1})}}},
                          .outputs = {"loss"}};
    try {
      session.run(graph, {}, request);
      FAIL() << "expected an error for label " << label;
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kUser);
      EXPECT_NE(std::string(error.what()).find("outside the 5 classes"), std::string::npos) << error.what();
    }
  }
}

OpCase kl(Tensor p, Tensor q, Tensor weights) {
  return {.domain = "retune",
          .op = "KlDivergence",
          .version = 1,
          .inputs = {std::move(p), std::move(q), std::move(weights)},
          .outputs = 2,
          .reference = naive_kl,
          .gradients = {0, 1, 2}};
}

TEST(KlDivergence, ComparesTheFirstDistributionWithTheSecond) {
  check(kl(random_f64({3, 6}, 1, -2, 2), random_f64({3, 6}, 2, -2, 2), random_f64({3}, 3)));
  check(kl(random_f64({2, 1}, 1), random_f64({2, 1}, 2), random_f64({2}, 3)));
  check(kl(random_f64({40, 700}, 1), random_f64({40, 700}, 2), random_f64({40}, 3)));
}

TEST(KlDivergence, IsZeroOnlyForEqualDistributionsAndNotSymmetric) {
  // p = (1/2, 1/2), q = (1/4, 3/4): KL(p||q) = log(2/sqrt 3), KL(q||p) = (3/4) log 3 - log 2.
  const Tensor p = Tensor::of<double>({1, 2}, {0.0, 0.0}), q = Tensor::of<double>({1, 2}, {0.0, std::log(3.0)});
  const Tensor one = Tensor::of<double>({1}, {1.0});
  const auto value = [](double v) {
    return [v](const std::vector<Tensor>&) { return std::vector<Tensor>{Tensor::scalar<double>(v)}; };
  };
  OpCase test = kl(p, q, one);
  test.outputs = 1;
  test.reference = value(std::log(2 / std::sqrt(3.0)));
  check(test);
  test.inputs = {q, p, one};
  test.reference = value(0.75 * std::log(3.0) - std::log(2.0));
  check(test);
  test.inputs = {q, q, one};
  test.reference = value(0);
  check(test);
}

TEST(KlDivergence, AClassThatTheFirstExcludesAddsNothing) {
  constexpr double kInf = std::numeric_limits<double>::infinity();
  OpCase test = kl(Tensor::of<double>({1, 3}, {0.0, 0.0, -kInf}), Tensor::of<double>({1, 3}, {0.0, 0.0, 0.0}),
                   Tensor::of<double>({1}, {1.0}));
  test.outputs = 1;
  test.gradients = {};
  test.reference = [](const std::vector<Tensor>&) {
    return std::vector<Tensor>{Tensor::scalar<double>(std::log(1.5))};
  };
  check(test);
}

}  // namespace
}  // namespace retune
