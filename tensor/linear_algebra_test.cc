#include "tensor/linear_algebra.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "tensor/error.h"
#include "tensor/rng.h"

namespace retune {
namespace {

using Matrix = std::vector<double>;

Matrix product(const Matrix& a, const Matrix& b, std::size_t n, std::size_t inner, std::size_t columns) {
  Matrix result(n * columns, 0.0);
  for (std::size_t i = 0; i < n; ++i)
    for (std::size_t k = 0; k < inner; ++k)
      for (std::size_t j = 0; j < columns; ++j) result[i * columns + j] += a[i * inner + k] * b[k * columns + j];
  return result;
}

Matrix random_matrix(std::size_t size, std::uint64_t seed) {
  Rng rng(seed);
  Matrix result(size);
  for (double& value : result) value = rng.normal();
  return result;
}

// M M^T of an n x rank matrix M.
Matrix gram(std::size_t n, std::size_t rank, std::uint64_t seed) {
  const Matrix m = random_matrix(n * rank, seed);
  Matrix transposed(n * rank);
  for (std::size_t i = 0; i < n; ++i)
    for (std::size_t k = 0; k < rank; ++k) transposed[k * n + i] = m[i * rank + k];
  return product(m, transposed, n, rank, n);
}

void expect_near(const Matrix& a, const Matrix& b, double tolerance) {
  ASSERT_EQ(a.size(), b.size());
  for (std::size_t i = 0; i < a.size(); ++i) ASSERT_NEAR(a[i], b[i], tolerance) << i;
}

TEST(Cholesky, SolvesASystemWithAKnownSolution) {
  // [[4, 2], [2, 3]] x = [[8, 2], [8, 5]] has x = [[1, -0.5], [2, 2]].
  const auto factor = Cholesky::factor(Matrix{4, 2, 2, 3}, 2);
  ASSERT_TRUE(factor);
  expect_near(factor->solve(Matrix{8, 2, 8, 5}, 2), {1, -0.5, 2, 2}, 1e-14);
}

TEST(Cholesky, SolvesManyRightHandSidesOfALargerSystem) {
  const std::size_t n = 150, columns = 3;
  const Matrix a = gram(n, 2 * n, 1);
  const Matrix x = random_matrix(n * columns, 2);
  const auto factor = Cholesky::factor(a, n);
  ASSERT_TRUE(factor);
  expect_near(factor->solve(product(a, x, n, n, columns), columns), x, 1e-9);
}

TEST(Cholesky, GivesNothingForAMatrixThatIsNotPositiveDefinite) {
  EXPECT_FALSE(Cholesky::factor(Matrix{1, 2, 2, 1}, 2));
  EXPECT_FALSE(Cholesky::factor(Matrix{0}, 1));
  EXPECT_FALSE(Cholesky::factor(Matrix{1, 0, 0, std::numeric_limits<double>::quiet_NaN()}, 2));
}

TEST(RidgeSolve, SolvesTheShiftedSystem) {
  const std::size_t n = 40;
  const Matrix a = gram(n, 10, 3);  // singular
  const Matrix b = random_matrix(n * 2, 4);
  double rho = 0;
  const Matrix x = ridge_solve(a, n, b, 2, 1e-3, &rho);
  EXPECT_EQ(rho, 1e-3);
  double trace = 0;
  for (std::size_t i = 0; i < n; ++i) trace += a[i * n + i];
  Matrix shifted = a;
  for (std::size_t i = 0; i < n; ++i) shifted[i * n + i] += 1e-3 * trace / static_cast<double>(n);
  expect_near(product(shifted, x, n, n, 2), b, 1e-9);
}

TEST(RidgeSolve, RaisesTheRidgeUntilTheMatrixIsPositiveDefinite) {
  double rho = -1;
  ridge_solve(Matrix{1, 1, 1, 1}, 2, Matrix{1, 1}, 1, 0, &rho);
  EXPECT_GT(rho, 0);
  EXPECT_LE(rho, 1e-10);
  // Eigenvalues 1.0049 and -0.0049, mean of the diagonal 0.5: of the powers of ten up to 1e-2 only the last is enough.
  // beyond.
  ridge_solve(Matrix{0.5, 0.5049, 0.5049, 0.5}, 2, Matrix{1, 1}, 1, 1e-12, &rho);
  EXPECT_NEAR(rho, 1e-2, 1e-9);
}

TEST(RidgeSolve, GivesUpOnWhatNoRidgeRepairs) {
  EXPECT_THROW(ridge_solve(Matrix{0, 0, 0, 0}, 2, Matrix{1, 1}, 1, 1e-6), Error);
  EXPECT_THROW(ridge_solve(Matrix{1, 3, 3, 1}, 2, Matrix{1, 1}, 1, 1e-6), Error);
  EXPECT_THROW(ridge_solve(Matrix{1, std::nan(""), std::nan(""), 1}, 2, Matrix{1, 1}, 1, 1e-6), Error);
}

TEST(SymmetricEigen, GivesAscendingValuesAndColumnVectors) {
  const Eigen eigen = symmetric_eigen(Matrix{2, 1, 0, 1, 2, 0, 0, 0, 5}, 3);
  expect_near(eigen.values, {1, 3, 5}, 1e-14);
  // Column 0 is (1, -1, 0) / sqrt(2) up to sign, column 2 the third axis.
  EXPECT_NEAR(eigen.vectors[0] + eigen.vectors[3], 0, 1e-14);
  EXPECT_NEAR(std::abs(eigen.vectors[0]), std::sqrt(0.5), 1e-14);
  EXPECT_NEAR(std::abs(eigen.vectors[8]), 1, 1e-14);
}

TEST(SymmetricEigen, RebuildsALargerMatrix) {
  const std::size_t n = 60;
  const Matrix a = gram(n, n / 2, 5);
  const Eigen eigen = symmetric_eigen(a, n);
  Matrix scaled(n * n), transposed(n * n);
  for (std::size_t i = 0; i < n; ++i)
    for (std::size_t j = 0; j < n; ++j) {
      scaled[i * n + j] = eigen.vectors[i * n + j] * eigen.values[j];
      transposed[j * n + i] = eigen.vectors[i * n + j];
    }
  expect_near(product(scaled, transposed, n, n, n), a, 1e-10);
}

TEST(SymmetricEigen, RefusesNan) { EXPECT_THROW(symmetric_eigen(Matrix{std::nan("")}, 1), Error); }

TEST(LinearAlgebra, GivesTheSameBitsEveryTime) {
  const Matrix a = gram(200, 400, 6);
  const Matrix b = random_matrix(200, 7);
  EXPECT_EQ(ridge_solve(a, 200, b, 1, 1e-6), ridge_solve(a, 200, b, 1, 1e-6));
  EXPECT_EQ(symmetric_eigen(a, 200).vectors, symmetric_eigen(a, 200).vectors);
}

}  // namespace
}  // namespace retune
