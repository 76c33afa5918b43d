// Reductions along axes: ReduceSum Mean Max Min Prod L1 L2 LogSum LogSumExp SumSquare.
//
// Axes are an attribute before version 18 (ReduceSum: 13), an input from then on; none means all, unless
// noop_with_empty_axes. Over no elements a sum is 0, a product 1, a maximum the least value of its type, a mean NaN.
// Gradients: where several elements are the maximum they share; ReduceL2'(0) = 0; ReduceL1'(0) = 0.
#include <cmath>
#include <limits>
#include <numeric>

#include "graph/graph_builder.h"
#include "graph/ops/families.h"
#include "graph/ops/map.h"
#include "graph/ops/reduce.h"

namespace retune {

namespace {

// --- Which axes

bool axes_are_an_input(const std::string& op, int version) { return version >= (op == "ReduceSum" ? 13 : 18); }

// The axes to reduce, or nothing if the operator is to do nothing.
std::optional<std::vector<int>> reduced_axes(std::optional<std::vector<std::int64_t>> axes,
                                             const Attributes& attributes, int rank) {
  if (!axes || axes->empty()) {
    if (attributes.i("noop_with_empty_axes", 0) != 0) return std::nullopt;
    std::vector<int> all(static_cast<std::size_t>(rank));
    std::iota(all.begin(), all.end(), 0);
    return all;
  }
  return normalize_axes(*axes, rank);
}

std::optional<std::vector<int>> reduced_axes(const ForwardContext& ctx) {
  std::optional<std::vector<std::int64_t>> axes;
  if (ctx.has(1))
    axes = ctx.in(1).to_i64();
  else if (ctx.attributes().has("axes"))
    axes = ctx.attributes().ints("axes");
  return reduced_axes(std::move(axes), ctx.attributes(), ctx.in(0).shape().rank());
}

Shape reduced_shape(const Shape& x, const std::vector<int>& axes, bool keep) {
  std::vector<std::int64_t> extents;
  for (int axis = 0; axis < x.rank(); ++axis) {
    const bool gone = std::binary_search(axes.begin(), axes.end(), axis);
    if (!gone)
      extents.push_back(x[axis]);
    else if (keep)
      extents.push_back(1);
  }
  return Shape(std::move(extents));
}

void infer_reduction(InferContext& ctx) {
  require_inputs(ctx, 1);
  if (ctx.has(1) && !axes_are_an_input(ctx.node().op, ctx.version()))
    throw user_error("axes are an attribute in operator set {}, but input 1 is given", ctx.version());
  const auto axes = reduced_axes(ctx.ints_from(1, "axes"), ctx.attributes(), ctx.shape(0).rank());
  if (!axes) return ctx.set(0, ctx.dtype(0), ctx.shape(0));
  ctx.set(0, ctx.dtype(0), reduced_shape(ctx.shape(0), *axes, ctx.attributes().i("keepdims", 1) != 0));
}

// --- Folds and the maps around them

struct AddUp {
  template <class T>
  static constexpr T identity() {
    return T{0};
  }
  template <class T>
  T operator()(T a, T b) const {
    if constexpr (std::is_integral_v<T>)
      return static_cast<T>(static_cast<std::uint64_t>(a) + static_cast<std::uint64_t>(b));
    else
      return a + b;
  }
};
struct Multiply {
  template <class T>
  static constexpr T identity() {
    return T{1};
  }
  template <class T>
  T operator()(T a, T b) const {
    if constexpr (std::is_integral_v<T>)
      return static_cast<T>(static_cast<std::uint64_t>(a) * static_cast<std::uint64_t>(b));
    else
      return a * b;
  }
};
// NaN wins.
struct TakeLarger {
  template <class T>
  static constexpr T identity() {
    if constexpr (std::numeric_limits<T>::has_infinity)
      return -std::numeric_limits<T>::infinity();
    else
      return std::numeric_limits<T>::lowest();
  }
  template <class T>
  T operator()(T a, T b) const {
    return a > b || a != a ? a : b;
  }
};
struct TakeSmaller {
  template <class T>
  static constexpr T identity() {
    if constexpr (std::numeric_limits<T>::has_infinity)
      return std::numeric_limits<T>::infinity();
    else
      return std::numeric_limits<T>::max();
  }
  template <class T>
  T operator()(T a, T b) const {
    return a < b || a != a ? a : b;
  }
};

struct Same {
  template <class T>
  T operator()(T x) const {
    return x;
  }
};
struct Magnitude {
  template <class T>
  T operator()(T x) const {
    if constexpr (std::is_floating_point_v<T>)
      return std::fabs(x);
    else if constexpr (std::is_signed_v<T>)
      return x < 0 ? static_cast<T>(std::uint64_t{0} - static_cast<std::uint64_t>(x)) : x;
    else
      return x;
  }
};
struct Square {
  template <class T>
  T operator()(T x) const {
    return Multiply{}(x, x);
  }
};
struct Root {
  template <class T>
  T operator()(T x) const {
    return static_cast<T>(std::sqrt(x));
  }
};
struct NaturalLog {
  template <class T>
  T operator()(T x) const {
    return static_cast<T>(std::log(x));
  }
};
template <class T>
struct DivideBy {
  T count;
  T operator()(T x) const {
    if constexpr (std::is_integral_v<T>)
      if (count == 0) return 0;
    return static_cast<T>(x / count);
  }
};

// Runs the stages from x into y; `pre` maps the elements of the first and `post` the results of the last.
template <class T, class Fold, class Pre, class Post>
void reduce(ForwardContext& ctx, const std::vector<int>& axes, const Tensor& x, Tensor& y, Fold fold, Pre pre,
            Post post) {
  const std::vector<ReduceStage> stages = reduce_stages(x.shape(), axes);
  if (stages.empty()) {
    map(ctx.pool(), x.numel(), x.data<T>(), y.mutable_data<T>(), [=](T v) { return post(pre(v)); });
    return;
  }
  Tensor source = x;
  for (std::size_t i = 0; i < stages.size(); ++i) {
    const ReduceStage& stage = stages[i];
    const bool first = i == 0, last = i + 1 == stages.size();
    Tensor target = last ? y : ctx.scratch(x.dtype(), Shape{stage.outer, stage.inner});
    const T* from = source.data<T>();
    T* to = target.mutable_data<T>();
    if (first && last)
      reduce_stage(ctx.pool(), stage, from, to, fold, pre, post);
    else if (first)
      reduce_stage(ctx.pool(), stage, from, to, fold, pre, Same{});
    else if (last)
      reduce_stage(ctx.pool(), stage, from, to, fold, Same{}, post);
    else
      reduce_stage(ctx.pool(), stage, from, to, fold, Same{}, Same{});
    source = target;
  }
}

// As reduce, for the node's input and output. Narrow integers and truth values go through i64, which gives the same
// result.
template <class Fold, class Pre, class MakePost>
void reduce_any(ForwardContext& ctx, const std::vector<int>& axes, MakePost make_post) {
  const Tensor& x = ctx.in(0);
  switch (x.dtype()) {
    case DType::kF32:
      return reduce<float>(ctx, axes, x, ctx.out(0), Fold{}, Pre{}, make_post(float{}));
    case DType::kF64:
      return reduce<double>(ctx, axes, x, ctx.out(0), Fold{}, Pre{}, make_post(double{}));
    case DType::kU64:
      return reduce<std::uint64_t>(ctx, axes, x, ctx.out(0), Fold{}, Pre{}, make_post(std::uint64_t{}));
    default:
      break;
  }
  Tensor y = ctx.scratch(DType::kI64, ctx.out_type(0).shape);
  reduce<std::int64_t>(ctx, axes, x.cast(DType::kI64), y, Fold{}, Pre{}, make_post(std::int64_t{}));
  ctx.set_out(0, y.cast(x.dtype()));
}

template <class Fold, class Pre, class Post>
void reduction_forward(ForwardContext& ctx) {
  const auto axes = reduced_axes(ctx);
  if (!axes) return ctx.set_out(0, ctx.in(0));
  reduce_any<Fold, Pre>(ctx, *axes, [](auto) { return Post{}; });
}

void mean_forward(ForwardContext& ctx) {
  const auto axes = reduced_axes(ctx);
  if (!axes) return ctx.set_out(0, ctx.in(0));
  std::int64_t count = 1;
  for (const int axis : *axes) count *= ctx.in(0).shape()[axis];
  reduce_any<AddUp, Same>(ctx, *axes, [count]<class T>(T) { return DivideBy<T>{static_cast<T>(count)}; });
}

// log(sum(exp(x))) = m + log(sum(exp(x - m))) with m the largest element of each stage's run.
template <class T>
void log_sum_exp_stage(ThreadPool& pool, const ReduceStage& stage, const T* x, T* out) {
  pool.parallel_for(
      stage.outer * stage.inner, std::max<std::int64_t>(1, kElementGrain / std::max<std::int64_t>(stage.reduced, 1)),
      [&](std::int64_t begin, std::int64_t end) {
        for (std::int64_t i = begin; i < end; ++i) {
          const T* run = x + i / stage.inner * stage.reduced * stage.inner + i % stage.inner;
          const auto element = [&](std::int64_t r) { return run[r * stage.inner]; };
          const T largest = reduce_detail::fold_row<T>(stage.reduced, TakeLarger{}, element);
          // Nothing to subtract from infinities; NaN stays NaN.
          const T offset = std::isinf(largest) ? T{0} : largest;
          out[i] = offset + std::log(reduce_detail::fold_row<T>(
                                stage.reduced, AddUp{}, [&](std::int64_t r) { return std::exp(element(r) - offset); }));
        }
      });
}

void log_sum_exp_forward(ForwardContext& ctx) {
  const auto axes = reduced_axes(ctx);
  if (!axes) return ctx.set_out(0, ctx.in(0));
  const std::vector<ReduceStage> stages = reduce_stages(ctx.in(0).shape(), *axes);
  if (stages.empty()) return ctx.set_out(0, ctx.in(0).reshaped(ctx.out_type(0).shape));
  visit_float(ctx.in(0).dtype(), [&]<class T>(T) {
    Tensor source = ctx.in(0);
    for (std::size_t i = 0; i < stages.size(); ++i) {
      Tensor target =
          i + 1 == stages.size() ? ctx.out(0) : ctx.scratch(source.dtype(), Shape{stages[i].outer, stages[i].inner});
      log_sum_exp_stage<T>(ctx.pool(), stages[i], source.data<T>(), target.mutable_data<T>());
      source = target;
    }
  });
}

// --- Gradients

// What every gradient below starts from; `axes` is empty where the operator does nothing.
struct Reduced {
  std::vector<int> axes;
  Shape kept;         // the output's shape with keepdims
  ValueId cotangent;  // of that shape
  ValueId output;     // of that shape
  std::int64_t count = 1;
};

std::optional<Reduced> reduced(VjpContext& ctx) {
  GraphBuilder& b = ctx.builder();
  std::optional<std::vector<std::int64_t>> given;
  if (ctx.has(1))
    given = b.graph().value(ctx.in(1)).constant.to_i64();
  else if (ctx.attributes().has("axes"))
    given = ctx.attributes().ints("axes");
  const Shape& x = ctx.shape(ctx.in(0));
  const auto axes = reduced_axes(std::move(given), ctx.attributes(), x.rank());
  if (!axes) {
    ctx.give(0, ctx.cotangent());
    return std::nullopt;
  }
  Reduced r{.axes = *axes, .kept = reduced_shape(x, *axes, true), .cotangent = kNoValue, .output = kNoValue};
  for (const int axis : *axes) r.count *= x[axis];
  r.cotangent = b.reshape(ctx.cotangent(), r.kept);
  r.output = b.reshape(ctx.out(), r.kept);
  return r;
}

ValueId spread(VjpContext& ctx, ValueId x) {
  GraphBuilder& b = ctx.builder();
  const Shape& target = ctx.shape(ctx.in(0));
  if (b.shape(x) == target) return x;
  return b.op("Expand", {x, b.ints(target.extents())});
}

void sum_vjp(VjpContext& ctx) {
  if (!ctx.wants(0)) return;
  if (const auto r = reduced(ctx)) ctx.give(0, spread(ctx, r->cotangent));
}

void mean_vjp(VjpContext& ctx) {
  if (!ctx.wants(0)) return;
  if (const auto r = reduced(ctx))
    ctx.give(0, spread(ctx, ctx.builder().mul(r->cotangent,
                                              1.0 / static_cast<double>(std::max<std::int64_t>(r->count, 1)))));
}

void extreme_vjp(VjpContext& ctx) {
  if (!ctx.wants(0)) return;
  const auto r = reduced(ctx);
  if (!r) return;
  GraphBuilder& b = ctx.builder();
  const ValueId reached = b.cast(b.op("Equal", {ctx.in(0), r->output}), ctx.dtype(ctx.in(0)));
  const ValueId share = b.div(r->cotangent, b.sum_to(reached, r->kept));
  ctx.give(0, b.mul(reached, share));
}

void l1_vjp(VjpContext& ctx) {
  if (!ctx.wants(0)) return;
  GraphBuilder& b = ctx.builder();
  if (const auto r = reduced(ctx)) ctx.give(0, b.mul(b.op("Sign", {ctx.in(0)}), r->cotangent));
}

// y = |x|: dy/dx = x / y, and 0 where y = 0.
void l2_vjp(VjpContext& ctx) {
  if (!ctx.wants(0)) return;
  const auto r = reduced(ctx);
  if (!r) return;
  GraphBuilder& b = ctx.builder();
  const ValueId zero = b.scalar(0.0, ctx.dtype(ctx.in(0)));
  const ValueId scale = b.op("Where", {b.op("Equal", {r->output, zero}), zero, b.div(r->cotangent, r->output)});
  ctx.give(0, b.mul(ctx.in(0), scale));
}

void sum_square_vjp(VjpContext& ctx) {
  if (!ctx.wants(0)) return;
  GraphBuilder& b = ctx.builder();
  if (const auto r = reduced(ctx)) ctx.give(0, b.mul(ctx.in(0), b.mul(r->cotangent, 2.0)));
}

// y = log(s): dy/dx = 1 / s = exp(-y).
void log_sum_vjp(VjpContext& ctx) {
  if (!ctx.wants(0)) return;
  GraphBuilder& b = ctx.builder();
  if (const auto r = reduced(ctx)) ctx.give(0, spread(ctx, b.mul(r->cotangent, b.op("Exp", {b.neg(r->output)}))));
}

void log_sum_exp_vjp(VjpContext& ctx) {
  if (!ctx.wants(0)) return;
  GraphBuilder& b = ctx.builder();
  if (const auto r = reduced(ctx)) ctx.give(0, b.mul(b.op("Exp", {b.sub(ctx.in(0), r->output)}), r->cotangent));
}

// retune.ProductOfOthers: [A, R] to [A, R], each element the product of the others in its row. No division, so zeros
// are no trouble.
void infer_product_of_others(InferContext& ctx) { ctx.same_as_input(); }

void product_of_others_forward(ForwardContext& ctx) {
  const std::int64_t rows = ctx.in(0).shape()[0], width = ctx.in(0).shape()[1];
  visit_float(ctx.in(0).dtype(), [&]<class T>(T) {
    const T* x = ctx.in(0).data<T>();
    T* y = ctx.out(0).mutable_data<T>();
    ctx.pool().parallel_for(rows, std::max<std::int64_t>(1, kElementGrain / std::max<std::int64_t>(width, 1)),
                            [=](std::int64_t begin, std::int64_t end) {
                              for (std::int64_t row = begin; row < end; ++row) {
                                const T* from = x + row * width;
                                T* to = y + row * width;
                                T before{1};
                                for (std::int64_t i = 0; i < width; ++i) {
                                  to[i] = before;
                                  before *= from[i];
                                }
                                T after{1};
                                for (std::int64_t i = width; i-- > 0;) {
                                  to[i] *= after;
                                  after *= from[i];
                                }
                              }
                            });
  });
}

void prod_vjp(VjpContext& ctx) {
  if (!ctx.wants(0)) return;
  const auto r = reduced(ctx);
  if (!r) return;
  GraphBuilder& b = ctx.builder();
  const Shape x = ctx.shape(ctx.in(0));
  // To rows of what is reduced, and back.
  std::vector<std::int64_t> perm, moved, inverse(static_cast<std::size_t>(x.rank()));
  for (const bool gone : {false, true})
    for (int axis = 0; axis < x.rank(); ++axis)
      if (std::binary_search(r->axes.begin(), r->axes.end(), axis) == gone) perm.push_back(axis);
  for (std::size_t i = 0; i < perm.size(); ++i) {
    inverse[static_cast<std::size_t>(perm[i])] = static_cast<std::int64_t>(i);
    moved.push_back(x[static_cast<int>(perm[i])]);
  }
  const ValueId rows = b.reshape(b.transpose(ctx.in(0), perm), Shape{r->kept.numel(), r->count});
  const ValueId others = b.reshape(b.private_op("ProductOfOthers", {rows}), Shape(moved));
  ctx.give(0, b.mul(b.transpose(others, inverse), r->cotangent));
}

Op reduction(std::string name, void (*forward)(ForwardContext&), void (*vjp)(VjpContext&)) {
  return {.domain = "", .name = std::move(name), .since = 1, .infer = infer_reduction, .forward = forward, .vjp = vjp};
}

}  // namespace

std::vector<Op> reduction_ops() {
  return {
      reduction("ReduceSum", reduction_forward<AddUp, Same, Same>, sum_vjp),
      reduction("ReduceMean", mean_forward, mean_vjp),
      reduction("ReduceMax", reduction_forward<TakeLarger, Same, Same>, extreme_vjp),
      reduction("ReduceMin", reduction_forward<TakeSmaller, Same, Same>, extreme_vjp),
      reduction("ReduceProd", reduction_forward<Multiply, Same, Same>, prod_vjp),
      reduction("ReduceL1", reduction_forward<AddUp, Magnitude, Same>, l1_vjp),
      reduction("ReduceL2", reduction_forward<AddUp, Square, Root>, l2_vjp),
      reduction("ReduceSumSquare", reduction_forward<AddUp, Square, Same>, sum_square_vjp),
      reduction("ReduceLogSum", reduction_forward<AddUp, Same, NaturalLog>, log_sum_vjp),
      reduction("ReduceLogSumExp", log_sum_exp_forward, log_sum_exp_vjp),
      {.domain = "retune",
       .name = "ProductOfOthers",
       .infer = infer_product_of_others,
       .forward = product_of_others_forward,
       .no_vjp = kIsGradient},
  };
}

}  // namespace retune
