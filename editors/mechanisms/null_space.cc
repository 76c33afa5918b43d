#include "editors/mechanisms/null_space.h"

#include <algorithm>
#include <utility>

#include "tensor/linear_algebra.h"

namespace retune {

NullSpace null_space(const Matrix& c, const NullSpaceRule& rule) {
  Eigen eigen = symmetric_eigen(c.values, c.rows);
  const double most = rule.tau * trace(c);
  std::int64_t rank = 0;
  double held = 0;
  for (const double value : eigen.values) {  // ascending
    held += std::max(value, 0.0);
    if (rule.mode == NullSpaceRule::Mode::kEnergy ? held > most : value >= rule.tau) break;
    ++rank;
  }
  const double limit = rank > 0 ? std::max(eigen.values[static_cast<std::size_t>(rank - 1)], 0.0) : 0.0;
  return {columns_of({c.rows, c.rows, std::move(eigen.vectors)}, 0, rank), limit};
}

}  // namespace retune
