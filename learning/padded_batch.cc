#include "learning/padded_batch.h"

#include <algorithm>
#include <cstring>
#include <numeric>

namespace retune {

namespace {

Tensor stacked(const std::vector<const Tensor*>& parts) {
  const Tensor& first = *parts[0];
  std::vector<std::int64_t> extents = first.shape().extents();
  extents[0] = static_cast<std::int64_t>(parts.size());
  for (const Tensor* part : parts) extents[1] = std::max(extents[1], part->shape()[1]);
  Tensor result = Tensor::zeros(first.dtype(), Shape(extents));
  const std::size_t stride = result.bytes() / parts.size();
  for (std::size_t i = 0; i < parts.size(); ++i)
    if (parts[i]->bytes() > 0) std::memcpy(result.mutable_raw() + i * stride, parts[i]->raw(), parts[i]->bytes());
  return result;
}

}  // namespace

Inputs padded_batch(Session& session, const std::vector<const Inputs*>& prompts) {
  Inputs batch;
  for (const auto& [name, feed] : *prompts.at(0)) {
    std::vector<const Tensor*> parts;
    for (const Inputs* prompt : prompts) parts.push_back(&prompt->at(name).tensor);
    batch[name] = {feed.tensor.shape().rank() < 2 ? feed.tensor : stacked(parts), session.fresh_version()};
  }
  return batch;
}

std::vector<std::vector<std::size_t>> batches_of(const std::vector<std::int64_t>& rows, std::int64_t most_rows) {
  std::vector<std::size_t> order(rows.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return rows[a] < rows[b]; });
  std::vector<std::vector<std::size_t>> batches;
  for (const std::size_t prompt : order) {
    const bool fits = !batches.empty() && 2 * rows[batches.back().front()] >= rows[prompt] &&
                      (static_cast<std::int64_t>(batches.back().size()) + 1) * rows[prompt] <= most_rows;
    if (!fits) batches.emplace_back();
    batches.back().push_back(prompt);
  }
  return batches;
}

}  // namespace retune
