// QuantizeLinear, DequantizeLinear (10, 13, 19, 21, 23, 24, 25) and DynamicQuantizeLinear (11).
//
//   QuantizeLinear          y = saturate(round(x / scale) + zero_point), half to even; floats: y = cast(x / scale +
//   zero) DequantizeLinear        y = (x - zero_point) scale, in f32, rounded once into the output's type
//   DynamicQuantizeLinear   scale = (max(x, 0) - min(x, 0)) / 255, zero_point = round(-min(x, 0) / scale), in u8
//
// One scale serves the tensor, or (attribute axis) an index of one axis, or (block_size) as many neighbours along it.
// The division is as precise as attribute `precision`, or as the scale's type; NaN becomes the zero point. Where all of
// x is 0, DynamicQuantizeLinear takes the scale 1, as ONNX Runtime does.
//
// With G = dL/dy, DequantizeLinear: dscale = sum over what the scale serves of (x - zero_point) G, the private operator
// DequantizeScaleGrad(x, g, zero_point?). The others are forward only.
#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <vector>

#include "graph/graph_builder.h"
#include "graph/ops/families.h"
#include "graph/ops/kernel.h"
#include "graph/ops/quantization.h"
#include "tensor/narrow.h"

namespace retune {

namespace {

// Consecutive elements, and where their scales begin: one for all (step 0), or neighbours (step 1).
struct Run {
  std::int64_t begin, count, scale, step;
};

// How the elements of a tensor share scales.
struct Granularity {
  enum class Kind : std::uint8_t { kTensor, kAxis, kBlocks };
  Kind kind = Kind::kTensor;
  std::int64_t outer = 1, extent = 1, inner = 1;  // the tensor around the axis
  std::int64_t block = 1, blocks = 1;             // along the axis

  bool along_rows() const { return inner == 1; }  // the axis is the last
  std::int64_t length() const {                   // of the longest run
    if (kind == Kind::kTensor) return kElementGrain;
    if (!along_rows()) return inner;
    return kind == Kind::kAxis ? extent : block;
  }
  std::int64_t runs() const {
    if (kind == Kind::kTensor) return (outer + kElementGrain - 1) / kElementGrain;
    if (!along_rows()) return outer * extent;
    return kind == Kind::kAxis ? outer : outer * blocks;
  }
  Run run(std::int64_t i) const {
    if (kind == Kind::kTensor) return {i * kElementGrain, std::min(kElementGrain, outer - i * kElementGrain), 0, 0};
    if (along_rows()) {
      if (kind == Kind::kAxis) return {i * extent, extent, 0, 1};
      const std::int64_t first = i % blocks * block;
      return {i / blocks * extent + first, std::min(block, extent - first), i, 0};
    }
    const std::int64_t at = i % extent;
    if (kind == Kind::kAxis) return {i * inner, inner, at, 0};
    return {i * inner, inner, (i / extent * blocks + at / block) * inner, 1};
  }
};

Granularity granularity_of(const Attributes& attributes, const Shape& x, const Shape& scale) {
  Granularity g;
  const std::int64_t block = attributes.i("block_size", 0);
  if (block < 0) throw user_error("attribute block_size is {}, expected a positive number or 0", block);
  if (scale.numel() == 1) {
    g.outer = x.numel();
    return g;
  }
  const int axis = normalize_axis(attributes.i("axis", 1), x.rank());
  g.outer = x.product(0, axis);
  g.extent = x[axis];
  g.inner = x.product(axis + 1, x.rank());
  if (block == 0) {
    if (!(scale == Shape{g.extent}))
      throw user_error(
          "the scale has shape {}, expected one number or [{}], an element for each index of axis {} of {}",
          scale.text(), g.extent, axis, x.text());
    g.kind = Granularity::Kind::kAxis;
    return g;
  }
  g.kind = Granularity::Kind::kBlocks;
  g.block = block;
  g.blocks = g.extent / block + (g.extent % block != 0 ? 1 : 0);
  std::vector<std::int64_t> expected = x.extents();
  expected[static_cast<std::size_t>(axis)] = g.blocks;
  if (scale.extents() != expected)
    throw user_error("the scale has shape {}, expected {}, an element for each {} of axis {} of {}", scale.text(),
                     Shape(expected).text(), block, axis, x.text());
  return g;
}

// Calls f(run) for every run, on the pool.
template <class F>
void for_each_run(ThreadPool& pool, const Granularity& granularity, F&& f) {
  const std::int64_t grain = std::max<std::int64_t>(1, kElementGrain / std::max<std::int64_t>(granularity.length(), 1));
  pool.parallel_for(granularity.runs(), grain, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) f(granularity.run(i));
  });
}

