#include "eval/uncertainty.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>

#include "tensor/error.h"

namespace retune {
namespace {

constexpr double kZ95 = 1.959963984540054;

// Uniform in [0, n) from one 32-bit draw (Lemire 2019, "Fast random integer generation in an interval"): resampling is
// nothing but draws, hundreds of millions for a full benchmark. n < 2^32.
std::size_t draw_below(std::uint32_t n, Rng& rng) {
  std::uint64_t product = std::uint64_t{rng.bits()} * n;
  if (static_cast<std::uint32_t>(product) < n) {
    const std::uint32_t unfair = (0 - n) % n;
    while (static_cast<std::uint32_t>(product) < unfair) product = std::uint64_t{rng.bits()} * n;
  }
  return product >> 32;
}

// The mean over items of one resample after another, in the order drawn.
std::vector<double> resampled_means(std::span<const ClusterTotal> clusters, int samples, Rng& rng) {
  std::vector<double> means(static_cast<std::size_t>(samples));
  const auto count = static_cast<std::uint32_t>(clusters.size());
  for (double& mean : means) {
    double sum = 0;
    std::int64_t items = 0;
    for (std::uint32_t i = 0; i < count; ++i) {
      const ClusterTotal& drawn = clusters[draw_below(count, rng)];
      sum += drawn.sum;
      items += drawn.items;
    }
    mean = sum / static_cast<double>(items);
  }
  return means;
}

// Linear between order statistics; `sorted` is not empty.
double percentile(const std::vector<double>& sorted, double share) {
  const double position = share * static_cast<double>(sorted.size() - 1);
  const auto below = static_cast<std::size_t>(position);
  const std::size_t above = std::min(below + 1, sorted.size() - 1);
  return sorted[below] + (position - static_cast<double>(below)) * (sorted[above] - sorted[below]);
}

Interval middle_95(std::vector<double> means) {
  std::sort(means.begin(), means.end());
  return {percentile(means, 0.025), percentile(means, 0.975)};
}

}  // namespace

Interval wilson_interval(std::int64_t successes, std::int64_t items) {
  if (items <= 0 || successes < 0 || successes > items) {
    throw failure("no Wilson interval for {} successes of {} items", successes, items);
  }
  const auto n = static_cast<double>(items);
  const double p = static_cast<double>(successes) / n;
  const double z2 = kZ95 * kZ95;
  const double centre = (p + z2 / (2 * n)) / (1 + z2 / n);
  const double half = kZ95 / (1 + z2 / n) * std::sqrt(p * (1 - p) / n + z2 / (4 * n * n));
  // At 0 and at n successes the bound is exactly 0 or 1; rounding would leave a trace.
  return {successes == 0 ? 0 : centre - half, successes == items ? 1 : centre + half};
}

std::vector<ClusterTotal> cluster_totals(std::span<const double> values, std::span<const std::string> clusters) {
  std::vector<ClusterTotal> totals;
  std::map<std::string_view, std::size_t> index;
  for (std::size_t i = 0; i < values.size(); ++i) {
    const auto [entry, is_new] = index.emplace(clusters[i], totals.size());
    if (is_new) totals.emplace_back();
    totals[entry->second].sum += values[i];
    ++totals[entry->second].items;
  }
  return totals;
}

std::optional<Interval> cluster_bootstrap(std::span<const ClusterTotal> clusters, int samples, Rng rng) {
  if (clusters.size() < 2 || samples < 1) return std::nullopt;
  return middle_95(resampled_means(clusters, samples, rng));
}

PairedBootstrap paired_bootstrap(std::span<const ClusterTotal> differences, int samples, Rng rng) {
  PairedBootstrap result;
  double sum = 0;
  std::int64_t items = 0;
  for (const ClusterTotal& cluster : differences) {
    sum += cluster.sum;
    items += cluster.items;
  }
  if (items == 0) return result;
  result.difference = sum / static_cast<double>(items);
  if (differences.size() < 2 || samples < 1) return result;

  std::vector<double> means = resampled_means(differences, samples, rng);
  const auto share = [&](auto side) {
    return (1.0 + static_cast<double>(std::count_if(means.begin(), means.end(), side))) / (1.0 + samples);
  };
  const double smaller = std::min(share([](double d) { return d <= 0; }), share([](double d) { return d >= 0; }));
  result.p_value = std::min(1.0, 2 * smaller);
  result.interval = middle_95(std::move(means));
  return result;
}

double mcnemar_exact(std::int64_t only_a, std::int64_t only_b) {
  const std::int64_t n = only_a + only_b;
  const std::int64_t fewer = std::min(only_a, only_b);
  if (n == 0 || only_a == only_b) return 1;
  // Twice the lower tail of Binomial(n, 1/2), in logarithms: n may be thousands.
  double tail = 0;
  for (std::int64_t k = 0; k <= fewer; ++k) {
    const auto [x, y] = std::pair(static_cast<double>(k), static_cast<double>(n));
    tail += std::exp(std::lgamma(y + 1) - std::lgamma(x + 1) - std::lgamma(y - x + 1) - y * std::log(2.0));
  }
  return std::min(1.0, 2 * tail);
}

std::vector<double> holm(std::span<const double> p_values) {
  std::vector<std::size_t> order(p_values.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return p_values[a] < p_values[b]; });
  std::vector<double> adjusted(p_values.size());
  double largest = 0;
  for (std::size_t rank = 0; rank < order.size(); ++rank) {
    largest = std::max(largest, std::min(1.0, static_cast<double>(order.size() - rank) * p_values[order[rank]]));
    adjusted[order[rank]] = largest;
  }
  return adjusted;
}

}  // namespace retune
