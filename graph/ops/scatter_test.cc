#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "graph/op_case.h"

namespace retune {
namespace {

Tensor indices(Shape shape, const std::vector<std::int64_t>& values) {
  return Tensor::of<std::int64_t>(std::move(shape), values);
}

double join(const std::string& reduction, double old, double update) {
  if (reduction == "add") return old + update;
  if (reduction == "mul") return old * update;
  if (reduction == "min") return std::min(old, update);
  if (reduction == "max") return std::max(old, update);
  return update;
}

// Rows of data [N, D] named by indices [K, 1].
std::vector<Tensor> scatter_rows(const std::vector<Tensor>& in, const std::string& reduction) {
  Tensor y = in[0].copy();
  const std::int64_t n = y.shape()[0], d = y.shape()[1];
  for (std::int64_t k = 0; k < in[1].shape()[0]; ++k) {
    const std::int64_t index = in[1].data<std::int64_t>()[k], row = index < 0 ? index + n : index;
    for (std::int64_t i = 0; i < d; ++i) {
      double& value = y.mutable_data<double>()[row * d + i];
      value = join(reduction, value, in[2].data<double>()[k * d + i]);
    }
  }
  return {y};
}

TEST(ScatterND, ReplacesSlices) {
  check({.op = "ScatterND",
         .inputs = {random_f64({5, 3}, 1), indices({2, 1}, {4, -4}), random_f64({2, 3}, 2)},
         .reference = [](const std::vector<Tensor>& in) { return scatter_rows(in, "none"); },
         .gradients = {0, 2}});
  check({.op = "ScatterND",
         .inputs = {random_f64({5, 3}, 1), indices({0, 1}, {}), random_f64({0, 3}, 2)},
         .gradients = {0, 2}});
}

TEST(ScatterND, ReplacesSingleElementsByFullCoordinates) {
  check({.op = "ScatterND",
         .inputs = {random_f64({2, 3, 2}, 1), indices({2, 3}, {1, 2, 0, 0, -1, 1}), random_f64({2}, 2)},
         .reference =
             [](const std::vector<Tensor>& in) {
               Tensor y = in[0].copy();
               y.mutable_data<double>()[10] = in[2].data<double>()[0];
               y.mutable_data<double>()[5] = in[2].data<double>()[1];
               return std::vector<Tensor>{y};
             },
         .gradients = {0, 2}});
}

TEST(ScatterND, JoinsRepeatedUpdatesInOrder) {
  for (const std::string reduction : {"add", "mul", "min", "max"}) {
    OpCase test{.op = "ScatterND",
                .version = 18,
                .inputs = {random_f64({5, 3}, 1), indices({4, 1}, {4, 1, 4, 4}), random_f64({4, 3}, 2)},
                .attributes = {{"reduction", reduction}},
                .reference = [reduction](const std::vector<Tensor>& in) { return scatter_rows(in, reduction); }};
    if (reduction == "add") test.gradients = {0, 2};
    check(test);
  }
}

TEST(ScatterND, BytesOfALargeSumDoNotDependOnThreads) {
  std::vector<std::int64_t> rows;
  for (std::int64_t i = 0; i < 2000; ++i) rows.push_back(i * i % 53);
  check({.op = "ScatterND",
         .inputs = {random_f64({53, 33}, 1), indices({2000, 1}, rows), random_f64({2000, 33}, 2)},
         .attributes = {{"reduction", std::string("add")}},
         .reference = [](const std::vector<Tensor>& in) { return scatter_rows(in, "add"); },
         .gradients = {0, 2}});
}

TEST(ScatterElements, ReplacesOrJoinsElementsAlongAnAxis) {
  for (const std::int64_t axis : {0, 1}) {
    for (const std::string reduction : {"none", "add", "mul", "min", "max"}) {
      // Without repeats where replacing leaves the result open.
      const Tensor index =
          reduction == "none" ? indices({2, 3}, {0, 1, -1, 1, 2, 0}) : indices({2, 3}, {0, 0, -1, 0, 0, 2});
      OpCase test{.op = "ScatterElements",
                  .version = 18,
                  .inputs = {random_f64({3, 4}, 1), index, random_f64({2, 3}, 2)},
                  .attributes = {{"axis", axis}, {"reduction", reduction}},
                  .reference = [axis, reduction](const std::vector<Tensor>& in) {
                    Tensor y = in[0].copy();
                    for (std::int64_t i = 0; i < 2; ++i) {
                      for (std::int64_t j = 0; j < 3; ++j) {
                        std::int64_t at = in[1].data<std::int64_t>()[i * 3 + j];
                        if (at < 0) at += axis == 0 ? 3 : 4;
                        double& value = y.mutable_data<double>()[axis == 0 ? at * 4 + j : i * 4 + at];
                        value = join(reduction, value, in[2].data<double>()[i * 3 + j]);
                      }
                    }
                    return std::vector<Tensor>{y};
                  }};
      if (reduction == "none" || reduction == "add") test.gradients = {0, 2};
      check(test);
    }
  }
}

TEST(ScatterElements, JoinsIntegersToo) {
  check({.op = "ScatterElements",
         .inputs = {Tensor::of<std::int32_t>({3}, {1, 2, 3}), indices({2}, {2, 2}),
                    Tensor::of<std::int32_t>({2}, {10, 20})},
         .attributes = {{"reduction", std::string("add")}},
         .reference = [](const std::vector<Tensor>&) {
           return std::vector<Tensor>{Tensor::of<std::int32_t>({3}, {1, 2, 33})};
         }});
}

}  // namespace
}  // namespace retune
