#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <string>
#include <vector>

#include "graph/op_case.h"
#include "tensor/error.h"

namespace retune {
namespace {

using Position = std::function<double(double o, double from, double to, double scale)>;
using Kernel = std::function<double(double distance)>;

double triangle(double d) { return std::max(0.0, 1 - std::fabs(d)); }

double cubic(double d) {
  const double a = -0.5;
  d = std::fabs(d);
  if (d <= 1) return (a + 2) * d * d * d - (a + 3) * d * d + 1;
  return d < 2 ? a * d * d * d - 5 * a * d * d + 8 * a * d - 4 * a : 0;
}

// Along the last axis only, every pixel of a generous neighbourhood weighed.
Tensor along_last(const Tensor& x, std::int64_t to, double scale, const Position& position, const Kernel& kernel,
                  double stretch, bool exclude) {
  const std::int64_t from = x.shape().back(), rows = x.numel() / std::max<std::int64_t>(from, 1);
  std::vector<std::int64_t> extents = x.shape().extents();
  extents.back() = to;
  Tensor y = Tensor::zeros(DType::kF64, Shape(extents));
  for (std::int64_t row = 0; row < rows; ++row)
    for (std::int64_t o = 0; o < to; ++o) {
      const double at = position(static_cast<double>(o), static_cast<double>(from), static_cast<double>(to), scale);
      double sum = 0, weights = 0;
      for (std::int64_t i = -20; i < from + 20; ++i) {
        if (exclude && (i < 0 || i >= from)) continue;
        const double weight = kernel((static_cast<double>(i) - at) * stretch);
        sum += weight * x.data<double>()[row * from + std::clamp<std::int64_t>(i, 0, from - 1)];
        weights += weight;
      }
      y.mutable_data<double>()[row * to + o] = sum / weights;
    }
  return y;
}

double half_pixel(double o, double, double, double scale) { return (o + 0.5) / scale - 0.5; }

Tensor f32s(std::vector<float> values) { return Tensor::vector<float>(values); }

TEST(Resize, BlendsNeighbours) {
  const std::vector<std::pair<std::string, Position>> coordinates{
      {"half_pixel", half_pixel},
      {"pytorch_half_pixel", half_pixel},
      {"asymmetric", [](double o, double, double, double scale) { return o / scale; }},
      {"align_corners", [](double o, double from, double to, double) { return o * (from - 1) / (to - 1); }}};
  for (const auto& [name, position] : coordinates)
    for (const bool is_cubic : {false, true})
      for (const std::int64_t to : {2, 5, 10})
        check({.op = "Resize",
               .inputs = {random_f64({2, 1, 5}, 1), Tensor(), Tensor(), Tensor::vector<std::int64_t>({2, 1, to})},
               .constants = {3},
               .attributes = {{"mode", std::string(is_cubic ? "cubic" : "linear")},
                              {"cubic_coeff_a", -0.5},
                              {"coordinate_transformation_mode", name}},
               .reference =
                   [=, p = position](const std::vector<Tensor>& in) {
                     return std::vector<Tensor>{along_last(in[0], to, static_cast<double>(to) / 5, p,
                                                           is_cubic ? Kernel(cubic) : Kernel(triangle), 1, false)};
                   },
               .gradients = {0}});
}

TEST(Resize, LeavesOutOrStretchesWhereAsked) {
  for (const bool is_cubic : {false, true})
    for (const bool exclude : {false, true})
      for (const std::int64_t to : {3, 8})
        check({.op = "Resize",
               .version = 18,
               .inputs = {random_f64({2, 6}, 1), Tensor(), Tensor(), Tensor::vector<std::int64_t>({to})},
               .constants = {3},
               .attributes = {{"mode", std::string(is_cubic ? "cubic" : "linear")},
                              {"cubic_coeff_a", -0.5},
                              {"axes", std::vector<std::int64_t>{-1}},
                              {"antialias", std::int64_t{1}},
                              {"exclude_outside", std::int64_t{exclude}}},
               .reference =
                   [=](const std::vector<Tensor>& in) {
                     const double scale = static_cast<double>(to) / 6;
                     return std::vector<Tensor>{along_last(in[0], to, scale, half_pixel,
                                                           is_cubic ? Kernel(cubic) : Kernel(triangle),
                                                           std::min(scale, 1.0), exclude)};
                   },
               .gradients = {0}});
}

TEST(Resize, TakesTheNearestPixel) {
  const std::vector<std::pair<std::string, std::function<double(double)>>> rules{
      {"round_prefer_floor", [](double x) { return std::ceil(x - 0.5); }},
      {"round_prefer_ceil", [](double x) { return std::floor(x + 0.5); }},
      {"floor", [](double x) { return std::floor(x); }},
      {"ceil", [](double x) { return std::ceil(x); }}};
  for (const auto& [name, rule] : rules)
    for (const double scale : {0.5, 2.0, 3.0})
      check(
          {.op = "Resize",
           .inputs = {random_f64({3, 4}, 1), Tensor(), f32s({1, static_cast<float>(scale)})},
           .constants = {2},
           .attributes = {{"nearest_mode", name}},
           .reference =
               [=, r = rule](const std::vector<Tensor>& in) {
                 const auto to = static_cast<std::int64_t>(4 * scale);
                 Tensor y = Tensor::zeros(DType::kF64, {3, to});
                 for (std::int64_t i = 0; i < 3 * to; ++i) {
                   const double at = r((static_cast<double>(i % to) + 0.5) / scale - 0.5);
                   y.mutable_data<double>()[i] =
                       in[0].data<double>()[i / to * 4 + std::clamp<std::int64_t>(static_cast<std::int64_t>(at), 0, 3)];
                 }
                 return std::vector<Tensor>{y};
               },
           .gradients = {0}});
}

TEST(Resize, CropsAndExtrapolates) {
  check({.op = "Resize",
         .inputs = {random_f64({1, 5}, 1), f32s({0, 0.25f, 1, 1.5f}), Tensor(), Tensor::vector<std::int64_t>({1, 6})},
         .constants = {1, 3},
         .attributes = {{"mode", std::string("linear")},
                        {"coordinate_transformation_mode", std::string("tf_crop_and_resize")},
                        {"extrapolation_value", 7.0}},
         .reference =
             [](const std::vector<Tensor>& in) {
               const double* x = in[0].data<double>();
               // Positions 1, 2, 3, 4, 5, 6: the last two are outside.
               return std::vector<Tensor>{Tensor::of<double>({1, 6}, {x[1], x[2], x[3], x[4], 7, 7})};
             },
         .gradients = {0}});
}

TEST(Resize, KeepsTheAspectRatioWhereAsked) {
  for (const bool larger : {false, true})
    check({.op = "Resize",
           .version = 18,
           .inputs = {Tensor::of<float>({2, 3}, {1, 2, 3, 4, 5, 6}), Tensor(), Tensor(),
                      Tensor::vector<std::int64_t>({4, 3})},
           .constants = {3},
           .attributes = {{"keep_aspect_ratio_policy", std::string(larger ? "not_smaller" : "not_larger")}},
           .reference = [larger](const std::vector<Tensor>& in) {
             if (!larger) return std::vector<Tensor>{in[0]};
             Tensor y = Tensor::zeros(DType::kF32, {4, 6});
             for (std::int64_t i = 0; i < 24; ++i)
               y.mutable_data<float>()[i] = in[0].data<float>()[i / 12 * 3 + i % 6 / 2];
             return std::vector<Tensor>{y};
           }});
}

TEST(Upsample, RepeatsPixels) {
  const auto repeat = [](const std::vector<Tensor>& in) {
    Tensor y = Tensor::zeros(DType::kF64, {2, 9});
    for (std::int64_t i = 0; i < 18; ++i) y.mutable_data<double>()[i] = in[0].data<double>()[i / 9 * 3 + i % 9 / 3];
    return std::vector<Tensor>{y};
  };
  check({.op = "Upsample",
         .version = 9,
         .inputs = {random_f64({2, 3}, 1), f32s({1, 3})},
         .constants = {1},
         .reference = repeat,
         .gradients = {0}});
  check({.op = "Upsample",
         .version = 7,
         .inputs = {random_f64({2, 3}, 1)},
         .attributes = {{"scales", std::vector<double>{1, 3}}},
         .reference = repeat,
         .gradients = {0}});
}

TEST(Interpolate, WeighsItsNeighbours) {
  check({.domain = "retune",
         .op = "Interpolate",
         .version = 1,
         .inputs = {random_f64({2, 3, 2}, 1), Tensor::of<std::int64_t>({4, 2}, {0, 1, 1, 1, 2, 0, 2, 2}),
                    random_f64({4, 2}, 2)},
         .constants = {1, 2},
         .attributes = {{"axis", std::int64_t{1}}},
         .reference =
             [](const std::vector<Tensor>& in) {
               Tensor y = Tensor::zeros(DType::kF64, {2, 4, 2});
               for (std::int64_t i = 0; i < 32; ++i) {
                 const std::int64_t tap = i / 2 % 8, k = i % 2, outer = i / 16;
                 y.mutable_data<double>()[(outer * 4 + tap / 2) * 2 + k] +=
                     in[2].data<double>()[tap] *
                     in[0].data<double>()[(outer * 3 + in[1].data<std::int64_t>()[tap]) * 2 + k];
               }
               return std::vector<Tensor>{y};
             },
         .gradients = {0}});
}

TEST(Resize, OfManyRowsGivesTheSameBytesWithAnyThreads) {
  check({.op = "Resize",
         .inputs = {random_f64({40, 20, 30}, 1), Tensor(), Tensor(), Tensor::vector<std::int64_t>({40, 31, 17})},
         .constants = {3},
         .attributes = {{"mode", std::string("linear")}},
         .gradients = {0}});
}

}  // namespace
}  // namespace retune
