#include <gtest/gtest.h>

#include <vector>

#include "graph/op_case.h"

namespace retune {
namespace {

TEST(Dropout, DoesNothingInADeployedModel) {
  const auto same = [](const std::vector<Tensor>& in) {
    Tensor mask = Tensor::empty(DType::kBool, in[0].shape());
    std::fill_n(mask.mutable_data<bool>(), mask.numel(), true);
    return std::vector<Tensor>{in[0], mask};
  };
  check({.op = "Dropout",
         .version = 10,
         .inputs = {random_f64({2, 3}, 1)},
         .outputs = 2,
         .reference = same,
         .gradients = {0}});
  check({.op = "Dropout",
         .version = 13,
         .inputs = {random_f64({2, 3}, 1), Tensor::scalar<float>(0.7f)},
         .outputs = 2,
         .reference = same,
         .gradients = {0}});
}

// numpy.random.seed(5); numpy.random.uniform(size=6) is 0.222 0.871 0.207 0.919 0.488 0.612.
TEST(Dropout, DropsWhatItsSeedSays) {
  check({.op = "Dropout",
         .version = 13,
         .inputs = {random_f64({2, 3}, 1), Tensor::scalar<double>(0.5), Tensor::scalar<bool>(true)},
         .attributes = {{"seed", std::int64_t{5}}},
         .outputs = 2,
         .reference =
             [](const std::vector<Tensor>& in) {
               const Tensor mask = Tensor::of<bool>({2, 3}, {false, true, false, true, false, true});
               Tensor y = in[0].copy();
               for (std::int64_t i = 0; i < 6; ++i) y.mutable_data<double>()[i] *= mask.data<bool>()[i] ? 2 : 0;
               return std::vector<Tensor>{y, mask};
             },
         .gradients = {0}});
}

}  // namespace
}  // namespace retune
