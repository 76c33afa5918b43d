#include "graph/matrix_product.h"

#include <cblas.h>

#include <algorithm>
#include <limits>

#include "graph/half_products.h"
#include "graph/one_dnn.h"
#include "graph/product_table.h"
#include "graph/row_products.h"
#include "tensor/error.h"

namespace retune {

namespace {

// Measured on an AVX-512 core (Cascade Lake, 2.5 GHz): tiles of 256 rows reach 95 % of the rate of the whole product,
// and below 2 MFLOP (about 25 microseconds) waking a thread costs more than it brings. Small tiles copy their operands
// too often, so a product is cut into no more than a few, except where each would still take milliseconds.
constexpr std::int64_t kTileRows = 256;
constexpr std::int64_t kTileColumns = 768;
constexpr std::int64_t kSmallestTile = 48;
constexpr std::int64_t kWorthSplitting = 2'000'000;  // floating-point operations
constexpr std::int64_t kWantedTiles = 4;
constexpr std::int64_t kLongTile = 256'000'000;  // floating-point operations

// The setting is the library's own and process-wide; making it once is enough and cannot race.
void use_one_blas_thread() {
  [[maybe_unused]] static const bool done = [] {
    openblas_set_num_threads(1);
    return true;
  }();
}

int blas_int(std::int64_t value) {
  if (value > std::numeric_limits<int>::max())
    throw failure("a matrix product with an extent of {} is too large for BLAS", value);
  return static_cast<int>(value);
}

CBLAS_TRANSPOSE flag(bool transpose) { return transpose ? CblasTrans : CblasNoTrans; }

void gemm(const MatrixProduct& s, const float* a, const float* b, float* c) {
  const int m = blas_int(s.m), n = blas_int(s.n), k = blas_int(s.k), lda = blas_int(s.lda), ldb = blas_int(s.ldb),
            ldc = blas_int(s.ldc);
  const auto alpha = static_cast<float>(s.alpha), beta = static_cast<float>(s.beta);
  if (faster_library({s.m, s.n, s.k, s.transpose_a, s.transpose_b}) == kOneDnn) {
    const OneOpenMpThread one;
    if (dnnl_sgemm(s.transpose_a ? 'T' : 'N', s.transpose_b ? 'T' : 'N', m, n, k, alpha, a, lda, b, ldb, beta, c,
                   ldc) != dnnl_success)
      throw failure("oneDNN could not multiply [{}, {}] by [{}, {}]; is memory exhausted?", s.m, s.k, s.k, s.n);
    return;
  }
  cblas_sgemm(CblasRowMajor, flag(s.transpose_a), flag(s.transpose_b), m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
}

void gemm(const MatrixProduct& s, const double* a, const double* b, double* c) {
  cblas_dgemm(CblasRowMajor, flag(s.transpose_a), flag(s.transpose_b), blas_int(s.m), blas_int(s.n), blas_int(s.k),
              s.alpha, a, blas_int(s.lda), b, blas_int(s.ldb), s.beta, c, blas_int(s.ldc));
}

MatrixProduct with_strides(MatrixProduct s) {
  if (s.lda == 0) s.lda = std::max<std::int64_t>(1, s.transpose_a ? s.m : s.k);
  if (s.ldb == 0) s.ldb = std::max<std::int64_t>(1, s.transpose_b ? s.k : s.n);
  if (s.ldc == 0) s.ldc = std::max<std::int64_t>(1, s.n);
  return s;
}

std::int64_t tiles_of(std::int64_t extent, std::int64_t tile) { return (extent + tile - 1) / tile; }

// A tile near `target` that cuts `extent` evenly, in multiples of the vector width.
std::int64_t even_tile(std::int64_t extent, std::int64_t target) {
  const std::int64_t parts = tiles_of(extent, target);
  return (tiles_of(extent, parts) + 15) / 16 * 16;
}

struct Tiling {
  std::int64_t rows = 1, columns = 1;  // of a tile
};

Tiling tiling(const MatrixProduct& s) {
  const auto work = [&](const Tiling& t) { return 2 * t.rows * t.columns * std::max<std::int64_t>(s.k, 1); };
  if (work({s.m, s.n}) <= kWorthSplitting) return {s.m, s.n};
  Tiling t{even_tile(s.m, kTileRows), even_tile(s.n, kTileColumns)};
  const auto splits = [&] {
    const std::int64_t tiles = tiles_of(s.m, t.rows) * tiles_of(s.n, t.columns);
    return work(t) >= (tiles < kWantedTiles ? 2 * kWorthSplitting : kLongTile);
  };
  while (splits()) {
    std::int64_t& longer = t.columns >= t.rows ? t.columns : t.rows;
    if (longer / 2 < kSmallestTile) break;
    longer = even_tile(longer, longer / 2);
  }
  return t;
}

// Runs items 0 ... count - 1, several to a chunk where each is small. The cut depends on the work of an item only.
template <class F>
void run_items(ThreadPool& pool, std::int64_t count, std::int64_t flops_each, F&& item) {
  const std::int64_t grain = std::max<std::int64_t>(1, kWorthSplitting / 2 / std::max<std::int64_t>(flops_each, 1));
  pool.parallel_for(count, grain, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) item(i);
  });
}

template <class T>
void tiled_products(ThreadPool& pool, const MatrixProduct& s, const Batch& batch, const T* a, const T* b, T* c) {
  use_one_blas_thread();
  const Tiling tile = tiling(s);
  const std::int64_t down = tiles_of(s.m, tile.rows), across = tiles_of(s.n, tile.columns);
  run_items(pool, batch.count * down * across, 2 * tile.rows * tile.columns * s.k, [&](std::int64_t item) {
    const std::int64_t product = item / (down * across);
    const std::int64_t i = item / across % down * tile.rows, j = item % across * tile.columns;
    MatrixProduct part = s;
    part.m = std::min(tile.rows, s.m - i);
    part.n = std::min(tile.columns, s.n - j);
    gemm(part, a + product * batch.stride_a + (s.transpose_a ? i : i * s.lda),
         b + product * batch.stride_b + (s.transpose_b ? j * s.ldb : j), c + product * batch.stride_c + i * s.ldc + j);
  });
}

}  // namespace

