// Sums and maxima over a row in a form that the compiler turns into vector instructions without licence to reorder: one
// accumulator a lane, the lanes joined in a fixed tree, so that a result's bits depend on the row's length and values
// alone.
//
//   const float top = lane_max<float>(n, [&](std::int64_t i) { return x[i]; });
#pragma once

#include <cstdint>
#include <limits>

namespace retune {

// More than GCC unrolls before it looks for vectors (16), or a maximum stays scalar.
inline constexpr int kLanes = 32;

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
  for (int width = kLanes / 2; width > 0; width /= 2) {
    for (int lane = 0; lane < width; ++lane)
      lanes[lane] = lanes[lane + width] > lanes[lane] ? lanes[lane + width] : lanes[lane];
  }
  return lanes[0];
}

}  // namespace retune
