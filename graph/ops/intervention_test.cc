#include <gtest/gtest.h>

#include <vector>

#include "graph/op_case.h"

namespace retune {
namespace {

Tensor rows(const std::vector<std::int64_t>& values) { return Tensor::vector(values); }

std::vector<Tensor> naive(const std::vector<Tensor>& in, bool add) {
  Tensor y = in[0].copy();
  const std::int64_t d = y.shape().back();
  std::vector<std::int64_t> chosen = in[2].to_i64();
  if (chosen.empty())
    for (std::int64_t i = 0; i < y.numel() / d; ++i) chosen.push_back(i);
  for (std::size_t r = 0; r < chosen.size(); ++r) {
    for (std::int64_t i = 0; i < d; ++i) {
      const double delta = in[1].data<double>()[in[1].shape().rank() == 2 ? static_cast<std::int64_t>(r) * d + i : i];
      double& value = y.mutable_data<double>()[chosen[r] * d + i];
      value = add ? value + delta : delta;
    }
  }
  return {y};
}

void check_rows(const char* op, Shape x, Shape delta, const std::vector<std::int64_t>& chosen) {
  const bool add = std::string(op) == "AddRows";
  check({.domain = "retune",
         .op = op,
         .version = 1,
         .inputs = {random_f64(std::move(x), 1), random_f64(std::move(delta), 2), rows(chosen)},
         .constants = {2},
         .reference = [add](const std::vector<Tensor>& in) { return naive(in, add); },
         .gradients = {0, 1}});
}

TEST(AddRows, AddsAVectorOrAVectorARow) {
  check_rows("AddRows", {2, 3, 4}, {4}, {5, 0});
  check_rows("AddRows", {2, 3, 4}, {2, 4}, {5, 0});
  check_rows("AddRows", {6, 4}, {4}, {2});
  check_rows("AddRows", {4}, {4}, {0});
}

TEST(AddRows, AddsTwiceWhereARowIsNamedTwice) { check_rows("AddRows", {3, 4}, {3, 4}, {1, 1, 2}); }

TEST(ReplaceRows, ReplacesByAVectorOrAVectorARow) {
  check_rows("ReplaceRows", {2, 3, 4}, {4}, {5, 0});
  check_rows("ReplaceRows", {2, 3, 4}, {2, 4}, {5, 0});
}

TEST(Interventions, NoRowsMeansEveryRow) {
  check_rows("AddRows", {2, 3, 4}, {4}, {});
  check_rows("AddRows", {2, 3, 4}, {6, 4}, {});
  check_rows("ReplaceRows", {2, 3, 4}, {4}, {});
}

TEST(Interventions, BytesOfALargeSumDoNotDependOnThreads) {
  check_rows("AddRows", {400, 65}, {65}, {});
  check_rows("ReplaceRows", {400, 65}, {65}, {});
}

}  // namespace
}  // namespace retune
