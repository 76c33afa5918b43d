// CumSum: running sums along an axis (input 1, a scalar); `exclusive` leaves the element itself out, `reverse` runs
// from the end.
#include <algorithm>

#include "graph/graph_builder.h"
#include "graph/ops/families.h"
#include "graph/ops/kernel.h"

namespace retune {

namespace {

void infer_cum_sum(InferContext& ctx) {
  require_inputs(ctx, 2);
  if (ctx.shape(1).numel() != 1) throw user_error("the axis has shape {}, expected a scalar", ctx.shape(1).text());
  if (const Tensor* axis = ctx.constant(1)) normalize_axis(axis->to_i64()[0], ctx.shape(0).rank());
  ctx.set(0, ctx.dtype(0), ctx.shape(0));
}

void cum_sum_forward(ForwardContext& ctx) {
  const Shape& shape = ctx.in(0).shape();
  const int axis = normalize_axis(ctx.in(1).to_i64()[0], shape.rank());
  const bool exclusive = ctx.attributes().i("exclusive", 0) != 0;
  const bool reverse = ctx.attributes().i("reverse", 0) != 0;
  const std::int64_t extent = shape[axis], inner = shape.product(axis + 1, shape.rank()),
                     outer = shape.product(0, axis);
  visit_number(ctx.in(0).dtype(), [&]<class T>(T) {
    const T* x = ctx.in(0).data<T>();
    T* y = ctx.out(0).mutable_data<T>();
    ctx.pool().parallel_for(
        outer * inner, std::max<std::int64_t>(1, kElementGrain / std::max<std::int64_t>(extent, 1)),
        [=](std::int64_t begin, std::int64_t end) {
          for (std::int64_t line = begin; line < end; ++line) {
            const std::int64_t start = line / inner * extent * inner + line % inner;
            T sum{0};
            for (std::int64_t step = 0; step < extent; ++step) {
              const std::int64_t at = start + (reverse ? extent - 1 - step : step) * inner;
              T next;
              if constexpr (std::is_integral_v<T>)
                next = static_cast<T>(static_cast<std::uint64_t>(sum) + static_cast<std::uint64_t>(x[at]));
              else
                next = sum + x[at];
              y[at] = exclusive ? sum : next;
              sum = next;
            }
          }
        });
  });
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
           .forward = cum_sum_forward,
           .vjp = cum_sum_vjp}};
}

}  // namespace retune
