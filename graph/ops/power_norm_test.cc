#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <vector>

#include "graph/op_case.h"

namespace retune {
namespace {

using Ints = std::vector<std::int64_t>;

TEST(LpPool, IsTheRootOfTheSumOfPowers) {
  // x [2, 2, 5, 6], kernel 2 x 3, stride 2 x 1, a row of padding above and a column on the right, dilation 1 x 2.
  for (const std::int64_t p : {1, 2, 3}) {
    Attributes window{
        {"kernel_shape", Ints{2, 3}}, {"strides", Ints{2, 1}}, {"dilations", Ints{1, 2}}, {"pads", Ints{1, 0, 0, 1}}};
    window.set("p", p);
    check({.op = "LpPool",
           .version = 18,
           .inputs = {random_f64({2, 2, 5, 6}, 1, 0.2, 1)},
           .attributes = window,
           .reference =
               [p](const std::vector<Tensor>& in) {
                 Tensor y = Tensor::zeros(DType::kF64, {2, 2, 3, 3});
                 for (std::int64_t plane = 0; plane < 4; ++plane)
                   for (std::int64_t i = 0; i < 3; ++i)
                     for (std::int64_t j = 0; j < 3; ++j) {
                       double sum = 0;
                       for (std::int64_t u = 0; u < 2; ++u)
                         for (std::int64_t v = 0; v < 3; ++v) {
                           const std::int64_t a = 2 * i + u - 1, b = j + 2 * v;
                           if (a < 0 || a >= 5 || b >= 6) continue;
                           sum += std::pow(std::fabs(in[0].data<double>()[(plane * 5 + a) * 6 + b]), p);
                         }
                       y.mutable_data<double>()[(plane * 3 + i) * 3 + j] = std::pow(sum, 1.0 / static_cast<double>(p));
                     }
                 return std::vector<Tensor>{y};
               },
           .gradients = {0}});
  }
}

TEST(SumPool, AddsUpItsWindow) {
  check({.domain = "retune",
         .op = "SumPool",
         .version = 1,
         .inputs = {random_f64({1, 2, 5}, 1)},
         .attributes = {{"kernel_shape", Ints{3}}, {"pads", Ints{1, 1}}, {"sum", std::int64_t{1}}},
         .reference =
             [](const std::vector<Tensor>& in) {
               Tensor y = Tensor::zeros(DType::kF64, {1, 2, 5});
               for (std::int64_t i = 0; i < 10; ++i)
                 for (std::int64_t at = std::max<std::int64_t>(0, i % 5 - 1);
                      at <= std::min<std::int64_t>(4, i % 5 + 1); ++at)
                   y.mutable_data<double>()[i] += in[0].data<double>()[i / 5 * 5 + at];
               return std::vector<Tensor>{y};
             },
         .gradients = {0}});
}

// y[n, c] from the plane.
void pools(const char* op, const Attributes& attributes, const std::function<double(const double*, std::int64_t)>& f) {
  for (const Shape& shape : {Shape{2, 3, 5}, Shape{2, 3, 4, 5}, Shape{1, 1, 1, 2, 3}, Shape{0, 2, 3}}) {
    std::vector<std::int64_t> extents(static_cast<std::size_t>(shape.rank()), 1);
    extents[0] = shape[0];
    extents[1] = shape[1];
    const std::int64_t size = shape.product(2, shape.rank());
    check({.op = op,
           .inputs = {random_f64(shape, 4)},
           .attributes = attributes,
           .reference =
               [=](const std::vector<Tensor>& in) {
                 Tensor y = Tensor::zeros(DType::kF64, Shape(extents));
                 for (std::int64_t i = 0; i < y.numel(); ++i)
                   y.mutable_data<double>()[i] = f(in[0].data<double>() + i * size, size);
                 return std::vector<Tensor>{y};
               },
           .gradients = {0}});
  }
}

TEST(GlobalPools, TakeAWholePlane) {
  pools("GlobalMaxPool", {}, [](const double* x, std::int64_t n) { return *std::max_element(x, x + n); });
  for (const std::int64_t p : {1, 2, 3})
    pools("GlobalLpPool", {{"p", p}}, [p](const double* x, std::int64_t n) {
      double sum = 0;
      for (std::int64_t i = 0; i < n; ++i) sum += std::pow(std::fabs(x[i]), p);
      return std::pow(sum, 1.0 / static_cast<double>(p));
    });
}

TEST(LpNormalization, DividesByTheNorm) {
  for (const std::int64_t p : {1, 2})
    check({.op = "LpNormalization",
           .inputs = {random_f64({2, 3, 4}, 1)},
           .attributes = {{"p", p}, {"axis", std::int64_t{1}}},
           .reference =
               [p](const std::vector<Tensor>& in) {
                 Tensor y = in[0].copy();
                 for (std::int64_t i = 0; i < 2; ++i)
                   for (std::int64_t k = 0; k < 4; ++k) {
                     double sum = 0;
                     for (std::int64_t j = 0; j < 3; ++j)
                       sum += std::pow(std::fabs(in[0].data<double>()[(i * 3 + j) * 4 + k]), p);
                     for (std::int64_t j = 0; j < 3; ++j)
                       y.mutable_data<double>()[(i * 3 + j) * 4 + k] /= std::pow(sum, 1.0 / static_cast<double>(p));
                   }
                 return std::vector<Tensor>{y};
               },
           .gradients = {0}});
}

TEST(LpNormalization, LeavesARowOfZeros) {
  check({.op = "LpNormalization",
         .inputs = {Tensor::zeros(DType::kF64, {2, 3})},
         .reference = [](const std::vector<Tensor>&) {
           return std::vector<Tensor>{Tensor::zeros(DType::kF64, {2, 3})};
         }});
}

TEST(Lrn, DividesByNeighbouringChannels) {
  for (const std::int64_t size : {1, 2, 3, 5})
    check({.op = "LRN",
           .inputs = {random_f64({2, 4, 3, 2}, 1)},
           .attributes = {{"size", size}, {"alpha", 0.7}, {"beta", 0.6}, {"bias", 1.3}},
           .reference =
               [size](const std::vector<Tensor>& in) {
                 Tensor y = in[0].copy();
                 for (std::int64_t i = 0; i < y.numel(); ++i) {
                   const std::int64_t c = i / 6 % 4;
                   double sum = 0;
                   for (std::int64_t other = std::max<std::int64_t>(0, c - (size - 1) / 2);
                        other <= std::min<std::int64_t>(3, c + size / 2); ++other)
                     sum += std::pow(in[0].data<double>()[i + (other - c) * 6], 2);
                   y.mutable_data<double>()[i] /= std::pow(1.3 + 0.7 / static_cast<double>(size) * sum, 0.6);
                 }
                 return std::vector<Tensor>{y};
               },
           .gradients = {0}});
}

TEST(MeanVarianceNormalization, HasMeanZeroAndDeviationOne) {
  check({.op = "MeanVarianceNormalization",
         .inputs = {random_f64({3, 2, 4}, 1)},
         .attributes = {{"axes", Ints{0, 2}}},
         .reference =
             [](const std::vector<Tensor>& in) {
               Tensor y = in[0].copy();
               for (std::int64_t c = 0; c < 2; ++c) {
                 double mean = 0, square = 0;
                 const auto at = [&](std::int64_t i) { return (i / 4 * 2 + c) * 4 + i % 4; };
                 for (std::int64_t i = 0; i < 12; ++i) mean += in[0].data<double>()[at(i)] / 12;
                 for (std::int64_t i = 0; i < 12; ++i) square += std::pow(in[0].data<double>()[at(i)] - mean, 2) / 12;
                 for (std::int64_t i = 0; i < 12; ++i)
                   y.mutable_data<double>()[at(i)] = (in[0].data<double>()[at(i)] - mean) / (std::sqrt(square) + 1e-9);
               }
               return std::vector<Tensor>{y};
             },
         .gradients = {0}});
}

}  // namespace
}  // namespace retune
