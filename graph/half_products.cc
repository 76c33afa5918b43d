#include "graph/half_products.h"

#include <algorithm>
#include <memory>
#include <oneapi/dnnl/dnnl.hpp>
#include <type_traits>

#include "graph/one_dnn.h"
#include "tensor/error.h"
#include "tensor/half.h"

namespace retune {

namespace {

// Columns of B that one task multiplies: a panel of this width is widened once for all rows.
constexpr std::int64_t kPanel = 256;
// Rows and columns of a task of oneDNN's bf16 product. Its kernel packs B for itself, which pays for many rows.
constexpr std::int64_t kTileRows = 512;
constexpr std::int64_t kTileColumns = 512;
constexpr std::int64_t kWantedTiles = 8;
constexpr std::int64_t kSmallestTile = 128;  // columns

std::int64_t tiles_of(std::int64_t extent, std::int64_t tile) { return (extent + tile - 1) / tile; }

bool has_bf16_products() {
  static const bool has = __builtin_cpu_supports("avx512bf16") != 0;
  return has;
}

// A product of one shape as oneDNN's primitive: operands of any strides, C of the operands' type. Immutable once made;
// several threads may execute it.
class Bf16Product {
 public:
  Bf16Product(const MatrixProduct& s, std::int64_t rows, std::int64_t columns) {
    using dnnl::memory;
    const auto type = memory::data_type::bf16;
    const auto strides = [](bool transpose, std::int64_t ld) {
      return transpose ? memory::dims{1, ld} : memory::dims{ld, 1};
    };
    dnnl::primitive_attr attributes;
    // The library's own scratch memory is not for several threads at once.
    attributes.set_scratchpad_mode(dnnl::scratchpad_mode::user);
    if (s.alpha != 1.0) attributes.set_output_scales(0, {static_cast<float>(s.alpha)});
    if (s.beta != 0.0) {
      dnnl::post_ops post;
      post.append_sum(static_cast<float>(s.beta));
      attributes.set_post_ops(post);
    }
    a_ = memory::desc({rows, s.k}, type, strides(s.transpose_a, s.lda));
    b_ = memory::desc({s.k, columns}, type, strides(s.transpose_b, s.ldb));
    c_ = memory::desc({rows, columns}, type, memory::dims{s.ldc, 1});
    const dnnl::matmul::primitive_desc description({a_, b_, c_}, attributes, one_dnn_engine());
    scratch_ = description.scratchpad_desc();
    product_ = dnnl::matmul(description);
  }

  std::size_t scratch_bytes() const { return scratch_.get_size(); }

  // `scratch` is scratch_bytes() long and the caller's alone.
  void execute(const BF16* a, const BF16* b, BF16* c, std::byte* scratch) const {
    const auto memory_at = [](const dnnl::memory::desc& desc, const void* data) {
      return dnnl::memory(desc, one_dnn_engine(), const_cast<void*>(data));
    };
    dnnl::stream stream(one_dnn_engine());
    product_.execute(stream, {{DNNL_ARG_SRC, memory_at(a_, a)},
                              {DNNL_ARG_WEIGHTS, memory_at(b_, b)},
                              {DNNL_ARG_DST, memory_at(c_, c)},
                              {DNNL_ARG_SCRATCHPAD, memory_at(scratch_, scratch)}});
  }

