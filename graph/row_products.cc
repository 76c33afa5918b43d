#include "graph/row_products.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <memory>
#include <type_traits>

#include "tensor/half.h"

namespace retune {

namespace {

constexpr std::int64_t kFewRows = 4;
constexpr std::int64_t kLargeMatrix = 512 * 1024;  // elements: beyond the second-level cache
// Columns that one task sums at a time, at most: the sums stay in the first-level cache, and a row of B is read in
// stretches of about a page, since every stretch costs a walk through the page tables.
constexpr std::int64_t kColumns = 2048;
constexpr std::int64_t kFewColumns = 256;
constexpr std::int64_t kTiles = 4;           // their number is a multiple of it, so that threads share them evenly
constexpr std::int64_t kDepth = 8;           // rows of B that are read side by side
constexpr std::int64_t kStretch = 1024;      // of a row of B, where rows are summed
constexpr std::int64_t kTaskWork = 100'000;  // multiplications: waking a thread costs more than less of them

template <class T>
using Real = std::conditional_t<std::is_same_v<T, double>, double, float>;

inline float real(float x) { return x; }
inline double real(double x) { return x; }
inline float real(F16 x) { return x.to_float(); }
inline float real(BF16 x) { return x.to_float(); }

template <class T>
T stored(Real<T> x) {
  if constexpr (std::is_same_v<T, Real<T>>)
    return x;
  else
    return T::from(x);
}

// What a loop over columns reads of a row of B: bf16 is converted in passing, for which compilers have vectors; f16 is
// not, so it is widened first.
template <class T>
using Passing = std::conditional_t<std::is_same_v<T, F16>, float, T>;

template <class T>
const Passing<T>* passing(const T* from, std::int64_t count, float* buffer) {
  if constexpr (std::is_same_v<T, F16>) {
    widen(from, buffer, count);
    return buffer;
  } else {
    return from;
  }
}

// `count` elements as reals: in place, or converted into `buffer`.
template <class T>
const Real<T>* reals(const T* from, std::int64_t count, Real<T>* buffer) {
  if constexpr (std::is_same_v<T, Real<T>>) {
    return from;
  } else {
    widen(from, buffer, count);
    return buffer;
  }
}

// Both ways of being narrow: few rows of A, and a single column of B (with the roles of A and B exchanged).
struct Rows {
  std::int64_t rows = 0, n = 0, k = 0;
  std::int64_t x_row = 0, x_step = 1, y_row = 0, y_step = 1;
  bool transpose_b = false;
  std::int64_t ldb = 0;
  double alpha = 1, beta = 0;
};

bool exchanges(const MatrixProduct& s) { return s.n == 1 && s.m > 1; }

Rows rows_of(const MatrixProduct& s) {
  Rows p{.k = s.k, .alpha = s.alpha, .beta = s.beta};
  if (exchanges(s)) {
    p.rows = 1;
    p.n = s.m;
    p.x_step = s.transpose_b ? 1 : s.ldb;
    p.y_step = s.ldc;
    p.transpose_b = !s.transpose_a;
    p.ldb = s.lda;
  } else {
    p.rows = s.m;
    p.n = s.n;
    p.x_row = s.transpose_a ? 1 : s.lda;
    p.x_step = s.transpose_a ? s.lda : 1;
    p.y_row = s.ldc;
    p.transpose_b = s.transpose_b;
    p.ldb = s.ldb;
  }
  return p;
}

// sums[j] += x[0] b[0][j] + ... + x[kDepth - 1] b[kDepth - 1][j]
template <class B, class R>
void add_rows(const std::array<const B*, kDepth>& b, const R* x, R* sums, std::int64_t n) {
  for (std::int64_t j = 0; j < n; ++j) {
    R sum = sums[j];
    for (std::size_t d = 0; d < kDepth; ++d) sum = std::fma(x[d], real(b[d][j]), sum);
    sums[j] = sum;
  }
}

// The next rows of B come from memory while these are summed: the stretches are too short for the hardware to see where
// they go on.
template <class T>
void prefetch_rows(const T* b, std::int64_t stride, std::int64_t rows, std::int64_t n) {
  constexpr std::int64_t kLine = 64 / static_cast<std::int64_t>(sizeof(T));
  for (std::int64_t d = 0; d < rows; ++d)
    for (std::int64_t j = 0; j < n; j += kLine) __builtin_prefetch(b + d * stride + j);
}

// Columns [begin, begin + n) of x B for all rows, B stored [k, n]; x is dense [rows, k].
template <class T>
void sum_columns(const Rows& p, std::int64_t begin, std::int64_t n, const Real<T>* x, const T* b, Real<T>* sums) {
  std::array<std::array<float, kColumns>, std::is_same_v<T, F16> ? kDepth : 1> wide;
  std::array<const Passing<T>*, kDepth> at;
  std::int64_t k = 0;
  for (; k + kDepth <= p.k; k += kDepth) {
    prefetch_rows(b + (k + kDepth) * p.ldb + begin, p.ldb, std::min(kDepth, p.k - k - kDepth), n);
    for (std::size_t d = 0; d < kDepth; ++d)
      at[d] = passing(b + (k + static_cast<std::int64_t>(d)) * p.ldb + begin, n, wide[d % wide.size()].data());
    for (std::int64_t r = 0; r < p.rows; ++r) add_rows(at, x + r * p.k + k, sums + r * kColumns, n);
  }
  for (; k < p.k; ++k) {
    const Passing<T>* row = passing(b + k * p.ldb + begin, n, wide[0].data());
    for (std::int64_t r = 0; r < p.rows; ++r) {
      const Real<T> factor = x[r * p.k + k];
      for (std::int64_t j = 0; j < n; ++j)
        sums[r * kColumns + j] = std::fma(factor, real(row[j]), sums[r * kColumns + j]);
    }
  }
}

// One accumulator a lane and a fixed tree, so that the compiler may use vectors.
template <class R>
R dot(const R* x, const R* y, std::int64_t n) {
  constexpr std::int64_t kLanes = 64;
  std::array<R, kLanes> lanes{};
  std::int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes)
    for (std::int64_t lane = 0; lane < kLanes; ++lane) {
      auto& sum = lanes[static_cast<std::size_t>(lane)];
      sum = std::fma(x[i + lane], y[i + lane], sum);
    }
  for (std::int64_t lane = 0; i + lane < n; ++lane) {
    auto& sum = lanes[static_cast<std::size_t>(lane)];
    sum = std::fma(x[i + lane], y[i + lane], sum);
  }
  for (std::size_t width = kLanes / 2; width > 0; width /= 2)
    for (std::size_t lane = 0; lane < width; ++lane) lanes[lane] += lanes[lane + width];
  return lanes[0];
}

// As sum_columns, B stored [n, k].
template <class T>
void sum_transposed(const Rows& p, std::int64_t begin, std::int64_t n, const Real<T>* x, const T* b, Real<T>* sums) {
  std::array<Real<T>, kStretch> wide;
  for (std::int64_t j = 0; j < n; ++j)
    for (std::int64_t k = 0; k < p.k; k += kStretch) {
      const std::int64_t depth = std::min(kStretch, p.k - k);
      const Real<T>* row = reals(b + (begin + j) * p.ldb + k, depth, wide.data());
      for (std::int64_t r = 0; r < p.rows; ++r) sums[r * kColumns + j] += dot(x + r * p.k + k, row, depth);
    }
}

template <class T>
void column_task(const Rows& p, std::int64_t begin, std::int64_t n, const Real<T>* x, const T* b, T* y) {
  using R = Real<T>;
  std::array<R, kFewRows * kColumns> sums;
  std::fill_n(sums.begin(), static_cast<std::size_t>(p.rows * kColumns), R{0});
  if (p.transpose_b)
    sum_transposed(p, begin, n, x, b, sums.data());
  else
    sum_columns(p, begin, n, x, b, sums.data());
  for (std::int64_t r = 0; r < p.rows; ++r)
    for (std::int64_t j = 0; j < n; ++j) {
      T& value = y[r * p.y_row + (begin + j) * p.y_step];
      const R sum = sums[static_cast<std::size_t>(r * kColumns + j)];
      value = stored<T>(p.beta == 0 ? sum : static_cast<R>(p.beta) * real(value) + sum);
    }
}

// alpha x, dense [count, rows, k].
template <class T>
std::unique_ptr<Real<T>[]> scaled_rows(const Rows& p, const T* x, std::int64_t stride, std::int64_t count) {
  auto dense = std::make_unique_for_overwrite<Real<T>[]>(static_cast<std::size_t>(count * p.rows * p.k));
  const auto alpha = static_cast<Real<T>>(p.alpha);
  Real<T>* to = dense.get();
  for (std::int64_t i = 0; i < count; ++i)
    for (std::int64_t r = 0; r < p.rows; ++r)
      for (std::int64_t k = 0; k < p.k; ++k) *to++ = alpha * real(x[i * stride + r * p.x_row + k * p.x_step]);
  return dense;
}

std::int64_t tile_width(std::int64_t n) {
  const std::int64_t tiles = ((n + kColumns - 1) / kColumns + kTiles - 1) / kTiles * kTiles;
  return std::max(kFewColumns, ((n + tiles - 1) / tiles + 31) / 32 * 32);
}

}  // namespace

