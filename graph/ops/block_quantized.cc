// com.microsoft MatMulNBits (bits 2, 4, 8) and MatMulBnb4: products with a weight W [N, K] that is stored as codes with
// a scale for each block (ONNX Runtime, docs/ContribOperators.md; NF4: Dettmers et al. 2023, QLoRA, appendix E).
//
//   MatMulNBits   W[n, k] = (code[n, k] - zero[n, j]) scale[n, j], block j = k / block_size or g_idx[k]; Y = A W^T +
//   bias MatMulBnb4    W[n, k] = table[code[n K + k]] absmax[(n K + k) / block_size]; Y = A W^T, with transB = 0 Y = A
//   W
//
// A few rows (decoding) read the codes directly, once; more rows decode a tile of W and multiply it. Both accumulate in
// f32; accuracy_level, which lets a runtime do less, is not made use of.
//
// With G = dL/dY: dA = G W, the private operator NBitsInputGrad(g, B, scales, zero_points?, g_idx?), or MatMulBnb4 with
// transB the other way; dscale[j] = sum over its block of (W / scale) (G^T A), the private operators NBitsScaleGrad(dW,
// B, zero_points?, g_idx?) and Bnb4ScaleGrad(dW, B). Codes have no gradient.
#include <algorithm>
#include <array>
#include <memory>
#include <vector>

#include "graph/graph_builder.h"
#include "graph/matrix_product.h"
#include "graph/ops/families.h"
#include "graph/ops/kernel.h"
#include "graph/ops/lanes.h"

namespace retune {

namespace {

constexpr std::int64_t kTileElements = 262'144;  // of decoded weights: 1 MB in f32, within the second-level cache
constexpr std::int64_t kTileLines = 96;          // of W at most, so that every thread gets some
constexpr std::int64_t kChunkRows = 4096;        // of W that one tile of columns takes at a time
constexpr std::int64_t kFewRows = 4;             // of A, for which decoding costs more than multiplying

// `count` numbers of a tensor from `begin` on, as T.
template <class T>
void load(const Tensor& tensor, std::int64_t begin, std::int64_t count, T* out) {
  visit_dtype(tensor.dtype(), [&]<class From>(From) {
    const From* from = tensor.data<From>() + begin;
    for (std::int64_t i = 0; i < count; ++i) out[i] = static_cast<T>(static_cast<float>(from[i]));
  });
}
template <>
void load(const Tensor& tensor, std::int64_t begin, std::int64_t count, double* out) {
  visit_dtype(tensor.dtype(), [&]<class From>(From) {
    const From* from = tensor.data<From>() + begin;
    for (std::int64_t i = 0; i < count; ++i) {
      if constexpr (std::is_same_v<From, double>)
        out[i] = from[i];
      else
        out[i] = static_cast<double>(static_cast<float>(from[i]));
    }
  });
}

// Calls f with std::integral_constant<int, bits>.
template <class F>
void visit_bits(std::int64_t bits, F&& f) {
  if (bits == 2) return f(std::integral_constant<int, 2>{});
  if (bits == 4) return f(std::integral_constant<int, 4>{});
  f(std::integral_constant<int, 8>{});
}

std::int64_t required(const Attributes& attributes, const char* name) {
  if (!attributes.has(name)) throw user_error("attribute '{}' is missing", name);
  const std::int64_t value = attributes.i(name, 0);
  if (value < 1 || value > (std::int64_t{1} << 31))
    throw user_error("attribute {} is {}, expected 1 to 2^31", name, value);
  return value;
}

std::int64_t block_size_of(const Attributes& attributes) {
  const std::int64_t size = required(attributes, "block_size");
  if (size < 16 || (size & (size - 1)) != 0)
    throw user_error("attribute block_size is {}, expected a power of two of at least 16", size);
  return size;
}

// --- W of MatMulNBits ---

struct NBits {
  std::int64_t rows = 0, columns = 0;  // N, K
  std::int64_t block = 0, blocks = 0, bits = 0;
  Tensor codes, scales, zeros, groups;  // scales undefined: all 1; zeros and groups undefined: none given

