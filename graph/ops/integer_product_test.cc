#include <gtest/gtest.h>

#include <cmath>

#include "graph/op_case.h"
#include "graph/op_coverage.h"
#include "tensor/rng.h"

namespace retune {
namespace {

Tensor bytes(DType dtype, Shape shape, std::uint64_t seed) {
  Rng rng(seed);
  Tensor wide = Tensor::empty(DType::kI32, std::move(shape));
  const double low = dtype == DType::kU8 ? 0 : -128;
  for (std::int64_t i = 0; i < wide.numel(); ++i)
    wide.mutable_data<std::int32_t>()[i] = static_cast<std::int32_t>(std::floor(rng.uniform(low, low + 256)));
  return wide.cast(dtype);
}

// sums[m, n] of matrices, each less its zero points (one, or one a row or column).
std::vector<std::int64_t> products(const Tensor& a, const Tensor& a_zero, const Tensor& b, const Tensor& b_zero) {
  const std::int64_t m = a.shape()[0], k = a.shape()[1], n = b.shape()[1];
  const std::vector<std::int64_t> x = a.to_i64(), w = b.to_i64(), xz = a_zero.to_i64(), wz = b_zero.to_i64();
  const auto zero = [](const std::vector<std::int64_t>& z, std::int64_t i) {
    return z.size() == 1 ? z[0] : z[static_cast<std::size_t>(i)];
  };
  std::vector<std::int64_t> sums;
  for (std::int64_t i = 0; i < m; ++i)
    for (std::int64_t j = 0; j < n; ++j) {
      std::int64_t sum = 0;
      for (std::int64_t l = 0; l < k; ++l)
        sum += (x[static_cast<std::size_t>(i * k + l)] - zero(xz, i)) *
               (w[static_cast<std::size_t>(l * n + j)] - zero(wz, j));
      sums.push_back(sum);
    }
  return sums;
}

TEST(MatMulInteger, IsExactAtAnyDepth) {
  std::uint64_t seed = 0;
  struct Extents {
    std::int64_t m, k, n;
  };
  for (const auto& [m, k, n] :
       {Extents{1, 1, 1}, Extents{3, 700, 5}, Extents{0, 4, 3}, Extents{2, 0, 3}, Extents{7, 257, 300}})
    for (const auto& [left, right] :
         {std::pair{DType::kU8, DType::kI8}, std::pair{DType::kI8, DType::kI8}, std::pair{DType::kU8, DType::kU8}}) {
      seed += 10;
      const Tensor a_zero = bytes(left, seed % 20 == 0 ? Shape{m} : Shape{}, seed);
      const Tensor b_zero = bytes(right, seed % 30 == 0 ? Shape{n} : Shape{1}, seed + 1);
      check({.op = "MatMulInteger",
             .inputs = {bytes(left, {m, k}, seed + 2), bytes(right, {k, n}, seed + 3), a_zero, b_zero},
             .reference = [](const std::vector<Tensor>& in) {
               const std::vector<std::int64_t> sums = products(in[0], in[2], in[1], in[3]);
               return std::vector<Tensor>{
                   Tensor::of<std::int64_t>({in[0].shape()[0], in[1].shape()[1]}, sums).cast(DType::kI32)};
             }});
    }
}

TEST(QLinearMatMul, ScalesTheExactSums) {
  for (const std::int64_t k : {1, 300})
    check({.op = "QLinearMatMul",
           .version = 21,
           .inputs = {bytes(DType::kU8, {3, k}, 1), Tensor::scalar(0.01f), Tensor::scalar<std::uint8_t>(120),
                      bytes(DType::kI8, {k, 4}, 2), Tensor::of<float>({4}, {0.01f, 0.02f, 0.03f, 0.5f}),
                      Tensor::of<std::int8_t>({4}, {0, 1, 2, -3}), Tensor::scalar(0.7f),
                      Tensor::scalar<std::uint8_t>(99)},
           .reference = [](const std::vector<Tensor>& in) {
             const std::vector<std::int64_t> sums = products(in[0], in[2], in[3], in[5]);
             Tensor y = Tensor::empty(DType::kU8, {3, 4});
             for (std::size_t i = 0; i < sums.size(); ++i) {
               const float factor = in[1].data<float>()[0] * in[4].data<float>()[i % 4] / in[6].data<float>()[0];
               const double level = std::nearbyint(static_cast<double>(sums[i]) * static_cast<double>(factor)) + 99;
               y.mutable_data<std::uint8_t>()[i] = static_cast<std::uint8_t>(std::min(std::max(level, 0.0), 255.0));
             }
             return std::vector<Tensor>{y};
           }});
}

// Two groups of one-dimensional signals, by definition.
std::vector<std::int64_t> convolved(const Tensor& x, std::int64_t x_zero, const Tensor& w,
                                    const std::vector<std::int64_t>& w_zero, std::int64_t groups, std::int64_t pad) {
  const std::int64_t images = x.shape()[0], length = x.shape()[2], channels = w.shape()[0], depth = w.shape()[1],
                     taps = w.shape()[2], count = length + 2 * pad - taps + 1;
  const std::vector<std::int64_t> signal = x.to_i64(), weight = w.to_i64();
  std::vector<std::int64_t> sums;
  for (std::int64_t image = 0; image < images; ++image)
    for (std::int64_t m = 0; m < channels; ++m)
      for (std::int64_t p = 0; p < count; ++p) {
        std::int64_t sum = 0;
        for (std::int64_t c = 0; c < depth; ++c)
          for (std::int64_t t = 0; t < taps; ++t) {
            const std::int64_t at = p + t - pad, channel = m / (channels / groups) * depth + c;
            if (at < 0 || at >= length) continue;
            sum += (signal[static_cast<std::size_t>((image * x.shape()[1] + channel) * length + at)] - x_zero) *
                   (weight[static_cast<std::size_t>((m * depth + c) * taps + t)] -
                    w_zero[static_cast<std::size_t>(m) % w_zero.size()]);
          }
        sums.push_back(sum);
      }
  return sums;
}

TEST(ConvInteger, TakesPaddingForTheZeroPoint) {
  for (const std::int64_t images : {0, 1, 3})
    check({.op = "ConvInteger",
           .inputs = {bytes(DType::kU8, {images, 4, 300}, 1), bytes(DType::kU8, {6, 2, 3}, 2),
                      Tensor::scalar<std::uint8_t>(77), bytes(DType::kU8, {6}, 3)},
           .attributes = {{"group", std::int64_t{2}}, {"pads", std::vector<std::int64_t>{1, 1}}},
           .reference = [&](const std::vector<Tensor>& in) {
             return std::vector<Tensor>{
                 Tensor::of<std::int64_t>({images, 6, 300}, convolved(in[0], 77, in[1], in[3].to_i64(), 2, 1))
                     .cast(DType::kI32)};
           }});
}

TEST(QLinearConv, AddsItsBiasBeforeItScales) {
  check({.op = "QLinearConv",
         .inputs = {bytes(DType::kU8, {2, 2, 9}, 1), Tensor::scalar(0.1f), Tensor::scalar<std::uint8_t>(100),
                    bytes(DType::kI8, {3, 2, 3}, 2), Tensor::of<float>({3}, {0.01f, 0.02f, 0.05f}),
                    Tensor::scalar<std::int8_t>(0), Tensor::scalar(1.7f), Tensor::scalar<std::uint8_t>(128),
                    Tensor::of<std::int32_t>({3}, {1000, -2000, 30})},
         .reference = [](const std::vector<Tensor>& in) {
           const std::vector<std::int64_t> sums = convolved(in[0], 100, in[3], {0}, 1, 0);
           Tensor y = Tensor::empty(DType::kU8, {2, 3, 7});
           for (std::size_t i = 0; i < sums.size(); ++i) {
             const std::size_t m = i / 7 % 3;
             const float factor = in[1].data<float>()[0] * in[4].data<float>()[m] / in[6].data<float>()[0];
             const auto sum = static_cast<double>(sums[i] + in[8].data<std::int32_t>()[m]);
             const double level = std::nearbyint(sum * static_cast<double>(factor)) + 128;
             y.mutable_data<std::uint8_t>()[i] = static_cast<std::uint8_t>(std::min(std::max(level, 0.0), 255.0));
           }
           return std::vector<Tensor>{y};
         }});
}

TEST(MatMulIntegerToFloat, ScalesColumnsAndAddsTheBias) {
  check({.domain = "com.microsoft",
         .op = "MatMulIntegerToFloat",
         .version = 1,
         .inputs = {bytes(DType::kU8, {5, 33}, 1), bytes(DType::kI8, {33, 3}, 2), Tensor::scalar(0.01f),
                    Tensor::of<float>({3}, {0.01f, 0.02f, 0.05f}), Tensor::scalar<std::uint8_t>(9),
                    Tensor::scalar<std::int8_t>(1), Tensor::of<float>({3}, {1, 2, 3})},
         .reference = [](const std::vector<Tensor>& in) {
           const std::vector<std::int64_t> sums = products(in[0], in[4], in[1], in[5]);
           Tensor y = Tensor::empty(DType::kF32, {5, 3});
           for (std::size_t i = 0; i < sums.size(); ++i)
             y.mutable_data<float>()[i] =
                 static_cast<float>(sums[i]) * (0.01f * in[3].data<float>()[i % 3]) + in[6].data<float>()[i % 3];
           return std::vector<Tensor>{y};
         }});
}

}  // namespace
}  // namespace retune
