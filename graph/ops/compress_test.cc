#include <gtest/gtest.h>

#include <vector>

#include "graph/op_case.h"

namespace retune {
namespace {

TEST(Compress, KeepsTheSlicesWhoseConditionHolds) {
  check({.op = "Compress",
         .inputs = {random_f64({2, 4, 3}, 1), Tensor::of<bool>({3}, {true, false, true})},
         .constants = {1},
         .attributes = {{"axis", std::int64_t{1}}},
         .reference =
             [](const std::vector<Tensor>& in) {
               std::vector<double> y;
               for (std::int64_t o = 0; o < 2; ++o)
                 for (const std::int64_t k : {0, 2})
                   for (std::int64_t i = 0; i < 3; ++i) y.push_back(in[0].data<double>()[(o * 4 + k) * 3 + i]);
               return std::vector<Tensor>{Tensor::of<double>({2, 2, 3}, y)};
             },
         .gradients = {0}});
}

TEST(Compress, FlattensWithoutAnAxis) {
  check({.op = "Compress",
         .inputs = {random_f64({2, 3}, 1), Tensor::of<bool>({5}, {false, true, false, false, true})},
         .constants = {1},
         .reference =
             [](const std::vector<Tensor>& in) {
               return std::vector<Tensor>{Tensor::of<double>({2}, {in[0].data<double>()[1], in[0].data<double>()[4]})};
             },
         .gradients = {0}});
  check({.op = "Compress",
         .inputs = {random_f64({2, 3}, 1), Tensor::of<bool>({1}, {false})},
         .constants = {1},
         .gradients = {0}});
}

TEST(NonZero, ListsCoordinatesInRowMajorOrder) {
  check({.op = "NonZero",
         .inputs = {Tensor::of<float>({2, 3}, {0.0f, 1.5f, -0.0f, -2.0f, 0.0f, 3.0f})},
         .constants = {0},
         .reference = [](const std::vector<Tensor>&) {
           return std::vector<Tensor>{Tensor::of<std::int64_t>({2, 3}, {0, 1, 1, 1, 0, 2})};
         }});
  check({.op = "NonZero",
         .inputs = {Tensor::of<bool>({3}, {false, false, false})},
         .constants = {0},
         .reference = [](const std::vector<Tensor>&) {
           return std::vector<Tensor>{Tensor::of<std::int64_t>({1, 0}, {})};
         }});
}

TEST(OneHot, MarksTheIndexOnTheNewAxis) {
  for (const std::int64_t axis : {-1, 0, 1}) {
    check({.op = "OneHot",
           .inputs = {Tensor::of<std::int64_t>({3}, {1, -1, 7}), Tensor::of<std::int64_t>({}, {4}),
                      Tensor::of<float>({2}, {0.5f, 2.0f})},
           .constants = {1},
           .attributes = {{"axis", axis}},
           .reference = [axis](const std::vector<Tensor>&) {
             // Index 7 is out of range: nothing is marked.
             Tensor y = Tensor::empty(DType::kF32, axis == 0 ? Shape{4, 3} : Shape{3, 4});
             for (std::int64_t i = 0; i < 3; ++i)
               for (std::int64_t k = 0; k < 4; ++k)
                 y.mutable_data<float>()[axis == 0 ? k * 3 + i : i * 4 + k] =
                     (i == 0 && k == 1) || (i == 1 && k == 3) ? 2.0f : 0.5f;
             return std::vector<Tensor>{y};
           }});
  }
}

}  // namespace
}  // namespace retune
