#include "lalm/check.h"

#include <gtest/gtest.h>

#include <limits>

namespace retune {
namespace {

constexpr float kInf = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

double of(const std::vector<float>& measured, const std::vector<float>& other) {
  return range_difference(Tensor::vector<float>(measured), Tensor::vector<float>(other));
}

TEST(RangeDifference, IsTheLargestGapOverTheRangeOfTheMeasured) {
  EXPECT_EQ(of({1, 2, 5}, {1, 2, 5}), 0);
  EXPECT_EQ(of({1, 2, 5}, {1, 4, 4}), 0.5);
  EXPECT_EQ(of({-kInf, 0, 4}, {-kInf, 1, 4}), 0.25) << "a masked score has no part in the range";
}

TEST(RangeDifference, IsInfiniteWhereNothingCompares) {
  EXPECT_EQ(of({}, {}), kInf);
  EXPECT_EQ(of({1}, {1, 1}), kInf);
  EXPECT_EQ(of({1, kNan}, {1, 2}), kInf);
  EXPECT_EQ(of({1, 2}, {1, kInf}), kInf);
  EXPECT_EQ(of({1, kInf}, {1, -kInf}), kInf);
  EXPECT_EQ(of({1, kNan}, {1, kNan}), 0);
}

}  // namespace
}  // namespace retune
