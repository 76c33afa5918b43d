#include "training/synth/split.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "tensor/error.h"

namespace retune::synth {
namespace {

TEST(Split, NoTwoSplitsCanDrawTheSameValue) {
  std::map<int, std::set<Split>> owners;  // of a cell of the range
  std::map<int, std::set<Split>> integer_owners;
  Rng rng(3);
  for (const Split split : kSplits) {
    for (int i = 0; i < 5000; ++i) {
      owners[static_cast<int>(std::floor((draw({-10, 40}, split, rng) + 10)))].insert(split);
      integer_owners[draw_integer(60, 99, split, rng)].insert(split);
    }
  }
  EXPECT_EQ(owners.size(), 50u);
  EXPECT_EQ(integer_owners.size(), 40u);
  for (const auto& [cell, splits] : owners) EXPECT_EQ(splits.size(), 1u) << cell;
  for (const auto& [value, splits] : integer_owners) EXPECT_EQ(splits.size(), 1u) << value;
}

TEST(Split, EverySplitReachesBothEndsOfARange) {
  Rng rng(4);
  for (const Split split : kSplits) {
    double low = 1;
    double high = 0;
    for (int i = 0; i < 2000; ++i) {
      const double value = draw({0, 1}, split, rng);
      low = std::min(low, value);
      high = std::max(high, value);
    }
    EXPECT_LT(low, 0.15) << split_name(split);
    EXPECT_GT(high, 0.85) << split_name(split);
  }
}

TEST(Split, ARangeTooNarrowForASplitIsAFailure) {
  Rng rng(5);
  EXPECT_THROW(draw_integer(0, 1, Split::kVal, rng), Error);
}

}  // namespace
}  // namespace retune::synth