bool is_narrow(const MatrixProduct& s) {
  if (s.m == 1 || s.n == 1) return true;
  return s.m <= kFewRows && !s.transpose_a && (s.transpose_b || s.n * s.k >= kLargeMatrix);
}

template <class T>
void row_products(ThreadPool& pool, const MatrixProduct& shape, const Batch& batch, const T* a, const T* b, T* c) {
  const Rows p = rows_of(shape);
  const bool exchanged = exchanges(shape);
  const std::int64_t width = tile_width(p.n), tiles = (p.n + width - 1) / width;
  const std::int64_t work = std::max<std::int64_t>(1, p.rows * width * p.k);
  const std::int64_t grain = std::max<std::int64_t>(1, kTaskWork / work);
  const auto x = scaled_rows(p, exchanged ? b : a, exchanged ? batch.stride_b : batch.stride_a, batch.count);
  const T* matrix = exchanged ? a : b;
  const std::int64_t stride = exchanged ? batch.stride_a : batch.stride_b;
  pool.parallel_for(batch.count * tiles, grain, [&](std::int64_t first, std::int64_t last) {
    for (std::int64_t item = first; item < last; ++item) {
      const std::int64_t product = item / tiles, begin = item % tiles * width;
      column_task<T>(p, begin, std::min(width, p.n - begin), x.get() + product * p.rows * p.k,
                     matrix + product * stride, c + product * batch.stride_c);
    }
  });
}

template void row_products(ThreadPool&, const MatrixProduct&, const Batch&, const float*, const float*, float*);
template void row_products(ThreadPool&, const MatrixProduct&, const Batch&, const double*, const double*, double*);
template void row_products(ThreadPool&, const MatrixProduct&, const Batch&, const F16*, const F16*, F16*);
template void row_products(ThreadPool&, const MatrixProduct&, const Batch&, const BF16*, const BF16*, BF16*);

}  // namespace retune
