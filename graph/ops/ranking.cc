// Order along one axis: ArgMax ArgMin TopK, and Hardmax: 1 at the first of the largest, 0 elsewhere. Equal elements
// keep their order (select_last_index turns it round for ArgMax and ArgMin); NaN counts as larger than everything.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>

#include "graph/graph_builder.h"
#include "graph/ops/body.h"
#include "graph/ops/families.h"
#include "graph/ops/kernel.h"
#include "graph/ops/scalar_input.h"

namespace retune {

namespace {

// A tensor as [outer, extent, inner]: lines of `extent` elements, `inner` apart.
struct Lines {
  std::int64_t outer = 1, extent = 1, inner = 1;
  std::int64_t count() const { return outer * inner; }
  std::int64_t start(std::int64_t line, std::int64_t along) const {
    return line / inner * along * inner + line % inner;
  }
};

Lines lines(const Shape& shape, int axis) {
  return {shape.product(0, axis), shape[axis], shape.product(axis + 1, shape.rank())};
}

std::int64_t grain(const Lines& l) {
  return std::max<std::int64_t>(1, kElementGrain / std::max<std::int64_t>(l.extent, 1));
}

// Whether a comes before b, largest first.
template <class T>
bool larger(T a, T b) {
  if constexpr (std::is_floating_point_v<T>)
    if (std::isnan(a) || std::isnan(b)) return std::isnan(a) && !std::isnan(b);
  return a > b;
}
template <class T>
bool smaller(T a, T b) {
  return larger(b, a);
}

// --- ArgMax and ArgMin

void infer_arg(InferContext& ctx) {
  require_inputs(ctx, 1);
  const Shape& x = ctx.shape(0);
  const int axis = normalize_axis(ctx.attributes().i("axis", 0), x.rank());
  if (x[axis] == 0) throw user_error("axis {} of {} is empty: there is no largest element", axis, x.text());
  std::vector<std::int64_t> extents = x.extents();
  if (ctx.attributes().i("keepdims", 1) != 0)
    extents[static_cast<std::size_t>(axis)] = 1;
  else
    extents.erase(extents.begin() + axis);
  ctx.set(0, DType::kI64, Shape(std::move(extents)));
}

template <bool largest>
void arg_forward(ForwardContext& ctx) {
  const Shape& x = ctx.in(0).shape();
  const Lines l = lines(x, normalize_axis(ctx.attributes().i("axis", 0), x.rank()));
  const bool last = ctx.attributes().i("select_last_index", 0) != 0;
  std::int64_t* out = ctx.out(0).mutable_data<std::int64_t>();
  visit_number(ctx.in(0).dtype(), [&]<class T>(T) {
    const T* data = ctx.in(0).data<T>();
    const auto before = [](T a, T b) { return largest ? larger(a, b) : smaller(a, b); };
    ctx.pool().parallel_for(l.count(), grain(l), [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t line = begin; line < end; ++line) {
        const T* from = data + l.start(line, l.extent);
        std::int64_t best = 0;
        for (std::int64_t i = 1; i < l.extent; ++i) {
          const T candidate = from[i * l.inner], held = from[best * l.inner];
          if (before(candidate, held) || (last && !before(held, candidate))) best = i;
        }
        out[line] = best;
      }
    });
  });
}

// --- TopK: values and indices; k is an attribute before version 10.

void infer_top_k(InferContext& ctx) {
  require_inputs(ctx, 1);
  const Shape& x = ctx.shape(0);
  const int axis = normalize_axis(ctx.attributes().i("axis", -1), x.rank());
  if (!ctx.has(1) && !ctx.attributes().has("k")) throw user_error("k is missing");
  const std::int64_t k = ctx.has(1) ? integer_of(ctx.require_constant(1), "k") : ctx.attributes().i("k", 0);
  if (k < 0 || k > x[axis]) throw user_error("k is {}, expected 0 to {}, the extent of axis {}", k, x[axis], axis);
  std::vector<std::int64_t> extents = x.extents();
  extents[static_cast<std::size_t>(axis)] = k;
  ctx.set(0, ctx.dtype(0), Shape(extents));
  ctx.set(1, DType::kI64, Shape(extents));
}

template <class T, class Before>
void top_k_lines(ForwardContext& ctx, const Lines& l, std::int64_t k, const Before& before) {
  const T* data = ctx.in(0).data<T>();
  T* values = ctx.out(0).mutable_data<T>();
  Tensor index_memory =
      ctx.output_count() > 1 && ctx.wants(1) ? ctx.out(1) : ctx.scratch(DType::kI64, ctx.out_type(0).shape);
  std::int64_t* indices = index_memory.mutable_data<std::int64_t>();
  ctx.pool().parallel_for(l.count(), grain(l), [&](std::int64_t begin, std::int64_t end) {
    std::vector<std::int64_t> order(static_cast<std::size_t>(l.extent));
    for (std::int64_t line = begin; line < end; ++line) {
      const T* from = data + l.start(line, l.extent);
      std::iota(order.begin(), order.end(), 0);
      std::partial_sort(order.begin(), order.begin() + k, order.end(), [&](std::int64_t a, std::int64_t b) {
        const T x = from[a * l.inner], y = from[b * l.inner];
        return before(x, y) || (!before(y, x) && a < b);
      });
      const std::int64_t to = l.start(line, k);
      for (std::int64_t i = 0; i < k; ++i) {
        values[to + i * l.inner] = from[order[static_cast<std::size_t>(i)] * l.inner];
        indices[to + i * l.inner] = order[static_cast<std::size_t>(i)];
      }
    }
  });
}

void top_k_forward(ForwardContext& ctx) {
  const Shape& x = ctx.in(0).shape();
  const int axis = normalize_axis(ctx.attributes().i("axis", -1), x.rank());
  const std::int64_t k = ctx.out_type(0).shape[axis];
  visit_number(ctx.in(0).dtype(), [&]<class T>(T) {
    if (ctx.attributes().i("largest", 1) != 0)
      top_k_lines<T>(ctx, lines(x, axis), k, larger<T>);
    else
      top_k_lines<T>(ctx, lines(x, axis), k, smaller<T>);
  });
}

// retune.PutAlong(cotangent, indices; axis, extent): zeros with the cotangents at their indices along the axis.
void infer_put_along(InferContext& ctx) {
  std::vector<std::int64_t> extents = ctx.shape(0).extents();
  extents.at(static_cast<std::size_t>(ctx.attributes().i("axis", 0))) = ctx.attributes().i("extent", 0);
  ctx.set(0, ctx.dtype(0), Shape(std::move(extents)));
}

void put_along_forward(ForwardContext& ctx) {
  const int axis = static_cast<int>(ctx.attributes().i("axis", 0));
  Tensor& x = ctx.out(0);
  const Lines l = lines(x.shape(), axis);
  const std::int64_t k = ctx.in(0).shape()[axis];
  const std::int64_t* indices = ctx.in(1).data<std::int64_t>();
  std::memset(x.mutable_raw(), 0, x.bytes());
  visit_float(x.dtype(), [&]<class T>(T) {
    const T* g = ctx.in(0).data<T>();
    T* out = x.mutable_data<T>();
    for (std::int64_t line = 0; line < l.count(); ++line) {
      const std::int64_t from = l.start(line, k), to = l.start(line, l.extent);
      for (std::int64_t i = 0; i < k; ++i) out[to + indices[from + i * l.inner] * l.inner] = g[from + i * l.inner];
    }
  });
}

void top_k_vjp(VjpContext& ctx) {
  if (!ctx.wants(0) || ctx.cotangent(0) == kNoValue) return;
  GraphBuilder& b = ctx.builder();
  const Shape& x = ctx.shape(ctx.in(0));
  const std::int64_t axis = normalize_axis(ctx.attributes().i("axis", -1), x.rank());
  // The node's own second output may be unnamed; asked again, the operator gives the same indices.
  const ValueId indices = b.ops("", "TopK", {ctx.in(0), b.ints({ctx.shape(ctx.out())[static_cast<int>(axis)]})},
                                {{"axis", axis}, {"largest", ctx.attributes().i("largest", 1)}}, {"", ""})[1];
  ctx.give(0, b.private_op("PutAlong", {ctx.cotangent(0), indices},
                           {{"axis", axis}, {"extent", x[static_cast<int>(axis)]}}));
}

// Before version 13 all axes from `axis` on are one.
Graph hardmax_body(const InferContext& c) {
  require_inputs(c, 1);
  require_float(c, 0);
  const Shape x = c.shape(0);
  const bool old = c.version() < 13;
  Body body(c);
  GraphBuilder& b = body.builder();
  const std::int64_t given = c.attributes().i("axis", old ? 1 : -1);
  const int axis = normalize_axis(given, old ? x.rank() + 1 : x.rank());
  const Shape shape = old ? Shape{x.product(0, axis), x.product(axis, x.rank())} : x;
  const std::int64_t along = old ? 1 : axis;
  const ValueId top = b.op("ArgMax", {b.reshape(body.in(0), shape)}, {{"axis", along}, {"keepdims", std::int64_t{0}}});
  const ValueId values = b.constant(Tensor::of<double>({2}, {0, 1}).cast(c.dtype(0)));
  const ValueId depth = b.constant(Tensor::scalar<std::int64_t>(shape[static_cast<int>(along)]));
  return body.finish({b.reshape(b.op("OneHot", {top, depth, values}, {{"axis", along}}), x)});
}

}  // namespace

std::vector<Op> ranking_ops() {
  return {
      {.domain = "", .name = "ArgMax", .infer = infer_arg, .forward = arg_forward<true>, .no_vjp = kOutputIsIndex},
      {.domain = "", .name = "ArgMin", .infer = infer_arg, .forward = arg_forward<false>, .no_vjp = kOutputIsIndex},
      {.domain = "", .name = "Hardmax", .body = hardmax_body},
      {.domain = "", .name = "TopK", .infer = infer_top_k, .forward = top_k_forward, .vjp = top_k_vjp},
      {.domain = "retune",
       .name = "PutAlong",
       .infer = infer_put_along,
       .forward = put_along_forward,
       .no_vjp = kIsGradient},
  };
}

}  // namespace retune
