// com.microsoft GatherBlockQuantized: Gather along gather_axis from data stored as codes with a scale for each
// block_size neighbours along quantize_axis (ONNX Runtime, docs/ContribOperators.md).
//
//   y = (code - zero_point) scale of the elements that Gather would take
//
// Data is i4 or u4 (default zero point 0), or u8 with attribute bits of 2, 4 or 8 packed along the last axis, low bits
// first (default 2^(bits - 1)), or 8-bit or 4-bit floats (none; block_size 0: the whole axis). Indices out of range are
// errors. The gradient of the scales is not available; data are codes.
#include <algorithm>
#include <array>
#include <vector>

#include "graph/ops/families.h"
#include "graph/ops/index.h"
#include "graph/ops/kernel.h"
#include "tensor/narrow.h"

namespace retune {

namespace {

struct Gathering {
  Shape data;  // in elements
  int gather_axis = 0, quantize_axis = 1;
  std::int64_t block = 128, blocks = 1;
  unsigned bits = 4;
  bool in_bytes = false;  // u8 data, each row of which begins with a byte

  // As in the data: rows of one axis, in steps of what lies within.
  std::int64_t outer(int axis) const { return data.product(0, axis); }
  std::int64_t inner(int axis) const { return data.product(axis + 1, data.rank()); }
  Shape scale_shape() const {
    std::vector<std::int64_t> extents = data.extents();
    extents[static_cast<std::size_t>(quantize_axis)] = blocks;
    return Shape(std::move(extents));
  }
};

// A shape of u8, of `bits` a code, in codes along the last axis.
Shape in_codes(const Shape& bytes, std::int64_t per_byte) {
  std::vector<std::int64_t> extents = bytes.extents();
  if (__builtin_mul_overflow(extents.back(), per_byte, &extents.back()))
    throw user_error("data of shape {} is too large", bytes.text());
  return Shape(std::move(extents));
}

Gathering gathering_of(const Attributes& attributes, DType dtype, const Shape& stored) {
  if (stored.rank() == 0) throw user_error("cannot gather from a scalar");
  Gathering g{.data = stored};
  g.gather_axis = normalize_axis(attributes.i("gather_axis", 0), stored.rank());
  g.quantize_axis = normalize_axis(attributes.i("quantize_axis", 1), stored.rank());
  g.block = attributes.i("block_size", 128);
  if (dtype == DType::kU8) {
    const std::int64_t bits = attributes.i("bits", 4);
    if (bits != 2 && bits != 4 && bits != 8) throw user_error("attribute bits is {}, expected 2, 4 or 8", bits);
    if (g.quantize_axis != stored.rank() - 1 || g.gather_axis == g.quantize_axis)
      throw user_error("u8 data is quantised along its last axis and gathered along another, got axes {} and {}",
                       g.quantize_axis, g.gather_axis);
    g.bits = static_cast<unsigned>(bits);
    g.in_bytes = true;
    g.data = in_codes(stored, 8 / bits);
  } else if (dtype == DType::kI4 || dtype == DType::kU4 || (is_narrow_float(dtype) && dtype != DType::kF8E8M0)) {
    g.bits = dtype_bits(dtype);
    if (is_narrow_float(dtype) && g.block == 0) g.block = std::max<std::int64_t>(stored[g.quantize_axis], 16);
  } else {
    throw user_error("data has type {}, expected u8, i4, u4, or a float of 8 or 4 bits", dtype_name(dtype));
  }
  if (g.block < 16) throw user_error("attribute block_size is {}, expected at least 16", g.block);
  const std::int64_t extent = g.data[g.quantize_axis];
  g.blocks = extent / g.block + (extent % g.block != 0 ? 1 : 0);
  return g;
}

void infer(InferContext& ctx) {
  require_inputs(ctx, 3);
  const Gathering g = gathering_of(ctx.attributes(), ctx.dtype(0), ctx.shape(0));
  if (ctx.dtype(1) != DType::kI32 && ctx.dtype(1) != DType::kI64)
    throw user_error("indices must be i32 or i64, got {}", dtype_name(ctx.dtype(1)));
  require_float(ctx, 2);
  if (!(ctx.shape(2) == g.scale_shape()))
    throw user_error("scales have shape {}, expected {}", ctx.shape(2).text(), g.scale_shape().text());
  if (ctx.has(3)) {
    if (is_narrow_float(ctx.dtype(0))) throw user_error("float data has no zero points");
    require_same_dtype(ctx, 3, 0);
    std::vector<std::int64_t> expected = g.scale_shape().extents();
    if (g.in_bytes) expected.back() = (expected.back() * g.bits + 7) / 8;
    if (ctx.shape(3).extents() != expected)
      throw user_error("zero points have shape {}, expected {}", ctx.shape(3).text(), Shape(expected).text());
  }
  std::vector<std::int64_t> extents(g.data.begin(), g.data.begin() + g.gather_axis);
  extents.insert(extents.end(), ctx.shape(1).begin(), ctx.shape(1).end());
  extents.insert(extents.end(), g.data.begin() + g.gather_axis + 1, g.data.end());
  ctx.set(0, ctx.dtype(2), Shape(std::move(extents)));
}

// Codes of a tensor, of which each `row` begin with a byte.
class Codes {
 public:
  Codes(const Tensor& tensor, unsigned bits, std::int64_t row)
      : bytes_(reinterpret_cast<const std::uint8_t*>(tensor.raw())),
        bits_(bits),
        row_(std::max<std::int64_t>(row, 1)) {}
  unsigned at(std::int64_t i) const {
    const std::int64_t per_byte = 8 / bits_, row_bytes = (row_ + per_byte - 1) / per_byte, within = i % row_;
    return (bytes_[i / row_ * row_bytes + within / per_byte] >> (within % per_byte * bits_)) & ((1u << bits_) - 1u);
  }

