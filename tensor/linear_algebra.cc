#include "tensor/linear_algebra.h"

#include <cblas.h>
#include <lapacke.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <stdexcept>
#include <utility>

#include "tensor/error.h"

namespace retune {

namespace {

constexpr double kFirstRho = 1e-12;
constexpr double kLastRho = 1e-2;

// LAPACK's row-major entry points copy the matrix to transpose it; a symmetric matrix is its own transpose, so the
// column-major routines serve as they are, with "upper" meaning our lower triangle.
constexpr int kLayout = LAPACK_COL_MAJOR;
constexpr char kOurLower = 'U';

lapack_int checked_size(std::span<const double> matrix, std::int64_t n) {
  if (n < 0 || n > std::numeric_limits<lapack_int>::max() ||
      static_cast<std::size_t>(n) * static_cast<std::size_t>(n) != matrix.size())
    throw std::logic_error(fmt::format("a matrix of {} values is not {} x {}", matrix.size(), n, n));
  return static_cast<lapack_int>(n);
}

double mean_diagonal(std::span<const double> matrix, std::int64_t n) {
  double trace = 0;
  for (std::int64_t i = 0; i < n; ++i) trace += matrix[static_cast<std::size_t>(i * (n + 1))];
  return n > 0 ? trace / static_cast<double>(n) : 0;
}

double next_rho(double rho) { return rho == 0 ? kFirstRho : rho * 10; }
double last_rho(double first) { return std::max(first, kLastRho) * (1 + 1e-9); }  // multiplying by ten rounds

}  // namespace

void single_thread_blas() {
  static const bool done = [] {
    openblas_set_num_threads(1);
    return true;
  }();
  static_cast<void>(done);
}

std::optional<Cholesky> Cholesky::factor(std::span<const double> matrix, std::int64_t n) {
  const lapack_int order = checked_size(matrix, n);
  single_thread_blas();
  Cholesky result;
  result.n_ = n;
  result.lower_.assign(matrix.begin(), matrix.end());
  // Positive: a pivot that is not; negative: a NaN.
  if (n > 0 && LAPACKE_dpotrf(kLayout, kOurLower, order, result.lower_.data(), order) != 0) return std::nullopt;
  return result;
}

std::vector<double> Cholesky::solve(std::span<const double> b, std::int64_t columns) const {
  if (columns < 0 || static_cast<std::size_t>(n_ * columns) != b.size())
    throw std::logic_error(
        fmt::format("{} right-hand values for a system of {} with {} columns", b.size(), n_, columns));
  single_thread_blas();
  std::vector<double> x(b.begin(), b.end());
  if (x.empty()) return x;
  const auto order = static_cast<blasint>(n_);
  const auto width = static_cast<blasint>(columns);
  for (const CBLAS_TRANSPOSE transpose : {CblasNoTrans, CblasTrans})
    cblas_dtrsm(CblasRowMajor, CblasLeft, CblasLower, transpose, CblasNonUnit, order, width, 1.0, lower_.data(), order,
                x.data(), width);
  return x;
}

std::optional<Ridged> ridged(std::span<const double> a, std::int64_t n, double rho) {
  checked_size(a, n);
  const double scale = mean_diagonal(a, n);
  for (double used = rho; used <= last_rho(rho); used = next_rho(used)) {
    std::vector<double> matrix(a.begin(), a.end());
    for (std::int64_t i = 0; i < n; ++i) matrix[static_cast<std::size_t>(i * (n + 1))] += used * scale;
    if (std::optional<Cholesky> factor = Cholesky::factor(matrix, n))
      return Ridged{std::move(matrix), std::move(*factor), used};
  }
  return std::nullopt;
}

std::vector<double> ridge_solve(std::span<const double> a, std::int64_t n, std::span<const double> b,
                                std::int64_t columns, double rho, double* rho_used) {
  for (double from = rho; from <= last_rho(rho);) {
    const std::optional<Ridged> sum = ridged(a, n, from);
    if (!sum) break;
    std::vector<double> x = sum->factor.solve(b, columns);
    if (std::all_of(x.begin(), x.end(), [](double value) { return std::isfinite(value); })) {
      if (rho_used != nullptr) *rho_used = sum->rho;
      return x;
    }
    from = next_rho(sum->rho);
  }
  throw failure("a {} x {} matrix with trace {} is not positive definite even with a ridge of {}; use more statistics",
                n, n, mean_diagonal(a, n) * static_cast<double>(n), std::max(rho, kLastRho));
}

Eigen symmetric_eigen(std::span<const double> matrix, std::int64_t n) {
  const lapack_int order = checked_size(matrix, n);
  single_thread_blas();
  Eigen result;
  result.values.resize(static_cast<std::size_t>(n));
  result.vectors.assign(matrix.begin(), matrix.end());
  if (n == 0) return result;
  const lapack_int info =
      LAPACKE_dsyevd(kLayout, 'V', kOurLower, order, result.vectors.data(), order, result.values.data());
  if (info != 0)
    throw failure("the eigenvectors of a {} x {} matrix were not found (dsyevd: {}); does it hold NaN or infinity?", n,
                  n, info);
  for (std::int64_t i = 0; i < n; ++i)
    for (std::int64_t j = 0; j < i; ++j)
      std::swap(result.vectors[static_cast<std::size_t>(i * n + j)],
                result.vectors[static_cast<std::size_t>(j * n + i)]);
  return result;
}

}  // namespace retune
