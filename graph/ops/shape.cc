// Extents and views: Shape Size Reshape Unsqueeze Squeeze Flatten Identity. Nothing here moves an element.
#include <algorithm>

#include "graph/graph_builder.h"
#include "graph/ops/families.h"
#include "graph/ops/kernel.h"

namespace retune {

namespace {

// --- Shape and Size

Tensor extents_of(const Shape& shape, const Attributes& attributes) {
  const std::int64_t rank = shape.rank();
  const auto bound = [rank](std::int64_t at) { return std::clamp<std::int64_t>(at < 0 ? at + rank : at, 0, rank); };
  const std::int64_t start = bound(attributes.i("start", 0));
  const std::int64_t end = bound(attributes.i("end", rank));
  const auto first = shape.begin() + start;
  return Tensor::vector(std::vector<std::int64_t>(first, first + std::max<std::int64_t>(end - start, 0)));
}

void infer_shape(InferContext& ctx) {
  require_inputs(ctx, 1);
  ctx.set_constant(0, extents_of(ctx.shape(0), ctx.attributes()));
}

void shape_forward(ForwardContext& ctx) { ctx.set_out(0, extents_of(ctx.in(0).shape(), ctx.attributes())); }

void infer_size(InferContext& ctx) {
  require_inputs(ctx, 1);
  ctx.set_constant(0, Tensor::scalar<std::int64_t>(ctx.shape(0).numel()));
}

void size_forward(ForwardContext& ctx) { ctx.set_out(0, Tensor::scalar<std::int64_t>(ctx.in(0).numel())); }

// --- Views: the output is the input with other extents, and so is the gradient.

void view_forward(ForwardContext& ctx) { ctx.set_out(0, ctx.in(0).reshaped(ctx.out_type(0).shape)); }

void view_vjp(VjpContext& ctx) {
  if (ctx.wants(0)) ctx.give(0, ctx.builder().reshape(ctx.cotangent(), ctx.shape(ctx.in(0))));
}

// The target of Reshape: 0 copies the input's extent (with allowzero it is zero), one -1 is what remains.
Shape reshape_target(const Shape& from, std::vector<std::int64_t> target, bool allow_zero) {
  const std::string asked = fmt::format("[{}]", fmt::join(target, ", "));
  std::ptrdiff_t open = -1;
  std::int64_t known = 1;
  for (std::size_t i = 0; i < target.size(); ++i) {
    if (target[i] == 0 && !allow_zero) {
      if (static_cast<int>(i) >= from.rank())
        throw user_error("shape {} copies axis {}, which {} does not have", asked, i, from.text());
      target[i] = from[static_cast<int>(i)];
    }
    if (target[i] < -1) throw user_error("shape {} has a negative extent", asked);
    if (target[i] == -1) {
      if (open >= 0) throw user_error("shape {} has more than one -1", asked);
      open = static_cast<std::ptrdiff_t>(i);
    } else if (__builtin_mul_overflow(known, target[i], &known)) {
      throw user_error("shape {} is too large", asked);
    }
  }
  if (open >= 0) {
    if (known == 0 || from.numel() % known != 0) throw user_error("{} cannot be reshaped to {}", from.text(), asked);
    target[static_cast<std::size_t>(open)] = from.numel() / known;
  } else if (known != from.numel()) {
    throw user_error("{} cannot be reshaped to {}", from.text(), asked);
  }
  return Shape(std::move(target));
}

void infer_reshape(InferContext& ctx) {
  require_inputs(ctx, 2);
  const bool allow_zero = ctx.attributes().i("allowzero", 0) != 0;
  ctx.set(0, ctx.dtype(0), reshape_target(ctx.shape(0), ctx.require_constant(1).to_i64(), allow_zero));
}

// Axes were an attribute before version 13.
void infer_unsqueeze(InferContext& ctx) {
  require_inputs(ctx, 1);
  const auto axes = ctx.ints_from(1, "axes");
  if (!axes) throw user_error("the axes are missing");
  const Shape& from = ctx.shape(0);
  const int rank = from.rank() + static_cast<int>(axes->size());
  const std::vector<int> added = normalize_axes(*axes, rank);
  std::vector<std::int64_t> extents = from.extents();
  for (const int axis : added) extents.insert(extents.begin() + axis, 1);
  ctx.set(0, ctx.dtype(0), Shape(std::move(extents)));
}

void infer_squeeze(InferContext& ctx) {
  require_inputs(ctx, 1);
  const Shape& from = ctx.shape(0);
  const auto axes = ctx.ints_from(1, "axes");
  std::vector<bool> drop(static_cast<std::size_t>(from.rank()), false);
  if (axes) {
    for (const int axis : normalize_axes(*axes, from.rank())) {
      if (from[axis] != 1) throw user_error("axis {} of {} cannot be squeezed: its extent is not 1", axis, from.text());
      drop[static_cast<std::size_t>(axis)] = true;
    }
  } else {
    for (int axis = 0; axis < from.rank(); ++axis) drop[static_cast<std::size_t>(axis)] = from[axis] == 1;
  }
  std::vector<std::int64_t> extents;
  for (int axis = 0; axis < from.rank(); ++axis)
    if (!drop[static_cast<std::size_t>(axis)]) extents.push_back(from[axis]);
  ctx.set(0, ctx.dtype(0), Shape(std::move(extents)));
}

void infer_flatten(InferContext& ctx) {
  require_inputs(ctx, 1);
  const Shape& from = ctx.shape(0);
  std::int64_t axis = ctx.attributes().i("axis", 1);
  // The axis may also stand behind the last.
  if (axis != from.rank()) axis = normalize_axis(axis, from.rank());
  const int cut = static_cast<int>(axis);
  ctx.set(0, ctx.dtype(0), Shape{from.product(0, cut), from.product(cut, from.rank())});
}

void infer_identity(InferContext& ctx) {
  require_inputs(ctx, 1);
  ctx.same_as_input();
}

Op view(std::string name, int since, void (*infer)(InferContext&)) {
  return {.domain = "",
          .name = std::move(name),
          .since = since,
          .infer = infer,
          .forward = view_forward,
          .vjp = view_vjp,
          .takes_half = true,
          .packed = Op::Packed::kAsStored};
}

}  // namespace

std::vector<Op> shape_ops() {
  return {
      {.domain = "",
       .name = "Shape",
       .infer = infer_shape,
       .forward = shape_forward,
       .no_vjp = "its output is a shape",
       .takes_half = true,
       .packed = Op::Packed::kAsStored},
      {.domain = "",
       .name = "Size",
       .infer = infer_size,
       .forward = size_forward,
       .no_vjp = "its output is a count",
       .takes_half = true,
       .packed = Op::Packed::kAsStored},
      view("Reshape", 5, infer_reshape),
      view("Unsqueeze", 1, infer_unsqueeze),
      view("Squeeze", 1, infer_squeeze),
      view("Flatten", 1, infer_flatten),
      view("Identity", 1, infer_identity),
  };
}

}  // namespace retune
