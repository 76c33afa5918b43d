#include "tensor/shape.h"

#include <fmt/ranges.h>

#include <algorithm>

#include "tensor/error.h"

namespace retune {

Shape::Shape(std::vector<std::int64_t> extents) : extents_(std::move(extents)) {
  // A zero extent empties the tensor, but the others must still multiply within range: a later Concat may undo the
  // zero.
  std::int64_t nonzero = 1;
  for (const std::int64_t extent : extents_) {
    if (extent < 0) throw user_error("negative extent in shape {}", text());
    if (extent != 0 && __builtin_mul_overflow(nonzero, extent, &nonzero))
      throw user_error("shape {} has more elements than fit in 63 bits", text());
    numel_ = extent == 0 ? 0 : numel_;
  }
  if (numel_ != 0) numel_ = nonzero;
}

std::int64_t Shape::back(int from_end) const {
  if (from_end >= rank()) throw user_error("shape {} has no axis {} from the back", text(), from_end);
  return extents_[extents_.size() - 1 - static_cast<std::size_t>(from_end)];
}

std::int64_t Shape::product(int first, int last) const {
  std::int64_t result = 1;
  for (int axis = first; axis < last; ++axis) result *= (*this)[axis];
  return result;
}

std::vector<std::int64_t> Shape::strides() const {
  std::vector<std::int64_t> result(extents_.size());
  std::int64_t step = 1;
  for (std::size_t i = extents_.size(); i-- > 0;) {
    result[i] = step;
    step *= extents_[i];
  }
  return result;
}

std::string Shape::text() const { return fmt::format("[{}]", fmt::join(extents_, ", ")); }

int normalize_axis(std::int64_t axis, int rank) {
  if (axis < -rank || axis >= rank) throw user_error("axis {} is outside a tensor of rank {}", axis, rank);
  return static_cast<int>(axis < 0 ? axis + rank : axis);
}

Shape broadcast(const Shape& a, const Shape& b) {
  const int rank = std::max(a.rank(), b.rank());
  std::vector<std::int64_t> extents(static_cast<std::size_t>(rank));
  for (int i = 0; i < rank; ++i) {
    const std::int64_t x = i < a.rank() ? a.back(i) : 1;
    const std::int64_t y = i < b.rank() ? b.back(i) : 1;
    if (x != y && x != 1 && y != 1) throw user_error("shapes {} and {} do not broadcast", a.text(), b.text());
    extents[static_cast<std::size_t>(rank - 1 - i)] = x == 1 ? y : x;
  }
  return Shape(std::move(extents));
}

}  // namespace retune
