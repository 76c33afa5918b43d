// Choosing elements by a condition: Where, Clip (bounds as attributes before version 11, as inputs from then on),
// PRelu.
//
// At kinks: Clip' = 1 at a bound, PRelu'(0) = slope.
#include <limits>

#include "graph/graph_builder.h"
#include "graph/ops/families.h"
#include "graph/ops/map.h"

namespace retune {

namespace {

// --- Where

void infer_where(InferContext& ctx) {
  require_inputs(ctx, 3);
  require_same_dtype(ctx, 1, 2);
  if (ctx.dtype(0) != DType::kBool)
    throw user_error("the condition has type {}, expected bool", dtype_name(ctx.dtype(0)));
  ctx.set(0, ctx.dtype(1), broadcast(ctx.shape(0), broadcast(ctx.shape(1), ctx.shape(2))));
}

void where_forward(ForwardContext& ctx) {
  const auto plan =
      plan_broadcast<3>(ctx.out_type(0).shape, {&ctx.in(0).shape(), &ctx.in(1).shape(), &ctx.in(2).shape()});
  visit_width(ctx.in(1).dtype(), [&]<class U>(U) {
    map_broadcast(ctx.pool(), plan, ctx.in(0).data<bool>(), words<U>(ctx.in(1)), words<U>(ctx.in(2)),
                  mutable_words<U>(ctx.out(0)), [](bool condition, U yes, U no) { return condition ? yes : no; });
  });
}

void where_vjp(VjpContext& ctx) {
  GraphBuilder& b = ctx.builder();
  const ValueId zero = b.scalar(0.0, ctx.dtype(ctx.out()));
  if (ctx.wants(1)) ctx.give(1, b.sum_to(b.op("Where", {ctx.in(0), ctx.cotangent(), zero}), ctx.shape(ctx.in(1))));
  if (ctx.wants(2)) ctx.give(2, b.sum_to(b.op("Where", {ctx.in(0), zero, ctx.cotangent()}), ctx.shape(ctx.in(2))));
}

// --- Clip

void infer_clip(InferContext& ctx) {
  require_inputs(ctx, 1);
  if (ctx.version() < 12) require_float(ctx, 0);
  for (int bound = 1; bound <= 2; ++bound) {
    if (!ctx.has(bound)) continue;
    require_same_dtype(ctx, 0, bound);
    if (ctx.shape(bound).numel() != 1)
      throw user_error("input {}, a bound, has shape {}, expected one element", bound, ctx.shape(bound).text());
  }
  ctx.same_as_input();
}

template <class T>
struct Bounds {
  T low = std::numeric_limits<T>::lowest();
  T high = std::numeric_limits<T>::max();
};

// Bound i of Clip or ClipGrad; infinite floats pass where there is none.
template <class T>
Bounds<T> bounds_of(const ForwardContext& ctx, int first) {
  Bounds<T> bounds;
  if constexpr (std::is_floating_point_v<T>)
    bounds = {-std::numeric_limits<T>::infinity(), std::numeric_limits<T>::infinity()};
  if (ctx.attributes().has("min")) bounds.low = static_cast<T>(ctx.attributes().f("min", 0));
  if (ctx.attributes().has("max")) bounds.high = static_cast<T>(ctx.attributes().f("max", 0));
  if (ctx.has(first)) bounds.low = ctx.in(first).data<T>()[0];
  if (ctx.has(first + 1)) bounds.high = ctx.in(first + 1).data<T>()[0];
  return bounds;
}

void clip_forward(ForwardContext& ctx) {
  visit_number(ctx.in(0).dtype(), [&]<class T>(T) {
    const Bounds<T> bounds = bounds_of<T>(ctx, 1);
    map(ctx.pool(), ctx.in(0).numel(), ctx.in(0).data<T>(), ctx.out(0).mutable_data<T>(), [bounds](T x) {
      const T raised = x < bounds.low ? bounds.low : x;
      return raised > bounds.high ? bounds.high : raised;
    });
  });
}

// retune.ClipGrad(x, cotangent, low, high).
void clip_grad_forward(ForwardContext& ctx) {
  visit_float(ctx.in(0).dtype(), [&]<class T>(T) {
    const Bounds<T> bounds = bounds_of<T>(ctx, 2);
    map(ctx.pool(), ctx.in(0).numel(), ctx.in(0).data<T>(), ctx.in(1).data<T>(), ctx.out(0).mutable_data<T>(),
        [bounds](T x, T g) { return x < bounds.low || x > bounds.high ? T{0} : g; });
  });
}

void clip_vjp(VjpContext& ctx) {
  GraphBuilder& b = ctx.builder();
  const ValueId low = ctx.has(1) ? ctx.in(1) : kNoValue;
  const ValueId high = ctx.has(2) ? ctx.in(2) : kNoValue;
  if (ctx.wants(0)) ctx.give(0, b.private_op("ClipGrad", {ctx.in(0), ctx.cotangent(), low, high}, ctx.attributes()));
  // A bound is the result wherever the input lies beyond it.
  const ValueId zero = b.scalar(0.0, ctx.dtype(ctx.in(0)));
  if (ctx.wants(1)) {
    const ValueId below = b.op("Where", {b.op("Less", {ctx.in(0), low}), ctx.cotangent(), zero});
    ctx.give(1, b.sum_to(below, ctx.shape(low)));
  }
  if (ctx.wants(2)) {
    const ValueId above = b.op("Where", {b.op("Greater", {ctx.in(0), high}), ctx.cotangent(), zero});
    ctx.give(2, b.sum_to(above, ctx.shape(high)));
  }
}

void infer_clip_grad(InferContext& ctx) {
  require_inputs(ctx, 2);
  ctx.same_as_input();
}

// --- PRelu: x where x > 0, slope x elsewhere; slope broadcasts to x.

void infer_prelu(InferContext& ctx) {
  require_inputs(ctx, 2);
  require_same_dtype(ctx, 0, 1);
  if (!(broadcast(ctx.shape(0), ctx.shape(1)) == ctx.shape(0)))
    throw user_error("the slope has shape {}, which does not broadcast to {}", ctx.shape(1).text(),
                     ctx.shape(0).text());
  ctx.same_as_input();
}

void prelu_forward(ForwardContext& ctx) {
  const auto plan = plan_broadcast<2>(ctx.out_type(0).shape, {&ctx.in(0).shape(), &ctx.in(1).shape()});
  visit_number(ctx.in(0).dtype(), [&]<class T>(T) {
    map_broadcast(ctx.pool(), plan, ctx.in(0).data<T>(), ctx.in(1).data<T>(), ctx.out(0).mutable_data<T>(),
                  [](T x, T slope) { return x < T{0} ? static_cast<T>(slope * x) : x; });
  });
}

void prelu_vjp(VjpContext& ctx) {
  GraphBuilder& b = ctx.builder();
  const ValueId zero = b.scalar(0.0, ctx.dtype(ctx.in(0)));
  if (ctx.wants(0)) {
    const ValueId positive = b.op("Greater", {ctx.in(0), zero});
    ctx.give(0, b.op("Where", {positive, ctx.cotangent(), b.mul(ctx.cotangent(), ctx.in(1))}));
  }
  if (ctx.wants(1)) {
    const ValueId negative_part = b.op("Min", {ctx.in(0), zero});
    ctx.give(1, b.sum_to(b.mul(ctx.cotangent(), negative_part), ctx.shape(ctx.in(1))));
  }
}

}  // namespace

std::vector<Op> selection_ops() {
  return {
      {.domain = "",
       .name = "Where",
       .since = 9,
       .infer = infer_where,
       .forward = where_forward,
       .vjp = where_vjp,
       .takes_half = true},
      {.domain = "", .name = "Clip", .since = 6, .infer = infer_clip, .forward = clip_forward, .vjp = clip_vjp},
      {.domain = "retune",
       .name = "ClipGrad",
       .infer = infer_clip_grad,
       .forward = clip_grad_forward,
       .no_vjp = kIsGradient},
      {.domain = "", .name = "PRelu", .since = 7, .infer = infer_prelu, .forward = prelu_forward, .vjp = prelu_vjp},
  };
}

}  // namespace retune
