// Compress (9, 11), NonZero (9, 13), OneHot (9, 11): between truth values, positions and indices.
//
//   Compress   the slices along `axis` (of the flattened input without one) whose condition is true
//   NonZero    coordinates of the elements that are not zero, i64 [rank, count], in row-major order
//   OneHot     values[1] where the new axis equals the index (negative ones count from the end), values[0] elsewhere
//
// The shape of the first two depends on values, so the condition must be known while planning.
#include <algorithm>

#include "graph/graph_builder.h"
#include "graph/ops/families.h"
#include "graph/ops/kernel.h"

namespace retune {

namespace {

// Positions of true in the condition.
std::vector<std::int64_t> kept_positions(const Tensor& condition, std::int64_t extent) {
  if (condition.shape().rank() != 1 || condition.dtype() != DType::kBool)
    throw user_error("condition must be bool of rank 1, got {}", condition.text());
  if (condition.numel() > extent)
    throw user_error("condition has {} elements for {} slices", condition.numel(), extent);
  std::vector<std::int64_t> kept;
  const bool* keep = condition.data<bool>();
  for (std::int64_t i = 0; i < condition.numel(); ++i)
    if (keep[i]) kept.push_back(i);
  return kept;
}

// The input as [outer, extent, inner]; flattened where there is no axis.
struct Split {
  std::int64_t outer = 1, extent = 1, inner = 1;
};

Split split(const Shape& shape, const Attributes& attributes) {
  if (!attributes.has("axis")) return {1, shape.numel(), 1};
  const int axis = normalize_axis(attributes.i("axis", 0), shape.rank());
  return {shape.product(0, axis), shape[axis], shape.product(axis + 1, shape.rank())};
}

void infer_compress(InferContext& c) {
  require_inputs(c, 2);
  const auto kept =
      static_cast<std::int64_t>(kept_positions(c.require_constant(1), split(c.shape(0), c.attributes()).extent).size());
  if (!c.attributes().has("axis")) return c.set(0, c.dtype(0), {kept});
  std::vector<std::int64_t> extents = c.shape(0).extents();
  extents[static_cast<std::size_t>(normalize_axis(c.attributes().i("axis", 0), c.shape(0).rank()))] = kept;
  c.set(0, c.dtype(0), Shape(std::move(extents)));
}

void forward_compress(ForwardContext& c) {
  const Split s = split(c.in(0).shape(), c.attributes());
  const std::vector<std::int64_t> kept = kept_positions(c.in(1), s.extent);
  visit_width(c.in(0).dtype(), [&]<class U>(U) {
    const U* from = words<U>(c.in(0));
    U* to = mutable_words<U>(c.out(0));
    for (std::int64_t outer = 0; outer < s.outer; ++outer)
      for (const std::int64_t position : kept)
        to = std::copy_n(from + (outer * s.extent + position) * s.inner, s.inner, to);
  });
}

void vjp_compress(VjpContext& c) {
  if (!c.wants(0)) return;
  GraphBuilder& b = c.builder();
  const Shape shape = c.shape(c.in(0));
  const Split s = split(shape, c.attributes());
  const std::vector<std::int64_t> kept = kept_positions(b.graph().value(c.in(1)).constant, s.extent);
  const ValueId g = b.reshape(c.cotangent(), {s.outer, static_cast<std::int64_t>(kept.size()), s.inner});
  const ValueId gradient =
      b.private_op("GatherGrad", {b.ints(kept), g},
                   {{"axis", std::int64_t{1}}, {"extents", std::vector<std::int64_t>{s.outer, s.extent, s.inner}}});
  c.give(0, b.reshape(gradient, shape));
}

// A scalar counts as one element of rank 1.
Shape at_least_vector(const Shape& shape) { return shape.rank() == 0 ? Shape{1} : shape; }

void infer_nonzero(InferContext& c) {
  require_inputs(c, 1);
  const Tensor truth = c.require_constant(0).cast(DType::kBool);
  const auto values = truth.values<bool>();
  c.set(0, DType::kI64, {at_least_vector(truth.shape()).rank(), std::count(values.begin(), values.end(), true)});
}

void forward_nonzero(ForwardContext& c) {
  const Tensor truth = c.in(0).cast(DType::kBool);
  const Shape shape = at_least_vector(truth.shape());
  const bool* value = truth.data<bool>();
  std::int64_t* coordinates = c.out(0).mutable_data<std::int64_t>();
  const std::int64_t count = c.out_type(0).shape[1];
  std::int64_t found = 0;
  for (std::int64_t i = 0; i < truth.numel(); ++i) {
    if (!value[i]) continue;
    std::int64_t rest = i;
    for (int axis = shape.rank() - 1; axis >= 0; --axis) {
      coordinates[axis * count + found] = rest % shape[axis];
      rest /= shape[axis];
    }
    ++found;
  }
}

// The position of the new axis among those of the output.
int one_hot_axis(const Shape& indices, const Attributes& attributes) {
  return normalize_axis(attributes.i("axis", -1), indices.rank() + 1);
}

void infer_one_hot(InferContext& c) {
  require_inputs(c, 3);
  const Tensor& depth = c.require_constant(1);
  if (depth.numel() != 1) throw user_error("depth must be one number, got {}", depth.text());
  if (c.shape(2).numel() != 2) throw user_error("values must be [off, on], got shape {}", c.shape(2).text());
  std::vector<std::int64_t> extents = c.shape(0).extents();
  extents.insert(extents.begin() + one_hot_axis(c.shape(0), c.attributes()), depth.cast(DType::kI64).to_i64()[0]);
  c.set(0, c.dtype(2), Shape(std::move(extents)));
}

void forward_one_hot(ForwardContext& c) {
  const Shape& shape = c.out_type(0).shape;
  const int axis = one_hot_axis(c.in(0).shape(), c.attributes());
  const std::int64_t depth = shape[axis], outer = shape.product(0, axis), inner = shape.product(axis + 1, shape.rank());
  const Tensor indices = c.in(0).cast(DType::kI64);
  const std::int64_t* index = indices.data<std::int64_t>();
  visit_width(c.in(2).dtype(), [&]<class U>(U) {
    const U* values = words<U>(c.in(2));
    U* y = mutable_words<U>(c.out(0));
    std::fill(y, y + shape.numel(), values[0]);
    for (std::int64_t i = 0; i < outer * inner; ++i) {
      const std::int64_t hot = index[i] < 0 ? index[i] + depth : index[i];
      if (hot >= 0 && hot < depth) y[(i / inner * depth + hot) * inner + i % inner] = values[1];
    }
  });
}

}  // namespace

std::vector<Op> compress_ops() {
  return {
      {.domain = "",
       .name = "Compress",
       .since = 9,
       .infer = infer_compress,
       .forward = forward_compress,
       .vjp = vjp_compress,
       .takes_half = true},
      {.domain = "",
       .name = "NonZero",
       .since = 9,
       .infer = infer_nonzero,
       .forward = forward_nonzero,
       .no_vjp = kOutputIsIndex,
       .takes_half = true},
      {.domain = "",
       .name = "OneHot",
       .since = 9,
       .infer = infer_one_hot,
       .forward = forward_one_hot,
       .no_vjp = "it marks indices",
       .takes_half = true},
  };
}

}  // namespace retune
