#include "eval/text_table.h"

#include <gtest/gtest.h>

#include <cmath>

namespace retune {
namespace {

TEST(TextTable, AlignsTheFirstColumnLeftAndTheOthersRight) {
  EXPECT_EQ(text_table({{"metric", "n"}, {"r\u00E9", "1200", "x"}, {"b"}}), "metric     n\nr\u00E9      1200  x\nb\n");
  EXPECT_EQ(text_table({}), "");
}

TEST(TextTable, PercentHasOneDigitAndNoItemsADash) {
  EXPECT_EQ(percent(0.9346), "93.5");
  EXPECT_EQ(percent(1), "100.0");
  EXPECT_EQ(percent(std::nan("")), "-");
}

}  // namespace
}  // namespace retune
