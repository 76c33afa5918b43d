#include "eval/uncertainty.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "tensor/error.h"

namespace retune {
namespace {

std::vector<ClusterTotal> singles(int successes, int items) {
  std::vector<ClusterTotal> clusters;
  for (int i = 0; i < items; ++i) clusters.push_back({i < successes ? 1.0 : 0.0, 1});
  return clusters;
}

TEST(Uncertainty, WilsonAgreesWithPublishedIntervals) {
  // Brown, Cai and DasGupta 2001, and the half-widths of methods.md 8.9.
  EXPECT_NEAR(wilson_interval(5, 10).low, 0.2366, 5e-5);
  EXPECT_NEAR(wilson_interval(5, 10).high, 0.7634, 5e-5);
  EXPECT_NEAR((wilson_interval(150, 300).high - wilson_interval(150, 300).low) / 2, 0.056, 5e-4);
  EXPECT_NEAR((wilson_interval(25, 50).high - wilson_interval(25, 50).low) / 2, 0.134, 5e-4);
}

TEST(Uncertainty, WilsonSolvesTheScoreEquation) {
  // The bounds are the p for which |p̂ - p| = z·sqrt(p(1-p)/n).
  constexpr double kZ = 1.959963984540054;
  for (const auto& [k, n] : {std::pair(3, 17), std::pair(99, 100), std::pair(1, 1200)}) {
    const Interval interval = wilson_interval(k, n);
    const double rate = static_cast<double>(k) / n;
    for (const double p : {interval.low, interval.high}) {
      EXPECT_NEAR(std::abs(rate - p), kZ * std::sqrt(p * (1 - p) / n), 1e-12);
    }
  }
  EXPECT_EQ(wilson_interval(0, 10).low, 0);
  EXPECT_NEAR(wilson_interval(0, 10).high, kZ * kZ / (10 + kZ * kZ), 1e-12);
  EXPECT_EQ(wilson_interval(10, 10).high, 1);
  EXPECT_THROW(wilson_interval(0, 0), Error);
}

// Smallest k with P(Binomial(n, p) <= k) >= share.
int binomial_quantile(int n, double p, double share) {
  double probability = std::pow(1 - p, n);
  double cumulative = probability;
  int k = 0;
  while (cumulative < share) {
    probability *= static_cast<double>(n - k) / (k + 1) * p / (1 - p);
    cumulative += probability;
    ++k;
  }
  return k;
}

TEST(Uncertainty, TheBootstrapOfSingleItemsIsBinomial) {
  const std::vector<ClusterTotal> clusters = singles(30, 100);
  const Interval interval = *cluster_bootstrap(clusters, 20000, Rng(7));
  // With 20,000 resamples an order statistic is off by at most one item.
  EXPECT_NEAR(interval.low, binomial_quantile(100, 0.3, 0.025) / 100.0, 0.0101);
  EXPECT_NEAR(interval.high, binomial_quantile(100, 0.3, 0.975) / 100.0, 0.0101);
}

TEST(Uncertainty, ClustersAreDrawnWhole) {
  const std::vector<ClusterTotal> two = {{0, 1}, {1, 1}};  // means 0, 1/2, 1 with 1/4, 1/2, 1/4
  EXPECT_EQ(*cluster_bootstrap(two, 1000, Rng(1)), (Interval{0, 1}));

  // Ten equal items a cluster bring no more certainty than one.
  std::vector<ClusterTotal> tenfold = singles(30, 100);
  for (ClusterTotal& cluster : tenfold) cluster = {cluster.sum * 10, cluster.items * 10};
  EXPECT_EQ(*cluster_bootstrap(tenfold, 1000, Rng(3)), *cluster_bootstrap(singles(30, 100), 1000, Rng(3)));

  // Items, not clusters, are averaged: {1 of 1, 0 of 3} drawn together gives 1/4.
  const std::vector<ClusterTotal> uneven(50, ClusterTotal{1, 4});
  EXPECT_EQ(*cluster_bootstrap(uneven, 100, Rng(2)), (Interval{0.25, 0.25}));
}

TEST(Uncertainty, OneClusterSaysNothing) {
  const std::vector<ClusterTotal> one = {{3, 10}};
  EXPECT_FALSE(cluster_bootstrap(one, 1000, Rng(1)).has_value());
  EXPECT_FALSE(cluster_bootstrap({}, 1000, Rng(1)).has_value());
  EXPECT_FALSE(cluster_bootstrap(singles(1, 2), 0, Rng(1)).has_value());
}

TEST(Uncertainty, TheSameSeedGivesTheSameInterval) {
  EXPECT_EQ(*cluster_bootstrap(singles(40, 90), 500, Rng(5)), *cluster_bootstrap(singles(40, 90), 500, Rng(5)));
}

TEST(Uncertainty, TotalsKeepTheOrderOfFirstAppearance) {
  const std::vector<double> values = {1, 0, 1, 1};
  const std::vector<std::string> clusters = {"b", "a", "b", "c"};
  const std::vector<ClusterTotal> totals = cluster_totals(values, clusters);
  ASSERT_EQ(totals.size(), 3u);
  EXPECT_EQ(totals[0].sum, 2);
  EXPECT_EQ(totals[0].items, 2);
  EXPECT_EQ(totals[1].sum, 0);
}

TEST(Uncertainty, PairedBootstrapSeesADifferenceThatIsThere) {
  // 20 of 100 pairs gain, none loses: the resampled difference is Binomial(100, 0.2)/100, never 0 in practice.
  const PairedBootstrap gain = paired_bootstrap(singles(20, 100), 10000, Rng(1));
  EXPECT_DOUBLE_EQ(gain.difference, 0.2);
  EXPECT_NEAR(gain.interval->low, binomial_quantile(100, 0.2, 0.025) / 100.0, 0.0101);
  EXPECT_NEAR(gain.p_value, 2.0 / 10001, 1e-12);

  const std::vector<ClusterTotal> nothing(30, ClusterTotal{0, 1});
  EXPECT_EQ(paired_bootstrap(nothing, 1000, Rng(1)).p_value, 1);
  EXPECT_EQ(paired_bootstrap({}, 1000, Rng(1)).p_value, 1);
}

TEST(Uncertainty, McNemarIsTheExactBinomialTest) {
  EXPECT_NEAR(mcnemar_exact(0, 5), 2.0 / 32, 1e-12);
  EXPECT_NEAR(mcnemar_exact(9, 1), 2.0 * 11 / 1024, 1e-12);
  EXPECT_EQ(mcnemar_exact(4, 4), 1);
  EXPECT_EQ(mcnemar_exact(0, 0), 1);
  EXPECT_NEAR(mcnemar_exact(4, 5), 1, 1e-12);
  EXPECT_LT(mcnemar_exact(0, 5000), 1e-300);
  EXPECT_NEAR(mcnemar_exact(4900, 5100), std::erfc(199 / std::sqrt(10000.0) / std::sqrt(2.0)), 1e-3)
      << "the normal limit";
}

TEST(Uncertainty, HolmStepsDown) {
  const std::vector<double> p = {0.01, 0.04, 0.03, 0.005};
  EXPECT_THAT(holm(p), testing::ElementsAre(testing::DoubleEq(0.03), testing::DoubleEq(0.06), testing::DoubleEq(0.06),
                                            testing::DoubleEq(0.02)));
  EXPECT_THAT(holm(std::vector<double>{0.6, 0.7}), testing::ElementsAre(1, 1));
  EXPECT_TRUE(holm({}).empty());
}

}  // namespace
}  // namespace retune
