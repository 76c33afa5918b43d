#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <limits>

#include "graph/op_case.h"
#include "tensor/error.h"

namespace retune {
namespace {

using Function = std::function<double(double)>;

std::vector<Tensor> each(const std::vector<Tensor>& inputs, const Function& f) {
  Tensor y = inputs[0].copy();
  for (std::int64_t i = 0; i < y.numel(); ++i) y.mutable_data<double>()[i] = f(y.data<double>()[i]);
  return {y};
}

struct Smooth {
  const char* name;
  Function f;
  double low, high;  // where it is defined and its slope is tame
};

TEST(ElementwiseOps, FunctionsAndTheirSlopesFollowTheStandardLibrary) {
  const std::vector<Smooth> functions = {
      {"Neg", [](double x) { return -x; }, -2, 2},
      {"Abs", [](double x) { return std::fabs(x); }, 0.1, 2},
      {"Exp", [](double x) { return std::exp(x); }, -3, 3},
      {"Log", [](double x) { return std::log(x); }, 0.2, 4},
      {"Sqrt", [](double x) { return std::sqrt(x); }, 0.2, 4},
      {"Reciprocal", [](double x) { return 1 / x; }, 0.3, 3},
      {"Erf", [](double x) { return std::erf(x); }, -3, 3},
      {"Cos", [](double x) { return std::cos(x); }, -4, 4},
      {"Sin", [](double x) { return std::sin(x); }, -4, 4},
      {"Tan", [](double x) { return std::tan(x); }, -1.2, 1.2},
      {"Acos", [](double x) { return std::acos(x); }, -0.9, 0.9},
      {"Asin", [](double x) { return std::asin(x); }, -0.9, 0.9},
      {"Atan", [](double x) { return std::atan(x); }, -3, 3},
      {"Cosh", [](double x) { return std::cosh(x); }, -2, 2},
      {"Sinh", [](double x) { return std::sinh(x); }, -2, 2},
      {"Acosh", [](double x) { return std::acosh(x); }, 1.2, 4},
      {"Asinh", [](double x) { return std::asinh(x); }, -3, 3},
      {"Atanh", [](double x) { return std::atanh(x); }, -0.9, 0.9},
  };
  for (const Smooth& function : functions) {
    const auto naive = [&](const std::vector<Tensor>& inputs) { return each(inputs, function.f); };
    for (const Shape& shape : {Shape{}, Shape{0}, Shape{3, 0, 2}, Shape{3, 5, 7}})
      check({.op = function.name,
             .inputs = {random_f64(shape, 3, function.low, function.high)},
             .reference = naive,
             .gradients = {0},
             .gradient_tolerance = 1e-6});
    // Larger than one task.
    check({.op = function.name,
           .inputs = {random_f64({40001}, 4, function.low, function.high)},
           .reference = naive,
           .gradients = {0}});
  }
}

TEST(ElementwiseOps, StepsHaveTheirValuesAndNoSlope) {
  const Tensor x = Tensor::of<double>({8}, {-2.5, -1.5, -0.5, 0.25, 0.5, 1.5, 2.5, 2.75});
  const auto steps = [&](const char* name, const Function& f) {
    check({.op = name, .inputs = {x}, .reference = [&](const std::vector<Tensor>& in) { return each(in, f); }});
    check({.op = name, .inputs = {random_f64({6}, 5, 0.1, 0.4)}, .gradients = {0}});
  };
  steps("Floor", [](double v) { return std::floor(v); });
  steps("Ceil", [](double v) { return std::ceil(v); });
  steps("Round", [](double v) { return std::nearbyint(v); });  // halves to even: -2 -2 -0 0 0 2 2 3
  steps("Sign", [](double v) { return v > 0 ? 1.0 : v < 0 ? -1.0 : 0.0; });
}

TEST(ElementwiseOps, AbsHasSlopeZeroAtZero) {
  // Central differences see (|h| - |-h|) / 2h = 0 there, too.
  check({.op = "Abs", .inputs = {Tensor::of<double>({3}, {-1, 0, 1})}, .gradients = {0}});
}

TEST(ElementwiseOps, IntegersWrapAround) {
  const auto least = std::numeric_limits<std::int8_t>::min();
  const auto expect = [](const char* name, const Tensor& in, const Tensor& out) {
    check({.op = name, .inputs = {in}, .reference = [out](const std::vector<Tensor>&) {
             return std::vector<Tensor>{out};
           }});
  };
  expect("Neg", Tensor::of<std::int8_t>({3}, {5, -7, least}), Tensor::of<std::int8_t>({3}, {-5, 7, least}));
  expect("Abs", Tensor::of<std::int64_t>({3}, {5, -7, 0}), Tensor::of<std::int64_t>({3}, {5, 7, 0}));
  expect("Sign", Tensor::of<std::int32_t>({3}, {5, -7, 0}), Tensor::of<std::int32_t>({3}, {1, -1, 0}));
  expect("Sign", Tensor::of<std::uint8_t>({2}, {5, 0}), Tensor::of<std::uint8_t>({2}, {1, 0}));
}

}  // namespace
}  // namespace retune
