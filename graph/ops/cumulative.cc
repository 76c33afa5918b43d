// CumSum (11) and CumProd (26): running sums and products along an axis (input 1, a scalar); `exclusive` leaves the
// element itself out, `reverse` runs from the end.
//
// The gradient of a product divides by nothing, so that zeros may stand in it: the private operator CumProdGrad(x,
// axis, g) is dx_i = (product of those before i) s_i with s_i = g_i + x_{i+1} s_{i+1} (g moved by one where exclusive).
#include <algorithm>

#include "graph/graph_builder.h"
#include "graph/ops/families.h"
#include "graph/ops/kernel.h"
#include "graph/ops/scalar_input.h"

namespace retune {

namespace {

void infer_cum_sum(InferContext& ctx) {
  require_inputs(ctx, 2);
  if (const Tensor* axis = ctx.constant(1)) normalize_axis(integer_of(*axis, "the axis"), ctx.shape(0).rank());
  ctx.set(0, ctx.dtype(0), ctx.shape(0));
}

// A tensor as lines along an axis, walked forwards or backwards.
struct Walk {
  std::int64_t extent = 1, inner = 1, outer = 1;
  bool exclusive = false, reverse = false;

  std::int64_t count() const { return outer * inner; }
  std::int64_t grain() const { return std::max<std::int64_t>(1, kElementGrain / std::max<std::int64_t>(extent, 1)); }
  // The element that is met at `step` of a line.
  std::int64_t at(std::int64_t line, std::int64_t step) const {
    return line / inner * extent * inner + line % inner + (reverse ? extent - 1 - step : step) * inner;
  }
};

Walk walk_of(const ForwardContext& ctx) {
  const Shape& shape = ctx.in(0).shape();
  const int axis = normalize_axis(integer_of(ctx.in(1), "the axis"), shape.rank());
  return {shape[axis], shape.product(axis + 1, shape.rank()), shape.product(0, axis),
          ctx.attributes().i("exclusive", 0) != 0, ctx.attributes().i("reverse", 0) != 0};
}

// Integers wrap around.
struct Sum {
  static constexpr int kStart = 0;
  template <class T>
  static T join(T a, T b) {
    if constexpr (std::is_integral_v<T>)
      return static_cast<T>(static_cast<std::uint64_t>(a) + static_cast<std::uint64_t>(b));
    else
      return a + b;
  }
};
struct Product {
  static constexpr int kStart = 1;
  template <class T>
  static T join(T a, T b) {
    if constexpr (std::is_integral_v<T>)
      return static_cast<T>(static_cast<std::uint64_t>(a) * static_cast<std::uint64_t>(b));
    else
      return a * b;
  }
};

template <class F>
void running_forward(ForwardContext& ctx) {
  const Walk walk = walk_of(ctx);
  visit_number(ctx.in(0).dtype(), [&]<class T>(T) {
    const T* x = ctx.in(0).data<T>();
    T* y = ctx.out(0).mutable_data<T>();
    ctx.pool().parallel_for(walk.count(), walk.grain(), [=](std::int64_t begin, std::int64_t end) {
      for (std::int64_t line = begin; line < end; ++line) {
        T total{F::kStart};
        for (std::int64_t step = 0; step < walk.extent; ++step) {
          const std::int64_t at = walk.at(line, step);
          const T next = F::join(total, x[at]);
          y[at] = walk.exclusive ? total : next;
          total = next;
        }
      }
    });
  });
}

void infer_cum_prod_grad(InferContext& ctx) { ctx.set(0, ctx.dtype(0), ctx.shape(0)); }

void cum_prod_grad_forward(ForwardContext& ctx) {
  const Walk walk = walk_of(ctx);
  visit_float(ctx.in(0).dtype(), [&]<class T>(T) {
    const T *x = ctx.in(0).data<T>(), *g = ctx.in(2).data<T>();
    T* dx = ctx.out(0).mutable_data<T>();
    ctx.pool().parallel_for(walk.count(), walk.grain(), [=](std::int64_t begin, std::int64_t end) {
      for (std::int64_t line = begin; line < end; ++line) {
        T before{1}, behind{0};
        for (std::int64_t step = 0; step < walk.extent; ++step) {
          dx[walk.at(line, step)] = before;
          before *= x[walk.at(line, step)];
        }
        for (std::int64_t step = walk.extent; step-- > 0;) {
          // behind holds s of the next step; what an exclusive product gives out at a step is that before it.
          const bool last = step + 1 == walk.extent;
          const T own = !walk.exclusive ? g[walk.at(line, step)] : last ? T{0} : g[walk.at(line, step + 1)];
          behind = own + (last ? T{0} : x[walk.at(line, step + 1)] * behind);
          dx[walk.at(line, step)] *= behind;
        }
      }
    });
  });
}

void cum_prod_vjp(VjpContext& ctx) {
  if (ctx.wants(0))
    ctx.give(0, ctx.builder().private_op("CumProdGrad", {ctx.in(0), ctx.in(1), ctx.cotangent()}, ctx.attributes()));
}

// Element i is in the sums of all that come after it: the same operator from the other end.
void cum_sum_vjp(VjpContext& ctx) {
  if (!ctx.wants(0)) return;
  const std::int64_t reverse = ctx.attributes().i("reverse", 0) != 0 ? 0 : 1;
  ctx.give(0, ctx.builder().op("CumSum", {ctx.cotangent(), ctx.in(1)},
                               {{"reverse", reverse}, {"exclusive", ctx.attributes().i("exclusive", 0)}}));
}

}  // namespace

std::vector<Op> cumulative_ops() {
  return {{.domain = "",
           .name = "CumSum",
           .since = 11,
           .infer = infer_cum_sum,
           .forward = running_forward<Sum>,
           .vjp = cum_sum_vjp},
          {.domain = "",
           .name = "CumProd",
           .since = 26,
           .infer = infer_cum_sum,
           .forward = running_forward<Product>,
           .vjp = cum_prod_vjp},
          {.domain = "retune",
           .name = "CumProdGrad",
           .infer = infer_cum_prod_grad,
           .forward = cum_prod_grad_forward,
           .no_vjp = kIsGradient}};
}

}  // namespace retune
