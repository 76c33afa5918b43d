#include "eval/retention.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace retune {
namespace {

// T19 of methods.md section 11, worked by hand.
std::vector<RetentionMatrix> three_edits() {
  RetentionMatrix r;
  r.set(0, 1, 0.1), r.set(0, 2, 0.2), r.set(0, 3, 0.3);
  r.set(1, 1, 1.0), r.set(1, 2, 0.25);
  r.set(2, 1, 0.8), r.set(2, 2, 0.9), r.set(2, 3, 0.2);
  r.set(3, 1, 0.5), r.set(3, 2, 0.6), r.set(3, 3, 1.0);
  return {r};
}

TEST(Retention, AgreesWithAnExampleWorkedByHand) {
  const std::vector<RetentionMatrix> r = three_edits();
  EXPECT_EQ(r[0].edits(), 3);
  EXPECT_THAT(asked_gaps(r), testing::ElementsAre(0, 1, 2));
  EXPECT_NEAR(retention(r, 0)->value, (1.0 + 0.9 + 1.0) / 3, 1e-12);
  EXPECT_NEAR(retention(r, 1)->value, (0.8 + 0.6) / 2, 1e-12);
  EXPECT_NEAR(retention(r, 2)->value, 0.5, 1e-12);
  EXPECT_EQ(retention(r, 2)->count, 1);
  EXPECT_FALSE(retention(r, 3).has_value());
  EXPECT_NEAR(*forgetting_at(r, 2), 2.9 / 3 - 0.5, 1e-12);
  EXPECT_NEAR(*retention_auc(r, 2), ((2.9 / 3 + 0.7) / 2 + (0.7 + 0.5) / 2) / 2, 1e-12);
  EXPECT_FALSE(retention_auc(r, 5).has_value());
  EXPECT_NEAR(forgetting(r)->value, ((1.0 - 0.5) + (0.9 - 0.6)) / 2, 1e-12);
  EXPECT_NEAR(backward_transfer(r)->value, ((0.5 - 1.0) + (0.6 - 0.9)) / 2, 1e-12);
  EXPECT_NEAR(forward_transfer(r)->value, ((0.25 - 0.2) + (0.2 - 0.3)) / 2, 1e-12);
}

TEST(Retention, HalfLifeIsTheFirstGapAtHalf) {
  std::vector<RetentionMatrix> r = three_edits();
  EXPECT_FALSE(half_life(r).has_value()) << "0.5 is more than 0.4833";
  r[0].set(3, 1, 0.48);
  EXPECT_EQ(half_life(r), 2);
  RetentionMatrix nothing;
  nothing.set(1, 1, 0);
  nothing.set(2, 1, 0);
  EXPECT_FALSE(half_life(std::vector{nothing}).has_value()) << "nothing was learnt, so nothing halves";
}

TEST(Retention, AveragesTheEditsOfAllSequences) {
  std::vector<RetentionMatrix> r = three_edits();
  RetentionMatrix other;
  other.set(1, 1, 0.0);
  other.set(2, 1, 0.0);
  r.push_back(other);
  EXPECT_NEAR(retention(r, 0)->value, 2.9 / 4, 1e-12);
  EXPECT_EQ(retention(r, 1)->count, 3);
  EXPECT_EQ(backward_transfer(r)->count, 3);
}

TEST(Retention, CellsThatWereNotAskedAreLeftOut) {
  RetentionMatrix r;
  r.set(2, 2, 1.0);
  r.set(9, 2, 0.5);
  const std::vector<RetentionMatrix> one = {r};
  EXPECT_EQ(r.at(3, 2), std::nullopt);
  EXPECT_EQ(r.at(1, 1), std::nullopt);
  EXPECT_THAT(asked_gaps(one), testing::ElementsAre(0, 7));
  EXPECT_FALSE(retention(one, 1).has_value());
  EXPECT_FALSE(forward_transfer(one).has_value());
  EXPECT_NEAR(forgetting(one)->value, 0.5, 1e-12);
  EXPECT_FALSE(retention({}, 0).has_value());
}

}  // namespace
}  // namespace retune
