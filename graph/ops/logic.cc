// Truth values: Equal Less LessOrEqual Greater GreaterOrEqual And Or Xor with broadcasting, Not IsNaN IsInf.
#include <cmath>

#include "graph/ops/families.h"
#include "graph/ops/map.h"

namespace retune {

namespace {

struct IsEqual {
  template <class T>
  static bool of(T a, T b) {
    return a == b;
  }
};
struct IsLess {
  template <class T>
  static bool of(T a, T b) {
    return a < b;
  }
};
struct IsLessOrEqual {
  template <class T>
  static bool of(T a, T b) {
    return a <= b;
  }
};
struct IsGreater {
  template <class T>
  static bool of(T a, T b) {
    return a > b;
  }
};
struct IsGreaterOrEqual {
  template <class T>
  static bool of(T a, T b) {
    return a >= b;
  }
};
struct Both {
  static bool of(bool a, bool b) { return a && b; }
};
struct Either {
  static bool of(bool a, bool b) { return a || b; }
};
struct NotTheSame {
  static bool of(bool a, bool b) { return a != b; }
};

void infer_comparison(InferContext& ctx) {
  require_inputs(ctx, 2);
  require_same_dtype(ctx, 0, 1);
  ctx.set(0, DType::kBool, broadcast(ctx.shape(0), ctx.shape(1)));
}

void infer_logic(InferContext& ctx) {
  infer_comparison(ctx);
  if (ctx.dtype(0) != DType::kBool) throw user_error("inputs have type {}, expected bool", dtype_name(ctx.dtype(0)));
}

template <class F, class T>
void compare(ForwardContext& ctx) {
  const auto plan = plan_broadcast<2>(ctx.out_type(0).shape, {&ctx.in(0).shape(), &ctx.in(1).shape()});
  map_broadcast(ctx.pool(), plan, ctx.in(0).data<T>(), ctx.in(1).data<T>(), ctx.out(0).mutable_data<bool>(),
                [](T a, T b) { return F::of(a, b); });
}

template <class F>
void comparison_forward(ForwardContext& ctx) {
  if (ctx.in(0).dtype() == DType::kBool) return compare<F, bool>(ctx);
  visit_number(ctx.in(0).dtype(), [&]<class T>(T) { compare<F, T>(ctx); });
}

template <class F>
void logic_forward(ForwardContext& ctx) {
  compare<F, bool>(ctx);
}

void infer_not(InferContext& ctx) {
  require_inputs(ctx, 1);
  if (ctx.dtype(0) != DType::kBool) throw user_error("input 0 has type {}, expected bool", dtype_name(ctx.dtype(0)));
  ctx.same_as_input();
}

void not_forward(ForwardContext& ctx) {
  map(ctx.pool(), ctx.in(0).numel(), ctx.in(0).data<bool>(), ctx.out(0).mutable_data<bool>(),
      [](bool x) { return !x; });
}

void infer_classification(InferContext& ctx) {
  require_inputs(ctx, 1);
  require_float(ctx, 0);
  ctx.set(0, DType::kBool, ctx.shape(0));
}

void is_nan_forward(ForwardContext& ctx) {
  visit_float(ctx.in(0).dtype(), [&]<class T>(T) {
    map(ctx.pool(), ctx.in(0).numel(), ctx.in(0).data<T>(), ctx.out(0).mutable_data<bool>(),
        [](T x) { return x != x; });
  });
}

void is_inf_forward(ForwardContext& ctx) {
  const bool negative = ctx.attributes().i("detect_negative", 1) != 0;
  const bool positive = ctx.attributes().i("detect_positive", 1) != 0;
  visit_float(ctx.in(0).dtype(), [&]<class T>(T) {
    map(ctx.pool(), ctx.in(0).numel(), ctx.in(0).data<T>(), ctx.out(0).mutable_data<bool>(),
        [=](T x) { return std::isinf(x) && (x < 0 ? negative : positive); });
  });
}

Op comparison(std::string name, int since, void (*forward)(ForwardContext&)) {
  return {.domain = "",
          .name = std::move(name),
          .since = since,
          .infer = infer_comparison,
          .forward = forward,
          .no_vjp = kOutputIsBool};
}

Op logic(std::string name, void (*forward)(ForwardContext&)) {
  return {.domain = "",
          .name = std::move(name),
          .since = 7,
          .infer = infer_logic,
          .forward = forward,
          .no_vjp = kOutputIsBool};
}

}  // namespace

std::vector<Op> logic_ops() {
  return {
      comparison("Equal", 7, comparison_forward<IsEqual>),
      comparison("Less", 7, comparison_forward<IsLess>),
      comparison("LessOrEqual", 12, comparison_forward<IsLessOrEqual>),
      comparison("Greater", 7, comparison_forward<IsGreater>),
      comparison("GreaterOrEqual", 12, comparison_forward<IsGreaterOrEqual>),
      logic("And", logic_forward<Both>),
      logic("Or", logic_forward<Either>),
      logic("Xor", logic_forward<NotTheSame>),
      {.domain = "", .name = "Not", .infer = infer_not, .forward = not_forward, .no_vjp = kOutputIsBool},
      {.domain = "",
       .name = "IsNaN",
       .since = 9,
       .infer = infer_classification,
       .forward = is_nan_forward,
       .no_vjp = kOutputIsBool},
      {.domain = "",
       .name = "IsInf",
       .since = 10,
       .infer = infer_classification,
       .forward = is_inf_forward,
       .no_vjp = kOutputIsBool},
  };
}

}  // namespace retune
