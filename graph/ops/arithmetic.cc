// Arithmetic with NumPy's broadcasting: Add Sub Mul Div Pow Mod of two operands, Min Max Sum Mean of any number.
//
// Integers wrap around; dividing an integer by zero is a user error. Where several operands of Min or Max are equal to
// the result, they share its gradient equally.
#include <cmath>
#include <limits>
#include <type_traits>

#include "graph/graph_builder.h"
#include "graph/ops/families.h"
#include "graph/ops/map.h"

namespace retune {

namespace {

// Wrap-around is defined for unsigned integers only.
template <class T>
std::uint64_t wide(T x) {
  return static_cast<std::uint64_t>(x);
}

struct Sum2 {
  template <class T>
  static T of(T a, T b) {
    if constexpr (std::is_floating_point_v<T>)
      return a + b;
    else
      return static_cast<T>(wide(a) + wide(b));
  }
};
struct Difference {
  template <class T>
  static T of(T a, T b) {
    if constexpr (std::is_floating_point_v<T>)
      return a - b;
    else
      return static_cast<T>(wide(a) - wide(b));
  }
};
struct Product {
  template <class T>
  static T of(T a, T b) {
    if constexpr (std::is_floating_point_v<T>)
      return a * b;
    else
      return static_cast<T>(wide(a) * wide(b));
  }
};

template <class T>
void refuse_zero(T divisor) {
  if (divisor == 0) throw user_error("an integer is divided by zero");
}

struct Quotient {
  template <class T>
  static T of(T a, T b) {
    if constexpr (std::is_floating_point_v<T>) {
      return a / b;
    } else {
      refuse_zero(b);
      if constexpr (std::is_signed_v<T>)
        if (b == -1) return static_cast<T>(std::uint64_t{0} - wide(a));  // the least integer has no negative
      return static_cast<T>(a / b);
    }
  }
};

// With the sign of the divisor, as Python's %.
struct Modulus {
  template <class T>
  static T of(T a, T b) {
    if constexpr (std::is_floating_point_v<T>) {
      const T rest = std::fmod(a, b);
      return rest != 0 && (rest < 0) != (b < 0) ? rest + b : rest;
    } else {
      refuse_zero(b);
      if constexpr (std::is_signed_v<T>) {
        if (b == -1) return 0;
        const T rest = static_cast<T>(a % b);
        return rest != 0 && (rest < 0) != (b < 0) ? static_cast<T>(rest + b) : rest;
      }
      return static_cast<T>(a % b);
    }
  }
};

// With the sign of the dividend, as C's fmod (attribute fmod = 1).
struct Remainder {
  template <class T>
  static T of(T a, T b) {
    if constexpr (std::is_floating_point_v<T>) {
      return std::fmod(a, b);
    } else {
      refuse_zero(b);
      if constexpr (std::is_signed_v<T>)
        if (b == -1) return 0;
      return static_cast<T>(a % b);
    }
  }
};

// NaN in either operand wins.
struct Larger {
  template <class T>
  static T of(T a, T b) {
    return a > b || a != a ? a : b;
  }
};
struct Smaller {
  template <class T>
  static T of(T a, T b) {
    return a < b || a != a ? a : b;
  }
};

template <class F, class T>
void combine(ForwardContext& ctx, const Tensor& a, const Tensor& b, Tensor& out) {
  const auto plan = plan_broadcast<2>(out.shape(), {&a.shape(), &b.shape()});
  map_broadcast(ctx.pool(), plan, a.data<T>(), b.data<T>(), out.mutable_data<T>(),
                [](T x, T y) { return F::template of<T>(x, y); });
}

template <class F>
void binary_forward(ForwardContext& ctx) {
  visit_number(ctx.in(0).dtype(), [&]<class T>(T) { combine<F, T>(ctx, ctx.in(0), ctx.in(1), ctx.out(0)); });
}

void infer_binary(InferContext& ctx) {
  require_inputs(ctx, 2);
  require_same_dtype(ctx, 0, 1);
  if (ctx.dtype(0) == DType::kBool) throw user_error("inputs have type bool, expected numbers");
  ctx.set(0, ctx.dtype(0), broadcast(ctx.shape(0), ctx.shape(1)));
}

void add_vjp(VjpContext& ctx) {
  GraphBuilder& b = ctx.builder();
  for (int i = 0; i < 2; ++i)
    if (ctx.wants(i)) ctx.give(i, b.sum_to(ctx.cotangent(), ctx.shape(ctx.in(i))));
}

void sub_vjp(VjpContext& ctx) {
  GraphBuilder& b = ctx.builder();
  if (ctx.wants(0)) ctx.give(0, b.sum_to(ctx.cotangent(), ctx.shape(ctx.in(0))));
  if (ctx.wants(1)) ctx.give(1, b.neg(b.sum_to(ctx.cotangent(), ctx.shape(ctx.in(1)))));
}

void mul_vjp(VjpContext& ctx) {
  GraphBuilder& b = ctx.builder();
  for (int i = 0; i < 2; ++i)
    if (ctx.wants(i)) ctx.give(i, b.sum_to(b.mul(ctx.cotangent(), ctx.in(1 - i)), ctx.shape(ctx.in(i))));
}

// y = a / b: dy/da = 1 / b, dy/db = -y / b.
void div_vjp(VjpContext& ctx) {
  GraphBuilder& b = ctx.builder();
  const ValueId scaled = b.div(ctx.cotangent(), ctx.in(1));
  if (ctx.wants(0)) ctx.give(0, b.sum_to(scaled, ctx.shape(ctx.in(0))));
  if (ctx.wants(1)) ctx.give(1, b.neg(b.sum_to(b.mul(scaled, ctx.out()), ctx.shape(ctx.in(1)))));
}

// --- Mod

void mod_forward(ForwardContext& ctx) {
  ctx.attributes().i("fmod", 0) != 0 ? binary_forward<Remainder>(ctx) : binary_forward<Modulus>(ctx);
}

// y = a - b q with q the integral quotient: dy/db = -q = (y - a) / b. The divisor's gradient is 0 where the quotient
// jumps.
void mod_vjp(VjpContext& ctx) {
  GraphBuilder& b = ctx.builder();
  if (ctx.wants(0)) ctx.give(0, b.sum_to(ctx.cotangent(), ctx.shape(ctx.in(0))));
  if (!ctx.wants(1)) return;
  const ValueId quotient = b.op("Round", {b.div(b.sub(ctx.in(0), ctx.out()), ctx.in(1))});
  ctx.give(1, b.neg(b.sum_to(b.mul(ctx.cotangent(), quotient), ctx.shape(ctx.in(1)))));
}

// --- Pow: the exponent may have another type; the result has the base's.

void infer_pow(InferContext& ctx) {
  require_inputs(ctx, 2);
  if (ctx.version() < 12) require_same_dtype(ctx, 0, 1);
  ctx.set(0, ctx.dtype(0), broadcast(ctx.shape(0), ctx.shape(1)));
}

template <class T, class E>
T power(T base, E exponent) {
  if constexpr (std::is_integral_v<T> && std::is_integral_v<E>) {
    if (exponent < 0) return base == 1 ? T{1} : base == static_cast<T>(-1) ? (exponent % 2 != 0 ? base : T{1}) : T{0};
    std::uint64_t result = 1, square = wide(base);
    for (std::uint64_t rest = wide(exponent); rest != 0; rest >>= 1, square *= square)
      if (rest & 1u) result *= square;
    return static_cast<T>(result);
  } else if constexpr (std::is_integral_v<T>) {
    return static_cast<T>(std::pow(static_cast<double>(base), static_cast<double>(exponent)));
  } else if constexpr (sizeof(E) > sizeof(T)) {
    return static_cast<T>(std::pow(static_cast<double>(base), static_cast<double>(exponent)));
  } else {
    return std::pow(base, static_cast<T>(exponent));
  }
}

// The exponents that models use are one number: a square should not cost a logarithm.
template <class T>
bool pow_by_constant(ForwardContext& ctx, double exponent) {
  const T* x = ctx.in(0).data<T>();
  const std::int64_t count = ctx.in(0).numel();
  const auto apply = [&](auto f) {
    map(ctx.pool(), count, x, ctx.out(0).mutable_data<T>(), f);
    return true;
  };
  if (exponent == 1.0) return apply([](T v) { return v; });
  if (exponent == 2.0) return apply([](T v) { return v * v; });
  if (exponent == 3.0) return apply([](T v) { return v * v * v; });
  if (exponent == -1.0) return apply([](T v) { return T{1} / v; });
  return false;
}

template <class T>
void pow_any(ForwardContext& ctx) {
  const Tensor& a = ctx.in(0);
  const Tensor& b = ctx.in(1);
  if constexpr (std::is_floating_point_v<T>) {
    if (b.numel() == 1 && a.shape() == ctx.out_type(0).shape && pow_by_constant<T>(ctx, b.to_f64()[0])) return;
  }
  const auto plan = plan_broadcast<2>(ctx.out_type(0).shape, {&a.shape(), &b.shape()});
  const auto run = [&]<class E>(E) {
    map_broadcast(ctx.pool(), plan, a.data<T>(), b.data<E>(), ctx.out(0).mutable_data<T>(),
                  [](T base, E exponent) { return power<T, E>(base, exponent); });
  };
  if (a.dtype() == b.dtype()) return run(T{});
  // Exponents of other types are few: widened to f64 or i64, which holds what ONNX allows.
  const Tensor exponent = b.cast(is_float(b.dtype()) ? DType::kF64 : DType::kI64);
  const auto run_wide = [&]<class E>(E) {
    map_broadcast(ctx.pool(), plan, a.data<T>(), exponent.data<E>(), ctx.out(0).mutable_data<T>(),
                  [](T base, E e) { return power<T, E>(base, e); });
  };
  is_float(b.dtype()) ? run_wide(double{}) : run_wide(std::int64_t{});
}

void pow_forward(ForwardContext& ctx) {
  visit_number(ctx.in(0).dtype(), [&]<class T>(T) { pow_any<T>(ctx); });
}

// retune.PowSlope(a, b) = b a^(b-1), and 0 where b = 0, whatever a is.
void pow_slope_forward(ForwardContext& ctx) {
  const auto plan = plan_broadcast<2>(ctx.out_type(0).shape, {&ctx.in(0).shape(), &ctx.in(1).shape()});
  visit_float(ctx.in(0).dtype(), [&]<class T>(T) {
    map_broadcast(ctx.pool(), plan, ctx.in(0).data<T>(), ctx.in(1).data<T>(), ctx.out(0).mutable_data<T>(),
                  [](T a, T b) {
                    return b == T{0} ? T{0} : b == T{1} ? T{1} : b == T{2} ? a + a : b * std::pow(a, b - T{1});
                  });
  });
}

// retune.LogTimes(y, a) = y log(a), and 0 where y = 0: the limit of a^b log(a) for a -> 0.
void log_times_forward(ForwardContext& ctx) {
  const auto plan = plan_broadcast<2>(ctx.out_type(0).shape, {&ctx.in(0).shape(), &ctx.in(1).shape()});
  visit_float(ctx.in(0).dtype(), [&]<class T>(T) {
    map_broadcast(ctx.pool(), plan, ctx.in(0).data<T>(), ctx.in(1).data<T>(), ctx.out(0).mutable_data<T>(),
                  [](T y, T a) { return y == T{0} ? T{0} : y * std::log(a); });
  });
}

void pow_vjp(VjpContext& ctx) {
  GraphBuilder& b = ctx.builder();
  if (ctx.wants(0)) {
    const ValueId slope = b.private_op("PowSlope", {ctx.in(0), b.cast(ctx.in(1), ctx.dtype(ctx.in(0)))});
    ctx.give(0, b.sum_to(b.mul(ctx.cotangent(), slope), ctx.shape(ctx.in(0))));
  }
  if (ctx.wants(1)) {
    const ValueId slope = b.private_op("LogTimes", {ctx.out(), ctx.in(0)});
    const ValueId gradient = b.sum_to(b.mul(ctx.cotangent(), slope), ctx.shape(ctx.in(1)));
    ctx.give(1, b.cast(gradient, ctx.dtype(ctx.in(1))));
  }
}

// --- Min Max Sum Mean

void infer_variadic(InferContext& ctx) {
  require_inputs(ctx, std::max(ctx.input_count(), 1));
  Shape shape = ctx.shape(0);
  for (int i = 1; i < ctx.input_count(); ++i) {
    require_same_dtype(ctx, 0, i);
    shape = broadcast(shape, ctx.shape(i));
  }
  ctx.set(0, ctx.dtype(0), std::move(shape));
}

// Folds the inputs from the first to the last into the output.
template <class F, class T>
void fold(ForwardContext& ctx) {
  const int count = ctx.input_count();
  if (count == 1) {
    ctx.set_out(0, ctx.in(0));
    return;
  }
  Tensor so_far = ctx.in(0);
  for (int i = 1; i < count; ++i) {
    Tensor next =
        i + 1 == count ? ctx.out(0) : ctx.scratch(so_far.dtype(), broadcast(so_far.shape(), ctx.in(i).shape()));
    combine<F, T>(ctx, so_far, ctx.in(i), next);
    so_far = next;
  }
}

template <class F>
void fold_forward(ForwardContext& ctx) {
  visit_number(ctx.in(0).dtype(), [&]<class T>(T) { fold<F, T>(ctx); });
}

void mean_forward(ForwardContext& ctx) {
  visit_float(ctx.in(0).dtype(), [&]<class T>(T) {
    fold<Sum2, T>(ctx);
    const T count = static_cast<T>(ctx.input_count());
    if (ctx.input_count() > 1) {
      T* y = ctx.out(0).mutable_data<T>();
      map(ctx.pool(), ctx.out(0).numel(), static_cast<const T*>(y), y, [count](T sum) { return sum / count; });
    }
  });
}

void sum_vjp(VjpContext& ctx) {
  GraphBuilder& b = ctx.builder();
  const int count = static_cast<int>(ctx.node().inputs.size());
  const bool mean = ctx.node().op == "Mean";
  const ValueId share = mean ? b.mul(ctx.cotangent(), 1.0 / count) : ctx.cotangent();
  for (int i = 0; i < count; ++i)
    if (ctx.wants(i)) ctx.give(i, b.sum_to(share, ctx.shape(ctx.in(i))));
}

void extreme_vjp(VjpContext& ctx) {
  GraphBuilder& b = ctx.builder();
  const int count = static_cast<int>(ctx.node().inputs.size());
  if (count == 1) return ctx.give(0, ctx.cotangent());
  std::vector<ValueId> reached;  // 1 where the input is the result, of the result's shape
  ValueId ties = kNoValue;
  for (int i = 0; i < count; ++i) {
    reached.push_back(b.cast(b.op("Equal", {ctx.in(i), ctx.out()}), ctx.dtype(ctx.out())));
    ties = ties == kNoValue ? reached.back() : b.add(ties, reached.back());
  }
  const ValueId share = b.div(ctx.cotangent(), ties);
  for (int i = 0; i < count; ++i)
    if (ctx.wants(i)) ctx.give(i, b.sum_to(b.mul(share, reached[static_cast<std::size_t>(i)]), ctx.shape(ctx.in(i))));
}

}  // namespace

std::vector<Op> arithmetic_ops() {
  return {
      {.domain = "", .name = "Add", .since = 7, .infer = infer_binary, .forward = binary_forward<Sum2>, .vjp = add_vjp},
      {.domain = "",
       .name = "Sub",
       .since = 7,
       .infer = infer_binary,
       .forward = binary_forward<Difference>,
       .vjp = sub_vjp},
      {.domain = "",
       .name = "Mul",
       .since = 7,
       .infer = infer_binary,
       .forward = binary_forward<Product>,
       .vjp = mul_vjp},
      {.domain = "",
       .name = "Div",
       .since = 7,
       .infer = infer_binary,
       .forward = binary_forward<Quotient>,
       .vjp = div_vjp},
      {.domain = "", .name = "Mod", .since = 10, .infer = infer_binary, .forward = mod_forward, .vjp = mod_vjp},
      {.domain = "", .name = "Pow", .since = 7, .infer = infer_pow, .forward = pow_forward, .vjp = pow_vjp},
      {.domain = "retune",
       .name = "PowSlope",
       .infer = infer_binary,
       .forward = pow_slope_forward,
       .no_vjp = kIsGradient},
      {.domain = "retune",
       .name = "LogTimes",
       .infer = infer_binary,
       .forward = log_times_forward,
       .no_vjp = kIsGradient},
      {.domain = "",
       .name = "Max",
       .since = 8,
       .infer = infer_variadic,
       .forward = fold_forward<Larger>,
       .vjp = extreme_vjp},
      {.domain = "",
       .name = "Min",
       .since = 8,
       .infer = infer_variadic,
       .forward = fold_forward<Smaller>,
       .vjp = extreme_vjp},
      {.domain = "", .name = "Sum", .since = 8, .infer = infer_variadic, .forward = fold_forward<Sum2>, .vjp = sum_vjp},
      {.domain = "", .name = "Mean", .since = 8, .infer = infer_variadic, .forward = mean_forward, .vjp = sum_vjp},
  };
}

}  // namespace retune
