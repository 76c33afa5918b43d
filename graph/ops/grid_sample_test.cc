#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "graph/op_case.h"

namespace retune {
namespace {

double cubic(double d) {
  const double a = -0.75;
  d = std::fabs(d);
  if (d <= 1) return (a + 2) * d * d * d - (a + 3) * d * d + 1;
  return d < 2 ? a * d * d * d - 5 * a * d * d + 8 * a * d - 4 * a : 0;
}

// The image continued: 0, its border, or mirrored step by step.
double pixel(const double* x, std::int64_t rows, std::int64_t columns, std::int64_t i, std::int64_t j,
             const std::string& padding, bool align) {
  const auto fold = [&](std::int64_t at, std::int64_t extent) {
    if (padding == "border") return std::clamp<std::int64_t>(at, 0, extent - 1);
    while (padding == "reflection" && (at < 0 || at >= extent)) {
      if (at < 0) at = align ? -at : -at - 1;
      if (at >= extent) at = align ? 2 * (extent - 1) - at : 2 * extent - 1 - at;
    }
    return at;
  };
  const std::int64_t a = fold(i, rows), b = fold(j, columns);
  return a < 0 || a >= rows || b < 0 || b >= columns ? 0 : x[a * columns + b];
}

struct Setting {
  std::string mode, padding;
  bool align;
};

std::vector<Tensor> loop(const Setting& s, const std::vector<Tensor>& in) {
  const Shape &x = in[0].shape(), &grid = in[1].shape();
  const std::int64_t rows = x[2], columns = x[3], points = grid[1] * grid[2];
  Tensor y = Tensor::zeros(DType::kF64, {x[0], x[1], grid[1], grid[2]});
  for (std::int64_t k = 0; k < y.numel(); ++k) {
    const std::int64_t plane = k / points, point = plane / x[1] * points + k % points;
    const auto place = [&](double normal, std::int64_t extent) {
      const auto n = static_cast<double>(extent);
      return s.align ? (normal + 1) / 2 * (n - 1) : ((normal + 1) * n - 1) / 2;
    };
    const double column = place(in[1].data<double>()[point * 2], columns),
                 row = place(in[1].data<double>()[point * 2 + 1], rows);
    for (auto i = static_cast<std::int64_t>(std::floor(row)) - 2; i <= row + 3; ++i)
      for (auto j = static_cast<std::int64_t>(std::floor(column)) - 2; j <= column + 3; ++j) {
        const auto weight = [&](double d) {
          if (s.mode == "nearest") return std::fabs(d) < 0.5 ? 1.0 : 0.0;
          return s.mode == "cubic" ? cubic(d) : std::max(0.0, 1 - std::fabs(d));
        };
        y.mutable_data<double>()[k] +=
            weight(static_cast<double>(i) - row) * weight(static_cast<double>(j) - column) *
            pixel(in[0].data<double>() + plane * rows * columns, rows, columns, i, j, s.padding, s.align);
      }
  }
  return {y};
}

TEST(GridSample, ReadsBetweenPixels) {
  for (const char* mode : {"linear", "cubic", "nearest"})
    for (const char* padding : {"zeros", "border", "reflection"})
      for (const bool align : {false, true})
        check({.op = "GridSample",
               .version = 20,
               .inputs = {random_f64({2, 2, 3, 4}, 1), random_f64({2, 2, 3, 2}, 2, -1.8, 1.8)},
               .attributes = {{"mode", std::string(mode)},
                              {"padding_mode", std::string(padding)},
                              {"align_corners", std::int64_t{align}}},
               .reference =
                   [=](const std::vector<Tensor>& in) {
                     return loop({mode, padding, align}, in);
                   },
               .gradients = {0, 1}});
}

TEST(GridSample, OfSignalsAndVolumes) {
  // One axis and three, at the centres of pixels: what is read is a pixel.
  check({.op = "GridSample",
         .version = 20,
         .inputs = {random_f64({1, 2, 5}, 1), Tensor::of<double>({1, 3, 1}, {-1, 0, 0.5})},
         .attributes = {{"align_corners", std::int64_t{1}}},
         .reference =
             [](const std::vector<Tensor>& in) {
               const double* x = in[0].data<double>();
               return std::vector<Tensor>{Tensor::of<double>({1, 2, 3}, {x[0], x[2], x[3], x[5], x[7], x[8]})};
             },
         .gradients = {0}});
  check({.op = "GridSample",
         .version = 20,
         .inputs = {random_f64({1, 1, 2, 3, 5}, 1), Tensor::of<double>({1, 1, 1, 2, 3}, {-1, 0, 1, 0.5, -1, -1})},
         .attributes = {{"align_corners", std::int64_t{1}}},
         .reference =
             [](const std::vector<Tensor>& in) {
               const double* x = in[0].data<double>();
               return std::vector<Tensor>{Tensor::of<double>({1, 1, 1, 1, 2}, {x[15 + 5], x[3]})};
             },
         .gradients = {0}});
}

TEST(AffineGrid, MapsEveryPosition) {
  for (const bool align : {false, true})
    check({.op = "AffineGrid",
           .version = 20,
           .inputs = {random_f64({2, 2, 3}, 1), Tensor::vector<std::int64_t>({2, 1, 3, 4})},
           .constants = {1},
           .attributes = {{"align_corners", std::int64_t{align}}},
           .reference =
               [align](const std::vector<Tensor>& in) {
                 Tensor y = Tensor::zeros(DType::kF64, {2, 3, 4, 2});
                 for (std::int64_t i = 0; i < 24; ++i) {
                   const double row = static_cast<double>(i / 4 % 3), column = static_cast<double>(i % 4);
                   const double px = align ? column * 2 / 3 - 1 : (column + 0.5) / 2 - 1,
                                py = align ? row - 1 : (row + 0.5) * 2 / 3 - 1;
                   for (std::int64_t k = 0; k < 2; ++k) {
                     const double* theta = in[0].data<double>() + i / 12 * 6 + k * 3;
                     y.mutable_data<double>()[i * 2 + k] = theta[0] * px + theta[1] * py + theta[2];
                   }
                 }
                 return std::vector<Tensor>{y};
               },
           .gradients = {0}});
}

}  // namespace
}  // namespace retune
