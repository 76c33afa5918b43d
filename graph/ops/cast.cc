// Cast (attribute `to`) and CastLike (the type of input 1) between the types that a Tensor holds.
//
// Rounds to nearest even into the 16-bit floats; floats become integers by truncation, values beyond the integer's
// range its nearest bound and NaN 0 (ONNX leaves both open); anything but 0 is true. `saturate` and `round_mode`
// concern 8-bit floats, which are not supported.
#include <cmath>
#include <limits>

#include "graph/graph_builder.h"
#include "graph/ops/families.h"
#include "graph/ops/map.h"

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
  if (dtype_size(dtype) == 0) throw user_error("a cast to ONNX type {} is not supported", number);
  return dtype;
}

void infer_cast(InferContext& ctx) {
  require_inputs(ctx, 1);
  if (!ctx.attributes().has("to")) throw user_error("attribute 'to' is missing");
  ctx.set(0, storable(ctx.attributes().i("to", 0)), ctx.shape(0));
}

void infer_cast_like(InferContext& ctx) {
  require_inputs(ctx, 2);
  ctx.set(0, ctx.dtype(1), ctx.shape(0));
}

void forward(ForwardContext& ctx) {
  const Tensor& x = ctx.in(0);
  const DType to = ctx.out_type(0).dtype;
  if (x.dtype() == to) return ctx.set_out(0, x);
  visit_dtype(x.dtype(), [&]<class From>(From) {
    visit_dtype(to, [&]<class To>(To) {
      if constexpr (!std::is_same_v<From, To>)
        map(ctx.pool(), x.numel(), x.data<From>(), ctx.out(0).mutable_data<To>(),
            [](From v) { return convert<From, To>(v); });
    });
  });
}

// Between floats the derivative is 1; through integers it is 0.
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
       .takes_half = true},
      {.domain = "",
       .name = "CastLike",
       .since = 15,
       .infer = infer_cast_like,
       .forward = forward,
       .vjp = vjp,
       .takes_half = true},
  };
}

}  // namespace retune
