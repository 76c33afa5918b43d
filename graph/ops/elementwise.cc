// Functions of one element: y = f(x). ONNX: Neg Abs Exp Log Sqrt Reciprocal Erf Floor Ceil Round Sign; Cos Sin Tan Acos
// Asin Atan (7), and of the hyperbola Cosh Sinh Acosh Asinh Atanh (9; Tanh is an activation).
//
// Gradients are composed of standard operators. At the kink: Abs'(0) = 0, since Sign(0) = 0; the derivative of a step
// is 0 everywhere.
#include <cmath>
#include <numbers>

#include "graph/graph_builder.h"
#include "graph/ops/families.h"
#include "graph/ops/map.h"
#include "graph/ops/vector_math.h"

namespace retune {

namespace {

template <class F>
void float_forward(ForwardContext& ctx) {
  visit_float(ctx.in(0).dtype(), [&]<class T>(T) {
    map(ctx.pool(), ctx.in(0).numel(), ctx.in(0).data<T>(), ctx.out(0).mutable_data<T>(), [](T x) { return F::of(x); });
  });
}

template <class F>
void number_forward(ForwardContext& ctx) {
  visit_number(ctx.in(0).dtype(), [&]<class T>(T) {
    map(ctx.pool(), ctx.in(0).numel(), ctx.in(0).data<T>(), ctx.out(0).mutable_data<T>(), [](T x) { return F::of(x); });
  });
}

void infer_float(InferContext& ctx) {
  require_inputs(ctx, 1);
  require_float(ctx, 0);
  ctx.same_as_input();
}

void infer_number(InferContext& ctx) {
  require_inputs(ctx, 1);
  if (ctx.dtype(0) == DType::kBool) throw user_error("input 0 has type bool, expected a number");
  ctx.same_as_input();
}

// Integers wrap around.
struct Negate {
  template <class T>
  static T of(T x) {
    if constexpr (std::is_floating_point_v<T>)
      return -x;
    else
      return static_cast<T>(std::uint64_t{0} - static_cast<std::uint64_t>(x));
  }
};
struct Absolute {
  template <class T>
  static T of(T x) {
    if constexpr (std::is_floating_point_v<T>)
      return std::fabs(x);
    else if constexpr (std::is_signed_v<T>)
      return x < 0 ? Negate::of(x) : x;
    else
      return x;
  }
};
struct Signum {
  template <class T>
  static T of(T x) {
    if constexpr (std::is_floating_point_v<T>)
      return x > 0 ? T{1} : x < 0 ? T{-1} : x;  // NaN stays NaN
    else if constexpr (std::is_signed_v<T>)
      return static_cast<T>((x > 0) - (x < 0));
    else
      return static_cast<T>(x > 0);
  }
};

// Functors of a float function; vector_math where it has a faster f32.
#define RETUNE_FUNCTION(Name, expression) \
  struct Name {                           \
    template <class T>                    \
    static T of(T x) {                    \
      return expression;                  \
    }                                     \
  }
RETUNE_FUNCTION(Exponential, vector_math::exp(x));
RETUNE_FUNCTION(ErrorFunction, vector_math::erf(x));
RETUNE_FUNCTION(Logarithm, std::log(x));
RETUNE_FUNCTION(SquareRoot, std::sqrt(x));
RETUNE_FUNCTION(Inverse, T{1} / x);
RETUNE_FUNCTION(Cosine, std::cos(x));
RETUNE_FUNCTION(Sine, std::sin(x));
RETUNE_FUNCTION(Tangent, std::tan(x));
RETUNE_FUNCTION(ArcCosine, std::acos(x));
RETUNE_FUNCTION(ArcSine, std::asin(x));
RETUNE_FUNCTION(ArcTangent, std::atan(x));
RETUNE_FUNCTION(HyperbolicCosine, std::cosh(x));
RETUNE_FUNCTION(HyperbolicSine, std::sinh(x));
RETUNE_FUNCTION(AreaCosine, std::acosh(x));
RETUNE_FUNCTION(AreaSine, std::asinh(x));
RETUNE_FUNCTION(AreaTangent, std::atanh(x));
RETUNE_FUNCTION(RoundDown, std::floor(x));
RETUNE_FUNCTION(RoundUp, std::ceil(x));
RETUNE_FUNCTION(RoundToEven, std::nearbyint(x));
#undef RETUNE_FUNCTION

void neg_vjp(VjpContext& ctx) { ctx.give(0, ctx.builder().neg(ctx.cotangent())); }

void abs_vjp(VjpContext& ctx) {
  GraphBuilder& b = ctx.builder();
  ctx.give(0, b.mul(ctx.cotangent(), b.op("Sign", {ctx.in(0)})));
}

void exp_vjp(VjpContext& ctx) { ctx.give(0, ctx.builder().mul(ctx.cotangent(), ctx.out())); }

void log_vjp(VjpContext& ctx) { ctx.give(0, ctx.builder().div(ctx.cotangent(), ctx.in(0))); }

void sqrt_vjp(VjpContext& ctx) {
  GraphBuilder& b = ctx.builder();
  ctx.give(0, b.div(b.mul(ctx.cotangent(), 0.5), ctx.out()));
}

// y = 1/x: dy/dx = -y^2.
void reciprocal_vjp(VjpContext& ctx) {
  GraphBuilder& b = ctx.builder();
  ctx.give(0, b.neg(b.mul(ctx.cotangent(), b.mul(ctx.out(), ctx.out()))));
}

// erf'(x) = 2 / sqrt(pi) exp(-x^2).
void erf_vjp(VjpContext& ctx) {
  GraphBuilder& b = ctx.builder();
  const ValueId bell = b.op("Exp", {b.neg(b.mul(ctx.in(0), ctx.in(0)))});
  ctx.give(0, b.mul(b.mul(ctx.cotangent(), bell), 2.0 * std::numbers::inv_sqrtpi));
}

void cos_vjp(VjpContext& ctx) {
  GraphBuilder& b = ctx.builder();
  ctx.give(0, b.neg(b.mul(ctx.cotangent(), b.op("Sin", {ctx.in(0)}))));
}

void sin_vjp(VjpContext& ctx) {
  GraphBuilder& b = ctx.builder();
  ctx.give(0, b.mul(ctx.cotangent(), b.op("Cos", {ctx.in(0)})));
}

// tan' = 1 + tan^2.
void tan_vjp(VjpContext& ctx) {
  GraphBuilder& b = ctx.builder();
  ctx.give(0, b.mul(ctx.cotangent(), b.add(b.mul(ctx.out(), ctx.out()), 1.0)));
}

void cosh_vjp(VjpContext& ctx) {
  GraphBuilder& b = ctx.builder();
  ctx.give(0, b.mul(ctx.cotangent(), b.op("Sinh", {ctx.in(0)})));
}

void sinh_vjp(VjpContext& ctx) {
  GraphBuilder& b = ctx.builder();
  ctx.give(0, b.mul(ctx.cotangent(), b.op("Cosh", {ctx.in(0)})));
}

// The inverse functions' derivatives are powers of s x^2 + c: asin' = 1 / sqrt(1 - x^2) = -acos', asinh' = 1 / sqrt(x^2
// + 1), acosh' = 1 / sqrt(x^2 - 1), atan' = 1 / (1 + x^2), atanh' = 1 / (1 - x^2).
template <int s, int c, bool root, int sign = 1>
void inverse_vjp(VjpContext& ctx) {
  GraphBuilder& b = ctx.builder();
  const ValueId square = b.mul(ctx.in(0), ctx.in(0));
  ValueId divisor = b.add(s < 0 ? b.neg(square) : square, double{c});
  if (root) divisor = b.op("Sqrt", {divisor});
  ctx.give(0, b.div(sign < 0 ? b.neg(ctx.cotangent()) : ctx.cotangent(), divisor));
}

Op float_op(std::string name, void (*forward)(ForwardContext&), void (*vjp)(VjpContext&)) {
  return {.domain = "", .name = std::move(name), .since = 1, .infer = infer_float, .forward = forward, .vjp = vjp};
}

Op number_op(std::string name, void (*forward)(ForwardContext&), void (*vjp)(VjpContext&)) {
  return {.domain = "", .name = std::move(name), .since = 1, .infer = infer_number, .forward = forward, .vjp = vjp};
}

}  // namespace

std::vector<Op> elementwise_ops() {
  return {
      number_op("Neg", number_forward<Negate>, neg_vjp),
      number_op("Abs", number_forward<Absolute>, abs_vjp),
      number_op("Sign", number_forward<Signum>, zero_vjp),
      float_op("Exp", float_forward<Exponential>, exp_vjp),
      float_op("Log", float_forward<Logarithm>, log_vjp),
      float_op("Sqrt", float_forward<SquareRoot>, sqrt_vjp),
      float_op("Reciprocal", float_forward<Inverse>, reciprocal_vjp),
      float_op("Erf", float_forward<ErrorFunction>, erf_vjp),
      float_op("Cos", float_forward<Cosine>, cos_vjp),
      float_op("Sin", float_forward<Sine>, sin_vjp),
      float_op("Tan", float_forward<Tangent>, tan_vjp),
      float_op("Acos", float_forward<ArcCosine>, inverse_vjp<-1, 1, true, -1>),
      float_op("Asin", float_forward<ArcSine>, inverse_vjp<-1, 1, true>),
      float_op("Atan", float_forward<ArcTangent>, inverse_vjp<1, 1, false>),
      float_op("Cosh", float_forward<HyperbolicCosine>, cosh_vjp),
      float_op("Sinh", float_forward<HyperbolicSine>, sinh_vjp),
      float_op("Acosh", float_forward<AreaCosine>, inverse_vjp<1, -1, true>),
      float_op("Asinh", float_forward<AreaSine>, inverse_vjp<1, 1, true>),
      float_op("Atanh", float_forward<AreaTangent>, inverse_vjp<-1, 1, false>),
      float_op("Floor", float_forward<RoundDown>, zero_vjp),
      float_op("Ceil", float_forward<RoundUp>, zero_vjp),
      float_op("Round", float_forward<RoundToEven>, zero_vjp),
  };
}

}  // namespace retune
