// Where indices point: checked indices, lines along an axis, and scattering in a fixed order.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "tensor/tensor.h"
#include "tensor/thread_pool.h"

namespace retune {

// An i32 or i64 tensor as indices in [0, extent), negative ones counted from the end; user error for one outside
// [-extent, extent).
std::vector<std::int64_t> checked_indices(const Tensor& indices, std::int64_t extent);

// For operators whose last index axis holds coordinates into the leading axes of `data` (GatherND, ScatterND): the
// number of the slice data[batch..., coordinates...] that each tuple names. User error for a coordinate that is out of
// range.
struct SliceIndices {
  std::vector<std::int64_t> slices;  // one a tuple
  std::int64_t slice_count = 1;      // slices in data
  std::int64_t slice_size = 1;       // elements of each
};
SliceIndices slice_indices(const Shape& data, const Tensor& indices, int batch_dims);

// How `indices` [..., n, ...] and `data` [..., N, ...] of the same rank line up along `axis` (GatherElements,
// ScatterElements): a line fixes every other coordinate.
struct Lines {
  std::int64_t count = 0;       // lines in indices
  std::int64_t length = 0;      // of a line in indices
  std::int64_t index_step = 1;  // elements between neighbours of a line, in indices
  std::int64_t data_step = 1;   // and in data
  struct Start {
    std::int64_t index = 0;  // first element of the line in indices
    std::int64_t data = 0;   // and in data
  };
  Start start(std::int64_t line) const;

  std::vector<std::int64_t> extents;  // of the other axes
  std::vector<std::int64_t> index_strides, data_strides;
};
Lines lines_along(const Shape& data, const Shape& indices, int axis);

// Calls f(position, target) for the positions of `targets` (values in [0, count)) so that all with one target run in
// the order of their positions: each task owns a range of targets and walks through all positions. `work` is the
// elements that one call touches.
template <class F>
void for_owned_targets(ThreadPool& pool, const std::vector<std::int64_t>& targets, std::int64_t count,
                       std::int64_t work, F&& f) {
  constexpr std::int64_t kOwners = 16, kWorthSharing = 16384;
  const auto positions = static_cast<std::int64_t>(targets.size());
  const std::int64_t owners =
      positions * work < kWorthSharing ? 1 : std::min(kOwners, std::max<std::int64_t>(count, 1));
  const std::int64_t share = (count + owners - 1) / owners;
  pool.parallel_for(owners, 1, [&](std::int64_t owner, std::int64_t) {
    const std::int64_t low = owner * share, high = std::min(count, low + share);
    for (std::int64_t i = 0; i < positions; ++i) {
      const std::int64_t target = targets[static_cast<std::size_t>(i)];
      if (target >= low && target < high) f(i, target);
    }
  });
}

}  // namespace retune