// Calls f(load), where load(i) is element i of a tensor of numbers or codes, as T.
template <class T, class F>
void visit_elements(const Tensor& x, F&& f) {
  if (!is_narrow(x.dtype())) {
    visit_number(x.dtype(), [&]<class X>(X) {
      const X* data = x.data<X>();
      f([data](std::int64_t i) { return static_cast<T>(data[i]); });
    });
    return;
  }
  std::array<T, 256> values{};
  for (std::size_t code = 0; code < values.size(); ++code)
    values[code] = static_cast<T>(narrow_value(x.dtype(), static_cast<std::uint8_t>(code)));
  const auto* bytes = reinterpret_cast<const std::uint8_t*>(x.raw());
  const unsigned bits = dtype_bits(x.dtype()), mask = (1u << bits) - 1u;
  const std::int64_t per_byte = 8 / bits;
  f([&values, bytes, bits, mask, per_byte](std::int64_t i) {
    return values[(bytes[i / per_byte] >> (i % per_byte * bits)) & mask];
  });
}

// Zero points as numbers; empty where there are none.
std::vector<double> zero_points(const ForwardContext& ctx, int i) {
  return ctx.has(i) ? ctx.in(i).to_f64() : std::vector<double>();
}

void check_zero_point(const InferContext& ctx, DType of) {
  if (!ctx.has(2)) return;
  if (ctx.dtype(2) != of)
    throw user_error("the zero point has type {}, expected {}", dtype_name(ctx.dtype(2)), dtype_name(of));
  if (ctx.shape(2).numel() != ctx.shape(1).numel())
    throw user_error("the zero point has shape {}, expected that of the scale, {}", ctx.shape(2).text(),
                     ctx.shape(1).text());
}

DType type_attribute(const Attributes& attributes, std::string_view name, DType fallback) {
  const std::int64_t number = attributes.i(name, 0);
  if (number == 0) return fallback;
  const auto dtype = static_cast<DType>(number < 0 || number > 255 ? 0 : number);
  if (dtype_bits(dtype) == 0) throw user_error("attribute {} is {}, which is no type of numbers", name, number);
  return dtype;
}

// --- DequantizeLinear ---

bool is_code(DType dtype) {
  return is_narrow(dtype) || dtype == DType::kU8 || dtype == DType::kI8 || dtype == DType::kU16 ||
         dtype == DType::kI16 || dtype == DType::kI32;
}

void infer_dequantize(InferContext& ctx) {
  require_inputs(ctx, 2);
  if (!is_code(ctx.dtype(0))) throw user_error("cannot dequantise elements of type {}", dtype_name(ctx.dtype(0)));
  check_zero_point(ctx, ctx.dtype(0));
  granularity_of(ctx.attributes(), ctx.shape(0), ctx.shape(1));
  const DType to = type_attribute(ctx.attributes(), "output_dtype", ctx.dtype(1));
  if (!is_float(to) || !(is_float(ctx.dtype(1)) || ctx.dtype(1) == DType::kF8E8M0))
    throw user_error("the scale has type {} and the output {}, expected floats", dtype_name(ctx.dtype(1)),
                     dtype_name(to));
  ctx.set(0, to, ctx.shape(0));
}

