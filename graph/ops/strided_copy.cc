#include "graph/ops/strided_copy.h"

#include <algorithm>
#include <cstring>

#include "graph/ops/kernel.h"

namespace retune {

namespace {

constexpr std::int64_t kTile = 32;  // two tiles of 8-byte elements fit in 16 KiB

// Drops axes of extent 1 and merges neighbours that both sides walk as one. Returns false if there is nothing to copy.
bool simplify(StridedCopy& copy) {
  StridedCopy merged;
  merged.source_start = copy.source_start;
  merged.target_start = copy.target_start;
  for (std::size_t axis = 0; axis < copy.extents.size(); ++axis) {
    const std::int64_t extent = copy.extents[axis];
    const std::int64_t from = copy.source_strides[axis], to = copy.target_strides[axis];
    if (extent == 0) return false;
    if (extent == 1) continue;
    if (!merged.extents.empty() && merged.source_strides.back() == from * extent &&
        merged.target_strides.back() == to * extent) {
      merged.extents.back() *= extent;
      merged.source_strides.back() = from;
      merged.target_strides.back() = to;
    } else {
      merged.extents.push_back(extent);
      merged.source_strides.push_back(from);
      merged.target_strides.push_back(to);
    }
  }
  copy = std::move(merged);
  return true;
}

// Walks the indices of the first `axes` axes in order, from the `at`-th on, and says where each starts on either side.
class Walk {
 public:
  Walk(const StridedCopy& copy, std::size_t axes, std::int64_t at)
      : copy_(copy), index_(axes), source_(copy.source_start), target_(copy.target_start) {
    for (std::size_t axis = axes; axis-- > 0;) {
      index_[axis] = at % copy.extents[axis];
      at /= copy.extents[axis];
      source_ += index_[axis] * copy.source_strides[axis];
      target_ += index_[axis] * copy.target_strides[axis];
    }
  }
  std::int64_t source() const { return source_; }
  std::int64_t target() const { return target_; }
  void next() {
    for (std::size_t axis = index_.size(); axis-- > 0;) {
      source_ += copy_.source_strides[axis];
      target_ += copy_.target_strides[axis];
      if (++index_[axis] < copy_.extents[axis]) return;
      source_ -= copy_.source_strides[axis] * copy_.extents[axis];
      target_ -= copy_.target_strides[axis] * copy_.extents[axis];
      index_[axis] = 0;
    }
  }

