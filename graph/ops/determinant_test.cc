#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>
#include <vector>

#include "graph/op_case.h"

namespace retune {
namespace {

// Leibniz: the signed sum over all permutations.
double leibniz(const double* m, std::int64_t n) {
  std::vector<std::int64_t> order(static_cast<std::size_t>(n));
  std::iota(order.begin(), order.end(), 0);
  double sum = 0;
  do {
    double product = 1;
    for (std::int64_t i = 0; i < n; ++i) {
      product *= m[i * n + order[static_cast<std::size_t>(i)]];
      for (std::int64_t j = 0; j < i; ++j)
        if (order[static_cast<std::size_t>(j)] > order[static_cast<std::size_t>(i)]) product = -product;
    }
    sum += product;
  } while (std::next_permutation(order.begin(), order.end()));
  return sum;
}

void determines(const Tensor& x) {
  check({.op = "Det",
         .inputs = {x},
         .reference =
             [](const std::vector<Tensor>& in) {
               const Shape& shape = in[0].shape();
               const std::int64_t n = shape.back();
               Tensor y = Tensor::zeros(DType::kF64, Shape(std::vector<std::int64_t>(shape.begin(), shape.end() - 2)));
               for (std::int64_t i = 0; i < y.numel(); ++i)
                 y.mutable_data<double>()[i] = leibniz(in[0].data<double>() + i * n * n, n);
               return std::vector<Tensor>{y};
             },
         .gradients = {0}});
}

TEST(Det, IsTheSumOverPermutations) {
  determines(random_f64({1, 1}, 1));
  determines(random_f64({3, 3}, 2));
  determines(random_f64({2, 2, 4, 4}, 3));
  determines(random_f64({0, 2, 2}, 4));
}

TEST(Det, OfASingularMatrixHasASlope) {
  determines(Tensor::of<double>({3, 3}, {1, 2, 3, 2, 4, 6, 1, 0, 1}));
  determines(Tensor::of<double>({3, 3}, {0, 2, 3, 0, 4, 5, 0, 0, 1}));
}

}  // namespace
}  // namespace retune
