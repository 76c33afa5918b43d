#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <numbers>

#include "graph/op_case.h"

namespace retune {
namespace {

using Function = std::function<double(double)>;

double logistic(double x) { return 1 / (1 + std::exp(-x)); }
double normal_cdf(double x) { return 0.5 * std::erfc(-x / std::numbers::sqrt2); }
double tanh_gelu(double x) {
  return 0.5 * x * (1 + std::tanh(std::sqrt(2 / std::numbers::pi) * (x + 0.044715 * std::pow(x, 3))));
}

std::vector<Tensor> each(const Tensor& x, const Function& f) {
  Tensor y = x.copy();
  for (std::int64_t i = 0; i < y.numel(); ++i) y.mutable_data<double>()[i] = f(y.data<double>()[i]);
  return {y};
}

// Forward and slope on points that miss the kinks, and on more than one task's share.
void follows(const std::string& domain, const std::string& op, int version, const Attributes& attributes,
             const Function& f) {
  const auto naive = [f](const std::vector<Tensor>& inputs) { return each(inputs[0], f); };
  const OpCase base{
      .domain = domain, .op = op, .version = version, .attributes = attributes, .reference = naive, .gradients = {0}};
  for (const Shape& shape : {Shape{}, Shape{0, 3}, Shape{5, 13}, Shape{2, 3, 11}}) {
    OpCase op_case = base;
    op_case.inputs = {random_f64(shape, 11, -4, 4)};
    check(op_case);
  }
  OpCase large = base;
  large.inputs = {random_f64({33, 1001}, 12, -9, 9)};
  check(large);
}

TEST(ActivationOps, SwigluGatesItsSecondInput) {
  for (const double alpha : {1.0, 0.5})
    check({.op = "SwiGLU",
           .version = 28,
           .inputs = {random_f64({3, 5}, 1, -3, 3), random_f64({3, 5}, 2)},
           .attributes = {{"alpha", alpha}},
           .reference =
               [alpha](const std::vector<Tensor>& in) {
                 Tensor y = in[0].copy();
                 for (std::int64_t i = 0; i < 15; ++i)
                   y.mutable_data<double>()[i] *= logistic(alpha * in[0].data<double>()[i]) * in[1].data<double>()[i];
                 return std::vector<Tensor>{y};
               },
           .gradients = {0, 1}});
}

TEST(ActivationOps, FollowTheirDefinitions) {
  follows("", "Tanh", 13, {}, [](double x) { return std::tanh(x); });
  follows("", "Sigmoid", 13, {}, logistic);
  follows("", "Relu", 14, {}, [](double x) { return std::max(x, 0.0); });
  follows("", "LeakyRelu", 16, {{"alpha", 0.2}}, [](double x) { return x < 0 ? 0.2 * x : x; });
  follows("", "Elu", 6, {{"alpha", 1.5}}, [](double x) { return x < 0 ? 1.5 * (std::exp(x) - 1) : x; });
  follows("", "Celu", 12, {{"alpha", 1.7}}, [](double x) { return x < 0 ? 1.7 * (std::exp(x / 1.7) - 1) : x; });
  follows("", "ThresholdedRelu", 10, {{"alpha", 0.8}}, [](double x) { return x > 0.8 ? x : 0; });
  follows("", "Shrink", 9, {{"bias", 0.3}, {"lambd", 0.9}}, [](double x) {
    return x < -0.9 ? x + 0.3 : x > 0.9 ? x - 0.3 : 0;
  });
  follows("", "Mish", 18, {}, [](double x) { return x * std::tanh(std::log(1 + std::exp(x))); });
  follows("", "Selu", 6, {{"alpha", 2.0}, {"gamma", 3.0}},
          [](double x) { return 3 * (x > 0 ? x : 2 * (std::exp(x) - 1)); });
  follows("", "Softplus", 1, {}, [](double x) { return std::log(1 + std::exp(x)); });
  follows("", "Softsign", 1, {}, [](double x) { return x / (1 + std::fabs(x)); });
  follows("", "HardSigmoid", 6, {{"alpha", 0.3}, {"beta", 0.4}},
          [](double x) { return std::clamp(0.3 * x + 0.4, 0.0, 1.0); });
  follows("", "HardSwish", 14, {}, [](double x) { return x * std::clamp(x / 6 + 0.5, 0.0, 1.0); });
  follows("", "Swish", 24, {}, [](double x) { return x * logistic(x); });
  follows("", "Swish", 24, {{"alpha", 0.7}}, [](double x) { return x * logistic(0.7 * x); });
  follows("com.microsoft", "QuickGelu", 1, {}, [](double x) { return x * logistic(1.702 * x); });
  follows("", "Gelu", 20, {}, [](double x) { return x * normal_cdf(x); });
  follows("", "Gelu", 20, {{"approximate", std::string("tanh")}}, tanh_gelu);
  follows("com.microsoft", "Gelu", 1, {}, [](double x) { return x * normal_cdf(x); });
  follows("com.microsoft", "FastGelu", 1, {}, tanh_gelu);
}

TEST(ActivationOps, BiasIsAddedAlongTheLastAxis) {
  for (const auto& [op, f] : {std::pair<std::string, Function>{"BiasGelu", [](double x) { return x * normal_cdf(x); }},
                              std::pair<std::string, Function>{"FastGelu", tanh_gelu}}) {
    const auto naive = [f = f](const std::vector<Tensor>& inputs) {
      Tensor sum = inputs[0].copy();
      const std::int64_t width = inputs[1].numel();
      for (std::int64_t i = 0; i < sum.numel(); ++i)
        sum.mutable_data<double>()[i] += inputs[1].data<double>()[i % width];
      return each(sum, f);
    };
    check({.domain = "com.microsoft",
           .op = op,
           .inputs = {random_f64({2, 3, 5}, 21, -3, 3), random_f64({5}, 22)},
           .reference = naive,
           .gradients = {0, 1}});
    check({.domain = "com.microsoft",
           .op = op,
           .inputs = {random_f64({64, 301}, 23, -3, 3), random_f64({301}, 24)},
           .reference = naive,
           .gradients = {0, 1}});
  }
}

// The vjp at the kink itself, where central differences would say the mean of both sides: a table of docs/operators.md.
TEST(ActivationOps, SlopesAtKinksAreThoseOfTheTable) {
  // The gradient operators take (x or y, cotangent).
  const auto slope = [](const std::string& op, const Attributes& attributes, double at, double want) {
    check({.domain = "retune",
           .op = op + "Grad",
           .version = 1,
           .inputs = {Tensor::of<double>({1}, {at}), Tensor::of<double>({1}, {2.0})},
           .attributes = attributes,
           .reference = [want](const std::vector<Tensor>&) {
             return std::vector<Tensor>{Tensor::of<double>({1}, {2.0 * want})};
           }});
  };
  slope("Relu", {}, 0.0, 0.0);
  slope("LeakyRelu", {{"alpha", 0.25}}, 0.0, 0.25);
  slope("Elu", {{"alpha", 2.0}}, 0.0, 1.0);
  slope("Selu", {{"alpha", 2.0}, {"gamma", 3.0}}, 0.0, 6.0);
  slope("HardSigmoid", {{"alpha", 0.25}, {"beta", 0.5}}, 2.0, 0.0);
  slope("HardSigmoid", {{"alpha", 0.25}, {"beta", 0.5}}, -2.0, 0.0);
  slope("HardSwish", {}, -3.0, 0.0);
  slope("HardSwish", {}, 3.0, 1.0);
  slope("Softsign", {}, 0.0, 1.0);
}

TEST(ActivationOps, ReluTakesIntegersFromVersion14) {
  check({.op = "Relu",
         .version = 14,
         .inputs = {Tensor::of<std::int32_t>({4}, {-3, 0, 2, 7})},
         .reference = [](const std::vector<Tensor>&) {
           return std::vector<Tensor>{Tensor::of<std::int32_t>({4}, {0, 0, 2, 7})};
         }});
}

}  // namespace
}  // namespace retune
