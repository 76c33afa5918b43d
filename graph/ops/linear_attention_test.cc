#include <gtest/gtest.h>

#include <cmath>
#include <string>
#include <vector>

#include "graph/op_case.h"

namespace retune {
namespace {

struct Setting {
  std::string rule;
  std::int64_t queries = 2, heads = 2, decay = 0, beta = 0;  // widths of the last two's last axis a head, 0: absent
  bool past = true;
};

constexpr std::int64_t kBatch = 2, kSteps = 3, kKeys = 2, kValues = 3;

// The recurrence as it is written, an element at a time.
std::vector<Tensor> loop(const Setting& s, double scale, const std::vector<Tensor>& in) {
  Tensor y = Tensor::zeros(DType::kF64, {kBatch, kSteps, s.queries * kValues});
  Tensor states = s.past ? in[3].copy() : Tensor::zeros(DType::kF64, {kBatch, s.heads, kKeys, kValues});
  for (std::int64_t b = 0; b < kBatch; ++b)
    for (std::int64_t h = 0; h < s.heads; ++h) {
      double* state = states.mutable_data<double>() + (b * s.heads + h) * kKeys * kValues;
      for (std::int64_t t = 0; t < kSteps; ++t) {
        const std::int64_t row = b * kSteps + t;
        const double *k = in[1].data<double>() + (row * s.heads + h) * kKeys,
                     *v = in[2].data<double>() + (row * s.heads + h) * kValues;
        if (s.decay != 0)
          for (std::int64_t i = 0; i < kKeys; ++i)
            for (std::int64_t j = 0; j < kValues; ++j)
              state[i * kValues + j] *= std::exp(in[4].data<double>()[(row * s.heads + h) * s.decay + i % s.decay]);
        double u[kValues];
        for (std::int64_t j = 0; j < kValues; ++j) {
          u[j] = v[j];
          if (s.beta == 0) continue;
          for (std::int64_t i = 0; i < kKeys; ++i) u[j] -= k[i] * state[i * kValues + j];
          u[j] *= in[5].data<double>()[row * s.beta + h % s.beta];
        }
        for (std::int64_t i = 0; i < kKeys; ++i)
          for (std::int64_t j = 0; j < kValues; ++j) state[i * kValues + j] += k[i] * u[j];
        const std::int64_t group = s.queries / s.heads;
        for (std::int64_t q = h * group; q < (h + 1) * group; ++q)
          for (std::int64_t i = 0; i < kKeys; ++i)
            for (std::int64_t j = 0; j < kValues; ++j)
              y.mutable_data<double>()[(row * s.queries + q) * kValues + j] +=
                  scale * in[0].data<double>()[(row * s.queries + q) * kKeys + i] * state[i * kValues + j];
      }
    }
  return {y, states};
}

void attends(const Setting& s, double scale = 0) {
  std::vector<Tensor> inputs{random_f64({kBatch, kSteps, s.queries * kKeys}, 1),
                             random_f64({kBatch, kSteps, s.heads * kKeys}, 2),
                             random_f64({kBatch, kSteps, s.heads * kValues}, 3),
                             s.past ? random_f64({kBatch, s.heads, kKeys, kValues}, 4) : Tensor(),
                             s.decay != 0 ? random_f64({kBatch, kSteps, s.heads * s.decay}, 5, -1, 0) : Tensor(),
                             s.beta != 0 ? random_f64({kBatch, kSteps, s.beta}, 6, 0, 1) : Tensor()};
  std::vector<int> gradients;
  for (int i = 0; i < 6; ++i)
    if (inputs[static_cast<std::size_t>(i)].defined()) gradients.push_back(i);
  for (const bool microsoft : {false, true})
    check({.domain = microsoft ? "com.microsoft" : "",
           .op = "LinearAttention",
           .version = microsoft ? 1 : 27,
           .inputs = inputs,
           .attributes =
               {{"update_rule", s.rule}, {"q_num_heads", s.queries}, {"kv_num_heads", s.heads}, {"scale", scale}},
           .outputs = 2,
           .reference =
               [=](const std::vector<Tensor>& in) {
                 return loop(s, scale == 0 ? 1 / std::sqrt(static_cast<double>(kKeys)) : scale, in);
               },
           .gradients = gradients});
}

TEST(LinearAttention, FollowsItsRecurrence) {
  attends({.rule = "linear"});
  attends({.rule = "gated", .queries = 4, .decay = 1, .past = false});
  attends({.rule = "gated", .decay = kKeys}, 0.7);
  attends({.rule = "delta", .beta = 1});
  attends({.rule = "gated_delta", .queries = 4, .decay = kKeys, .beta = 2});
}

// The same on heads that stand apart, as the body calls it.
TEST(LinearAttention, OfHeadsApart) {
  const Setting s{.rule = "gated_delta", .decay = kKeys, .beta = 2};
  check({.domain = "retune",
         .op = "LinearAttention",
         .version = 1,
         .inputs = {random_f64({kBatch, kSteps, 2, kKeys}, 1), random_f64({kBatch, kSteps, 2, kKeys}, 2),
                    random_f64({kBatch, kSteps, 2, kValues}, 3), random_f64({kBatch, 2, kKeys, kValues}, 4),
                    random_f64({kBatch, kSteps, 2, kKeys}, 5, -1, 0), random_f64({kBatch, kSteps, 2}, 6, 0, 1)},
         .attributes = {{"scale", 0.7}},
         .outputs = 2,
         .reference =
             [s](const std::vector<Tensor>& in) {
               std::vector<Tensor> out = loop(s, 0.7, in);
               out[0] = out[0].reshaped({kBatch, kSteps, 2, kValues});
               return out;
             },
         .gradients = {0, 1, 2, 3, 4, 5}});
}

TEST(CausalConvWithState, SeesItsPast) {
  for (const bool past : {false, true})
    for (const bool active : {false, true}) {
      std::vector<Tensor> inputs{random_f64({2, 3, 4}, 1), random_f64({3, 1, 3}, 2), random_f64({3}, 3)};
      if (past) inputs.push_back(random_f64({2, 3, 2}, 4));
      for (const bool microsoft : {false, true})
        check({.domain = microsoft ? "com.microsoft" : "",
               .op = "CausalConvWithState",
               .version = microsoft ? 1 : 27,
               .inputs = inputs,
               .attributes = {{"activation", std::string(active ? "silu" : "none")}},
               .outputs = 2,
               .reference =
                   [=](const std::vector<Tensor>& in) {
                     Tensor y = Tensor::zeros(DType::kF64, {2, 3, 4}), present = Tensor::zeros(DType::kF64, {2, 3, 2});
                     for (std::int64_t row = 0; row < 6; ++row) {
                       double all[6] = {};
                       for (std::int64_t t = 0; t < 6; ++t)
                         all[t] = t >= 2 ? in[0].data<double>()[row * 4 + t - 2]
                                  : past ? in[3].data<double>()[row * 2 + t]
                                         : 0;
                       for (std::int64_t t = 0; t < 4; ++t) {
                         double sum = in[2].data<double>()[row % 3];
                         for (std::int64_t k = 0; k < 3; ++k) sum += in[1].data<double>()[row % 3 * 3 + k] * all[t + k];
                         y.mutable_data<double>()[row * 4 + t] = active ? sum / (1 + std::exp(-sum)) : sum;
                       }
                       for (std::int64_t t = 0; t < 2; ++t) present.mutable_data<double>()[row * 2 + t] = all[4 + t];
                     }
                     return std::vector<Tensor>{y, present};
                   },
               .gradients = past ? std::vector<int>{0, 1, 2, 3} : std::vector<int>{0, 1, 2}});
    }
}

}  // namespace
}  // namespace retune
