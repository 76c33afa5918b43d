// Pad (constant, edge, reflect, wrap; pads as an attribute before version 11, as an input from then on; axes from 18
// on) and Trilu.
#include <algorithm>
#include <cstring>
#include <numeric>

#include "graph/graph_builder.h"
#include "graph/ops/families.h"
#include "graph/ops/kernel.h"
#include "graph/ops/scalar_input.h"
#include "graph/ops/strided_copy.h"

namespace retune {

namespace {

using Extents = std::vector<std::int64_t>;

// Elements added before and after each axis; negative ones are taken away.
struct Pads {
  Extents before, after;
};

Pads pads_of(const Extents& given, const Extents& axes, int rank) {
  if (given.size() != 2 * axes.size())
    throw user_error("{} pads for {} axes, expected two an axis", given.size(), axes.size());
  Pads pads{Extents(static_cast<std::size_t>(rank), 0), Extents(static_cast<std::size_t>(rank), 0)};
  normalize_axes(axes, rank);  // none twice
  for (std::size_t i = 0; i < axes.size(); ++i) {
    const auto axis = static_cast<std::size_t>(normalize_axis(axes[i], rank));
    pads.before[axis] = given[i];
    pads.after[axis] = given[axes.size() + i];
  }
  return pads;
}

Extents all_axes(int rank) {
  Extents axes(static_cast<std::size_t>(rank));
  std::iota(axes.begin(), axes.end(), 0);
  return axes;
}

// Which element of an axis of `extent` stands at `at` positions from its start; -1 for the constant.
std::int64_t source_index(const std::string& mode, std::int64_t at, std::int64_t extent) {
  if (at >= 0 && at < extent) return at;
  if (mode == "constant") return -1;
  if (mode == "edge") return std::clamp<std::int64_t>(at, 0, extent - 1);
  if (mode == "wrap") return (at % extent + extent) % extent;
  // reflect: the ends are not repeated, and reflections continue beyond one extent.
  if (extent == 1) return 0;
  const std::int64_t period = 2 * (extent - 1);
  const std::int64_t phase = (at % period + period) % period;
  return phase < extent ? phase : period - phase;
}

std::string mode_of(const Attributes& attributes) {
  std::string mode = attributes.s("mode", "constant");
  if (mode != "constant" && mode != "edge" && mode != "reflect" && mode != "wrap")
    throw user_error("padding mode '{}' is not supported, expected constant, edge, reflect or wrap", mode);
  return mode;
}

Shape padded(const Shape& x, const Pads& pads, const std::string& mode) {
  Extents extents = x.extents();
  for (std::size_t axis = 0; axis < extents.size(); ++axis) {
    const std::int64_t from = extents[axis];
    std::int64_t& to = extents[axis];
    if (__builtin_add_overflow(to, pads.before[axis], &to) || __builtin_add_overflow(to, pads.after[axis], &to) ||
        to < 0)
      throw user_error("axis {} of {} cannot be padded by {} and {}", axis, x.text(), pads.before[axis],
                       pads.after[axis]);
    if (from == 0 && to > 0 && mode != "constant")
      throw user_error("axis {} of {} is empty: there is nothing to pad it with in mode '{}'", axis, x.text(), mode);
  }
  return Shape(std::move(extents));
}

Pads pads_of(const InferContext& ctx) {
  const int rank = ctx.shape(0).rank();
  const auto given = ctx.ints_from(1, "pads");
  if (!given) throw user_error("the pads are missing");
  return pads_of(*given, ctx.has(3) ? ctx.require_constant(3).to_i64() : all_axes(rank), rank);
}

void infer_pad(InferContext& ctx) {
  require_inputs(ctx, 1);
  if (ctx.has(2)) {
    require_same_dtype(ctx, 0, 2);
    if (ctx.shape(2).numel() != 1)
      throw user_error("the pad value has shape {}, expected a scalar", ctx.shape(2).text());
  }
  ctx.set(0, ctx.dtype(0), padded(ctx.shape(0), pads_of(ctx), mode_of(ctx.attributes())));
}

Pads pads_of(const ForwardContext& ctx) {
  const int rank = ctx.in(0).shape().rank();
  const Extents given = ctx.has(1) ? ctx.in(1).to_i64() : ctx.attributes().ints("pads");
  return pads_of(given, ctx.has(3) ? ctx.in(3).to_i64() : all_axes(rank), rank);
}

// The value of the constant mode; an attribute before version 11.
Tensor pad_value(const ForwardContext& ctx) {
  if (ctx.has(2)) return ctx.in(2).reshaped({});
  return Tensor::scalar<double>(ctx.attributes().f("value", 0.0)).cast(ctx.in(0).dtype());
}

// Fills the output and copies what remains of the input into its middle.
void pad_with_constant(ForwardContext& ctx, const Pads& pads) {
  const Tensor& x = ctx.in(0);
  Tensor& y = ctx.out(0);
  const Tensor value = pad_value(ctx);
  if (y.numel() != 0) copy_broadcast(ctx.pool(), y.dtype(), {}, y.shape(), value.raw(), y.mutable_raw());
  StridedCopy copy{
      .extents = x.shape().extents(), .source_strides = x.shape().strides(), .target_strides = y.shape().strides()};
  for (std::size_t axis = 0; axis < copy.extents.size(); ++axis) {
    const std::int64_t first = std::max<std::int64_t>(0, -pads.before[axis]);
    const std::int64_t end = std::min(copy.extents[axis], copy.extents[axis] + pads.after[axis]);
    copy.extents[axis] = std::max<std::int64_t>(0, end - first);
    copy.source_start += first * copy.source_strides[axis];
    copy.target_start += (first + pads.before[axis]) * copy.target_strides[axis];
  }
  copy_strided(ctx.pool(), std::move(copy), x.dtype(), x.raw(), y.mutable_raw());
}

// For modes in which every element of the result is one of the input: for each axis, which.
std::vector<Extents> source_indices(const Shape& x, const Shape& y, const Pads& pads, const std::string& mode) {
  std::vector<Extents> tables;
  for (int axis = 0; axis < y.rank(); ++axis) {
    Extents table;
    for (std::int64_t i = 0; i < y[axis]; ++i)
      table.push_back(source_index(mode, i - pads.before[static_cast<std::size_t>(axis)], x[axis]));
    tables.push_back(std::move(table));
  }
  return tables;
}

// Calls body(i, j) for each element i of the result and the element j of the input that it is, rows of the result by
// row.
template <class Body>
void for_each_padded(const Shape& x, const Shape& y, const std::vector<Extents>& tables, std::int64_t begin,
                     std::int64_t end, Body&& body) {
  const std::vector<std::int64_t> strides = x.strides();
  const int rank = y.rank();
  for (std::int64_t i = begin; i < end; ++i) {
    std::int64_t rest = i, j = 0;
    for (int axis = rank - 1; axis >= 0; --axis) {
      j += tables[static_cast<std::size_t>(axis)][static_cast<std::size_t>(rest % y[axis])] *
           strides[static_cast<std::size_t>(axis)];
      rest /= y[axis];
    }
    body(i, j);
  }
}

void pad_forward(ForwardContext& ctx) {
  const std::string mode = mode_of(ctx.attributes());
  const Pads pads = pads_of(ctx);
  if (mode == "constant") return pad_with_constant(ctx, pads);
  const Shape& from = ctx.in(0).shape();
  Tensor& y = ctx.out(0);
  const std::vector<Extents> tables = source_indices(from, y.shape(), pads, mode);
  visit_width(y.dtype(), [&]<class U>(U) {
    const U* source = words<U>(ctx.in(0));
    U* target = mutable_words<U>(y);
    ctx.pool().parallel_for(y.numel(), kElementGrain, [&](std::int64_t begin, std::int64_t end) {
      for_each_padded(from, y.shape(), tables, begin, end,
                      [&](std::int64_t i, std::int64_t j) { target[i] = source[j]; });
    });
  });
}

// retune.PadGrad(cotangent; before, after, mode, extents): each element of the input collects the cotangents of its
// copies, in their order.
void infer_pad_grad(InferContext& ctx) { ctx.set(0, ctx.dtype(0), Shape(ctx.attributes().ints("extents"))); }

void pad_grad_forward(ForwardContext& ctx) {
  const Tensor& g = ctx.in(0);
  Tensor& x = ctx.out(0);
  const Pads pads{ctx.attributes().ints("before"), ctx.attributes().ints("after")};
  const std::vector<Extents> tables = source_indices(x.shape(), g.shape(), pads, ctx.attributes().s("mode", ""));
  std::memset(x.mutable_raw(), 0, x.bytes());
  visit_float(x.dtype(), [&]<class T>(T) {
    const T* source = g.data<T>();
    T* target = x.mutable_data<T>();
    for_each_padded(x.shape(), g.shape(), tables, 0, g.numel(),
                    [&](std::int64_t i, std::int64_t j) { target[j] += source[i]; });
  });
}

void pad_vjp(VjpContext& ctx) {
  GraphBuilder& b = ctx.builder();
  const Shape& x = ctx.shape(ctx.in(0));
  const auto ints = [&](int i) { return b.graph().value(ctx.in(i)).constant.to_i64(); };
  const Extents given = ctx.has(1) ? ints(1) : ctx.attributes().ints("pads");
  const Pads pads = pads_of(given, ctx.has(3) ? ints(3) : all_axes(x.rank()), x.rank());
  const std::string mode = mode_of(ctx.attributes());
  if (mode != "constant") {
    if (ctx.wants(0))
      ctx.give(
          0, b.private_op("PadGrad", {ctx.cotangent()},
                          {{"before", pads.before}, {"after", pads.after}, {"mode", mode}, {"extents", x.extents()}}));
    return;
  }
  // What was added is taken away, and the other way round.
  Extents opposite;
  for (const Extents* side : {&pads.before, &pads.after})
    for (const std::int64_t n : *side) opposite.push_back(-n);
  const ValueId middle = x.rank() == 0 ? ctx.cotangent() : b.op("Pad", {ctx.cotangent(), b.ints(opposite)});
  if (ctx.wants(0)) ctx.give(0, middle);
  if (ctx.wants(2)) {
    const ValueId added = b.sub(b.sum_to(ctx.cotangent(), {}), b.sum_to(middle, {}));
    ctx.give(2, b.reshape(added, ctx.shape(ctx.in(2))));
  }
}

// --- Trilu: the triangle above (upper = 1) or below diagonal k of the last two axes, zeros elsewhere.

void infer_trilu(InferContext& ctx) {
  require_inputs(ctx, 1);
  if (ctx.shape(0).rank() < 2) throw user_error("the input has shape {}, expected matrices", ctx.shape(0).text());
  ctx.same_as_input();
}

void trilu_forward(ForwardContext& ctx) {
  const Tensor& x = ctx.in(0);
  const bool upper = ctx.attributes().i("upper", 1) != 0;
  const std::int64_t rows = x.shape().back(1), columns = x.shape().back(0);
  const std::int64_t k = ctx.has(1) ? std::clamp(integer_of(ctx.in(1), "k"), -rows - 1, columns + 1) : 0;
  Tensor& y = ctx.out(0);
  visit_width(x.dtype(), [&]<class U>(U) {
    const U* source = words<U>(x);
    U* target = mutable_words<U>(y);
    const std::int64_t count = columns == 0 ? 0 : x.numel() / columns;
    ctx.pool().parallel_for(count, std::max<std::int64_t>(1, kElementGrain / std::max<std::int64_t>(columns, 1)),
                            [&](std::int64_t begin, std::int64_t end) {
                              for (std::int64_t row = begin; row < end; ++row) {
                                // Upper keeps columns from the diagonal on, lower those up to it.
                                const std::int64_t cut =
                                    std::clamp(row % rows + k + (upper ? 0 : 1), std::int64_t{0}, columns);
                                const U* from = source + row * columns;
                                U* to = target + row * columns;
                                for (std::int64_t c = 0; c < cut; ++c) to[c] = upper ? U{0} : from[c];
                                for (std::int64_t c = cut; c < columns; ++c) to[c] = upper ? from[c] : U{0};
                              }
                            });
  });
}

void trilu_vjp(VjpContext& ctx) {
  if (!ctx.wants(0)) return;
  std::vector<ValueId> inputs = ctx.node().inputs;
  inputs[0] = ctx.cotangent();
  ctx.give(0, ctx.builder().op("Trilu", std::move(inputs), ctx.attributes()));
}

}  // namespace

std::vector<Op> padding_ops() {
  return {
      {.domain = "",
       .name = "Pad",
       .since = 2,
       .infer = infer_pad,
       .forward = pad_forward,
       .vjp = pad_vjp,
       .takes_half = true,
       .packed = Op::Packed::kAsCodes},
      {.domain = "retune",
       .name = "PadGrad",
       .infer = infer_pad_grad,
       .forward = pad_grad_forward,
       .no_vjp = kIsGradient},
      {.domain = "",
       .name = "Trilu",
       .since = 14,
       .infer = infer_trilu,
       .forward = trilu_forward,
       .vjp = trilu_vjp,
       .takes_half = true},
  };
}

}  // namespace retune
