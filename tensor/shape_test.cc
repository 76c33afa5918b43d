#include "tensor/shape.h"

#include <gtest/gtest.h>

#include <cstdint>

#include "tensor/error.h"

namespace retune {
namespace {

constexpr std::int64_t kHuge = std::int64_t{1} << 32;

TEST(Shape, RankZeroHasOneElement) {
  EXPECT_EQ(Shape().numel(), 1);
  EXPECT_EQ(Shape({2, 3, 4}).numel(), 24);
  EXPECT_EQ(Shape({2, 0, 4}).numel(), 0);
}

TEST(Shape, RefusesNegativeExtentsAndProductsBeyond63Bits) {
  EXPECT_THROW(Shape({2, -1}), Error);
  EXPECT_THROW(Shape({kHuge, kHuge}), Error);
  EXPECT_THROW(Shape({INT64_MAX, 2}), Error);
  EXPECT_EQ(Shape({kHuge, kHuge / 4}).numel(), std::int64_t{1} << 62);
  // A zero must not hide an overflow: a later view may undo it.
  EXPECT_THROW(Shape({0, kHuge, kHuge}), Error);
}

TEST(Shape, CountsFromTheBackAndGivesContiguousStrides) {
  const Shape shape{2, 3, 4};
  EXPECT_EQ(shape.back(), 4);
  EXPECT_EQ(shape.back(2), 2);
  EXPECT_THROW(shape.back(3), Error);
  EXPECT_EQ(shape.strides(), (std::vector<std::int64_t>{12, 4, 1}));
  EXPECT_EQ(shape.product(1, 3), 12);
  EXPECT_EQ(shape.product(1, 1), 1);
  EXPECT_EQ(shape.text(), "[2, 3, 4]");
}

TEST(Shape, BroadcastsLikeNumpy) {
  EXPECT_EQ(broadcast({2, 1, 4}, {3, 1}), Shape({2, 3, 4}));
  EXPECT_EQ(broadcast({}, {5}), Shape({5}));
  EXPECT_EQ(broadcast({0, 1}, {1, 3}), Shape({0, 3}));
  EXPECT_THROW(broadcast({2, 3}, {4}), Error);
}

TEST(Shape, NormalizesNegativeAxes) {
  EXPECT_EQ(normalize_axis(-1, 3), 2);
  EXPECT_EQ(normalize_axis(0, 3), 0);
  EXPECT_THROW(normalize_axis(3, 3), Error);
  EXPECT_THROW(normalize_axis(-4, 3), Error);
}

}  // namespace
}  // namespace retune
