#include "graph/ops/vector_math.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

namespace retune {
namespace {

// The largest distance from the true value in units of the last place of f32, over a fine grid.
template <class F, class G>
double worst_ulp(F&& fast, G&& exact, double low, double high) {
  constexpr int kPoints = 400000;
  double worst = 0;
  for (int i = 0; i <= kPoints; ++i) {
    const float x = static_cast<float>(low + (high - low) * i / kPoints);
    const double truth = exact(static_cast<double>(x));
    const float rounded = static_cast<float>(truth);
    const double ulp = std::nextafter(std::fabs(rounded), std::numeric_limits<float>::infinity()) - std::fabs(rounded);
    worst = std::max(worst, std::fabs(fast(x) - truth) / ulp);
  }
  return worst;
}

TEST(VectorMath, StaysWithinTwoUnitsInTheLastPlace) {
  EXPECT_LE(worst_ulp([](float x) { return vector_math::exp(x); }, [](double x) { return std::exp(x); }, -87, 88.7),
            2.0);
  EXPECT_LE(worst_ulp([](float x) { return vector_math::exp(x); }, [](double x) { return std::exp(x); }, -1e-3, 1e-3),
            1.0);
  EXPECT_LE(worst_ulp([](float x) { return vector_math::tanh(x); }, [](double x) { return std::tanh(x); }, -10, 10),
            2.0);
  EXPECT_LE(worst_ulp([](float x) { return vector_math::tanh(x); }, [](double x) { return std::tanh(x); }, -1e-4, 1e-4),
            2.0);
  EXPECT_LE(worst_ulp([](float x) { return vector_math::erf(x); }, [](double x) { return std::erf(x); }, -5, 5), 2.0);
  EXPECT_LE(worst_ulp([](float x) { return vector_math::erf(x); }, [](double x) { return std::erf(x); }, -1e-4, 1e-4),
            2.0);
  EXPECT_LE(worst_ulp([](float x) { return vector_math::sigmoid(x); }, [](double x) { return 1 / (1 + std::exp(-x)); },
                      -80, 80),
            3.0);
}

// What cancels in 1 + erf(x / sqrt(2)) must not cancel here.
TEST(VectorMath, TheNormalDistributionIsAccurateInItsLowerTail) {
  for (float x = -12.0f; x <= 12.0f; x += 0.001f) {
    const double truth = 0.5 * std::erfc(-static_cast<double>(x) / std::sqrt(2.0));
    ASSERT_NEAR(vector_math::normal_cdf(x), truth, x < 0 ? 3e-8 : 1.2e-7) << x;
  }
}

TEST(VectorMath, ExtremesAreThoseOfTheStandardLibrary) {
  constexpr float kInf = std::numeric_limits<float>::infinity();
  constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
  EXPECT_EQ(vector_math::exp(0.0f), 1.0f);
  EXPECT_EQ(vector_math::exp(-kInf), 0.0f);
  EXPECT_EQ(vector_math::exp(kInf), kInf);
  EXPECT_EQ(vector_math::exp(89.0f), kInf);
  EXPECT_GT(vector_math::exp(-100.0f), 0.0f);  // subnormal
  EXPECT_TRUE(std::isnan(vector_math::exp(kNan)));
  EXPECT_EQ(vector_math::tanh(kInf), 1.0f);
  EXPECT_EQ(vector_math::tanh(-kInf), -1.0f);
  EXPECT_TRUE(std::isnan(vector_math::tanh(kNan)));
  EXPECT_EQ(vector_math::erf(kInf), 1.0f);
  EXPECT_EQ(vector_math::erf(-kInf), -1.0f);
  EXPECT_TRUE(std::isnan(vector_math::erf(kNan)));
  EXPECT_EQ(vector_math::sigmoid(-kInf), 0.0f);
  EXPECT_EQ(vector_math::sigmoid(kInf), 1.0f);
}

TEST(VectorMath, AnElementHasTheSameBitsWhereverItStandsInALoop) {
  std::vector<float> input(37);
  for (std::size_t i = 0; i < input.size(); ++i) input[i] = 0.31f * static_cast<float>(i) - 5.0f;
  std::vector<float> whole(input.size());
  for (std::size_t i = 0; i < input.size(); ++i) whole[i] = vector_math::erf(input[i]) + vector_math::exp(input[i]);
  for (std::size_t begin = 1; begin < input.size(); ++begin) {
    std::vector<float> part(input.size() - begin);
    for (std::size_t i = 0; i < part.size(); ++i)
      part[i] = vector_math::erf(input[begin + i]) + vector_math::exp(input[begin + i]);
    for (std::size_t i = 0; i < part.size(); ++i) ASSERT_EQ(part[i], whole[begin + i]) << begin << "+" << i;
  }
}

}  // namespace
}  // namespace retune