  explicit NBits(const Attributes& attributes)
      : rows(required(attributes, "N")),
        columns(required(attributes, "K")),
        block(block_size_of(attributes)),
        blocks((columns + block - 1) / block),
        bits(attributes.i("bits", 4)) {
    if (bits != 2 && bits != 4 && bits != 8) throw user_error("attribute bits is {}, expected 2, 4 or 8", bits);
    if (attributes.i("weight_prepacked", 0) != 0)
      throw user_error("weights that were packed for one kind of GPU (weight_prepacked) are not supported");
  }

  std::int64_t row_bytes() const { return blocks * block * bits / 8; }
  std::int64_t zero_row_bytes() const { return (blocks * bits + 7) / 8; }
  std::int64_t scale_index(std::int64_t n, std::int64_t k) const {
    return n * blocks + (groups.defined() ? groups.data<std::int32_t>()[k] : k / block);
  }

  // scale[j] and zero[j] of the blocks [begin, end) of row n.
  template <class T>
  void line(std::int64_t n, std::int64_t begin, std::int64_t end, T* scale, T* zero) const {
    if (scales.defined())
      load(scales, n * blocks + begin, end - begin, scale + begin);
    else
      std::fill(scale + begin, scale + end, T{1});
    if (!zeros.defined()) return std::fill(zero + begin, zero + end, static_cast<T>(std::int64_t{1} << (bits - 1)));
    if (zeros.dtype() != DType::kU8) return load(zeros, n * blocks + begin, end - begin, zero + begin);
    const std::uint8_t* packed = zeros.data<std::uint8_t>() + n * zero_row_bytes();
    for (std::int64_t j = begin; j < end; ++j)
      zero[j] = static_cast<T>((packed[j * bits / 8] >> (j * bits % 8)) & ((1 << bits) - 1));
  }

  // out[i * (last - first) + k - first] = W[row + i, k]; first is a multiple of the block size.
  template <class T>
  void decode(std::int64_t row, std::int64_t count, std::int64_t first, std::int64_t last, T* out) const {
    std::vector<T> scale(static_cast<std::size_t>(blocks)), zero(static_cast<std::size_t>(blocks));
    const std::int64_t begin = groups.defined() ? 0 : first / block;
    const std::int64_t end = groups.defined() ? blocks : (last + block - 1) / block;
    visit_bits(bits, [&](auto width) {
      for (std::int64_t i = 0; i < count; ++i) {
        line(row + i, begin, end, scale.data(), zero.data());
        const std::uint8_t* from = codes.data<std::uint8_t>() + (row + i) * row_bytes();
        T* to = out + i * (last - first);
        if (groups.defined())
          decode_groups<width()>(from, scale.data(), zero.data(), first, last, to);
        else
          decode_blocks<width()>(from, scale.data(), zero.data(), first, last, to);
      }
    });
  }

 private:
  template <int kBits, class T>
  void decode_blocks(const std::uint8_t* from, const T* scale, const T* zero, std::int64_t first, std::int64_t last,
                     T* to) const {
    constexpr int kPerByte = 8 / kBits;
    constexpr unsigned kMask = (1u << kBits) - 1u;
    for (std::int64_t begin = first; begin < last; begin += block, to += block) {
      const T s = scale[begin / block], z = zero[begin / block];
      const std::uint8_t* bytes = from + begin / kPerByte;
      const std::int64_t count = std::min(block, last - begin), whole = count / kPerByte;
      for (std::int64_t i = 0; i < whole; ++i)
        for (int p = 0; p < kPerByte; ++p)
          to[i * kPerByte + p] = (static_cast<T>((bytes[i] >> (p * kBits)) & kMask) - z) * s;
      for (std::int64_t k = whole * kPerByte; k < count; ++k)
        to[k] = (static_cast<T>((bytes[k / kPerByte] >> (k % kPerByte * kBits)) & kMask) - z) * s;
    }
  }

