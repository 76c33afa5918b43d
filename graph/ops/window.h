// Sliding windows over signals, images and volumes: what Conv and the pools have in common. With fewer than three
// spatial axes the leading ones count as axes of extent 1.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <vector>

#include "graph/op.h"

namespace retune {

struct Window {
  int spatial_rank = 1;  // 1, 2 or 3
  // Per axis: depth, height, width.
  using Extents = std::array<std::int64_t, 3>;
  Extents input{1, 1, 1}, output{1, 1, 1}, kernel{1, 1, 1}, stride{1, 1, 1}, dilation{1, 1, 1}, pad_begin{0, 0, 0},
      pad_end{0, 0, 0};

  std::int64_t input_size() const { return input[0] * input[1] * input[2]; }
  std::int64_t output_size() const { return output[0] * output[1] * output[2]; }
  std::int64_t taps() const { return kernel[0] * kernel[1] * kernel[2]; }
  // Whether every output position is the input position of the same number.
  bool is_pointwise() const;
  // Shape [leading..., output extents].
  Shape output_shape(std::int64_t n, std::int64_t channels) const;
};

inline constexpr std::int64_t kLongestWindow = std::int64_t{1} << 31;  // of anything that windows add or multiply

// Attribute `name` as `count` numbers from `least` to below kLongestWindow, each `fallback` where it is absent; user
// error otherwise.
std::vector<std::int64_t> window_numbers(const Attributes& attributes, const char* name, std::size_t count,
                                         std::int64_t least, std::int64_t fallback);

// From the attributes strides, dilations, pads, auto_pad and ceil_mode, for x [N, C, ((D,) H,) W]. User error for
// another rank, for lengths that do not fit, and for a window larger than the padded input.
Window window_of(const Attributes& attributes, const Shape& x, std::vector<std::int64_t> kernel);

// `position` in row-major order, as coordinates.
inline Window::Extents coordinates(std::int64_t position, const Window::Extents& extents) {
  return {position / (extents[1] * extents[2]), position / extents[2] % extents[1], position % extents[2]};
}

// The output columns [first, last) of [0, count) whose input column start + i * stride lies in [0, width).
struct Inside {
  std::int64_t first = 0, last = 0;
};
inline Inside inside(std::int64_t start, std::int64_t stride, std::int64_t count, std::int64_t width) {
  const std::int64_t first = start >= 0 ? 0 : (-start + stride - 1) / stride;
  const std::int64_t last = start >= width ? 0 : (width - start + stride - 1) / stride;
  return {std::min(first, count), std::max(std::min(last, count), std::min(first, count))};
}

}  // namespace retune