template <class T>
void matrix_products(ThreadPool& pool, const MatrixProduct& shape, const Batch& batch, const T* a, const T* b, T* c) {
  const MatrixProduct s = with_strides(shape);
  if (s.m == 0 || s.n == 0) return;
  if (is_narrow(s)) return row_products(pool, s, batch, a, b, c);
  if constexpr (sizeof(T) == 2) {
    half_products(pool, s, batch, a, b, c);
  } else {
    tiled_products(pool, s, batch, a, b, c);
  }
}

template <class T>
void matrix_product(ThreadPool& pool, const MatrixProduct& shape, const T* a, const T* b, T* c) {
  matrix_products(pool, shape, Batch{}, a, b, c);
}

template void matrix_product(ThreadPool&, const MatrixProduct&, const float*, const float*, float*);
template void matrix_product(ThreadPool&, const MatrixProduct&, const double*, const double*, double*);
template void matrix_products(ThreadPool&, const MatrixProduct&, const Batch&, const float*, const float*, float*);
template void matrix_products(ThreadPool&, const MatrixProduct&, const Batch&, const double*, const double*, double*);
template void matrix_product(ThreadPool&, const MatrixProduct&, const F16*, const F16*, F16*);
template void matrix_products(ThreadPool&, const MatrixProduct&, const Batch&, const F16*, const F16*, F16*);
template void matrix_product(ThreadPool&, const MatrixProduct&, const BF16*, const BF16*, BF16*);
template void matrix_products(ThreadPool&, const MatrixProduct&, const Batch&, const BF16*, const BF16*, BF16*);

}  // namespace retune
