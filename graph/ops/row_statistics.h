// Mean and inverse deviation of a row, as every normalisation needs them.
#pragma once

#include <cmath>
#include <cstdint>

#include "graph/ops/lanes.h"

namespace retune {

enum class Centring { kMean, kNone };  // kNone: the mean counts as 0, which makes the deviation the root mean square

template <class T>
struct RowStatistics {
  T mean = 0;
  T inverse = 0;  // 1 / sqrt(variance + epsilon)
};

template <Centring centring, class T>
RowStatistics<T> row_statistics(const T* x, std::int64_t d, T epsilon) {
  RowStatistics<T> s;
  const T count = static_cast<T>(d);
  if constexpr (centring == Centring::kMean) s.mean = lane_sum<T>(d, [x](std::int64_t i) { return x[i]; }) / count;
  const T mean = s.mean;
  const T squares = lane_sum<T>(d, [x, mean](std::int64_t i) {
    const T centred = centring == Centring::kMean ? x[i] - mean : x[i];
    return centred * centred;
  });
  s.inverse = T{1} / std::sqrt(squares / count + epsilon);
  return s;
}

}  // namespace retune
