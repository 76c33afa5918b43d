#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "graph/op_case.h"

namespace retune {
namespace {

// Normalises the elements along the middle of [outer, n, inner].
Tensor naive(const Tensor& x, std::int64_t outer, std::int64_t n, std::int64_t inner, bool log) {
  Tensor y = Tensor::empty(DType::kF64, x.shape());
  for (std::int64_t o = 0; o < outer; ++o) {
    for (std::int64_t i = 0; i < inner; ++i) {
      const auto at = [&](std::int64_t k) { return (o * n + k) * inner + i; };
      double top = -std::numeric_limits<double>::infinity(), sum = 0;
      for (std::int64_t k = 0; k < n; ++k) top = std::max(top, x.data<double>()[at(k)]);
      for (std::int64_t k = 0; k < n; ++k) sum += std::exp(x.data<double>()[at(k)] - top);
      for (std::int64_t k = 0; k < n; ++k) {
        const double value = x.data<double>()[at(k)] - top - std::log(sum);
        y.mutable_data<double>()[at(k)] = log ? value : std::exp(value);
      }
    }
  }
  return y;
}

void check_softmax(const char* op, int version, Shape shape, std::optional<std::int64_t> axis, std::int64_t outer,
                   std::int64_t n, std::int64_t inner) {
  OpCase test{.op = op, .version = version, .inputs = {random_f64(std::move(shape), 3, -4, 4)}};
  if (axis) test.attributes.set("axis", *axis);
  const bool log = std::string(op) == "LogSoftmax";
  test.reference = [=](const std::vector<Tensor>& in) {
    return std::vector<Tensor>{naive(in[0], outer, n, inner, log)};
  };
  test.gradients = {0};
  check(test);
}

TEST(Softmax, NormalisesAlongOneAxisFromOpset13) {
  for (const char* op : {"Softmax", "LogSoftmax"}) {
    check_softmax(op, 13, {2, 3, 5}, std::nullopt, 6, 5, 1);
    check_softmax(op, 13, {2, 3, 5}, 1, 2, 3, 5);
    check_softmax(op, 17, {2, 3, 5}, 0, 1, 2, 15);
    check_softmax(op, 17, {2, 3, 5}, -2, 2, 3, 5);
    check_softmax(op, 17, {7, 33}, -1, 7, 33, 1);
    check_softmax(op, 17, {4, 1}, -1, 4, 1, 1);
  }
}

TEST(Softmax, FlattensFromItsAxisOnBeforeOpset13) {
  for (const char* op : {"Softmax", "LogSoftmax"}) {
    check_softmax(op, 11, {2, 3, 5}, std::nullopt, 2, 15, 1);
    check_softmax(op, 11, {2, 3, 5}, 2, 6, 5, 1);
    check_softmax(op, 11, {2, 3, 5}, 0, 1, 30, 1);
  }
}

TEST(Softmax, TakesEmptyTensors) {
  check_softmax("Softmax", 17, {0, 5}, -1, 0, 5, 1);
  check_softmax("Softmax", 17, {3, 0}, -1, 3, 0, 1);
}

TEST(Softmax, StaysFiniteForLargeAndMaskedValues) {
  constexpr double kInf = std::numeric_limits<double>::infinity();
  check({.op = "Softmax",
         .inputs = {Tensor::of<double>({2, 3}, {1000.0, 999.0, -kInf, -1e4, -kInf, -kInf})},
         .reference = [](const std::vector<Tensor>& in) { return std::vector<Tensor>{naive(in[0], 2, 3, 1, false)}; }});
}

TEST(Softmax, BytesOfALargeCaseDoNotDependOnThreads) {
  check({.op = "Softmax", .inputs = {random_f64({300, 257}, 1)}, .gradients = {0}});
  check({.op = "LogSoftmax",
         .inputs = {random_f64({40, 257, 3}, 1)},
         .attributes = {{"axis", std::int64_t{1}}},
         .gradients = {0}});
}

}  // namespace
}  // namespace retune
