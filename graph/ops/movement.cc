// Elements in other places, unchanged: Expand Tile Transpose Concat Split Slice. All but Transpose and Concat give
// views where the result lies contiguously in the input. Element types of any kind.
#include <algorithm>
#include <cstring>
#include <limits>
#include <numeric>

#include "graph/graph_builder.h"
#include "graph/ops/families.h"
#include "graph/ops/kernel.h"
#include "graph/ops/strided_copy.h"

namespace retune {

namespace {

using Extents = std::vector<std::int64_t>;

void copy_into(ForwardContext& ctx, StridedCopy copy, const Tensor& from, Tensor& to) {
  copy_strided(ctx.pool(), std::move(copy), from.dtype(), from.raw(), to.mutable_raw());
}

// --- Expand: NumPy's broadcast to a shape (both ways: extents of 1 in the target keep the input's).

void infer_expand(InferContext& ctx) {
  require_inputs(ctx, 2);
  ctx.set(0, ctx.dtype(0), broadcast(ctx.shape(0), Shape(ctx.require_constant(1).to_i64())));
}

void expand_forward(ForwardContext& ctx) {
  const Tensor& x = ctx.in(0);
  const Shape& to = ctx.out_type(0).shape;
  if (x.numel() == to.numel()) return ctx.set_out(0, x.reshaped(to));
  copy_broadcast(ctx.pool(), x.dtype(), x.shape(), to, x.raw(), ctx.out(0).mutable_raw());
}

void expand_vjp(VjpContext& ctx) {
  if (ctx.wants(0)) ctx.give(0, ctx.builder().sum_to(ctx.cotangent(), ctx.shape(ctx.in(0))));
}

// --- Tile: axis d of extent n repeated r times is the broadcast of [1, n] to [r, n].

struct Tiling {
  Shape from, to;                  // [1, n0, 1, n1, ...], [r0, n0, r1, n1, ...]
  std::vector<std::int64_t> axes;  // of the repeats in `to`
};

Tiling tiling(const Shape& x, const Shape& y) {
  Extents from, to;
  Tiling result;
  for (int axis = 0; axis < x.rank(); ++axis) {
    result.axes.push_back(2 * static_cast<std::int64_t>(axis));
    from.insert(from.end(), {1, x[axis]});
    to.insert(to.end(), {x[axis] == 0 ? 0 : y[axis] / x[axis], x[axis]});
  }
  result.from = Shape(std::move(from));
  result.to = Shape(std::move(to));
  return result;
}

void infer_tile(InferContext& ctx) {
  require_inputs(ctx, 2);
  const Extents repeats = ctx.require_constant(1).to_i64();
  const Shape& x = ctx.shape(0);
  if (static_cast<int>(repeats.size()) != x.rank())
    throw user_error("{} repeats for the axes of {}", repeats.size(), x.text());
  Extents extents = x.extents();
  for (std::size_t axis = 0; axis < extents.size(); ++axis)
    if (__builtin_mul_overflow(extents[axis], repeats[axis], &extents[axis]))
      throw user_error("repeats [{}] of {} are too large", fmt::join(repeats, ", "), x.text());
  ctx.set(0, ctx.dtype(0), Shape(std::move(extents)));
}

void tile_forward(ForwardContext& ctx) {
  const Tensor& x = ctx.in(0);
  const Shape& to = ctx.out_type(0).shape;
  if (x.shape() == to) return ctx.set_out(0, x);
  const Tiling t = tiling(x.shape(), to);
  copy_broadcast(ctx.pool(), x.dtype(), t.from, t.to, x.raw(), ctx.out(0).mutable_raw());
}

void tile_vjp(VjpContext& ctx) {
  if (!ctx.wants(0)) return;
  GraphBuilder& b = ctx.builder();
  const Shape& x = ctx.shape(ctx.in(0));
  if (x.rank() == 0) return ctx.give(0, ctx.cotangent());
  const Tiling t = tiling(x, ctx.shape(ctx.out()));
  ctx.give(0, b.reduce_sum(b.reshape(ctx.cotangent(), t.to), t.axes, GraphBuilder::KeepDims::kNo));
}

// --- Transpose: attribute perm, by default the axes reversed.

std::vector<std::int64_t> permutation(const Attributes& attributes, int rank) {
  std::vector<std::int64_t> perm(static_cast<std::size_t>(rank));
  std::iota(perm.rbegin(), perm.rend(), 0);
  perm = attributes.ints("perm", perm);
  std::vector<std::int64_t> sorted = perm;
  std::sort(sorted.begin(), sorted.end());
  bool complete = sorted.size() == static_cast<std::size_t>(rank);
  for (std::int64_t axis = 0; complete && axis < rank; ++axis)
    complete = sorted[static_cast<std::size_t>(axis)] == axis;
  if (!complete) throw user_error("perm [{}] is not a permutation of {} axes", fmt::join(perm, ", "), rank);
  return perm;
}

void infer_transpose(InferContext& ctx) {
  require_inputs(ctx, 1);
  const Shape& x = ctx.shape(0);
  Extents extents;
  for (const std::int64_t axis : permutation(ctx.attributes(), x.rank())) extents.push_back(x[static_cast<int>(axis)]);
  ctx.set(0, ctx.dtype(0), Shape(std::move(extents)));
}

// Whether the permutation only moves axes of extent 1.
bool keeps_order(const Shape& x, const std::vector<std::int64_t>& perm) {
  std::int64_t last = -1;
  for (const std::int64_t axis : perm) {
    if (x[static_cast<int>(axis)] == 1) continue;
    if (axis < last) return false;
    last = axis;
  }
  return true;
}

void transpose_forward(ForwardContext& ctx) {
  const Tensor& x = ctx.in(0);
  const Shape& to = ctx.out_type(0).shape;
  const std::vector<std::int64_t> perm = permutation(ctx.attributes(), x.shape().rank());
  if (keeps_order(x.shape(), perm)) return ctx.set_out(0, x.reshaped(to));
  const Extents dense = x.shape().strides();
  StridedCopy copy{.extents = to.extents(), .source_strides = {}, .target_strides = to.strides()};
  for (const std::int64_t axis : perm) copy.source_strides.push_back(dense[static_cast<std::size_t>(axis)]);
  copy_into(ctx, std::move(copy), x, ctx.out(0));
}

void transpose_vjp(VjpContext& ctx) {
  if (!ctx.wants(0)) return;
  const std::vector<std::int64_t> perm = permutation(ctx.attributes(), ctx.shape(ctx.in(0)).rank());
  std::vector<std::int64_t> inverse(perm.size());
  for (std::size_t i = 0; i < perm.size(); ++i)
    inverse[static_cast<std::size_t>(perm[i])] = static_cast<std::int64_t>(i);
  ctx.give(0, ctx.builder().transpose(ctx.cotangent(), inverse));
}

// --- Slice: bounds as attributes before version 10, as inputs from then on.

struct Cut {
  Extents starts, steps, extents;  // an entry an axis; the start is inside the axis or the extent is 0
};

Cut slice_cut(const Shape& x, const Extents& starts, const Extents& ends, const std::vector<int>& axes,
              const Extents& steps) {
  Cut cut{Extents(static_cast<std::size_t>(x.rank()), 0), Extents(static_cast<std::size_t>(x.rank()), 1), x.extents()};
  for (std::size_t i = 0; i < axes.size(); ++i) {
    const auto axis = static_cast<std::size_t>(axes[i]);
    const std::int64_t extent = x[axes[i]], step = steps[i];
    if (step == 0) throw user_error("the step along axis {} is 0", axes[i]);
    // Bounds count from the back if negative, then are clamped; a negative step may end before the first element.
    const std::int64_t last = step > 0 ? extent : extent - 1;
    const auto bound = [&](std::int64_t at, std::int64_t low) {
      return std::clamp(at < 0 ? at + extent : at, low, std::max(low, last));
    };
    const std::int64_t start = bound(starts[i], 0);
    const std::int64_t end = bound(ends[i], step > 0 ? 0 : -1);
    const std::int64_t span = extent == 0 ? 0 : step > 0 ? end - start : start - end;
    // |step| without overflow for the least integer.
    const std::uint64_t stride =
        step > 0 ? static_cast<std::uint64_t>(step) : std::uint64_t{0} - static_cast<std::uint64_t>(step);
    cut.extents[axis] = span <= 0 ? 0 : 1 + static_cast<std::int64_t>((static_cast<std::uint64_t>(span) - 1) / stride);
    cut.starts[axis] = cut.extents[axis] == 0 ? 0 : start;
    cut.steps[axis] = cut.extents[axis] <= 1 ? 1 : step;
  }
  return cut;
}

// The operands of Slice, which stand in inputs 1..4 or in attributes.
template <class Ints>
Cut slice_operands(const Shape& x, Ints&& ints) {
  const std::optional<Extents> starts = ints(1, "starts"), ends = ints(2, "ends");
  if (!starts || !ends || starts->size() != ends->size()) throw user_error("as many starts as ends are needed");
  Extents axes(starts->size());
  std::iota(axes.begin(), axes.end(), 0);
  axes = ints(3, "axes").value_or(axes);
  const Extents steps = ints(4, "steps").value_or(Extents(starts->size(), 1));
  if (axes.size() != starts->size() || steps.size() != starts->size())
    throw user_error("{} starts, {} axes and {} steps do not fit together", starts->size(), axes.size(), steps.size());
  std::vector<int> normal;
  for (const std::int64_t axis : axes) normal.push_back(normalize_axis(axis, x.rank()));
  normalize_axes(axes, x.rank());  // none twice
  return slice_cut(x, *starts, *ends, normal, steps);
}

void infer_slice(InferContext& ctx) {
  require_inputs(ctx, 1);
  const Cut cut = slice_operands(ctx.shape(0), [&](int i, const char* name) { return ctx.ints_from(i, name); });
  ctx.set(0, ctx.dtype(0), Shape(cut.extents));
}

// Where the cut lies in a tensor of shape x; the other side is dense.
StridedCopy copy_out(const Shape& x, const Cut& cut) {
  StridedCopy copy{
      .extents = cut.extents, .source_strides = x.strides(), .target_strides = Shape(cut.extents).strides()};
  for (std::size_t axis = 0; axis < cut.extents.size(); ++axis) {
    copy.source_start += cut.starts[axis] * copy.source_strides[axis];
    copy.source_strides[axis] *= cut.steps[axis];
  }
  return copy;
}

// The rows that a cut takes if they follow each other in memory: only one axis is cut, by step 1, and those before it
// have extent 1.
std::optional<Tensor> contiguous_rows(const Tensor& x, const Cut& cut) {
  int axis = 0;
  while (axis < x.shape().rank() && x.shape()[axis] == 1 && cut.extents[static_cast<std::size_t>(axis)] == 1) ++axis;
  if (axis == x.shape().rank()) return x;
  for (int later = axis + 1; later < x.shape().rank(); ++later)
    if (cut.extents[static_cast<std::size_t>(later)] != x.shape()[later] ||
        cut.steps[static_cast<std::size_t>(later)] != 1)
      return {};
  const auto at = static_cast<std::size_t>(axis);
  if (cut.steps[at] != 1) return {};
  const Tensor rows = x.reshaped(Shape{x.shape()[axis], x.shape().product(axis + 1, x.shape().rank())})
                          .rows(cut.starts[at], cut.extents[at]);
  return rows.reshaped(Shape(cut.extents));
}

void slice_forward(ForwardContext& ctx) {
  const Tensor& x = ctx.in(0);
  const Cut cut = slice_operands(x.shape(), [&](int i, const char* name) -> std::optional<Extents> {
    if (ctx.has(i)) return ctx.in(i).to_i64();
    if (ctx.attributes().has(name)) return ctx.attributes().ints(name);
    return std::nullopt;
  });
  if (const auto rows = contiguous_rows(x, cut)) return ctx.set_out(0, *rows);
  copy_into(ctx, copy_out(x.shape(), cut), x, ctx.out(0));
}

// retune.Place(cotangent; starts, steps, extents): zeros of shape `extents` with the cotangent where the cut took its
// elements.
void infer_place(InferContext& ctx) { ctx.set(0, ctx.dtype(0), Shape(ctx.attributes().ints("extents"))); }

void place_forward(ForwardContext& ctx) {
  const Tensor& g = ctx.in(0);
  Tensor& x = ctx.out(0);
  const Cut cut{ctx.attributes().ints("starts"), ctx.attributes().ints("steps"), g.shape().extents()};
  StridedCopy copy = copy_out(x.shape(), cut);
  std::swap(copy.source_strides, copy.target_strides);
  std::swap(copy.source_start, copy.target_start);
  if (g.numel() != x.numel()) std::memset(x.mutable_raw(), 0, x.bytes());
  copy_into(ctx, std::move(copy), g, x);
}

void place_vjp(VjpContext& ctx) {
  GraphBuilder& b = ctx.builder();
  Extents ends = ctx.shape(ctx.in(0)).extents(), axes(ends.size());
  const Extents starts = ctx.attributes().ints("starts"), steps = ctx.attributes().ints("steps");
  std::iota(axes.begin(), axes.end(), 0);
  for (std::size_t i = 0; i < ends.size(); ++i) {
    ends[i] = starts[i] + steps[i] * ends[i];
    // One step before the front is not a position that counts from the back.
    if (ends[i] < 0) ends[i] = std::numeric_limits<std::int64_t>::min() / 2;
  }
  ctx.give(0, b.op("Slice", {ctx.cotangent(), b.ints(starts), b.ints(ends), b.ints(axes), b.ints(steps)}));
}

void slice_vjp(VjpContext& ctx) {
  if (!ctx.wants(0)) return;
  GraphBuilder& b = ctx.builder();
  const Shape& x = ctx.shape(ctx.in(0));
  const Cut cut = slice_operands(x, [&](int i, const char* name) -> std::optional<Extents> {
    if (ctx.has(i)) return b.graph().value(ctx.in(i)).constant.to_i64();
    if (ctx.attributes().has(name)) return ctx.attributes().ints(name);
    return std::nullopt;
  });
  ctx.give(0, b.private_op("Place", {ctx.cotangent()},
                           {{"starts", cut.starts}, {"steps", cut.steps}, {"extents", x.extents()}}));
}

// --- Concat and Split: blocks of whole trailing axes, side by side.

// A tensor [outer, extent, inner] seen as rows of extent * inner elements.
struct Blocks {
  std::int64_t outer = 1, inner = 1;
};
Blocks blocks(const Shape& shape, int axis) { return {shape.product(0, axis), shape.product(axis + 1, shape.rank())}; }

void infer_concat(InferContext& ctx) {
  require_inputs(ctx, std::max(ctx.input_count(), 1));
  const Shape& first = ctx.shape(0);
  if (first.rank() == 0) throw user_error("scalars cannot be concatenated");
  if (ctx.version() >= 4 && !ctx.attributes().has("axis")) throw user_error("attribute 'axis' is missing");
  const int axis = normalize_axis(ctx.attributes().i("axis", 1), first.rank());
  Extents extents = first.extents();
  for (int i = 1; i < ctx.input_count(); ++i) {
    require_same_dtype(ctx, 0, i);
    const Shape& other = ctx.shape(i);
    bool fits = other.rank() == first.rank();
    for (int d = 0; fits && d < first.rank(); ++d) fits = d == axis || other[d] == first[d];
    if (!fits)
      throw user_error("input {} has shape {}, which does not continue {} along axis {}", i, other.text(), first.text(),
                       axis);
    std::int64_t& along = extents[static_cast<std::size_t>(axis)];
    if (__builtin_add_overflow(along, other[axis], &along))
      throw user_error("the inputs are more than 2^63 elements long along axis {}", axis);
  }
  ctx.set(0, ctx.dtype(0), Shape(std::move(extents)));
}

void concat_forward(ForwardContext& ctx) {
  const Shape& to = ctx.out_type(0).shape;
  const int axis = normalize_axis(ctx.attributes().i("axis", 1), to.rank());
  for (int i = 0; i < ctx.input_count(); ++i)
    if (ctx.in(i).shape() == to) return ctx.set_out(0, ctx.in(i));  // the others are empty
  const Blocks size = blocks(to, axis);
  std::int64_t at = 0;
  for (int i = 0; i < ctx.input_count(); ++i) {
    const std::int64_t row = ctx.in(i).shape()[axis] * size.inner;
    copy_into(ctx,
              {.extents = {size.outer, row},
               .source_strides = {row, 1},
               .target_strides = {to[axis] * size.inner, 1},
               .target_start = at},
              ctx.in(i), ctx.out(0));
    at += row;
  }
}

void concat_vjp(VjpContext& ctx) {
  GraphBuilder& b = ctx.builder();
  const std::int64_t axis = normalize_axis(ctx.attributes().i("axis", 1), ctx.shape(ctx.out()).rank());
  std::int64_t at = 0;
  for (int i = 0; i < static_cast<int>(ctx.node().inputs.size()); ++i) {
    const std::int64_t extent = ctx.shape(ctx.in(i))[static_cast<int>(axis)];
    if (ctx.wants(i))
      ctx.give(i, b.op("Slice", {ctx.cotangent(), b.ints({at}), b.ints({at + extent}), b.ints({axis})}));
    at += extent;
  }
}

// Sizes are an attribute before version 13, an input from then on; without them the axis is cut evenly, into
// num_outputs parts from 18 on, the last of which may be smaller.
void infer_split(InferContext& ctx) {
  require_inputs(ctx, 1);
  const Shape& x = ctx.shape(0);
  const int axis = normalize_axis(ctx.attributes().i("axis", 0), x.rank());
  const std::int64_t parts = ctx.attributes().i("num_outputs", ctx.output_count());
  Extents sizes;
  if (const auto given = ctx.ints_from(1, "split")) {
    sizes = *given;
  } else {
    if (parts != ctx.output_count())
      throw user_error("num_outputs is {}, the node names {} outputs", parts, ctx.output_count());
    if (parts < 1 || (!ctx.attributes().has("num_outputs") && x[axis] % parts != 0))
      throw user_error("axis {} of {} cannot be split into {} equal parts", axis, x.text(), parts);
    const std::int64_t size = x[axis] / parts + (x[axis] % parts != 0);
    for (std::int64_t i = 0; i < parts; ++i) sizes.push_back(std::clamp<std::int64_t>(x[axis] - i * size, 0, size));
  }
  std::int64_t total = 0;
  for (const std::int64_t size : sizes)
    if (size < 0 || __builtin_add_overflow(total, size, &total))
      throw user_error("a size of [{}] is negative", fmt::join(sizes, ", "));
  if (static_cast<int>(sizes.size()) != ctx.output_count() || total != x[axis])
    throw user_error("sizes [{}] do not cut axis {} of {} into {} outputs", fmt::join(sizes, ", "), axis, x.text(),
                     ctx.output_count());
  for (int i = 0; i < ctx.output_count(); ++i) {
    Extents extents = x.extents();
    extents[static_cast<std::size_t>(axis)] = sizes[static_cast<std::size_t>(i)];
    ctx.set(i, ctx.dtype(0), Shape(std::move(extents)));
  }
}

void split_forward(ForwardContext& ctx) {
  const Tensor& x = ctx.in(0);
  const int axis = normalize_axis(ctx.attributes().i("axis", 0), x.shape().rank());
  const Blocks size = blocks(x.shape(), axis);
  std::int64_t at = 0;
  for (int i = 0; i < ctx.output_count(); ++i) {
    const Shape& part = ctx.out_type(i).shape;
    const std::int64_t row = part[axis] * size.inner;
    if (ctx.wants(i)) {
      if (size.outer == 1) {
        ctx.set_out(i, x.reshaped(Shape{x.shape()[axis], size.inner})
                           .rows(size.inner == 0 ? 0 : at / size.inner, part[axis])
                           .reshaped(part));
      } else {
        copy_into(ctx,
                  {.extents = {size.outer, row},
                   .source_strides = {x.shape()[axis] * size.inner, 1},
                   .target_strides = {row, 1},
                   .source_start = at},
                  x, ctx.out(i));
      }
    }
    at += row;
  }
}

void split_vjp(VjpContext& ctx) {
  if (!ctx.wants(0)) return;
  GraphBuilder& b = ctx.builder();
  std::vector<ValueId> parts;
  for (int i = 0; i < static_cast<int>(ctx.node().outputs.size()); ++i)
    parts.push_back(ctx.cotangent(i) != kNoValue ? ctx.cotangent(i) : b.zeros_like(ctx.out(i)));
  const std::int64_t axis = normalize_axis(ctx.attributes().i("axis", 0), ctx.shape(ctx.in(0)).rank());
  ctx.give(0, b.op("Concat", parts, {{"axis", axis}}));
}

Op mover(std::string name, int since, void (*infer)(InferContext&), void (*forward)(ForwardContext&),
         void (*vjp)(VjpContext&)) {
  return {.domain = "",
          .name = std::move(name),
          .since = since,
          .infer = infer,
          .forward = forward,
          .vjp = vjp,
          .takes_half = true,
          .packed = Op::Packed::kAsCodes};
}

}  // namespace

std::vector<Op> movement_ops() {
  return {
      mover("Expand", 8, infer_expand, expand_forward, expand_vjp),
      mover("Tile", 6, infer_tile, tile_forward, tile_vjp),
      mover("Transpose", 1, infer_transpose, transpose_forward, transpose_vjp),
      mover("Concat", 4, infer_concat, concat_forward, concat_vjp),
      mover("Split", 2, infer_split, split_forward, split_vjp),
      mover("Slice", 1, infer_slice, slice_forward, slice_vjp),
      {.domain = "retune",
       .name = "Place",
       .infer = infer_place,
       .forward = place_forward,
       .vjp = place_vjp,
       .takes_half = true,
       .packed = Op::Packed::kAsCodes},
  };
}

}  // namespace retune