// Elements of one run, which `load` gives as numbers.
template <class T, class Load>
void dequantize(const Run& run, Load&& load, const std::vector<double>& zeros, const T* scales, T* y) {
  using Number = std::decay_t<decltype(load(0))>;
  const auto zero_at = [&](std::int64_t at) {
    return zeros.empty() ? Number{0} : static_cast<Number>(zeros[static_cast<std::size_t>(at)]);
  };
  if (run.step == 0) {
    const Number zero = zero_at(run.scale);
    const T scale = scales[run.scale];
    for (std::int64_t i = 0; i < run.count; ++i) y[run.begin + i] = static_cast<T>(load(run.begin + i) - zero) * scale;
    return;
  }
  for (std::int64_t i = 0; i < run.count; ++i)
    y[run.begin + i] = static_cast<T>(load(run.begin + i) - zero_at(run.scale + i)) * scales[run.scale + i];
}

void forward_dequantize(ForwardContext& ctx) {
  const Tensor& x = ctx.in(0);
  const Granularity granularity = granularity_of(ctx.attributes(), x.shape(), ctx.in(1).shape());
  const std::vector<double> zeros = zero_points(ctx, 2);
  visit_float(ctx.out_type(0).dtype, [&]<class T>(T) {
    const Tensor scale_tensor = ctx.in(1).cast(ctx.out_type(0).dtype);
    const T* scales = scale_tensor.data<T>();
    T* y = ctx.out(0).mutable_data<T>();
    const auto run_in = [&]<class W>(W) {
      visit_elements<W>(x, [&](auto&& load) {
        for_each_run(ctx.pool(), granularity, [&](const Run& run) { dequantize(run, load, zeros, scales, y); });
      });
    };
    // x - zero_point is exact in f32, except of i32.
    x.dtype() == DType::kI32 ? run_in(double{}) : run_in(T{});
  });
}

void vjp_dequantize(VjpContext& ctx) {
  if (!ctx.wants(1)) return;
  GraphBuilder& b = ctx.builder();
  std::vector<ValueId> inputs{ctx.in(0), b.cast(ctx.cotangent(), ctx.dtype(ctx.in(1)))};
  if (ctx.has(2)) inputs.push_back(ctx.in(2));
  ctx.give(1, b.private_op("DequantizeScaleGrad", inputs,
                           {{"axis", ctx.attributes().i("axis", 1)},
                            {"block_size", ctx.attributes().i("block_size", 0)},
                            {"extents", ctx.shape(ctx.in(1)).extents()}}));
}

void infer_scale_grad(InferContext& ctx) { ctx.set(0, ctx.dtype(1), Shape(ctx.attributes().ints("extents"))); }

// Adds in the order of the elements, in f64.
void forward_scale_grad(ForwardContext& ctx) {
  const Tensor& x = ctx.in(0);
  const Granularity granularity = granularity_of(ctx.attributes(), x.shape(), ctx.out_type(0).shape);
  const std::vector<double> zeros = zero_points(ctx, 2);
  std::vector<double> sums(static_cast<std::size_t>(ctx.out_type(0).shape.numel()), 0.0);
  visit_float(ctx.in(1).dtype(), [&]<class T>(T) {
    const T* g = ctx.in(1).data<T>();
    visit_elements<double>(x, [&](auto&& load) {
      for (std::int64_t r = 0; r < granularity.runs(); ++r) {
        const Run run = granularity.run(r);
        for (std::int64_t i = 0; i < run.count; ++i) {
          const auto at = static_cast<std::size_t>(run.scale + i * run.step);
          sums[at] += (load(run.begin + i) - (zeros.empty() ? 0.0 : zeros[at])) * static_cast<double>(g[run.begin + i]);
        }
      }
    });
    T* dscale = ctx.out(0).mutable_data<T>();
    for (std::size_t i = 0; i < sums.size(); ++i) dscale[i] = static_cast<T>(sums[i]);
  });
}

// --- QuantizeLinear ---

DType quantized_type(const InferContext& ctx) {
  const DType asked = type_attribute(ctx.attributes(), "output_dtype", DType::kUndefined);
  if (!ctx.has(2)) return asked == DType::kUndefined ? DType::kU8 : asked;
  if (asked != DType::kUndefined && asked != ctx.dtype(2))
    throw user_error("attribute output_dtype asks for {}, the zero point has type {}", dtype_name(asked),
                     dtype_name(ctx.dtype(2)));
  return ctx.dtype(2);
}