  template <int kBits, class T>
  void decode_groups(const std::uint8_t* from, const T* scale, const T* zero, std::int64_t first, std::int64_t last,
                     T* to) const {
    constexpr int kPerByte = 8 / kBits;
    const std::int32_t* group = groups.data<std::int32_t>();
    for (std::int64_t k = first; k < last; ++k) {
      const unsigned code = (from[k / kPerByte] >> (k % kPerByte * kBits)) & ((1u << kBits) - 1u);
      to[k - first] = (static_cast<T>(code) - zero[group[k]]) * scale[group[k]];
    }
  }
};

// --- W of MatMulBnb4 ---

struct Bnb4 {
  std::int64_t rows = 0, columns = 0;  // N, K
  std::int64_t block = 0;
  const double* table = nullptr;
  Tensor codes, scales;  // scales undefined: all 1

  explicit Bnb4(const Attributes& attributes)
      : rows(required(attributes, "N")), columns(required(attributes, "K")), block(block_size_of(attributes)) {
    static constexpr double kFp4[8] = {0, 0.005208333333, 0.66666667, 1, 0.33333333, 0.5, 0.16666667, 0.25};
    static constexpr double kNf4[16] = {-1.0,
                                        -0.6961928009986877,
                                        -0.5250730514526367,
                                        -0.39491748809814453,
                                        -0.28444138169288635,
                                        -0.18477343022823334,
                                        -0.09105003625154495,
                                        0.0,
                                        0.07958029955625534,
                                        0.16093020141124725,
                                        0.24611230194568634,
                                        0.33791524171829224,
                                        0.44070982933044434,
                                        0.5626170039176941,
                                        0.7229568362236023,
                                        1.0};
    static constexpr auto kSignedFp4 = [] {
      std::array<double, 16> all{};
      for (std::size_t i = 0; i < 8; ++i) {
        all[i] = kFp4[i];
        all[i + 8] = -kFp4[i];
      }
      return all;
    }();
    const std::int64_t type = attributes.i("quant_type", -1);
    if (type != 0 && type != 1) throw user_error("attribute quant_type is {}, expected 0 (FP4) or 1 (NF4)", type);
    table = type == 0 ? kSignedFp4.data() : kNf4;
  }

  std::int64_t scale_index(std::int64_t n, std::int64_t k) const { return (n * columns + k) / block; }
  std::int64_t scale_count() const { return (rows * columns + block - 1) / block; }

