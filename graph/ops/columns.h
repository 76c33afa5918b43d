// Columns of a convolution: the patch under each output position, unrolled (im2col, Chellapilla et al. 2006), so that a
// convolution is a matrix product with them and its transpose a product that is added back to where they were taken.
#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>

#include "graph/matrix_product.h"
#include "graph/ops/window.h"

namespace retune {

inline constexpr std::int64_t kColumnElements =
    262'144;  // of a block of columns: 1 MB in f32, within the second-level cache

struct Convolution {
  Window window;
  std::int64_t images = 0, groups = 1;
  std::int64_t in_channels = 0, out_channels = 0;  // of one group

  std::int64_t depth() const { return in_channels * window.taps(); }  // rows of the columns
  std::int64_t x_group() const { return in_channels * window.input_size(); }
  std::int64_t y_group() const { return out_channels * window.output_size(); }
  std::int64_t weight_group() const { return out_channels * depth(); }
  std::int64_t block() const {
    return std::clamp<std::int64_t>(kColumnElements / std::max<std::int64_t>(depth(), 1), 64, 4096);
  }
};

// Calls f(row, at, count, inside, input) for each run of output positions of [begin, end) along one output row, for
// each row of the columns: positions [at, at + count) of the block, of which those in `inside` read input[.. + i *
// stride] of the group's image.
template <class F>
void for_each_column_run(const Convolution& s, std::int64_t begin, std::int64_t end, F&& f) {
  const Window& w = s.window;
  for (std::int64_t row = 0; row < s.depth(); ++row) {
    const std::int64_t channel = row / w.taps();
    const Window::Extents tap = coordinates(row % w.taps(), w.kernel);
    for (std::int64_t p = begin; p < end;) {
      const Window::Extents at = coordinates(p, w.output);
      Window::Extents from;
      for (std::size_t axis = 0; axis < 3; ++axis)
        from[axis] = at[axis] * w.stride[axis] + tap[axis] * w.dilation[axis] - w.pad_begin[axis];
      const std::int64_t count = std::min(w.output[2] - at[2], end - p);
      const bool outside = from[0] < 0 || from[0] >= w.input[0] || from[1] < 0 || from[1] >= w.input[1];
      const Inside valid = outside ? Inside{} : inside(from[2], w.stride[2], count, w.input[2]);
      f(row, p - begin, count, valid, ((channel * w.input[0] + from[0]) * w.input[1] + from[1]) * w.input[2] + from[2]);
      p += count;
    }
  }
}

// columns [depth, end - begin] of one group of one image.
template <class T>
void unroll(const Convolution& s, const T* image, std::int64_t begin, std::int64_t end, T* columns) {
  for_each_column_run(s, begin, end,
                      [&](std::int64_t row, std::int64_t at, std::int64_t count, Inside valid, std::int64_t input) {
                        T* to = columns + row * (end - begin) + at;
                        const T* from = image + input;
                        std::fill(to, to + valid.first, T{0});
                        if (s.window.stride[2] == 1) {
                          std::copy(from + valid.first, from + valid.last, to + valid.first);
                        } else {
                          for (std::int64_t i = valid.first; i < valid.last; ++i) to[i] = from[i * s.window.stride[2]];
                        }
                        std::fill(to + valid.last, to + count, T{0});
                      });
}

// Adds columns back to where unroll took them from.
template <class T>
void roll_up(const Convolution& s, const T* columns, std::int64_t begin, std::int64_t end, T* image) {
  for_each_column_run(s, begin, end,
                      [&](std::int64_t row, std::int64_t at, std::int64_t, Inside valid, std::int64_t input) {
                        const T* from = columns + row * (end - begin) + at;
                        T* to = image + input;
                        for (std::int64_t i = valid.first; i < valid.last; ++i) to[i * s.window.stride[2]] += from[i];
                      });
}

// x = W^T g, rolled up: the adjoint of the convolution of images x with `weight` [groups * out_channels, in_channels,
// taps]; g [images, groups * out_channels, output positions].
template <class T>
void convolve_transposed(ThreadPool& pool, const Convolution& s, const T* weight, const T* g, T* x) {
  const std::int64_t size = s.window.output_size(), block = std::min(s.block(), size);
  pool.parallel_for(s.images * s.groups, 1, [&](std::int64_t item, std::int64_t) {
    const T* own_weight = weight + item % s.groups * s.weight_group();
    const T* own_g = g + item * s.y_group();
    T* image = x + item * s.x_group();
    MatrixProduct product{.m = s.depth(), .n = size, .k = s.out_channels, .transpose_a = true};
    if (s.window.is_pointwise()) return matrix_product(pool, product, own_weight, own_g, image);
    std::fill(image, image + s.x_group(), T{0});
    const auto columns = std::make_unique_for_overwrite<T[]>(static_cast<std::size_t>(s.depth() * block));
    product.ldb = size;
    for (std::int64_t begin = 0; begin < size; begin += block) {
      product.n = std::min(block, size - begin);
      matrix_product(pool, product, own_weight, own_g + begin, columns.get());
      roll_up(s, columns.get(), begin, begin + product.n, image);
    }
  });
}

}  // namespace retune