 private:
  const std::uint8_t* bytes_;
  unsigned bits_;
  std::int64_t row_;
};

// The value of every code.
template <class T>
std::array<T, 256> values_of(DType dtype) {
  std::array<T, 256> values{};
  for (std::size_t code = 0; code < values.size(); ++code)
    values[code] = dtype == DType::kU8 ? static_cast<T>(code)
                                       : static_cast<T>(narrow_value(dtype, static_cast<std::uint8_t>(code)));
  return values;
}

template <class T>
void gather(ForwardContext& ctx, const Gathering& g) {
  const std::int64_t extent = g.data[g.gather_axis], inner = g.inner(g.gather_axis);
  const std::vector<std::int64_t> indices = checked_indices(ctx.in(1), extent);
  const auto count = static_cast<std::int64_t>(indices.size());
  const std::array<T, 256> values = values_of<T>(ctx.in(0).dtype());
  // u8 rows begin with a byte; typed codes are packed throughout.
  const Codes codes(ctx.in(0), g.bits, g.in_bytes ? g.data.back() : g.data.numel());
  const Codes zeros(ctx.has(3) ? ctx.in(3) : ctx.in(0), g.bits, g.in_bytes ? g.blocks : ctx.in(2).numel());
  const T default_zero = g.in_bytes ? static_cast<T>(1 << (g.bits - 1)) : T{0};
  const T* scales = ctx.in(2).data<T>();
  T* y = ctx.out(0).mutable_data<T>();
  const std::int64_t along = g.data[g.quantize_axis], within = g.inner(g.quantize_axis);
  const std::int64_t grain = std::max<std::int64_t>(1, kElementGrain / std::max<std::int64_t>(inner, 1));
  ctx.pool().parallel_for(g.outer(g.gather_axis) * count, grain, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      const std::int64_t from = (i / count * extent + indices[static_cast<std::size_t>(i % count)]) * inner;
      for (std::int64_t k = 0; k < inner; ++k) {
        const std::int64_t at = from + k, line = at / within;
        const std::int64_t scale = (line / along * g.blocks + line % along / g.block) * within + at % within;
        const T zero = ctx.has(3) ? values[zeros.at(scale)] : default_zero;
        y[i * inner + k] = (values[codes.at(at)] - zero) * scales[scale];
      }
    }
  });
}

void forward(ForwardContext& ctx) {
  const Gathering g = gathering_of(ctx.attributes(), ctx.in(0).dtype(), ctx.in(0).shape());
  visit_float(ctx.in(2).dtype(), [&]<class T>(T) { gather<T>(ctx, g); });
}

}  // namespace

std::vector<Op> quantized_gather_ops() {
  return {{.domain = "com.microsoft",
           .name = "GatherBlockQuantized",
           .infer = infer,
           .forward = forward,
           .no_vjp = "its data are codes, and the gradient of its scales is not available",
           .packed = Op::Packed::kAsStored}};
}

}  // namespace retune
