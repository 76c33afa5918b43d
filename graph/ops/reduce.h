// Folding a tensor along axes, in an order that its shape alone decides.
//
// A reduction along several separate groups of axes is a chain of stages, each over one group: [A, R, B] to [A, B].
// Rows of R are cut into blocks of fixed size; within a block kLanes partial results are kept side by side (which is
// what vector instructions do, and what keeps the rounding error of a long sum low), then lanes and blocks are folded
// in order.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "graph/ops/kernel.h"

namespace retune {

struct ReduceStage {
  std::int64_t outer = 1, reduced = 1, inner = 1;
};

// The stages of reducing `axes` (sorted, in range) of `shape`, last group first. None if nothing is reduced.
inline std::vector<ReduceStage> reduce_stages(const Shape& shape, const std::vector<int>& axes) {
  std::vector<ReduceStage> stages;
  std::int64_t inner = 1;
  for (int axis = shape.rank() - 1; axis >= 0;) {
    if (!std::binary_search(axes.begin(), axes.end(), axis)) {
      inner *= shape[axis--];
      continue;
    }
    ReduceStage stage{.inner = inner};
    while (axis >= 0 && std::binary_search(axes.begin(), axes.end(), axis)) stage.reduced *= shape[axis--];
    stage.outer = shape.product(0, axis + 1);
    stages.push_back(stage);
  }
  return stages;
}

namespace reduce_detail {

inline constexpr std::int64_t kLanes = 16;
inline constexpr std::int64_t kBlock = 1024;   // elements of a row, or rows of a column, folded in one go
inline constexpr std::int64_t kColumns = 128;  // columns that one task folds side by side

// One contiguous row. Fold has T identity() and T operator()(T a, T b); load(i) is element i, mapped.
template <class T, class Fold, class Load>
T fold_row(std::int64_t count, const Fold& fold, const Load& load) {
  T total = Fold::template identity<T>();
  for (std::int64_t begin = 0; begin < count; begin += kBlock) {
    const std::int64_t end = std::min(begin + kBlock, count);
    T lanes[kLanes];
    std::fill_n(lanes, kLanes, Fold::template identity<T>());
    std::int64_t i = begin;
    for (; i + kLanes <= end; i += kLanes)
      for (std::int64_t lane = 0; lane < kLanes; ++lane) lanes[lane] = fold(lanes[lane], load(i + lane));
    for (std::int64_t lane = 0; i < end; ++i, ++lane) lanes[lane] = fold(lanes[lane], load(i));
    for (std::int64_t width = kLanes / 2; width > 0; width /= 2)
      for (std::int64_t lane = 0; lane < width; ++lane) lanes[lane] = fold(lanes[lane], lanes[lane + width]);
    total = fold(total, lanes[0]);
  }
  return total;
}

// Columns [first, last) of rows of `stride` elements. load(row, column).
template <class T, class Fold, class Load>
void fold_columns(std::int64_t rows, std::int64_t first, std::int64_t last, const Fold& fold, const Load& load,
                  T* out) {
  const std::int64_t width = last - first;
  T block[kColumns];
  std::fill(out, out + width, Fold::template identity<T>());
  for (std::int64_t begin = 0; begin < rows; begin += kBlock) {
    std::fill_n(block, width, Fold::template identity<T>());
    for (std::int64_t row = begin; row < std::min(begin + kBlock, rows); ++row)
      for (std::int64_t c = 0; c < width; ++c) block[c] = fold(block[c], load(row, first + c));
    for (std::int64_t c = 0; c < width; ++c) out[c] = fold(out[c], block[c]);
  }
}

}  // namespace reduce_detail

// out[a, b] = post(fold over r of pre(x[a, r, b])). `pre` and `post` map one element.
template <class T, class Fold, class Pre, class Post>
void reduce_stage(ThreadPool& pool, const ReduceStage& stage, const T* x, T* out, Fold fold, Pre pre, Post post) {
  using namespace reduce_detail;
  const std::int64_t reduced = stage.reduced, inner = stage.inner;
  if (inner == 1) {
    const std::int64_t grain = std::max<std::int64_t>(1, kElementGrain / std::max<std::int64_t>(reduced, 1));
    pool.parallel_for(stage.outer, grain, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t a = begin; a < end; ++a) {
        const T* row = x + a * reduced;
        out[a] = post(fold_row<T>(reduced, fold, [&](std::int64_t i) { return pre(row[i]); }));
      }
    });
    return;
  }
  const std::int64_t tiles = (inner + kColumns - 1) / kColumns;
  const std::int64_t elements = std::max<std::int64_t>(reduced * std::min(inner, kColumns), 1);
  pool.parallel_for(stage.outer * tiles, std::max<std::int64_t>(1, kElementGrain / elements),
                    [&](std::int64_t begin, std::int64_t end) {
                      for (std::int64_t i = begin; i < end; ++i) {
                        const std::int64_t a = i / tiles, first = i % tiles * kColumns,
                                           last = std::min(first + kColumns, inner);
                        const T* plane = x + a * reduced * inner;
                        T* result = out + a * inner + first;
                        fold_columns<T>(
                            reduced, first, last, fold,
                            [&](std::int64_t row, std::int64_t c) { return pre(plane[row * inner + c]); }, result);
                        for (std::int64_t c = 0; c < last - first; ++c) result[c] = post(result[c]);
                      }
                    });
}

}  // namespace retune
