// What operators that round to integers share.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "tensor/dtype.h"
#include "tensor/thread_pool.h"

namespace retune {

// Why quantised operators have no gradient.
inline constexpr const char* kForwardOnly =
    "quantised integer products and rounding to integers are forward only; use the f32, f16 or bf16 file of the model";

struct IntegerRange {
  double least, largest;
};

// Of an integer type of 2 to 16 bits.
IntegerRange integer_range(DType dtype);

// round(value) + zero, half to even, within the range; NaN becomes the zero point.
inline double saturated(double value, double zero, const IntegerRange& range) {
  const double level = value == value ? std::rint(value) + zero : zero;
  return std::min(std::max(level, range.least), range.largest);
}

struct DynamicScale {
  float scale = 1;
  std::uint8_t zero_point = 0;
};

// DynamicQuantizeLinear: x[0 .. count) into y, and the scale and zero point that were found.
DynamicScale quantize_dynamically(ThreadPool& pool, const float* x, std::int64_t count, std::uint8_t* y);

}  // namespace retune
