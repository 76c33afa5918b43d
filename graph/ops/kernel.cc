#include "graph/ops/kernel.h"

#include <algorithm>

namespace retune {

std::vector<int> normalize_axes(const std::vector<std::int64_t>& axes, int rank) {
  std::vector<int> result;
  result.reserve(axes.size());
  for (const std::int64_t axis : axes) result.push_back(normalize_axis(axis, rank));
  std::sort(result.begin(), result.end());
  if (const auto twice = std::adjacent_find(result.begin(), result.end()); twice != result.end())
    throw user_error("axis {} is named twice", *twice);
  return result;
}

}  // namespace retune
