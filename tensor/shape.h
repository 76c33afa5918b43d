// Extents of a tensor, outermost first. A Shape that exists has non-negative extents whose product fits in int64.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>
#include <vector>

namespace retune {

class Shape {
 public:
  Shape() = default;  // rank 0: one element
  Shape(std::initializer_list<std::int64_t> extents) : Shape(std::vector<std::int64_t>(extents)) {}
  // Throws a user error if an extent is negative or the product overflows.
  explicit Shape(std::vector<std::int64_t> extents);

  int rank() const { return static_cast<int>(extents_.size()); }
  std::int64_t operator[](int axis) const { return extents_[static_cast<std::size_t>(axis)]; }
  std::int64_t numel() const { return numel_; }
  const std::vector<std::int64_t>& extents() const { return extents_; }
  auto begin() const { return extents_.begin(); }
  auto end() const { return extents_.end(); }
  // Extent counted from the back: back(0) is the last. Throws a user error beyond the rank.
  std::int64_t back(int from_end = 0) const;
  // Product of the extents in [first, last).
  std::int64_t product(int first, int last) const;
  // Elements to step over for one step along each axis, in a contiguous layout.
  std::vector<std::int64_t> strides() const;
  // "[2, 3]"
  std::string text() const;

  friend bool operator==(const Shape& a, const Shape& b) { return a.extents_ == b.extents_; }

 private:
  std::vector<std::int64_t> extents_;
  std::int64_t numel_ = 1;
};

// Turns an axis in [-rank, rank) into [0, rank); throws a user error otherwise.
int normalize_axis(std::int64_t axis, int rank);
// NumPy's broadcast of two shapes; throws a user error naming both if they do not fit.
Shape broadcast(const Shape& a, const Shape& b);

}  // namespace retune