// The type in which x is divided by the scale.
DType division_type(const Attributes& attributes, DType scale) {
  return type_attribute(attributes, "precision", is_float(scale) ? scale : DType::kF32);
}

void infer_quantize(InferContext& ctx) {
  require_inputs(ctx, 2);
  if (!is_float(ctx.dtype(0)) && ctx.dtype(0) != DType::kI32)
    throw user_error("cannot quantise elements of type {}", dtype_name(ctx.dtype(0)));
  const DType scale = ctx.dtype(1);
  if (!is_float(scale) && scale != DType::kF8E8M0 && scale != DType::kI32)
    throw user_error("the scale has type {}, expected a float", dtype_name(scale));
  if (!is_float(division_type(ctx.attributes(), scale))) throw user_error("attribute precision is no float type");
  const DType to = quantized_type(ctx);
  if (!is_code(to) || to == DType::kI32 || to == DType::kF8E8M0)
    throw user_error("cannot quantise into elements of type {}", dtype_name(to));
  check_zero_point(ctx, to);
  granularity_of(ctx.attributes(), ctx.shape(0), ctx.shape(1));
  ctx.set(0, to, ctx.shape(0));
}

// x / scale, rounded into `precision`.
template <class T>
T quotient(T x, T scale, DType precision) {
  const T exact = x / scale;
  if (precision == DType::kF16) return static_cast<T>(F16::from(static_cast<float>(exact)).to_float());
  if (precision == DType::kBF16) return static_cast<T>(BF16::from(static_cast<float>(exact)).to_float());
  return exact;
}

// Into `out` (codes, or integers of 8 and 16 bits), whose type is `to`.
template <class T, class Out>
void quantize(ForwardContext& ctx, const Granularity& granularity, const Tensor& x, const Tensor& scale,
              DType precision, Out* out) {
  const DType to = ctx.out_type(0).dtype;
  const std::vector<double> zeros = zero_points(ctx, 2);
  const NarrowRounding rounding{.saturate = ctx.attributes().i("saturate", 1) != 0};
  const IntegerRange range = integer_range(to);
  const T* from = x.data<T>();
  const T* scales = scale.data<T>();
  for_each_run(ctx.pool(), granularity, [&](const Run& run) {
    for (std::int64_t i = 0; i < run.count; ++i) {
      const std::int64_t at = run.scale + i * run.step;
      const double zero = zeros.empty() ? 0.0 : zeros[static_cast<std::size_t>(at)];
      const T value = quotient(from[run.begin + i], scales[at], precision);
      if (is_narrow_float(to))
        out[run.begin + i] = static_cast<Out>(narrow_code(to, static_cast<double>(value) + zero, rounding));
      else
        out[run.begin + i] = static_cast<Out>(saturated(static_cast<double>(value), zero, range));
    }
  });
}

// In the precision that is asked for, f32 standing in for the 16-bit floats.
Tensor as_operand(const Tensor& tensor, DType precision) {
  return tensor.cast(precision).cast(is_half(precision) ? DType::kF32 : precision);
}

void forward_quantize(ForwardContext& ctx) {
  const DType to = ctx.out_type(0).dtype, precision = division_type(ctx.attributes(), ctx.in(1).dtype());
  const Granularity granularity = granularity_of(ctx.attributes(), ctx.in(0).shape(), ctx.in(1).shape());
  const Tensor x = as_operand(ctx.in(0), precision), scale = as_operand(ctx.in(1), precision);
  visit_float(x.dtype(), [&]<class T>(T) {
    if (is_narrow(to)) {
      Tensor codes = ctx.scratch(DType::kU8, x.shape());
      quantize<T>(ctx, granularity, x, scale, precision, codes.mutable_data<std::uint8_t>());
      return ctx.set_out(0, pack(to, codes));
    }
    visit_number(to, [&]<class Out>(Out) {
      quantize<T>(ctx, granularity, x, scale, precision, ctx.out(0).mutable_data<Out>());
    });
  });
}

// --- DynamicQuantizeLinear ---

