#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "graph/op_case.h"

namespace retune {
namespace {

// x [N, C, ...] in groups of channels; scale and bias repeat to C.
Tensor naive_group(const std::vector<Tensor>& in, std::int64_t groups, double epsilon) {
  const Shape& s = in[0].shape();
  const std::int64_t size = s.product(2, s.rank()), elements = s[1] / groups * size, repeat = s[1] / in[1].numel();
  Tensor y = in[0].copy();
  for (std::int64_t group = 0; group < s[0] * groups; ++group) {
    const double* x = in[0].data<double>() + group * elements;
    double mean = 0, variance = 0;
    for (std::int64_t i = 0; i < elements; ++i) mean += x[i] / static_cast<double>(elements);
    for (std::int64_t i = 0; i < elements; ++i)
      variance += (x[i] - mean) * (x[i] - mean) / static_cast<double>(elements);
    for (std::int64_t i = 0; i < elements; ++i) {
      const std::int64_t parameter = (group * elements + i) / size % s[1] / repeat;
      y.mutable_data<double>()[group * elements + i] =
          (x[i] - mean) / std::sqrt(variance + epsilon) * in[1].data<double>()[parameter] +
          in[2].data<double>()[parameter];
    }
  }
  return y;
}

TEST(InstanceNormalization, NormalisesEachPlane) {
  for (const Shape& shape : {Shape{2, 3, 5}, Shape{2, 3, 4, 5}, Shape{0, 3, 4}})
    check({.op = "InstanceNormalization",
           .inputs = {random_f64(shape, 1), random_f64({3}, 2), random_f64({3}, 3)},
           .attributes = {{"epsilon", 1e-2}},
           .reference = [](const std::vector<Tensor>& in) { return std::vector<Tensor>{naive_group(in, 3, 1e-2)}; },
           .gradients = {0, 1, 2}});
}

TEST(GroupNormalization, TakesParametersAGroupOrAChannel) {
  for (const auto& [version, parameters] : {std::pair{18, std::int64_t{2}}, {21, std::int64_t{6}}})
    check({.op = "GroupNormalization",
           .version = version,
           .inputs = {random_f64({2, 6, 5}, 1), random_f64({parameters}, 2), random_f64({parameters}, 3)},
           .attributes = {{"num_groups", std::int64_t{2}}, {"epsilon", 1e-2}},
           .reference = [](const std::vector<Tensor>& in) { return std::vector<Tensor>{naive_group(in, 2, 1e-2)}; },
           .gradients = {0, 1, 2}});
}

TEST(GroupNormalization, BytesOfALargeCaseDoNotDependOnThreads) {
  check({.op = "GroupNormalization",
         .version = 21,
         .inputs = {random_f64({9, 32, 40}, 1), random_f64({32}, 2), random_f64({32}, 3)},
         .attributes = {{"num_groups", std::int64_t{4}}},
         .gradients = {0, 1, 2}});
}

TEST(BatchNormalization, UsesTheGivenStatistics) {
  for (const Shape& shape : {Shape{2, 3}, Shape{2, 3, 5}, Shape{2, 3, 2, 2}})
    check({.op = "BatchNormalization",
           .inputs = {random_f64(shape, 1), random_f64({3}, 2), random_f64({3}, 3), random_f64({3}, 4),
                      random_f64({3}, 5, 0.5, 2)},
           .attributes = {{"epsilon", 1e-2}},
           .reference =
               [](const std::vector<Tensor>& in) {
                 Tensor y = in[0].copy();
                 const std::int64_t size = y.shape().product(2, y.shape().rank());
                 for (std::int64_t i = 0; i < y.numel(); ++i) {
                   const auto at = [&](std::size_t input) { return in[input].data<double>()[i / size % 3]; };
                   double& value = y.mutable_data<double>()[i];
                   value = (value - at(3)) / std::sqrt(at(4) + 1e-2) * at(1) + at(2);
                 }
                 return std::vector<Tensor>{y};
               },
           .gradients = {0, 1, 2}});
}

}  // namespace
}  // namespace retune
