#include <gtest/gtest.h>

#include <cmath>

#include "graph/op_case.h"

namespace retune {
namespace {

// Values are checked by ONNX's own node tests (conformance_test.cc); here are shapes in f64, gradients and bytes.
TEST(OnnxAttention, HasGradientsThroughHeadsPastAndMask) {
  check({.op = "Attention",
         .version = 23,
         .inputs = {random_f64({2, 3, 8}, 1), random_f64({2, 4, 4}, 2), random_f64({2, 4, 4}, 3)},
         .attributes = {{"q_num_heads", std::int64_t{4}},
                        {"kv_num_heads", std::int64_t{2}},
                        {"is_causal", std::int64_t{1}}},
         .gradients = {0, 1, 2}});
  check({.op = "Attention",
         .version = 23,
         .inputs = {random_f64({1, 2, 3, 4}, 1), random_f64({1, 2, 2, 4}, 2), random_f64({1, 2, 2, 4}, 3),
                    Tensor::of<bool>({3, 5}, {true, true, false, true, true, false, true, true, true, false, true, true,
                                              true, true, true}),
                    random_f64({1, 2, 3, 4}, 5), random_f64({1, 2, 3, 4}, 6)},
         .attributes = {{"softcap", 2.0}, {"scale", 0.7}},
         .outputs = 3,
         .gradients = {0, 1, 2, 4, 5}});
}

TEST(OnnxAttention, GivesItsScoresWithTheirGradient) {
  for (const std::int64_t mode : {0, 1, 2, 3})
    check({.op = "Attention",
           .version = 23,
           .inputs = {random_f64({1, 4, 3, 2}, 1), random_f64({1, 2, 5, 2}, 2), random_f64({1, 2, 5, 2}, 3),
                      random_f64({3, 5}, 4)},
           .attributes = {{"softcap", 2.0}, {"qk_matmul_output_mode", mode}},
           .outputs = 4,
           .gradients = {0, 1, 2}});
}

TEST(OnnxAttention, KeysBeyondTheirLengthsAreNotSeen) {
  check({.op = "Attention",
         .version = 24,
         .inputs = {random_f64({2, 1, 2, 3}, 1),
                    random_f64({2, 1, 4, 3}, 2),
                    random_f64({2, 1, 4, 3}, 3),
                    {},
                    {},
                    {},
                    Tensor::of<std::int64_t>({2}, {4, 2})},
         .attributes = {{"is_causal", std::int64_t{1}}},
         .reference =
             [](const std::vector<Tensor>& in) {
               // The second row has two valid keys; its first query sees the first of them only.
               Tensor y = Tensor::zeros(DType::kF64, {2, 1, 2, 3});
               for (std::int64_t row = 0; row < 4; ++row) {
                 const std::int64_t seen = (row < 2 ? 3 : 1) + row % 2;
                 double sum = 0;
                 for (std::int64_t t = 0; t < seen; ++t) {
                   const std::int64_t key = row / 2 * 4 + t;
                   double score = 0;
                   for (std::int64_t i = 0; i < 3; ++i)
                     score += in[0].data<double>()[row * 3 + i] * in[1].data<double>()[key * 3 + i] / std::sqrt(3.0);
                   sum += std::exp(score);
                   for (std::int64_t i = 0; i < 3; ++i)
                     y.mutable_data<double>()[row * 3 + i] += std::exp(score) * in[2].data<double>()[key * 3 + i];
                 }
                 for (std::int64_t i = 0; i < 3; ++i) y.mutable_data<double>()[row * 3 + i] /= sum;
               }
               return std::vector<Tensor>{y};
             },
         .gradients = {0, 1, 2}});
}

}  // namespace
}  // namespace retune
