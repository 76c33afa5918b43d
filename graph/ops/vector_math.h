// Arithmetic over a row of floats in a form that the compiler turns into vector instructions without reordering licence
// (-ffast-math is off): sums keep one accumulator a lane and add the lanes in a fixed tree, so a sum's bits depend on
// its length alone.
//
//   const float top = lane_max<float>(n, [&](std::int64_t i) { return x[i]; });
//   const float sum = lane_sum<float>(n, [&](std::int64_t i) { return y[i] = vector_exp(x[i] - top); });
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>

namespace retune {

inline constexpr int kLanes = 16;

// Sum of term(0) ... term(n - 1); 0 for n = 0.
template <class T, class F>
inline T lane_sum(std::int64_t n, F&& term) {
  T lanes[kLanes] = {};
  std::int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    for (int lane = 0; lane < kLanes; ++lane) lanes[lane] += term(i + lane);
  }
  for (int lane = 0; i + lane < n; ++lane) lanes[lane] += term(i + lane);
  for (int width = kLanes / 2; width > 0; width /= 2) {
    for (int lane = 0; lane < width; ++lane) lanes[lane] += lanes[lane + width];
  }
  return lanes[0];
}

// Largest of term(0) ... term(n - 1); minus infinity for n = 0. NaN terms are passed over.
template <class T, class F>
inline T lane_max(std::int64_t n, F&& term) {
  T lanes[kLanes];
  for (T& lane : lanes) lane = -std::numeric_limits<T>::infinity();
  std::int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    for (int lane = 0; lane < kLanes; ++lane) {
      const T value = term(i + lane);
      lanes[lane] = value > lanes[lane] ? value : lanes[lane];
    }
  }
  for (int lane = 0; i + lane < n; ++lane) {
    const T value = term(i + lane);
    lanes[lane] = value > lanes[lane] ? value : lanes[lane];
  }
  T largest = lanes[0];
  for (const T lane : lanes) largest = lane > largest ? lane : largest;
  return largest;
}

// e^x. In f32 the reduction and polynomial of Cephes' expf (Moshier 1989), within 1.5 units in the last place, and
// exact at 0, -inf and inf; NaN stays NaN. In f64 the C library's.
inline double vector_exp(double x) { return std::exp(x); }
inline float vector_exp(float x) {
  x = x < -104.0f ? -104.0f : x;  // e^-104 rounds to zero
  x = x > 89.0f ? 89.0f : x;      // e^89 overflows
  const float n = std::floor(x * 1.44269504088896341f + 0.5f);
  const float r = (x - n * 0.693359375f) + n * 2.12194440e-4f;  // x - n ln 2, the constant in two parts
  float p = 1.9875691500e-4f;
  p = p * r + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  p = p * r * r + r + 1.0f;
  // 2^n in two factors, so that subnormal results are rounded once.
  const auto whole = static_cast<std::int32_t>(n);
  const std::int32_t half = whole / 2;
  const auto power = [](std::int32_t e) { return std::bit_cast<float>((e + 127) << 23); };
  return p * power(half) * power(whole - half);
}

}  // namespace retune
