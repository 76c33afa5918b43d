#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "graph/op_case.h"

namespace retune {
namespace {

struct Normal {
  Tensor y, mean, inverse;
};

// Rows of d elements; parameters repeat with their length.
Normal naive(const Tensor& x, std::int64_t d, double epsilon, bool centre, const Tensor& scale, const Tensor& bias,
             const Shape& reduced) {
  Normal n{Tensor::empty(DType::kF64, x.shape()), Tensor::zeros(DType::kF64, reduced),
           Tensor::zeros(DType::kF64, reduced)};
  for (std::int64_t row = 0; row * d < x.numel(); ++row) {
    const double* in = x.data<double>() + row * d;
    double mean = 0, variance = 0;
    for (std::int64_t i = 0; i < d; ++i) mean += in[i] / static_cast<double>(d);
    if (!centre) mean = 0;
    for (std::int64_t i = 0; i < d; ++i) variance += (in[i] - mean) * (in[i] - mean) / static_cast<double>(d);
    const double inverse = 1 / std::sqrt(variance + epsilon);
    n.mean.mutable_data<double>()[row] = mean;
    n.inverse.mutable_data<double>()[row] = inverse;
    for (std::int64_t i = 0; i < d; ++i)
      n.y.mutable_data<double>()[row * d + i] = (in[i] - mean) * inverse * scale.data<double>()[i % scale.numel()] +
                                                (bias.defined() ? bias.data<double>()[i % bias.numel()] : 0);
  }
  return n;
}

TEST(LayerNormalization, NormalisesScalesAndShifts) {
  check({.op = "LayerNormalization",
         .inputs = {random_f64({3, 4, 7}, 1), random_f64({7}, 2), random_f64({7}, 3)},
         .attributes = {{"epsilon", 1e-3}},
         .reference =
             [](const std::vector<Tensor>& in) {
               return std::vector<Tensor>{naive(in[0], 7, 1e-3, true, in[1], in[2], {12}).y};
             },
         .gradients = {0, 1, 2}});
}

TEST(LayerNormalization, GivesItsStatisticsAndWorksWithoutBias) {
  check({.op = "LayerNormalization",
         .inputs = {random_f64({3, 5, 4}, 1), random_f64({5, 4}, 2)},
         .attributes = {{"axis", std::int64_t{1}}},
         .outputs = 3,
         .reference = [](const std::vector<Tensor>& in) {
           Normal n = naive(in[0], 20, 1e-5, true, in[1], {}, {3, 1, 1});
           return std::vector<Tensor>{n.y, n.mean, n.inverse};
         }});
  check({.op = "LayerNormalization",
         .inputs = {random_f64({3, 5, 4}, 1), random_f64({5, 4}, 2)},
         .attributes = {{"axis", std::int64_t{1}}},
         .gradients = {0, 1}});
}

TEST(LayerNormalization, BroadcastsItsParametersOverTheNormalisedAxes) {
  check({.op = "LayerNormalization",
         .inputs = {random_f64({2, 3, 4}, 1), random_f64({4}, 2), random_f64({1}, 3)},
         .attributes = {{"axis", std::int64_t{-2}}},
         .reference =
             [](const std::vector<Tensor>& in) {
               return std::vector<Tensor>{naive(in[0], 12, 1e-5, true, in[1], in[2], {2}).y};
             },
         .gradients = {0, 1, 2}});
}

TEST(LayerNormalization, TakesOddSizesAndNoRows) {
  for (const Shape& shape : {Shape{1, 1}, Shape{65, 33}, Shape{0, 4}}) {
    const std::int64_t d = shape[1];
    check({.op = "LayerNormalization",
           .inputs = {random_f64(shape, 1), random_f64({d}, 2), random_f64({d}, 3)},
           .attributes = {{"epsilon", 0.1}},
           .reference =
               [d](const std::vector<Tensor>& in) {
                 return std::vector<Tensor>{naive(in[0], d, 0.1, true, in[1], in[2], {in[0].shape()[0]}).y};
               },
           .gradients = {0, 1, 2}});
  }
}

TEST(RmsNormalization, DividesByTheRootMeanSquareUnderAllItsNames) {
  for (const auto& [domain, op, version] : {std::tuple{"", "RMSNormalization", 23},
                                            {"", "SimplifiedLayerNormalization", 17},
                                            {"com.microsoft", "SimplifiedLayerNormalization", 1}}) {
    check({.domain = domain,
           .op = op,
           .version = version,
           .inputs = {random_f64({3, 4, 19}, 1), random_f64({19}, 2)},
           .attributes = {{"epsilon", 1e-2}},
           .reference =
               [](const std::vector<Tensor>& in) {
                 return std::vector<Tensor>{naive(in[0], 19, 1e-2, false, in[1], {}, {12}).y};
               },
           .gradients = {0, 1}});
  }
}

TEST(RmsNormalization, GivesItsInverseDeviation) {
  check({.op = "SimplifiedLayerNormalization",
         .inputs = {random_f64({3, 4}, 1), random_f64({4}, 2)},
         .outputs = 2,
         .reference = [](const std::vector<Tensor>& in) {
           Normal n = naive(in[0], 4, 1e-5, false, in[1], {}, {3, 1});
           return std::vector<Tensor>{n.y, n.inverse};
         }});
}

TEST(Normalization, BytesOfALargeCaseDoNotDependOnThreads) {
  for (const char* op : {"LayerNormalization", "SimplifiedLayerNormalization"})
    check({.op = op, .inputs = {random_f64({700, 192}, 1), random_f64({192}, 2)}, .gradients = {0, 1}});
}

Tensor sum_of(const Tensor& x, const Tensor& skip, const Tensor& bias) {
  Tensor sum = x.copy();
  for (std::int64_t i = 0; i < x.numel(); ++i)
    sum.mutable_data<double>()[i] +=
        skip.data<double>()[i % skip.numel()] + (bias.defined() ? bias.data<double>()[i % bias.numel()] : 0);
  return sum;
}

TEST(SkipSimplifiedLayerNormalization, NormalisesTheSumAndGivesIt) {
  for (const Shape& skip : {Shape{2, 3, 5}, Shape{1, 3, 5}, Shape{3, 5}}) {
    for (const bool biased : {false, true}) {
      OpCase test{.domain = "com.microsoft",
                  .op = "SkipSimplifiedLayerNormalization",
                  .version = 1,
                  .inputs = {random_f64({2, 3, 5}, 1), random_f64(skip, 2), random_f64({5}, 3)},
                  .attributes = {{"epsilon", 1e-3}},
                  .reference =
                      [](const std::vector<Tensor>& in) {
                        const Tensor sum = sum_of(in[0], in[1], in.size() > 3 ? in[3] : Tensor());
                        return std::vector<Tensor>{naive(sum, 5, 1e-3, false, in[2], {}, {6}).y};
                      },
                  .gradients = {0, 1, 2}};
      if (biased) {
        test.inputs.push_back(random_f64({5}, 4));
        test.gradients.push_back(3);
      }
      check(test);
    }
  }
}

TEST(SkipSimplifiedLayerNormalization, ItsSumCarriesItsOwnGradient) {
  // Outputs 1 and 2 are f32 statistics, which the checker leaves out of its loss; output 3, the sum, joins it.
  check({.domain = "com.microsoft",
         .op = "SkipSimplifiedLayerNormalization",
         .version = 1,
         .inputs = {random_f64({2, 3, 5}, 1), random_f64({2, 3, 5}, 2), random_f64({5}, 3)},
         .attributes = {{"epsilon", 1e-3}},
         .outputs = 4,
         .gradients = {0, 1, 2}});
}

TEST(SkipLayerNormalization, NormalisesTheSumWithBetaAndBias) {
  check({.domain = "com.microsoft",
         .op = "SkipLayerNormalization",
         .version = 1,
         .inputs = {random_f64({2, 3, 5}, 1), random_f64({3, 5}, 2), random_f64({5}, 3), random_f64({5}, 4),
                    random_f64({5}, 5)},
         .attributes = {{"epsilon", 1e-3}},
         .reference =
             [](const std::vector<Tensor>& in) {
               return std::vector<Tensor>{naive(sum_of(in[0], in[1], in[4]), 5, 1e-3, true, in[2], in[3], {6}).y};
             },
         .gradients = {0, 1, 2, 3, 4}});
  check({.domain = "com.microsoft",
         .op = "SkipLayerNormalization",
         .version = 1,
         .inputs = {random_f64({2, 3, 5}, 1), random_f64({2, 3, 5}, 2), random_f64({5}, 3)},
         .reference =
             [](const std::vector<Tensor>& in) {
               return std::vector<Tensor>{naive(sum_of(in[0], in[1], {}), 5, 1e-12, true, in[2], {}, {6}).y};
             },
         .gradients = {0, 1, 2}});
}

}  // namespace
}  // namespace retune
