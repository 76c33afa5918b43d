#include <gtest/gtest.h>

#include <vector>

#include "graph/op_case.h"

namespace retune {
namespace {

TEST(CumProd, MultipliesAlongAnAxis) {
  for (const bool exclusive : {false, true})
    for (const bool reverse : {false, true}) {
      Tensor x = random_f64({2, 4, 3}, 1, -2, 2);
      x.mutable_data<double>()[3] = x.mutable_data<double>()[9] = x.mutable_data<double>()[16] = 0;
      check({.op = "CumProd",
             .version = 26,
             .inputs = {x, Tensor::scalar<std::int64_t>(-2)},
             .constants = {1},
             .attributes = {{"exclusive", std::int64_t{exclusive}}, {"reverse", std::int64_t{reverse}}},
             .reference =
                 [=](const std::vector<Tensor>& in) {
                   Tensor y = in[0].copy();
                   for (std::int64_t i = 0; i < y.numel(); ++i) {
                     const std::int64_t own = i / 3 % 4;
                     double product = 1;
                     for (std::int64_t t = 0; t < 4; ++t) {
                       const bool before = reverse ? t > own : t < own;
                       if (before || (t == own && !exclusive)) product *= in[0].data<double>()[i + (t - own) * 3];
                     }
                     y.mutable_data<double>()[i] = product;
                   }
                   return std::vector<Tensor>{y};
                 },
             .gradients = {0}});
    }
}

TEST(CumProd, OfIntegersWrapsAround) {
  check({.op = "CumProd",
         .version = 26,
         .inputs = {Tensor::vector<std::int32_t>({3, -2, 1 << 30}), Tensor::scalar<std::int32_t>(0)},
         .reference = [](const std::vector<Tensor>&) {
           return std::vector<Tensor>{Tensor::vector<std::int32_t>({3, -6, static_cast<std::int32_t>(0x80000000)})};
         }});
}

TEST(Hardmax, MarksTheFirstOfTheLargest) {
  const auto marks = [](const std::vector<Tensor>&) {
    return std::vector<Tensor>{Tensor::of<double>({2, 2, 2}, {0, 1, 1, 0, 1, 0, 1, 0})};
  };
  const Tensor x = Tensor::of<double>({2, 2, 2}, {1, 2, 4, 3, 5, 5, 7, 0});
  check({.op = "Hardmax", .version = 13, .inputs = {x}, .reference = marks});
  check({.op = "Hardmax", .version = 13, .inputs = {random_f64({3, 4}, 1)}, .gradients = {0}});
  // Before version 13 all axes behind one are one.
  check({.op = "Hardmax", .version = 11, .inputs = {x}, .reference = [](const std::vector<Tensor>&) {
           return std::vector<Tensor>{Tensor::of<double>({2, 2, 2}, {0, 0, 1, 0, 0, 0, 1, 0})};
         }});
}

}  // namespace
}  // namespace retune
