// The routing of side memories as a truth table, their hinges, masks and merging, worked out by hand (methods.md 5.15,
// 5.20, T11).
#include "editors/mechanisms/side_memory.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "editors/mechanisms/side_routing.h"
#include "editors/mechanisms/side_training.h"
#include "editors/mechanisms/ties.h"
#include "tensor/rng.h"

namespace retune {
namespace {

using Route = std::optional<std::size_t>;

// Slots whose thresholds are these at act_ratio 1.
SideMemory memory_of(const std::vector<double>& thresholds, bool open) {
  SideMemory memory;
  for (const double threshold : thresholds)
    memory.slots.push_back({.weight = Tensor::zeros(DType::kF32, {1, 1}), .least_distance = threshold, .edits = 1});
  memory.open = open;
  return memory;
}

TEST(SideRouting, RetrievesTheOpenSlotFromItsThresholdOn) {
  const Routing routing{.act_ratio = 1};
  const SideMemory memory = memory_of({10}, true);
  EXPECT_EQ(route(memory, routing, std::vector<double>{9.99}), Route());
  EXPECT_EQ(route(memory, routing, std::vector<double>{10}), Route(0)) << "D >= threshold";
  EXPECT_EQ(route(memory, {.act_ratio = 0.5}, std::vector<double>{5}), Route(0));
  EXPECT_EQ(route(memory, {.act_ratio = 0}, std::vector<double>{0}), Route(0)) << "a ratio of 0 always goes aside";
  EXPECT_EQ(route(memory, {.act_ratio = 1e30}, std::vector<double>{1e9}), Route());
}

TEST(SideRouting, RetrievesAClosedSlotThatIsFartherThanTheChoiceAndItsThreshold) {
  const Routing routing{.act_ratio = 1};
  const SideMemory memory = memory_of({3, 5, 10}, true);  // the last is open
  const std::vector<std::pair<std::vector<double>, Route>> table = {
      {{0, 0, 0}, Route()},      {{3, 5, 9}, Route()},   // a closed slot must be beyond its threshold
      {{3.1, 0, 9}, Route(0)},                           // the open one is not chosen: the model's own is at 0
      {{3.1, 5.1, 9}, Route(1)},                         // the farther of two
      {{6, 5.5, 9}, Route(0)},   {{6, 6, 9}, Route(0)},  // the first of equals
      {{9, 9, 10}, Route(2)},    {{11, 9, 10}, Route(0)}, {{10, 10, 10}, Route(2)},
  };
  for (const auto& [distances, expected] : table)
    EXPECT_EQ(route(memory, routing, distances), expected) << testing::PrintToString(distances);
  EXPECT_EQ(route(memory_of({3, 5}, false), routing, std::vector<double>{3, 6}), Route(1)) << "none is open";
}

TEST(SideRouting, MergeTakesTheFarthestUnlessAllAreNear) {
  const Routing routing{.rule = RoutingRule::kMerge, .act_ratio = 1};
  const SideMemory memory = memory_of({8, 4}, true);
  EXPECT_EQ(route(memory, routing, std::vector<double>{3.9, 3}), Route());
  EXPECT_EQ(route(memory, routing, std::vector<double>{4, 3}), Route(0));
  EXPECT_EQ(route(memory, routing, std::vector<double>{4, 7}), Route(1));
}

TEST(SideTraining, HingesAreMeansOverWhatIsPositive) {
  const SideOptions options{.alpha = 2, .beta = 10, .gamma = 5};
  // One of each: the formula itself, [5 + 3 - 7]+ + [3 - 2]+ + [10 - 7]+.
  const ActivationLoss one = activation_loss(std::vector<double>{7}, std::vector<double>{3}, options);
  EXPECT_DOUBLE_EQ(one.loss, 1 + 1 + 3);
  EXPECT_THAT(one.inside, testing::ElementsAre(-2));
  EXPECT_THAT(one.outside, testing::ElementsAre(2));
  // Pairs (7, 3), (7, 1), (12, 3), (12, 1): only the first is positive. Of the outside only 3, of the inside only 7.
  const ActivationLoss two = activation_loss(std::vector<double>{7, 12}, std::vector<double>{3, 1}, options);
  EXPECT_DOUBLE_EQ(two.loss, 1 + 1 + 3);
  EXPECT_THAT(two.inside, testing::ElementsAre(-2, 0));
  EXPECT_THAT(two.outside, testing::ElementsAre(2, 0));
  // Pairs (0, 3) and (0, 1) give 8 and 6; the outside 1; the inside 10.
  const ActivationLoss start = activation_loss(std::vector<double>{0}, std::vector<double>{3, 1}, options);
  EXPECT_DOUBLE_EQ(start.loss, 7 + 1 + 10);
  EXPECT_THAT(start.inside, testing::ElementsAre(-2));
  EXPECT_THAT(start.outside, testing::ElementsAre(1.5, 0.5));
  const ActivationLoss none = activation_loss(std::vector<double>{11}, std::vector<double>{}, options);
  EXPECT_EQ(none.loss, 0);
}

TEST(SideMemory, AMaskHasItsRatioAndItsSeed) {
  const auto mask = draw_mask(7, 20000, 0.2);
  const double share = static_cast<double>(std::count(mask.begin(), mask.end(), 1)) / 20000;
  EXPECT_NEAR(share, 0.2, 4 * std::sqrt(0.2 * 0.8 / 20000));
  EXPECT_EQ(draw_mask(7, 20000, 0.2), mask);
  EXPECT_NE(draw_mask(8, 20000, 0.2), mask);
  EXPECT_EQ(draw_mask(7, 3, 0), (std::vector<std::uint8_t>{0, 0, 0}));
  EXPECT_EQ(draw_mask(7, 3, 1), (std::vector<std::uint8_t>{1, 1, 1}));
}

// --- TIES ---

std::vector<float> merged(const std::vector<std::vector<float>>& changes, double density) {
  std::vector<Tensor> tensors;
  for (const auto& change : changes) tensors.push_back(Tensor::vector(change));
  const Tensor result = ties_merge(tensors, density);
  return {result.data<float>(), result.data<float>() + result.numel()};
}

TEST(Ties, KeepsTheLargestOfEachTheFirstOfEquals) {
  EXPECT_EQ(merged({{1, -3, 2, 0.5F}}, 0.5), (std::vector<float>{0, -3, 2, 0}));
  EXPECT_EQ(merged({{2, -2, 2, 2}}, 0.53), (std::vector<float>{2, -2, 0, 0})) << "floor(0.53 * 4) = 2";
  EXPECT_EQ(merged({{1, -3, 2, 0.5F}}, 1), (std::vector<float>{1, -3, 2, 0.5F}));
  EXPECT_EQ(merged({{1, 2}}, 0), (std::vector<float>{0, 0}));
}

TEST(Ties, AveragesThoseThatAgreeWithTheElectedSign) {
  // Sums 3, -1, 0, 4: of the third, 0 counts as +.
  EXPECT_EQ(merged({{1, 2, -2, 4}, {2, -3, 2, 0}}, 1), (std::vector<float>{1.5F, -3, 2, 4}));
}

TEST(SideMemory, MergingOneSlotAtFullDensityGivesItBackToTwoUlp) {
  Rng rng(2);
  Tensor original = Tensor::empty(DType::kF32, {30, 20}), weight = Tensor::empty(DType::kF32, {30, 20});
  for (std::int64_t i = 0; i < original.numel(); ++i) {
    original.mutable_data<float>()[i] = static_cast<float>(rng.normal());
    weight.mutable_data<float>()[i] = original.data<float>()[i] + static_cast<float>(0.3 * rng.normal());
  }
  SideMemory memory;
  memory.slots = {{.weight = weight, .least_distance = 3, .edits = 4}};
  memory.merge_closed(original, 1);
  for (std::int64_t i = 0; i < weight.numel(); ++i) {
    const float want = weight.data<float>()[i];
    const float scale = std::max(std::abs(want), std::abs(original.data<float>()[i]));
    EXPECT_NEAR(memory.slots[0].weight.data<float>()[i], want,
                2 * (std::nextafter(scale, std::numeric_limits<float>::infinity()) - scale));
  }
  EXPECT_EQ(memory.slots[0].least_distance, 3);
  EXPECT_EQ(memory.slots[0].edits, 4);
}

TEST(SideMemory, MergingLeavesTheOpenSlotAlone) {
  const Tensor original = Tensor::zeros(DType::kF32, {1, 2});
  SideMemory memory;
  memory.slots = {{.weight = Tensor::of<float>({1, 2}, {1, 0}), .least_distance = 3, .edits = 2},
                  {.weight = Tensor::of<float>({1, 2}, {3, -1}), .least_distance = 2, .edits = 2},
                  {.weight = Tensor::of<float>({1, 2}, {7, 7}), .least_distance = 9, .edits = 1}};
  memory.open = true;
  memory.merge_closed(original, 1);
  ASSERT_EQ(memory.slots.size(), 2u);
  EXPECT_TRUE(identical(memory.slots[0].weight, Tensor::of<float>({1, 2}, {2, -1})));
  EXPECT_EQ(memory.slots[0].least_distance, 2);
  EXPECT_EQ(memory.slots[0].edits, 4);
  EXPECT_TRUE(identical(memory.slots[1].weight, Tensor::of<float>({1, 2}, {7, 7})));
}

}  // namespace
}  // namespace retune