void infer_dynamic(InferContext& ctx) {
  require_inputs(ctx, 1);
  if (ctx.dtype(0) != DType::kF32) throw user_error("input 0 has type {}, expected f32", dtype_name(ctx.dtype(0)));
  ctx.set(0, DType::kU8, ctx.shape(0));
  ctx.set(1, DType::kF32, {});
  ctx.set(2, DType::kU8, {});
}

void forward_dynamic(ForwardContext& ctx) {
  Tensor y = ctx.wants(0) ? ctx.out(0) : ctx.scratch(DType::kU8, ctx.in(0).shape());
  const DynamicScale found =
      quantize_dynamically(ctx.pool(), ctx.in(0).data<float>(), ctx.in(0).numel(), y.mutable_data<std::uint8_t>());
  if (ctx.wants(1)) ctx.out(1).mutable_data<float>()[0] = found.scale;
  if (ctx.wants(2)) ctx.out(2).mutable_data<std::uint8_t>()[0] = found.zero_point;
}

}  // namespace

IntegerRange integer_range(DType dtype) {
  const unsigned bits = dtype_bits(dtype);
  const bool is_signed = dtype == DType::kI8 || dtype == DType::kI16 || dtype == DType::kI4 || dtype == DType::kI2;
  const double half = std::ldexp(1.0, static_cast<int>(bits) - 1);
  return is_signed ? IntegerRange{-half, half - 1} : IntegerRange{0, 2 * half - 1};
}

DynamicScale quantize_dynamically(ThreadPool& pool, const float* x, std::int64_t count, std::uint8_t* y) {
  const std::int64_t chunks = (count + kElementGrain - 1) / kElementGrain;
  std::vector<float> least(static_cast<std::size_t>(chunks), 0.0f), largest(static_cast<std::size_t>(chunks), 0.0f);
  pool.parallel_for(count, kElementGrain, [&](std::int64_t begin, std::int64_t end) {
    const auto chunk = static_cast<std::size_t>(begin / kElementGrain);
    for (std::int64_t i = begin; i < end; ++i) {
      least[chunk] = std::min(least[chunk], x[i]);
      largest[chunk] = std::max(largest[chunk], x[i]);
    }
  });
  float low = 0, high = 0;
  for (std::size_t chunk = 0; chunk < least.size(); ++chunk) {
    low = std::min(low, least[chunk]);
    high = std::max(high, largest[chunk]);
  }
  DynamicScale found{.scale = low == high ? 1.0f : (high - low) / 255.0f};
  const IntegerRange range = integer_range(DType::kU8);
  found.zero_point = static_cast<std::uint8_t>(saturated(static_cast<double>((0.0f - low) / found.scale), 0, range));
  pool.parallel_for(count, kElementGrain, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      const float level = std::rint(x[i] / found.scale) + static_cast<float>(found.zero_point);
      y[i] = level == level ? static_cast<std::uint8_t>(std::min(std::max(level, 0.0f), 255.0f)) : found.zero_point;
    }
  });
  return found;
}

std::vector<Op> quantization_ops() {
  using Packed = Op::Packed;
  return {
      {.domain = "",
       .name = "QuantizeLinear",
       .since = 10,
       .infer = infer_quantize,
       .forward = forward_quantize,
       .no_vjp = kForwardOnly,
       .takes_half = true,
       .packed = Packed::kAsStored,
       .refuses_gradient = true},
      {.domain = "",
       .name = "DequantizeLinear",
       .since = 10,
       .infer = infer_dequantize,
       .forward = forward_dequantize,
       .vjp = vjp_dequantize,
       .packed = Packed::kAsStored},
      {.domain = "retune",
       .name = "DequantizeScaleGrad",
       .infer = infer_scale_grad,
       .forward = forward_scale_grad,
       .no_vjp = kIsGradient,
       .packed = Packed::kAsStored},
      {.domain = "",
       .name = "DynamicQuantizeLinear",
       .since = 11,
       .infer = infer_dynamic,
       .forward = forward_dynamic,
       .no_vjp = kForwardOnly,
       .refuses_gradient = true},
  };
}

}  // namespace retune
