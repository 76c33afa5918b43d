// Cast (attribute `to`) and CastLike (the type of input 1) between the types that a Tensor holds.
//
// Rounds to nearest even into floats of 16, 8 and 4 bits; floats become integers by truncation, values beyond the
// integer's range its nearest bound and NaN 0 (ONNX leaves both open), except into 2 and 4 bits, where the low bits
// count, as ONNX's tests have it; anything but 0 is true. `saturate` (19) and `round_mode` (24) concern the narrow
// floats (tensor/narrow.h), through which, as through integers, the derivative is 0.
#include <array>
#include <cmath>
#include <limits>

#include "graph/graph_builder.h"
#include "graph/ops/families.h"
#include "graph/ops/map.h"
#include "tensor/narrow.h"
#include "weights/external_data.h"

namespace retune {

namespace {

template <class From, class To>
To convert(From value) {
  if constexpr (std::is_same_v<From, F16> || std::is_same_v<From, BF16>) {
    return convert<float, To>(value.to_float());
  } else if constexpr (std::is_same_v<To, F16> || std::is_same_v<To, BF16>) {
    return To::from(static_cast<float>(value));
  } else if constexpr (std::is_same_v<To, bool>) {
    return value != From{};
  } else if constexpr (std::is_floating_point_v<From> && std::is_integral_v<To>) {
    // Both bounds are powers of two (less one above), so the comparison is exact.
    constexpr From kLeast = static_cast<From>(std::numeric_limits<To>::min());
    constexpr From kBeyond = From{2} * static_cast<From>(std::uint64_t{1} << (std::numeric_limits<To>::digits - 1));
    if (!(value == value)) return To{0};
    if (value < kLeast) return std::numeric_limits<To>::min();
    if (value >= kBeyond) return std::numeric_limits<To>::max();
    return static_cast<To>(value);
  } else {
    return static_cast<To>(value);
  }
}

DType storable(std::int64_t number) {
  const auto dtype = static_cast<DType>(number < 0 || number > 255 ? 0 : number);
  if (dtype_bits(dtype) == 0) throw user_error("a cast to ONNX type {} is not supported", number);
  return dtype;
}

NarrowRounding rounding_of(const Attributes& attributes) {
  NarrowRounding rounding{.saturate = attributes.i("saturate", 1) != 0};
  const std::string mode = attributes.s("round_mode", "up");
  if (mode == "down")
    rounding.power = NarrowRounding::Power::kDown;
  else if (mode == "nearest")
    rounding.power = NarrowRounding::Power::kNearest;
  else if (mode != "up")
    throw user_error("attribute round_mode is '{}', expected up, down or nearest", printable(mode));
  return rounding;
}

void infer_cast(InferContext& ctx) {
  require_inputs(ctx, 1);
  rounding_of(ctx.attributes());
  if (!ctx.attributes().has("to")) throw user_error("attribute 'to' is missing");
  ctx.set(0, storable(ctx.attributes().i("to", 0)), ctx.shape(0));
}

void infer_cast_like(InferContext& ctx) {
  require_inputs(ctx, 2);
  rounding_of(ctx.attributes());
  ctx.set(0, ctx.dtype(1), ctx.shape(0));
}

// Into codes, one a byte.
void to_codes(ForwardContext& ctx, const Tensor& x, DType to, Tensor& codes) {
  const NarrowRounding rounding = rounding_of(ctx.attributes());
  std::uint8_t* out = codes.mutable_data<std::uint8_t>();
  visit_dtype(x.dtype(), [&]<class From>(From) {
    map(ctx.pool(), x.numel(), x.data<From>(), out, [&](From v) {
      if constexpr (std::is_integral_v<From>)
        if (!is_narrow_float(to)) return static_cast<std::uint8_t>(v);  // pack() takes the low bits
      return narrow_code(to, convert<From, double>(v), rounding);
    });
  });
}

void from_codes(ForwardContext& ctx, const Tensor& codes, DType from, Tensor& y) {
  std::array<double, 256> values{};
  for (std::size_t code = 0; code < values.size(); ++code)
    values[code] = narrow_value(from, static_cast<std::uint8_t>(code));
  visit_dtype(y.dtype(), [&]<class To>(To) {
    map(ctx.pool(), codes.numel(), codes.data<std::uint8_t>(), y.mutable_data<To>(),
        [&](std::uint8_t code) { return convert<double, To>(values[code]); });
  });
}

void forward_narrow(ForwardContext& ctx, const Tensor& x, DType to) {
  if (!is_narrow(to)) return from_codes(ctx, unpack(x), x.dtype(), ctx.out(0));
  Tensor wide = x;
  if (is_narrow(x.dtype())) {
    wide = ctx.scratch(DType::kF64, x.shape());
    from_codes(ctx, unpack(x), x.dtype(), wide);
  }
  Tensor codes = ctx.scratch(DType::kU8, x.shape());
  to_codes(ctx, wide, to, codes);
  ctx.set_out(0, pack(to, codes));
}

void forward(ForwardContext& ctx) {
  const Tensor& x = ctx.in(0);
  const DType to = ctx.out_type(0).dtype;
  if (x.dtype() == to) return ctx.set_out(0, x);
  if (is_narrow(x.dtype()) || is_narrow(to)) return forward_narrow(ctx, x, to);
  visit_dtype(x.dtype(), [&]<class From>(From) {
    visit_dtype(to, [&]<class To>(To) {
      if constexpr (!std::is_same_v<From, To>)
        map(ctx.pool(), x.numel(), x.data<From>(), ctx.out(0).mutable_data<To>(),
            [](From v) { return convert<From, To>(v); });
    });
  });
}

// Between floats the derivative is 1; through integers and narrow floats it is 0.
void vjp(VjpContext& ctx) {
  const DType from = ctx.dtype(ctx.in(0));
  if (ctx.wants(0) && is_float(from) && is_float(ctx.dtype(ctx.out())))
    ctx.give(0, ctx.builder().cast(ctx.cotangent(), from));
}

}  // namespace

std::vector<Op> cast_ops() {
  return {
      {.domain = "",
       .name = "Cast",
       .since = 6,
       .infer = infer_cast,
       .forward = forward,
       .vjp = vjp,
       .takes_half = true,
       .packed = Op::Packed::kAsStored},
      {.domain = "",
       .name = "CastLike",
       .since = 15,
       .infer = infer_cast_like,
       .forward = forward,
       .vjp = vjp,
       .takes_half = true,
       .packed = Op::Packed::kAsStored},
  };
}

}  // namespace retune
