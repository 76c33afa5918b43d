// Moving elements between layouts: the one kernel of Expand, Transpose, Slice, Concat, Split and their gradients.
#pragma once

#include <cstdint>
#include <vector>

#include "tensor/dtype.h"
#include "tensor/shape.h"
#include "tensor/thread_pool.h"

namespace retune {

// For every index i below `extents`: target[target_start + sum i*target_strides] = source[source_start + sum
// i*source_strides]. Everything counts elements. Source strides may be 0 (repeat) or negative (reverse); target strides
// must not let two indices meet.
struct StridedCopy {
  std::vector<std::int64_t> extents;
  std::vector<std::int64_t> source_strides;
  std::vector<std::int64_t> target_strides;
  std::int64_t source_start = 0;
  std::int64_t target_start = 0;
};

// Runs on the pool. Merges axes first, copies whole runs where both sides are contiguous, and goes through square tiles
// where the two sides are contiguous along different axes (a transposition).
void copy_strided(ThreadPool& pool, StridedCopy copy, DType dtype, const std::byte* source, std::byte* target);

// `source` repeated along broadcast axes to fill `target` of shape `to`; `from` must broadcast to `to`.
void copy_broadcast(ThreadPool& pool, DType dtype, const Shape& from, const Shape& to, const std::byte* source,
                    std::byte* target);

}  // namespace retune
