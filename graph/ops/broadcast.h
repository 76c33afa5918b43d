// How the elements of several operands line up under NumPy's broadcasting.
//
// Axes that all operands walk alike are merged, so that the common cases become one or two loops: equal shapes and
// scalars one run over everything, [..., D] with [D] or with [..., 1] one run a row. Within a run an operand steps by 1
// or stays where it is.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <vector>

#include "tensor/shape.h"

namespace retune {

template <int N>
struct BroadcastPlan {
  std::int64_t numel = 1;
  std::vector<std::int64_t> extents;                 // outer axes and, last, the run
  std::vector<std::array<std::int64_t, N>> strides;  // elements to step along each axis; 0 where an operand is repeated
  std::array<std::int64_t, N> inner{};               // strides of the run: 0 or 1
};

// `shapes` broadcast to `result`, which must be their broadcast shape or one that they broadcast to.
template <int N>
BroadcastPlan<N> plan_broadcast(const Shape& result, const std::array<const Shape*, N>& shapes) {
  std::array<std::vector<std::int64_t>, N> dense;
  for (std::size_t k = 0; k < N; ++k) dense[k] = shapes[k]->strides();
  BroadcastPlan<N> plan;
  plan.numel = result.numel();
  for (int axis = 0; axis < result.rank(); ++axis) {
    if (result[axis] == 1) continue;
    std::array<std::int64_t, N> step{};
    for (std::size_t k = 0; k < N; ++k) {
      const int own = axis - (result.rank() - shapes[k]->rank());
      step[k] = own < 0 || (*shapes[k])[own] == 1 ? 0 : dense[k][static_cast<std::size_t>(own)];
    }
    // The axis before continues into this one if each operand's step along it is a whole run of this one.
    bool merges = !plan.extents.empty();
    for (std::size_t k = 0; merges && k < N; ++k) merges = plan.strides.back()[k] == step[k] * result[axis];
    if (merges) {
      plan.extents.back() *= result[axis];
      plan.strides.back() = step;
    } else {
      plan.extents.push_back(result[axis]);
      plan.strides.push_back(step);
    }
  }
  if (plan.extents.empty()) {
    plan.extents.push_back(1);
    plan.strides.emplace_back();
  }
  plan.inner = plan.strides.back();
  return plan;
}

// Calls body(out, count, offsets) for the runs of the elements [begin, end) of the result: `out` is the first element's
// index in the result, offsets the operands' indices there.
template <int N, class Body>
void for_each_run(const BroadcastPlan<N>& plan, std::int64_t begin, std::int64_t end, Body&& body) {
  if (begin >= end) return;
  const std::size_t axes = plan.extents.size();
  const std::int64_t run = plan.extents.back();
  std::vector<std::int64_t> index(axes);
  std::int64_t rest = begin;
  for (std::size_t axis = axes; axis-- > 0;) {
    index[axis] = rest % plan.extents[axis];
    rest /= plan.extents[axis];
  }
  std::array<std::int64_t, N> offsets{};
  for (std::size_t axis = 0; axis < axes; ++axis)
    for (std::size_t k = 0; k < N; ++k) offsets[k] += index[axis] * plan.strides[axis][k];
  for (std::int64_t at = begin; at < end;) {
    const std::int64_t count = std::min(run - index.back(), end - at);
    body(at, count, offsets);
    at += count;
    // To the start of the next run.
    for (std::size_t k = 0; k < N; ++k) offsets[k] -= index.back() * plan.inner[k];
    index.back() = 0;
    for (std::size_t axis = axes - 1; axis-- > 0;) {
      for (std::size_t k = 0; k < N; ++k) offsets[k] += plan.strides[axis][k];
      if (++index[axis] < plan.extents[axis]) break;
      for (std::size_t k = 0; k < N; ++k) offsets[k] -= plan.strides[axis][k] * plan.extents[axis];
      index[axis] = 0;
    }
  }
}

}  // namespace retune
