#include "learning/padded_batch.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace retune {
namespace {

using testing::ElementsAre;

TEST(PaddedBatch, FillsUpWithZerosOnTheRight) {
  Session session({.threads = 1});
  const Inputs one = {{"ids", {Tensor::of<std::int64_t>({1, 2}, {5, 6}), {}}},
                      {"rows", {Tensor::of<float>({1, 2, 2}, {1, 2, 3, 4}), {}}},
                      {"past", {Tensor::zeros(DType::kF32, {1, 3, 0, 4}), {}}},
                      {"flag", {Tensor::of<bool>({1}, {true}), {}}}};
  const Inputs other = {{"ids", {Tensor::of<std::int64_t>({1, 3}, {7, 8, 9}), {}}},
                        {"rows", {Tensor::of<float>({1, 3, 2}, {5, 6, 7, 8, 9, 10}), {}}},
                        {"past", {Tensor::zeros(DType::kF32, {1, 3, 0, 4}), {}}},
                        {"flag", {Tensor::of<bool>({1}, {true}), {}}}};
  const Inputs batch = padded_batch(session, {&one, &other});
  EXPECT_THAT(batch.at("ids").tensor.to_i64(), ElementsAre(5, 6, 0, 7, 8, 9));
  EXPECT_EQ(batch.at("ids").tensor.shape(), Shape({2, 3}));
  EXPECT_THAT(batch.at("rows").tensor.to_f64(), ElementsAre(1, 2, 3, 4, 0, 0, 5, 6, 7, 8, 9, 10));
  EXPECT_EQ(batch.at("past").tensor.shape(), Shape({2, 3, 0, 4}));
  EXPECT_EQ(batch.at("flag").tensor.shape(), Shape({1}));
  EXPECT_NE(batch.at("ids").version, batch.at("rows").version);
}

TEST(PaddedBatch, LikeLengthsGoTogether) {
  EXPECT_THAT(batches_of({30, 100, 20, 41, 25, 90}, 1000),
              ElementsAre(ElementsAre(2, 4, 0), ElementsAre(3), ElementsAre(5, 1)));
  EXPECT_THAT(batches_of({10, 10, 10}, 20), ElementsAre(ElementsAre(0, 1), ElementsAre(2)));
  EXPECT_THAT(batches_of({50}, 20), ElementsAre(ElementsAre(0)));
  EXPECT_TRUE(batches_of({}, 20).empty());
}

}  // namespace
}  // namespace retune
