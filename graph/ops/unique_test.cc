#include <gtest/gtest.h>

#include <vector>

#include "graph/op_case.h"

namespace retune {
namespace {

using Ints = std::vector<std::int64_t>;

Tensor ints(const Ints& values) { return Tensor::vector<std::int64_t>(values); }

TEST(Unique, FindsDifferentElements) {
  const Tensor x = Tensor::of<std::int64_t>({2, 3}, {4, 1, 4, 3, 1, 1});
  const auto finds = [&](std::int64_t sorted, const std::vector<Tensor>& want) {
    check({.op = "Unique",
           .inputs = {x},
           .attributes = {{"sorted", sorted}},
           .outputs = 4,
           .reference = [want](const std::vector<Tensor>&) { return want; }});
  };
  finds(1, {ints({1, 3, 4}), ints({1, 3, 0}), ints({2, 0, 2, 1, 0, 0}), ints({3, 1, 2})});
  finds(0, {ints({4, 1, 3}), ints({0, 1, 3}), ints({0, 1, 0, 2, 1, 1}), ints({2, 3, 1})});
}

TEST(Unique, FindsDifferentSlices) {
  check({.op = "Unique",
         .inputs = {Tensor::of<float>({2, 3}, {2, 1, 2, 0, 5, 0})},
         .attributes = {{"axis", std::int64_t{1}}},
         .outputs = 4,
         .reference = [](const std::vector<Tensor>&) {
           return std::vector<Tensor>{Tensor::of<float>({2, 2}, {1, 2, 5, 0}), ints({1, 0}), ints({1, 0, 1}),
                                      ints({1, 2})};
         }});
}

TEST(Unique, OfNothingIsNothing) {
  check({.op = "Unique",
         .inputs = {Tensor::zeros(DType::kF32, {0})},
         .outputs = 4,
         .reference = [](const std::vector<Tensor>&) {
           return std::vector<Tensor>{Tensor::zeros(DType::kF32, {0}), ints({}), ints({}), ints({})};
         }});
}

TEST(NonMaxSuppression, PicksTheBestOfOverlappingBoxes) {
  // Boxes 0 and 1 overlap by 0.9 / 1.1, box 2 stands apart; box 3 is box 2 with its corners exchanged.
  const Tensor boxes = Tensor::of<float>({1, 4, 4}, {0, 0, 1, 1, 0, 0.1f, 1, 1.1f, 0, 5, 1, 6, 1, 6, 0, 5});
  const Tensor scores = Tensor::of<float>({1, 2, 4}, {0.7f, 0.9f, 0.5f, 0.5f, 0.2f, 0.1f, 0.3f, 0.4f});
  const auto picks = [&](std::int64_t most, float overlap, float score, const Ints& want) {
    check(
        {.op = "NonMaxSuppression",
         .inputs = {boxes, scores, Tensor::scalar<std::int64_t>(most), Tensor::scalar<float>(overlap),
                    Tensor::scalar<float>(score)},
         .constants = {0, 1, 2, 3, 4},
         .reference = [want](const std::vector<Tensor>&) {
           return std::vector<Tensor>{Tensor::of<std::int64_t>({static_cast<std::int64_t>(want.size()) / 3, 3}, want)};
         }});
  };
  picks(3, 0.5f, 0, {0, 0, 1, 0, 0, 2, 0, 1, 3, 0, 1, 0});
  picks(1, 0.5f, 0.35f, {0, 0, 1, 0, 1, 3});
  picks(0, 0.5f, 0, {});
  picks(9, 0.85f, 0.6f, {0, 0, 1, 0, 0, 0});
}

}  // namespace
}  // namespace retune
