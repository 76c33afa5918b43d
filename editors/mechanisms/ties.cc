#include "editors/mechanisms/ties.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

namespace retune {

namespace {

// 1 where an element is among the `count` of largest magnitude.
std::vector<bool> largest(const float* values, std::int64_t size, std::int64_t count) {
  std::vector<std::int64_t> order(static_cast<std::size_t>(size));
  std::iota(order.begin(), order.end(), 0);
  const auto before = [values](std::int64_t a, std::int64_t b) {
    const float x = std::abs(values[a]), y = std::abs(values[b]);
    return x > y || (x == y && a < b);
  };
  if (count < size) std::nth_element(order.begin(), order.begin() + count, order.end(), before);
  std::vector<bool> kept(static_cast<std::size_t>(size), false);
  for (std::int64_t i = 0; i < count; ++i) kept[static_cast<std::size_t>(order[static_cast<std::size_t>(i)])] = true;
  return kept;
}

}  // namespace

Tensor ties_merge(std::span<const Tensor> changes, double density) {
  const std::int64_t size = changes[0].numel();
  const auto count = std::min(size, static_cast<std::int64_t>(std::floor(density * static_cast<double>(size))));
  std::vector<std::vector<bool>> kept;
  for (const Tensor& change : changes) kept.push_back(largest(change.data<float>(), size, count));
  Tensor merged = Tensor::zeros(DType::kF32, changes[0].shape());
  float* to = merged.mutable_data<float>();
  for (std::int64_t i = 0; i < size; ++i) {
    const auto at = static_cast<std::size_t>(i);
    double sum = 0, agreed = 0, votes = 0;
    for (std::size_t c = 0; c < changes.size(); ++c)
      if (kept[c][at]) sum += static_cast<double>(changes[c].data<float>()[i]);
    for (std::size_t c = 0; c < changes.size(); ++c) {
      const double value = static_cast<double>(changes[c].data<float>()[i]);
      if (!kept[c][at] || !(sum >= 0 ? value > 0 : value < 0)) continue;
      agreed += value;
      votes += 1;
    }
    if (votes > 0) to[i] = static_cast<float>(agreed / votes);
  }
  return merged;
}

}  // namespace retune