 private:
  const StridedCopy& copy_;
  std::vector<std::int64_t> index_;
  std::int64_t source_, target_;
};

template <class U>
void copy_run(const U* from, std::int64_t from_step, U* to, std::int64_t to_step, std::int64_t count) {
  if (to_step == 1 && from_step == 1) {
    std::memcpy(to, from, static_cast<std::size_t>(count) * sizeof(U));
  } else if (to_step == 1 && from_step == 0) {
    std::fill_n(to, count, *from);
  } else if (to_step == 1) {
    for (std::int64_t i = 0; i < count; ++i) to[i] = from[i * from_step];
  } else {
    for (std::int64_t i = 0; i < count; ++i) to[i * to_step] = from[i * from_step];
  }
}

// Runs along the last axis, or pieces of it where it is long.
template <class U>
void copy_runs(ThreadPool& pool, const StridedCopy& copy, const U* source, U* target) {
  const std::size_t last = copy.extents.size() - 1;
  const std::int64_t run = copy.extents[last];
  const std::int64_t from_step = copy.source_strides[last], to_step = copy.target_strides[last];
  std::int64_t rows = 1;
  for (std::size_t axis = 0; axis < last; ++axis) rows *= copy.extents[axis];
  // A run that is longer than a task's share is cut into pieces of that length.
  const std::int64_t piece = std::min(run, kElementGrain);
  const std::int64_t pieces = (run + piece - 1) / piece;
  pool.parallel_for(rows * pieces, std::max<std::int64_t>(1, kElementGrain / piece),
                    [&](std::int64_t begin, std::int64_t end) {
                      Walk row(copy, last, begin / pieces);
                      std::int64_t first = begin % pieces * piece;
                      for (std::int64_t i = begin; i < end; ++i) {
                        copy_run(source + row.source() + first * from_step, from_step,
                                 target + row.target() + first * to_step, to_step, std::min(piece, run - first));
                        first += piece;
                        if (first >= run) {
                          first = 0;
                          row.next();
                        }
                      }
                    });
}

// The target is contiguous along the last axis, the source along `other`: tile by tile, so that both are read by cache
// lines.
template <class U>
void copy_tiles(ThreadPool& pool, StridedCopy copy, std::size_t other, const U* source, U* target) {
  // Brings `other` next to the last axis; the order of the axes before does not matter.
  const auto to_back = [other](std::vector<std::int64_t>& v) {
    const auto at = v.begin() + static_cast<std::ptrdiff_t>(other);
    std::rotate(at, at + 1, v.end() - 1);
  };
  to_back(copy.extents);
  to_back(copy.source_strides);
  to_back(copy.target_strides);
  const std::size_t axes = copy.extents.size();
  const std::int64_t height = copy.extents[axes - 2], width = copy.extents[axes - 1];
  const std::int64_t down = copy.target_strides[axes - 2], across = copy.source_strides[axes - 1];
  const std::int64_t tiles_down = (height + kTile - 1) / kTile, tiles_across = (width + kTile - 1) / kTile;
  std::int64_t planes = 1;
  for (std::size_t axis = 0; axis + 2 < axes; ++axis) planes *= copy.extents[axis];
  pool.parallel_for(
      planes * tiles_down * tiles_across, kElementGrain / (kTile * kTile), [&](std::int64_t begin, std::int64_t end) {
        for (std::int64_t i = begin; i < end; ++i) {
          const Walk plane(copy, axes - 2, i / (tiles_down * tiles_across));
          const std::int64_t tile = i % (tiles_down * tiles_across);
          const std::int64_t top = tile / tiles_across * kTile, left = tile % tiles_across * kTile;
          const std::int64_t bottom = std::min(top + kTile, height), right = std::min(left + kTile, width);
          for (std::int64_t row = top; row < bottom; ++row) {
            const U* from = source + plane.source() + row;
            U* to = target + plane.target() + row * down;
            for (std::int64_t column = left; column < right; ++column) to[column] = from[column * across];
          }
        }
      });
}

template <class U>
void copy_words(ThreadPool& pool, const StridedCopy& copy, const U* source, U* target) {
  if (copy.extents.empty()) {
    target[copy.target_start] = source[copy.source_start];
    return;
  }
  const std::size_t last = copy.extents.size() - 1;
  if (copy.target_strides[last] == 1 && copy.source_strides[last] != 1)
    for (std::size_t axis = 0; axis < last; ++axis)
      if (copy.source_strides[axis] == 1 && copy.extents[axis] >= 4)
        return copy_tiles(pool, copy, axis, source, target);
  copy_runs(pool, copy, source, target);
}

}  // namespace

void copy_strided(ThreadPool& pool, StridedCopy copy, DType dtype, const std::byte* source, std::byte* target) {
  if (!simplify(copy)) return;
  visit_width(dtype, [&]<class U>(U) {
    copy_words(pool, copy, reinterpret_cast<const U*>(source), reinterpret_cast<U*>(target));
  });
}

void copy_broadcast(ThreadPool& pool, DType dtype, const Shape& from, const Shape& to, const std::byte* source,
                    std::byte* target) {
  StridedCopy copy{.extents = to.extents(),
                   .source_strides = std::vector<std::int64_t>(to.extents().size()),
                   .target_strides = to.strides()};
  const std::vector<std::int64_t> dense = from.strides();
  const int extra = to.rank() - from.rank();
  for (int axis = 0; axis < from.rank(); ++axis)
    copy.source_strides[static_cast<std::size_t>(axis + extra)] =
        from[axis] == 1 ? 0 : dense[static_cast<std::size_t>(axis)];
  copy_strided(pool, std::move(copy), dtype, source, target);
}

}  // namespace retune
