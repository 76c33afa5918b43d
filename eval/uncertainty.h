// How far a rate can be trusted (methods.md 8.9). Rates are shares in [0, 1].
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "tensor/rng.h"

namespace retune {

struct Interval {
  double low = 0;
  double high = 1;

  friend bool operator==(const Interval&, const Interval&) = default;
};

// Wilson's score interval for `successes` of `items` at 95 % (z = 1.959964): centre (p + z²/2n)/(1 + z²/n), half-width
// z/(1 + z²/n)·sqrt(p(1-p)/n + z²/4n²). Independent items assumed. items > 0.
Interval wilson_interval(std::int64_t successes, std::int64_t items);

// Items that must be drawn together (an edit's probes, a clip's, a sequence's): their sum and number.
struct ClusterTotal {
  double sum = 0;
  std::int64_t items = 0;
};

// Totals of `values` by `clusters` (same length), in order of first appearance.
std::vector<ClusterTotal> cluster_totals(std::span<const double> values, std::span<const std::string> clusters);

// Percentile interval (2.5, 97.5; linear between order statistics) of the mean over items when clusters are drawn with
// replacement `samples` times. Absent for fewer than two clusters, of which it would say nothing.
std::optional<Interval> cluster_bootstrap(std::span<const ClusterTotal> clusters, int samples, Rng rng);

// Difference of two means over the same items, b - a, clusters drawn together. `differences` holds sums of b - a per
// cluster.
struct PairedBootstrap {
  double difference = 0;
  std::optional<Interval> interval;
  // Two-sided: twice the smaller share of resamples on either side of 0, each share (1 + count)/(1 + samples), at
  // most 1.
  double p_value = 1;
};
PairedBootstrap paired_bootstrap(std::span<const ClusterTotal> differences, int samples, Rng rng);

// Exact two-sided McNemar test of discordant pairs: `only_a` right in a alone, `only_b` in b alone. 1 if there are
// none. Ignores clusters: with several probes an edit it is too sure.
double mcnemar_exact(std::int64_t only_a, std::int64_t only_b);

// Holm's step-down adjusted p-values, in the order given.
std::vector<double> holm(std::span<const double> p_values);

}  // namespace retune
