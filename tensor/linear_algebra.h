// Dense linear algebra in f64 for statistics and closed-form solves. Matrices are row-major. LAPACK runs
// single-threaded: OpenBLAS's own threading changes the bits of dpotrf and dsyrk.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace retune {

// Sets OpenBLAS to one thread, for good. Whoever calls BLAS directly calls this first (cheap after the first time).
void single_thread_blas();

// A = L L^T of a symmetric positive definite n x n matrix (both triangles given).
class Cholesky {
 public:
  // Nothing if a pivot is not positive: the matrix is not positive definite in f64.
  static std::optional<Cholesky> factor(std::span<const double> matrix, std::int64_t n);
  // Solves A x = b for `columns` right-hand sides; b is n x columns row-major, the result likewise.
  std::vector<double> solve(std::span<const double> b, std::int64_t columns) const;
  std::int64_t size() const { return n_; }

 private:
  std::int64_t n_ = 0;
  std::vector<double> lower_;
};

// A + rho * (trace(A)/n) * I of a symmetric positive semi-definite n x n matrix, with its factor.
struct Ridged {
  std::vector<double> matrix;
  Cholesky factor;
  double rho = 0;  // the one that worked
};
// Where the sum is not positive definite in f64, rho is multiplied by ten (from 1e-12 if it was 0) up to 1e-2, then
// there is nothing (methods.md section 4).
std::optional<Ridged> ridged(std::span<const double> a, std::int64_t n, double rho);

// Solves (A + rho * (trace(A)/n) * I) x = b by the same rule, also where x is not finite; a failure if no rho will do.
// `rho_used` receives the value that worked.
std::vector<double> ridge_solve(std::span<const double> a, std::int64_t n, std::span<const double> b,
                                std::int64_t columns, double rho, double* rho_used = nullptr);

struct Eigen {
  std::vector<double> values;   // ascending, n
  std::vector<double> vectors;  // n x n row-major; column j belongs to values[j]
};
// Of a symmetric n x n matrix; throws a failure if LAPACK does not converge.
Eigen symmetric_eigen(std::span<const double> matrix, std::int64_t n);

}  // namespace retune