  template <class T>
  void decode(std::int64_t row, std::int64_t count, std::int64_t first, std::int64_t last, T* out) const {
    T values[16];
    for (int code = 0; code < 16; ++code) values[code] = static_cast<T>(table[code]);
    const std::uint8_t* bytes = codes.data<std::uint8_t>();
    for (std::int64_t i = 0; i < count; ++i)
      for (std::int64_t at = (row + i) * columns + first, end = (row + i) * columns + last; at < end;) {
        const std::int64_t stop = std::min(end, (at / block + 1) * block);
        T scale{1};
        if (scales.defined()) load(scales, at / block, 1, &scale);
        for (; at < stop; ++at) *out++ = values[(bytes[at / 2] >> (at % 2 == 0 ? 4 : 0)) & 15] * scale;  // high first
      }
  }
};

// --- products ---

// y[m, N] = a[m, K] W^T, tile by tile of rows of W.
template <class W, class T>
void multiply_by_transposed(ThreadPool& pool, const W& w, std::int64_t m, const T* a, T* y) {
  const std::int64_t tile = std::clamp<std::int64_t>(kTileElements / w.columns, 16, kTileLines);
  pool.parallel_for(w.rows, tile, [&](std::int64_t begin, std::int64_t end) {
    const auto decoded = std::make_unique_for_overwrite<T[]>(static_cast<std::size_t>((end - begin) * w.columns));
    w.decode(begin, end - begin, 0, w.columns, decoded.get());
    matrix_product(pool, {.m = m, .n = end - begin, .k = w.columns, .transpose_b = true, .ldc = w.rows}, a,
                   decoded.get(), y + begin);
  });
}

// y[m, K] = a[m, N] W, tile by tile of columns of W.
template <class W, class T>
void multiply(ThreadPool& pool, const W& w, std::int64_t m, const T* a, T* y) {
  const std::int64_t tile = std::max<std::int64_t>(1, kTileLines / w.block) * w.block;
  pool.parallel_for(w.columns, tile, [&](std::int64_t begin, std::int64_t end) {
    const std::int64_t chunk = std::min(kChunkRows, w.rows);
    const auto decoded = std::make_unique_for_overwrite<T[]>(static_cast<std::size_t>(chunk * (end - begin)));
    for (std::int64_t n = 0; n < w.rows; n += chunk) {
      const std::int64_t depth = std::min(chunk, w.rows - n);
      w.decode(n, depth, begin, end, decoded.get());
      matrix_product(
          pool, {.m = m, .n = end - begin, .k = depth, .lda = w.rows, .ldc = w.columns, .beta = n == 0 ? 0.0 : 1.0},
          a + n, decoded.get(), y + begin);
    }
  });
}

// The same as multiply_by_transposed for few rows: a line of W is decoded, met with every row of A, and forgotten.
template <class W, class T>
void multiply_few(ThreadPool& pool, const W& w, std::int64_t m, const T* a, T* y) {
  pool.parallel_for(
      w.rows, std::max<std::int64_t>(8, kElementGrain * 8 / w.columns), [&](std::int64_t begin, std::int64_t end) {
        std::vector<T> line(static_cast<std::size_t>(w.columns));
        for (std::int64_t n = begin; n < end; ++n) {
          w.decode(n, 1, 0, w.columns, line.data());
          for (std::int64_t i = 0; i < m; ++i)
            y[i * w.rows + n] = lane_sum<T>(
                w.columns, [&](std::int64_t k) { return line[static_cast<std::size_t>(k)] * a[i * w.columns + k]; });
        }
      });
}

// totals[lane] += scale * sum over the block's bytes of (code - zero) a, where `planes` holds the block's a in the
// order of the codes' places in a byte: all first ones, all second ones, ...
template <int kBits, int kWidth, class T>
inline void add_block(const std::uint8_t* bytes, const T* planes, std::int64_t count, T zero, T scale, T* totals) {
  T sums[kWidth] = {};
  for (std::int64_t i = 0; i < count; i += kWidth)
    for (int p = 0; p < 8 / kBits; ++p)
      for (int lane = 0; lane < kWidth; ++lane) {
        const int code = (bytes[i + lane] >> (p * kBits)) & ((1 << kBits) - 1);
        sums[lane] += (static_cast<T>(code) - zero) * planes[p * count + i + lane];
      }
  for (int lane = 0; lane < kWidth; ++lane) totals[lane] += sums[lane] * scale;
}

template <int kBits, int kWidth, class T>
T dot_line(const NBits& w, std::int64_t n, const T* planes, const T* scale, const T* zero) {
  const std::int64_t count = w.block * kBits / 8;
  const std::uint8_t* bytes = w.codes.data<std::uint8_t>() + n * w.row_bytes();
  T totals[kWidth] = {};
  for (std::int64_t j = 0; j < w.blocks; ++j)
    add_block<kBits, kWidth>(bytes + j * count, planes + j * w.block, count, zero[j], scale[j], totals);
  for (int width = kWidth / 2; width > 0; width /= 2)
    for (int lane = 0; lane < width; ++lane) totals[lane] += totals[lane + width];
  return totals[0];
}

// The rows of A, each padded with zeros to whole blocks, every block in the order that add_block wants.
template <class T>
std::vector<T> planes_of(const NBits& w, std::int64_t m, const T* a) {
  const std::int64_t per_byte = 8 / w.bits, bytes = w.block / per_byte, length = w.blocks * w.block;
  std::vector<T> planes(static_cast<std::size_t>(m * length), T{0});
  for (std::int64_t i = 0; i < m; ++i)
    for (std::int64_t k = 0; k < w.columns; ++k) {
      const std::int64_t within = k % w.block;
      planes[static_cast<std::size_t>(i * length + k - within + within % per_byte * bytes + within / per_byte)] =
          a[i * w.columns + k];
    }
  return planes;
}

// Few rows without g_idx: the codes are multiplied as they are read.
template <int kBits, int kWidth, class T>
void stream(ThreadPool& pool, const NBits& w, std::int64_t m, const T* a, T* y) {
  const std::vector<T> planes = planes_of(w, m, a);
  const std::int64_t length = w.blocks * w.block;
  pool.parallel_for(
      w.rows, std::max<std::int64_t>(8, kElementGrain * 8 / length), [&](std::int64_t begin, std::int64_t end) {
        std::vector<T> scale(static_cast<std::size_t>(w.blocks)), zero(scale.size());
        for (std::int64_t n = begin; n < end; ++n) {
          w.line(n, 0, w.blocks, scale.data(), zero.data());
          for (std::int64_t i = 0; i < m; ++i)
            y[i * w.rows + n] = dot_line<kBits, kWidth>(w, n, planes.data() + i * length, scale.data(), zero.data());
        }
      });
}

template <class T>
void multiply_few(ThreadPool& pool, const NBits& w, std::int64_t m, const T* a, T* y) {
  if (w.groups.defined()) return multiply_few<NBits, T>(pool, w, m, a, y);
  visit_bits(w.bits, [&](auto width) {
    // A block has at least 16 codes: 4 bytes of 2 bits, 8 of 4, 16 of 8. More lanes than GCC unrolls (16) where a byte
    // is one code, or it finds no vectors there.
    const std::int64_t bytes = w.block * w.bits / 8;
    if (width() == 8 && bytes % 32 == 0) return stream<width(), 32>(pool, w, m, a, y);
    if (bytes % 16 == 0) return stream<width(), 16>(pool, w, m, a, y);
    stream<width(), 4>(pool, w, m, a, y);
  });
}

// In f64 where A is, else in f32: f(T) with the element type, and `ctx`'s floats of other types converted.
template <class F>
void visit_wide(DType dtype, F&& f) {
  dtype == DType::kF64 ? f(double{}) : f(float{});
}
DType wide_type(DType dtype) { return dtype == DType::kF64 ? dtype : DType::kF32; }

// Output 0 in its own type.
void give(ForwardContext& ctx, Tensor wide) { ctx.set_out(0, wide.cast(ctx.out_type(0).dtype)); }

Shape with_last(const Shape& shape, std::int64_t extent) {
  std::vector<std::int64_t> extents = shape.extents();
  extents.back() = extent;
  return Shape(std::move(extents));
}

void check_activations(const InferContext& ctx, std::int64_t depth) {
  require_float(ctx, 0);
  if (ctx.shape(0).rank() == 0 || ctx.shape(0).back() != depth)
    throw user_error("input A has shape {}, expected [..., {}]", ctx.shape(0).text(), depth);
}

void check_codes(const InferContext& ctx, int i, std::int64_t bytes) {
  if (ctx.dtype(i) != DType::kU8 || ctx.shape(i).numel() != bytes)
    throw user_error("the packed weight is {} {}, expected u8 of {} bytes", dtype_name(ctx.dtype(i)),
                     ctx.shape(i).text(), bytes);
}

// --- MatMulNBits ---

// Inputs of the weight begin at `codes`; `scales` < 0: there are none.
void check_nbits(const InferContext& ctx, const NBits& w, int codes, int scales, int zeros, int groups) {
  std::int64_t bytes = 0;
  if (__builtin_mul_overflow(w.rows, w.row_bytes(), &bytes)) throw user_error("N times K is too large");
  check_codes(ctx, codes, bytes);
  if (scales >= 0) {
    require_float(ctx, scales);
    if (ctx.shape(scales).numel() != w.rows * w.blocks)
      throw user_error("scales have shape {}, expected [{}, {}]", ctx.shape(scales).text(), w.rows, w.blocks);
  }
  if (ctx.has(zeros)) {
    const bool packed = ctx.dtype(zeros) == DType::kU8;
    const std::int64_t expected = packed ? w.zero_row_bytes() : w.blocks;
    if ((!packed && !is_float(ctx.dtype(zeros))) || ctx.shape(zeros).numel() != w.rows * expected)
      throw user_error("zero points are {} {}, expected u8 [{}, {}] or floats [{}, {}]", dtype_name(ctx.dtype(zeros)),
                       ctx.shape(zeros).text(), w.rows, w.zero_row_bytes(), w.rows, w.blocks);
  }
  if (ctx.has(groups) && (ctx.dtype(groups) != DType::kI32 || ctx.shape(groups).numel() < w.columns))
    throw user_error("g_idx is {} {}, expected i32 [{}]", dtype_name(ctx.dtype(groups)), ctx.shape(groups).text(),
                     w.columns);
}

NBits nbits_of(const ForwardContext& ctx, int codes, int scales, int zeros, int groups) {
  NBits w(ctx.attributes());
  w.codes = ctx.in(codes);
  if (scales >= 0) w.scales = ctx.in(scales);
  if (ctx.has(zeros)) w.zeros = ctx.in(zeros);
  if (ctx.has(groups)) {
    w.groups = ctx.in(groups);
    for (std::int64_t k = 0; k < w.columns; ++k)
      if (const std::int32_t group = w.groups.data<std::int32_t>()[k]; group < 0 || group >= w.blocks)
        throw user_error("g_idx[{}] is {}, there are {} blocks", k, group, w.blocks);
  }
  return w;
}

void infer_nbits(InferContext& ctx) {
  require_inputs(ctx, 3);
  const NBits w(ctx.attributes());
  check_activations(ctx, w.columns);
  check_nbits(ctx, w, 1, 2, 3, 4);
  if (ctx.has(5) && ctx.shape(5).numel() != w.rows)
    throw user_error("bias has shape {}, expected [{}]", ctx.shape(5).text(), w.rows);
  ctx.set(0, ctx.dtype(0), with_last(ctx.shape(0), w.rows));
}

void forward_nbits(ForwardContext& ctx) {
  const NBits w = nbits_of(ctx, 1, 2, 3, 4);
  visit_wide(ctx.in(0).dtype(), [&]<class T>(T) {
    const Tensor a = ctx.in(0).cast(wide_type(ctx.in(0).dtype()));
    const std::int64_t m = a.numel() / w.columns;
    Tensor y = ctx.scratch(a.dtype(), ctx.out_type(0).shape);
    T* out = y.mutable_data<T>();
    if (m <= kFewRows)
      multiply_few(ctx.pool(), w, m, a.data<T>(), out);
    else
      multiply_by_transposed(ctx.pool(), w, m, a.data<T>(), out);
    if (ctx.has(5)) {
      const Tensor bias = ctx.in(5).cast(a.dtype());
      for (std::int64_t i = 0; i < m; ++i)
        for (std::int64_t n = 0; n < w.rows; ++n) out[i * w.rows + n] += bias.data<T>()[n];
    }
    give(ctx, y);
  });
}

// G^T A, the gradient that W would have.
ValueId weight_gradient(GraphBuilder& b, ValueId g, ValueId a, std::int64_t rows, std::int64_t columns) {
  const std::int64_t count = b.shape(a).numel() / columns;
  return b.matmul(b.reshape(g, {count, rows}), b.reshape(a, {count, columns}), GraphBuilder::Swap::kLastTwo);
}

void vjp_nbits(VjpContext& ctx) {
  GraphBuilder& b = ctx.builder();
  const NBits w(ctx.attributes());
  const ValueId g = ctx.cotangent();
  const auto optional = [&](int i) { return ctx.has(i) ? ctx.in(i) : kNoValue; };
  if (ctx.wants(0))
    ctx.give(0, b.private_op("NBitsInputGrad", {g, ctx.in(1), ctx.in(2), optional(3), optional(4)}, ctx.attributes()));
  if (ctx.wants(2)) {
    Attributes attributes = ctx.attributes();
    attributes.set("extents", ctx.shape(ctx.in(2)).extents());
    const ValueId dw = weight_gradient(b, g, ctx.in(0), w.rows, w.columns);
    ctx.give(2, b.cast(b.private_op("NBitsScaleGrad", {dw, ctx.in(1), optional(3), optional(4)}, attributes),
                       ctx.dtype(ctx.in(2))));
  }
  if (ctx.wants(3)) throw user_error("{} has no gradient with respect to its zero points", ctx.node().text());
  if (ctx.wants(5)) ctx.give(5, b.reshape(b.sum_to(g, Shape{w.rows}), ctx.shape(ctx.in(5))));
}

void infer_nbits_input_grad(InferContext& ctx) {
  ctx.set(0, ctx.dtype(0), with_last(ctx.shape(0), NBits(ctx.attributes()).columns));
}

void forward_nbits_input_grad(ForwardContext& ctx) {
  const NBits w = nbits_of(ctx, 1, 2, 3, 4);
  visit_wide(ctx.in(0).dtype(), [&]<class T>(T) {
    const Tensor g = ctx.in(0).cast(wide_type(ctx.in(0).dtype()));
    Tensor dx = ctx.scratch(g.dtype(), ctx.out_type(0).shape);
    multiply(ctx.pool(), w, g.numel() / w.rows, g.data<T>(), dx.mutable_data<T>());
    give(ctx, dx);
  });
}

void infer_scale_grad(InferContext& ctx) { ctx.set(0, ctx.dtype(0), Shape(ctx.attributes().ints("extents"))); }

// Line by line of W, in the order of its columns.
template <class W>
void forward_scale_grad(ForwardContext& ctx, const W& w) {
  visit_wide(ctx.in(0).dtype(), [&]<class T>(T) {
    const Tensor dw = ctx.in(0).cast(wide_type(ctx.in(0).dtype()));
    Tensor sums = ctx.scratch(dw.dtype(), ctx.out_type(0).shape);
    T* out = sums.mutable_data<T>();
    std::fill(out, out + sums.numel(), T{0});
    std::vector<T> line(static_cast<std::size_t>(w.columns));
    for (std::int64_t n = 0; n < w.rows; ++n) {
      w.decode(n, 1, 0, w.columns, line.data());
      for (std::int64_t k = 0; k < w.columns; ++k)
        out[w.scale_index(n, k)] += line[static_cast<std::size_t>(k)] * dw.data<T>()[n * w.columns + k];
    }
    give(ctx, sums);
  });
}

void forward_nbits_scale_grad(ForwardContext& ctx) { forward_scale_grad(ctx, nbits_of(ctx, 1, -1, 2, 3)); }

// --- MatMulBnb4 ---

Bnb4 bnb4_of(const ForwardContext& ctx) {
  Bnb4 w(ctx.attributes());
  w.codes = ctx.in(1);
  if (ctx.has(2)) w.scales = ctx.in(2);
  return w;
}

void infer_bnb4(InferContext& ctx) {
  require_inputs(ctx, 3);
  const Bnb4 w(ctx.attributes());
  const bool transposed = ctx.attributes().i("transB", 1) != 0;
  check_activations(ctx, transposed ? w.columns : w.rows);
  check_codes(ctx, 1, (w.rows * w.columns + 1) / 2);
  require_float(ctx, 2);
  if (ctx.shape(2).numel() != w.scale_count())
    throw user_error("absmax has shape {}, expected [{}]", ctx.shape(2).text(), w.scale_count());
  ctx.set(0, ctx.dtype(0), with_last(ctx.shape(0), transposed ? w.rows : w.columns));
}

void forward_bnb4(ForwardContext& ctx) {
  const Bnb4 w = bnb4_of(ctx);
  const bool transposed = ctx.attributes().i("transB", 1) != 0;
  visit_wide(ctx.in(0).dtype(), [&]<class T>(T) {
    const Tensor a = ctx.in(0).cast(wide_type(ctx.in(0).dtype()));
    const std::int64_t m = a.numel() / (transposed ? w.columns : w.rows);
    Tensor y = ctx.scratch(a.dtype(), ctx.out_type(0).shape);
    if (!transposed)
      multiply(ctx.pool(), w, m, a.data<T>(), y.mutable_data<T>());
    else if (m <= kFewRows)
      multiply_few<Bnb4, T>(ctx.pool(), w, m, a.data<T>(), y.mutable_data<T>());
    else
      multiply_by_transposed(ctx.pool(), w, m, a.data<T>(), y.mutable_data<T>());
    give(ctx, y);
  });
}

void vjp_bnb4(VjpContext& ctx) {
  GraphBuilder& b = ctx.builder();
  const Bnb4 w(ctx.attributes());
  const bool transposed = ctx.attributes().i("transB", 1) != 0;
  Attributes attributes = ctx.attributes();
  if (ctx.wants(0)) {
    attributes.set("transB", std::int64_t{transposed ? 0 : 1});
    ctx.give(0, b.ops("com.microsoft", "MatMulBnb4", {ctx.cotangent(), ctx.in(1), ctx.in(2)}, attributes, {""})[0]);
  }
  if (ctx.wants(2)) {
    const ValueId left = transposed ? ctx.cotangent() : ctx.in(0), right = transposed ? ctx.in(0) : ctx.cotangent();
    attributes.set("extents", ctx.shape(ctx.in(2)).extents());
    const ValueId dw = weight_gradient(b, left, right, w.rows, w.columns);
    ctx.give(2, b.cast(b.private_op("Bnb4ScaleGrad", {dw, ctx.in(1)}, attributes), ctx.dtype(ctx.in(2))));
  }
}

void forward_bnb4_scale_grad(ForwardContext& ctx) { forward_scale_grad(ctx, bnb4_of(ctx)); }

Op gradient_op(std::string name, void (*infer)(InferContext&), void (*forward)(ForwardContext&)) {
  return {.domain = "retune",
          .name = std::move(name),
          .infer = infer,
          .forward = forward,
          .no_vjp = kIsGradient,
          .takes_half = true};
}

}  // namespace

std::vector<Op> block_quantized_ops() {
  return {
      {.domain = "com.microsoft",
       .name = "MatMulNBits",
       .infer = infer_nbits,
       .forward = forward_nbits,
       .vjp = vjp_nbits,
       .takes_half = true},
      {.domain = "com.microsoft",
       .name = "MatMulBnb4",
       .infer = infer_bnb4,
       .forward = forward_bnb4,
       .vjp = vjp_bnb4,
       .takes_half = true},
      gradient_op("NBitsInputGrad", infer_nbits_input_grad, forward_nbits_input_grad),
      gradient_op("NBitsScaleGrad", infer_scale_grad, forward_nbits_scale_grad),
      gradient_op("Bnb4ScaleGrad", infer_scale_grad, forward_bnb4_scale_grad),
  };
}

}  // namespace retune
