#include <gtest/gtest.h>

#include <cmath>
#include <complex>
#include <numbers>
#include <vector>

#include "graph/op_case.h"
#include "graph/ops/fourier.h"

namespace retune {
namespace {

using Complex = std::complex<double>;

Complex root(std::int64_t k, std::int64_t n) {
  return std::polar(1.0, -2 * std::numbers::pi * static_cast<double>(k % n) / static_cast<double>(n));
}

TEST(Fourier, OfAnyLengthIsItsSum) {
  for (const std::int64_t n : {1, 2, 3, 4, 5, 6, 7, 12, 30, 64, 67, 100, 134, 400}) {
    const Tensor values = random_f64({n, 2}, static_cast<std::uint64_t>(n));
    std::vector<Complex> x, got(static_cast<std::size_t>(n)), back(got.size());
    for (std::int64_t t = 0; t < n; ++t) x.emplace_back(values.data<double>()[2 * t], values.data<double>()[2 * t + 1]);
    const Fourier<double> fourier(n);
    got = x;
    fourier.forward(got.data(), back.data());
    for (std::int64_t k = 0; k < n; ++k) {
      Complex want;
      for (std::int64_t t = 0; t < n; ++t) want += x[static_cast<std::size_t>(t)] * root(k * t, n);
      EXPECT_LT(std::abs(got[static_cast<std::size_t>(k)] - want), 1e-11) << n << " " << k;
    }
    fourier.backward(got.data(), back.data());
    for (std::size_t t = 0; t < x.size(); ++t) EXPECT_LT(std::abs(got[t] / static_cast<double>(n) - x[t]), 1e-12);
  }
}

// x [A, m, B, parts] along its second axis.
Tensor naive(const Tensor& x, std::int64_t n, bool inverse, bool onesided) {
  const Shape& s = x.shape();
  const std::int64_t m = s[1], inner = s[2], parts = s[3];
  const bool to_real = inverse && onesided;
  const std::int64_t written = onesided && !inverse ? n / 2 + 1 : n, made = to_real ? 1 : 2;
  Tensor y = Tensor::zeros(DType::kF64, {s[0], written, inner, made});
  for (std::int64_t a = 0; a < s[0]; ++a)
    for (std::int64_t b = 0; b < inner; ++b) {
      std::vector<Complex> line(static_cast<std::size_t>(n));
      for (std::int64_t t = 0; t < std::min(m, to_real ? n / 2 + 1 : n); ++t) {
        const double* at = x.data<double>() + ((a * m + t) * inner + b) * parts;
        line[static_cast<std::size_t>(t)] = {at[0], parts == 2 ? at[1] : 0.0};
      }
      for (std::int64_t t = n / 2 + 1; to_real && t < n; ++t)
        line[static_cast<std::size_t>(t)] = std::conj(line[static_cast<std::size_t>(n - t)]);
      for (std::int64_t k = 0; k < written; ++k) {
        Complex sum;
        for (std::int64_t t = 0; t < n; ++t)
          sum += line[static_cast<std::size_t>(t)] * (inverse ? std::conj(root(k * t, n)) : root(k * t, n));
        if (inverse) sum /= static_cast<double>(n);
        double* to = y.mutable_data<double>() + ((a * written + k) * inner + b) * made;
        to[0] = sum.real();
        if (made == 2) to[1] = sum.imag();
      }
    }
  return y;
}

void transforms(std::int64_t m, std::int64_t parts, std::int64_t n, bool inverse, bool onesided) {
  const Attributes flags{{"inverse", std::int64_t{inverse}}, {"onesided", std::int64_t{onesided}}};
  const std::int64_t natural = inverse && onesided ? 2 * (m - 1) : m;
  const Tensor length = n == natural ? Tensor() : Tensor::scalar<std::int64_t>(n);
  const auto reference = [=](const std::vector<Tensor>& in) {
    return std::vector<Tensor>{naive(in[0], n, inverse, onesided)};
  };
  const Tensor x = random_f64({2, m, 3, parts}, 5);
  check({.op = "DFT",
         .version = 20,
         .inputs = {x, length, Tensor::scalar<std::int64_t>(1)},
         .constants = {1, 2},
         .attributes = flags,
         .reference = reference,
         .gradients = {0}});
  Attributes old = flags;
  old.set("axis", std::int64_t{-3});
  check({.op = "DFT",
         .version = 17,
         .inputs = {x, length},
         .constants = {1},
         .attributes = old,
         .reference = reference,
         .gradients = {0}});
}

TEST(Dft, OfRealAndComplexSignals) {
  for (const std::int64_t m : {1, 5, 6}) {
    for (const std::int64_t parts : {1, 2})
      for (const bool inverse : {false, true}) transforms(m, parts, m, inverse, false);
    transforms(m, 1, m, false, true);
  }
}

TEST(Dft, CutsOrFillsItsSignal) {
  transforms(5, 1, 8, false, true);
  transforms(5, 2, 3, false, false);
  transforms(5, 2, 7, true, false);
}

TEST(Dft, GivesARealSignalForHalfASpectrum) {
  transforms(6, 2, 10, true, true);
  transforms(6, 2, 11, true, true);
  transforms(4, 2, 10, true, true);
  transforms(6, 2, 5, true, true);
}

TEST(Dft, OfNothingIsNothing) {
  check({.op = "DFT", .version = 20, .inputs = {Tensor::zeros(DType::kF64, {0, 4, 1})}});
}

TEST(Stft, IsTheDftOfItsFrames) {
  const std::int64_t length = 6, step = 2, signal = 15, frames = (signal - length) / step + 1;
  for (const bool windowed : {false, true})
    for (const bool onesided : {false, true})
      check({.op = "STFT",
             .inputs = {random_f64({2, signal, 1}, 1), Tensor::scalar<std::int64_t>(step),
                        windowed ? random_f64({length}, 2) : Tensor(), Tensor::scalar<std::int64_t>(length)},
             .constants = {1, 3},
             .attributes = {{"onesided", std::int64_t{onesided}}},
             .reference =
                 [=](const std::vector<Tensor>& in) {
                   Tensor framed = Tensor::zeros(DType::kF64, {2 * frames, length, 1, 1});
                   for (std::int64_t i = 0; i < framed.numel(); ++i) {
                     const std::int64_t t = i % length, frame = i / length % frames, row = i / length / frames;
                     framed.mutable_data<double>()[i] = in[0].data<double>()[row * signal + frame * step + t] *
                                                        (windowed ? in[2].data<double>()[t] : 1.0);
                   }
                   const Tensor y = naive(framed, length, false, onesided);
                   return std::vector<Tensor>{y.reshaped({2, frames, y.shape()[1], 2})};
                 },
             .gradients = windowed ? std::vector<int>{0, 2} : std::vector<int>{0}});
}

TEST(SpectralTable, WindowsFollowTheirFormulas) {
  const auto expect = [](const char* op, std::int64_t periodic, const std::vector<double>& want) {
    check({.op = op,
           .inputs = {Tensor::scalar<std::int64_t>(static_cast<std::int64_t>(want.size()))},
           .constants = {0},
           .attributes = {{"periodic", periodic}, {"output_datatype", std::int64_t{11}}},
           .reference = [want](const std::vector<Tensor>&) {
             return std::vector<Tensor>{Tensor::of<double>({static_cast<std::int64_t>(want.size())}, want)};
           }});
  };
  expect("HannWindow", 1, {0, 0.5, 1, 0.5});
  expect("HannWindow", 0, {0, 0.5, 1, 0.5, 0});
  expect("HammingWindow", 1, {4.0 / 46, 25.0 / 46, 1, 25.0 / 46});
  expect("BlackmanWindow", 0, {0, 0.34, 1, 0.34, 0});
  expect("BlackmanWindow", 1, {});
}

TEST(SpectralTable, MelTrianglesRiseAndFall) {
  // Edges of two bands at 0, 600 and so on mel; in bins of 8 kHz / 16: worked out by hand from the standard's formula.
  check({.op = "MelWeightMatrix",
         .inputs = {Tensor::scalar<std::int64_t>(2), Tensor::scalar<std::int64_t>(16),
                    Tensor::scalar<std::int64_t>(8000), Tensor::scalar<float>(0.0f), Tensor::scalar<float>(4000.0f)},
         .constants = {0, 1},
         .attributes = {{"output_datatype", std::int64_t{11}}},
         .reference = [](const std::vector<Tensor>&) {
           // mel(4000) = 2146.06, a quarter 536.5: 0, 426.9, 1114.0, 2220.2 Hz, so bins 0, 0, 2, 4 of 17 / 8000.
           std::vector<double> table(18, 0.0);
           table[0] = 1;            // band 0 starts at its top, bin 0
           table[2] = 0.5;          // and falls to bin 2
           table[1 * 2 + 1] = 0.5;  // band 1 rises from bin 0 to 2
           table[2 * 2 + 1] = 1;
           table[3 * 2 + 1] = 0.5;
           return std::vector<Tensor>{Tensor::of<double>({9, 2}, table)};
         }});
}

}  // namespace
}  // namespace retune
