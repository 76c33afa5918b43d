#include "graph/matrix_product.h"

#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include "tensor/error.h"
#include "tensor/rng.h"

namespace retune {
namespace {

template <class T>
T number(double x) {
  if constexpr (sizeof(T) == 2)
    return T::from(static_cast<float>(x));
  else
    return static_cast<T>(x);
}

template <class T>
double real(T x) {
  if constexpr (sizeof(T) == 2)
    return static_cast<double>(x.to_float());
  else
    return static_cast<double>(x);
}

template <class T>
std::vector<T> random_values(std::int64_t count, std::uint64_t seed) {
  Rng rng(seed);
  std::vector<T> values(static_cast<std::size_t>(count));
  for (T& v : values) v = number<T>(rng.uniform(-1, 1));
  return values;
}

struct Case {
  MatrixProduct shape;
  Batch batch{};
};

// C by the definition, in f64.
template <class T>
std::vector<double> naive(const Case& test, const std::vector<T>& a, const std::vector<T>& b, const std::vector<T>& c) {
  const MatrixProduct& s = test.shape;
  const std::int64_t lda = s.lda ? s.lda : (s.transpose_a ? s.m : s.k),
                     ldb = s.ldb ? s.ldb : (s.transpose_b ? s.k : s.n);
  const std::int64_t ldc = s.ldc ? s.ldc : s.n;
  std::vector<double> result;
  for (const T value : c) result.push_back(real(value));
  for (std::int64_t p = 0; p < test.batch.count; ++p) {
    for (std::int64_t i = 0; i < s.m; ++i) {
      for (std::int64_t j = 0; j < s.n; ++j) {
        double sum = 0;
        for (std::int64_t k = 0; k < s.k; ++k) {
          const auto at_a =
              static_cast<std::size_t>(p * test.batch.stride_a + (s.transpose_a ? k * lda + i : i * lda + k));
          const auto at_b =
              static_cast<std::size_t>(p * test.batch.stride_b + (s.transpose_b ? j * ldb + k : k * ldb + j));
          sum += real(a[at_a]) * real(b[at_b]);
        }
        double& out = result[static_cast<std::size_t>(p * test.batch.stride_c + i * ldc + j)];
        out = s.alpha * sum + (s.beta == 0 ? 0.0 : s.beta * out);
      }
    }
  }
  return result;
}

template <class T>
void expect_product(const Case& test, double tolerance) {
  const MatrixProduct& s = test.shape;
  const std::int64_t ldc = s.ldc ? s.ldc : s.n;
  const auto extent = [&](std::int64_t rows, std::int64_t ld, std::int64_t dense, std::int64_t stride) {
    return rows * (ld ? ld : dense) + (test.batch.count - 1) * stride + 1;
  };
  const auto a = random_values<T>(
      s.transpose_a ? extent(s.k, s.lda, s.m, test.batch.stride_a) : extent(s.m, s.lda, s.k, test.batch.stride_a), 1);
  const auto b = random_values<T>(
      s.transpose_b ? extent(s.n, s.ldb, s.k, test.batch.stride_b) : extent(s.k, s.ldb, s.n, test.batch.stride_b), 2);
  auto c = random_values<T>(extent(s.m, ldc, ldc, test.batch.stride_c), 3);
  const std::vector<double> want = naive(test, a, b, c);
  if (s.beta == 0) {
    // What C held before must not matter, not even NaN.
    for (std::int64_t p = 0; p < test.batch.count; ++p)
      for (std::int64_t i = 0; i < s.m; ++i)
        for (std::int64_t j = 0; j < s.n; ++j)
          c[static_cast<std::size_t>(p * test.batch.stride_c + i * ldc + j)] =
              number<T>(std::numeric_limits<double>::quiet_NaN());
  }
  std::vector<std::vector<T>> results;
  for (const int threads : {1, 2, 4}) {
    ThreadPool pool(threads);
    std::vector<T> out = c;
    matrix_products(pool, s, test.batch, a.data(), b.data(), out.data());
    results.push_back(std::move(out));
  }
  double worst = 0;
  for (std::size_t i = 0; i < want.size(); ++i) {
    const double difference = std::abs(real(results[0][i]) - want[i]);
    worst = std::isnan(difference) ? std::numeric_limits<double>::infinity() : std::max(worst, difference);
  }
  EXPECT_LE(worst, tolerance * std::sqrt(static_cast<double>(s.k) + 1))
      << "m " << s.m << " n " << s.n << " k " << s.k << " ta " << s.transpose_a << " tb " << s.transpose_b;
  for (const auto& other : results) {
    EXPECT_EQ(std::memcmp(other.data(), results[0].data(), results[0].size() * sizeof(T)), 0)
        << "bits differ with the number of threads: m " << s.m << " n " << s.n << " k " << s.k;
  }
}

TEST(MatrixProduct, MatchesTheDefinitionForEveryTranspositionAndOddSize) {
  for (const bool ta : {false, true}) {
    for (const bool tb : {false, true}) {
      for (const auto& [m, n, k] : {std::array<std::int64_t, 3>{1, 1, 1},
                                    {1, 37, 19},
                                    {37, 1, 19},
                                    {3, 130, 600},
                                    {2, 1000, 530},
                                    {5, 7, 3},
                                    {33, 65, 17},
                                    {300, 201, 129},
                                    {97, 1000, 64}}) {
        expect_product<double>({.shape = {.m = m, .n = n, .k = k, .transpose_a = ta, .transpose_b = tb}}, 1e-14);
        expect_product<float>({.shape = {.m = m, .n = n, .k = k, .transpose_a = ta, .transpose_b = tb}}, 2e-6);
      }
    }
  }
}

TEST(MatrixProduct, ScalesAndAccumulates) {
  expect_product<double>({.shape = {.m = 40, .n = 50, .k = 30, .alpha = -0.5, .beta = 1}}, 1e-14);
  expect_product<double>({.shape = {.m = 1, .n = 50, .k = 30, .alpha = 3, .beta = 0.25}}, 1e-14);
  expect_product<float>({.shape = {.m = 3, .n = 600, .k = 1000, .transpose_b = true, .alpha = 2, .beta = -1}}, 4e-6);
}

TEST(MatrixProduct, HonoursStridesOfLargerMatrices) {
  expect_product<double>({.shape = {.m = 20, .n = 30, .k = 10, .lda = 13, .ldb = 41, .ldc = 33}}, 1e-14);
  expect_product<double>({.shape = {.m = 20, .n = 1, .k = 10, .lda = 13, .ldb = 5, .ldc = 7}}, 1e-14);
  expect_product<double>({.shape = {.m = 1, .n = 30, .k = 10, .transpose_a = true, .lda = 4, .ldb = 41, .ldc = 33}},
                         1e-14);
}

TEST(MatrixProduct, BatchesShareAMatrixWhereItsStrideIsZero) {
  const std::int64_t m = 11, n = 9, k = 7;
  expect_product<double>(
      {.shape = {.m = m, .n = n, .k = k}, .batch = {.count = 13, .stride_a = m * k, .stride_c = m * n}}, 1e-14);
  expect_product<double>(
      {.shape = {.m = m, .n = n, .k = k}, .batch = {.count = 13, .stride_b = n * k, .stride_c = m * n}}, 1e-14);
  expect_product<float>({.shape = {.m = 100, .n = 100, .k = 48, .transpose_b = true},
                         .batch = {.count = 9, .stride_a = 4800, .stride_b = 4800, .stride_c = 10000}},
                        2e-6);
}

// Sums are as exact as f32's, so all that is left is the rounding of the result, which is at most about
// 2 sqrt(k) here, of which it rounds off one part in 2^8 (f16: 2^11) at most.
TEST(MatrixProduct, SixteenBitFloatsAreSummedInF32) {
  for (const bool ta : {false, true}) {
    for (const bool tb : {false, true}) {
      for (const auto& [m, n, k] : {std::array<std::int64_t, 3>{1, 1, 1},
                                    {1, 37, 19},
                                    {37, 1, 19},
                                    {3, 1030, 600},
                                    {5, 7, 3},
                                    {33, 65, 17},
                                    {600, 201, 129},
                                    {97, 1100, 64}}) {
        const MatrixProduct shape{.m = m, .n = n, .k = k, .transpose_a = ta, .transpose_b = tb};
        expect_product<BF16>({.shape = shape}, 0x1p-7);
        expect_product<F16>({.shape = shape}, 0x1p-10);
      }
    }
  }
  expect_product<BF16>({.shape = {.m = 40, .n = 50, .k = 30, .alpha = -0.5, .beta = 1}}, 0x1p-7);
  expect_product<F16>({.shape = {.m = 40, .n = 50, .k = 30, .alpha = -0.5, .beta = 1}}, 0x1p-10);
  expect_product<BF16>({.shape = {.m = 20, .n = 30, .k = 10, .lda = 13, .ldb = 41, .ldc = 33}}, 0x1p-7);
  expect_product<F16>({.shape = {.m = 20, .n = 30, .k = 10, .lda = 13, .ldb = 41, .ldc = 33}}, 0x1p-10);
  expect_product<BF16>({.shape = {.m = 11, .n = 9, .k = 7}, .batch = {.count = 13, .stride_a = 77, .stride_c = 99}},
                       0x1p-7);
}

TEST(MatrixProduct, AnEmptySumIsZeroAndEmptyMatricesAreLeft) {
  ThreadPool pool(2);
  std::vector<float> c(12, 7.0f);
  matrix_product<float>(pool, {.m = 3, .n = 4, .k = 0}, nullptr, nullptr, c.data());
  EXPECT_EQ(c, std::vector<float>(12, 0.0f));
  std::vector<BF16> half(12, BF16::from(7.0f));
  matrix_product<BF16>(pool, {.m = 6, .n = 2, .k = 0}, nullptr, nullptr, half.data());
  for (const BF16 value : half) EXPECT_EQ(value.to_float(), 0.0f);
  matrix_product<float>(pool, {.m = 3, .n = 0, .k = 5}, c.data(), nullptr, nullptr);
  matrix_product<float>(pool, {.m = 0, .n = 4, .k = 5}, nullptr, c.data(), nullptr);
}

TEST(MatrixProduct, RefusesExtentsBeyondBlas) {
  ThreadPool pool(1);
  float x = 0;
  EXPECT_THROW(matrix_product<float>(pool, {.m = 8, .n = 8, .k = std::int64_t{1} << 32}, &x, &x, &x), Error);
}

}  // namespace
}  // namespace retune
