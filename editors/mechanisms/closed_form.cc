#include "editors/mechanisms/closed_form.h"

#include <cmath>
#include <optional>

#include "learning/site_weight.h"
#include "tensor/error.h"
#include "tensor/linear_algebra.h"

namespace retune {

namespace {

// Eigenvalues of a Gram matrix below this share of the largest are rounding.
constexpr double kRounding = 1e-12;

// S^+ B of a symmetric positive semi-definite S.
Matrix pseudo_solve(const Matrix& s, const Matrix& b) {
  const Eigen eigen = symmetric_eigen(s.values, s.rows);
  const Matrix vectors(s.rows, s.rows, eigen.vectors);
  Matrix along = product(transpose(vectors), b);
  for (std::int64_t i = 0; i < along.rows; ++i) {
    const double value = eigen.values[static_cast<std::size_t>(i)];
    for (std::int64_t j = 0; j < along.columns; ++j)
      along(i, j) = value > kRounding * eigen.values.back() ? along(i, j) / value : 0.0;
  }
  return product(vectors, along);
}

}  // namespace

Matrix narrow_solve(const Matrix& y, const Matrix& keys, double shift) {
  const Matrix gram = product(transpose(keys), y);
  const Matrix s = shifted(gram, shift);
  const Matrix wanted = transpose(y);
  if (shift > kRounding * trace(gram))
    if (const std::optional<Cholesky> factor = Cholesky::factor(s.values, s.rows))
      return transpose({wanted.rows, wanted.columns, factor->solve(wanted.values, wanted.columns)});
  return transpose(pseudo_solve(s, wanted));
}

Matrix key_solve(const PreservedKeys& preserved, const Matrix& keys, double lambda) {
  if (keys.columns < keys.rows) return narrow_solve(preserved.solve(keys), keys, lambda);
  const Matrix a = sum(scaled(preserved.matrix(), lambda), product(keys, transpose(keys)));
  const std::optional<Cholesky> factor = Cholesky::factor(a.values, a.rows);
  if (!factor)
    throw failure("{} keys of width {} and lambda {} leave a singular system; raise lambda", keys.columns, keys.rows,
                  lambda);
  return {keys.rows, keys.columns, factor->solve(keys.values, keys.columns)};
}

TensorDelta thin_delta(const Bundle& bundle, const Site& site, const Matrix& r, const Matrix& x) {
  for (const Matrix* part : {&r, &x})
    for (const double item : part->values)
      if (!std::isfinite(item))
        throw failure("the change of '{}' is not finite; raise the regularisation (ridge, lambda, l2 or epsilon)",
                      site.name);
  TensorDelta delta{site.name, site.delta_shape, {}, hashed_targets(bundle.view(), site)};
  if (r.columns * (r.rows + x.rows) < r.rows * x.rows)
    delta.values = LowRankDelta{r.f32(), x.f32()};
  else
    delta.values = DenseDelta{product(r, transpose(x)).f32()};
  return delta;
}

}  // namespace retune