 private:
  dnnl::memory::desc a_, b_, c_, scratch_;
  dnnl::matmul product_;
};

struct Grid {
  std::int64_t rows = 1, columns = 1;  // of a tile
  std::int64_t down = 1, across = 1;   // tiles
};

Grid grid_of(const MatrixProduct& s) {
  Grid g{.rows = std::min(kTileRows, s.m)};
  g.down = tiles_of(s.m, g.rows);
  g.across = tiles_of(s.n, kTileColumns);
  while (g.down * g.across < kWantedTiles && s.n / g.across >= 2 * kSmallestTile) g.across *= 2;
  g.columns = std::min(s.n, tiles_of(tiles_of(s.n, g.across), 64) * 64);
  g.across = tiles_of(s.n, g.columns);
  return g;
}

void native_products(ThreadPool& pool, const MatrixProduct& s, const Batch& batch, const BF16* a, const BF16* b,
                     BF16* c) {
  const Grid g = grid_of(s);
  const OneOpenMpThread one;
  // Whole tiles, the last of a row, the last of a column, and the corner.
  const std::int64_t last_rows = s.m - (g.down - 1) * g.rows, last_columns = s.n - (g.across - 1) * g.columns;
  const Bf16Product products[2][2] = {{{s, g.rows, g.columns}, {s, g.rows, last_columns}},
                                      {{s, last_rows, g.columns}, {s, last_rows, last_columns}}};
  pool.parallel_for(batch.count * g.down * g.across, 1, [&](std::int64_t item, std::int64_t) {
    const OneOpenMpThread here;
    const std::int64_t product = item / (g.down * g.across);
    const std::int64_t down = item % g.down, across = item / g.down % g.across;
    const std::int64_t i = down * g.rows, j = across * g.columns;
    const Bf16Product& tile = products[down + 1 == g.down][across + 1 == g.across];
    const auto scratch = std::make_unique_for_overwrite<std::byte[]>(tile.scratch_bytes());
    tile.execute(a + product * batch.stride_a + (s.transpose_a ? i : i * s.lda),
                 b + product * batch.stride_b + (s.transpose_b ? j * s.ldb : j),
                 c + product * batch.stride_c + i * s.ldc + j, scratch.get());
  });
}

// Rows of a matrix of 16-bit floats as dense f32.
template <class T>
void widen_rows(const T* from, std::int64_t rows, std::int64_t columns, std::int64_t stride, float* to) {
  for (std::int64_t r = 0; r < rows; ++r) widen(from + r * stride, to + r * columns, columns);
}

template <class T>
void widened_panel(ThreadPool& pool, const MatrixProduct& s, std::int64_t begin, const float* a, const T* b, T* c) {
  const std::int64_t n = std::min(kPanel, s.n - begin);
  const auto panel = std::make_unique_for_overwrite<float[]>(static_cast<std::size_t>(n * s.k));
  const auto sums = std::make_unique_for_overwrite<float[]>(static_cast<std::size_t>(s.m * n));
  if (s.transpose_b)
    widen_rows(b + begin * s.ldb, n, s.k, s.ldb, panel.get());
  else
    widen_rows(b + begin, s.k, n, s.ldb, panel.get());
  if (s.beta != 0) widen_rows(c + begin, s.m, n, s.ldc, sums.get());
  MatrixProduct wide = s;
  wide.n = n;
  wide.lda = s.transpose_a ? s.m : s.k;
  wide.ldb = s.transpose_b ? s.k : n;
  wide.ldc = n;
  matrix_product(pool, wide, a, panel.get(), sums.get());
  for (std::int64_t i = 0; i < s.m; ++i) narrow(sums.get() + i * n, c + i * s.ldc + begin, n);
}

template <class T>
void widened_products(ThreadPool& pool, const MatrixProduct& s, const Batch& batch, const T* a, const T* b, T* c) {
  const std::int64_t rows = s.transpose_a ? s.k : s.m, columns = s.transpose_a ? s.m : s.k;
  const auto wide = std::make_unique_for_overwrite<float[]>(static_cast<std::size_t>(batch.count * rows * columns));
  pool.parallel_for(batch.count * rows, 16, [&](std::int64_t first, std::int64_t last) {
    for (std::int64_t r = first; r < last; ++r)
      widen(a + r / rows * batch.stride_a + r % rows * s.lda, wide.get() + r * columns, columns);
  });
  const std::int64_t panels = tiles_of(s.n, kPanel);
  pool.parallel_for(batch.count * panels, 1, [&](std::int64_t item, std::int64_t) {
    const std::int64_t product = item / panels;
    widened_panel(pool, s, item % panels * kPanel, wide.get() + product * rows * columns, b + product * batch.stride_b,
                  c + product * batch.stride_c);
  });
}

}  // namespace

template <class T>
void half_products(ThreadPool& pool, const MatrixProduct& shape, const Batch& batch, const T* a, const T* b, T* c) {
  if constexpr (std::is_same_v<T, BF16>) {
    if (has_bf16_products() && shape.k > 0) {
      try {
        return native_products(pool, shape, batch, a, b, c);
      } catch (const dnnl::error& error) {
        throw failure("oneDNN could not multiply [{}, {}] by [{}, {}] in bf16: {}", shape.m, shape.k, shape.k, shape.n,
                      error.message);
      }
    }
  }
  widened_products(pool, shape, batch, a, b, c);
}

template void half_products(ThreadPool&, const MatrixProduct&, const Batch&, const F16*, const F16*, F16*);
template void half_products(ThreadPool&, const MatrixProduct&, const Batch&, const BF16*, const BF16*, BF16*);

}  // namespace retune
