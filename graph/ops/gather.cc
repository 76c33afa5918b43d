// Gather (1, 11, 13), GatherElements (11, 13), GatherND (12, 13). Negative indices count from the end; others out of
// range are errors.
//
//   Gather           y[outer, i..., inner] = data[outer, indices[i...], inner]
//   GatherElements   y[.., i, ..] = data[.., indices[.., i, ..], ..]
//   GatherND         y[b..., i..., :] = data[b..., indices[b..., i..., :]..., :]
//
// The gradient of data adds g where it was read from, in the order of the indices: the private operator
// GatherGrad(indices, g) with attributes axis and extents (the shape of data) for Gather, and ScatterElements and
// ScatterND with reduction "add" for the others.
#include <algorithm>
#include <cstring>

#include "graph/graph_builder.h"
#include "graph/ops/families.h"
#include "graph/ops/index.h"
#include "graph/ops/kernel.h"

namespace retune {

namespace {

void require_index_type(const InferContext& c, int i) {
  if (c.dtype(i) != DType::kI32 && c.dtype(i) != DType::kI64)
    throw user_error("indices must be i32 or i64, got {}", dtype_name(c.dtype(i)));
}

// Data as [outer, extent, inner].
struct Split {
  std::int64_t outer = 1, extent = 1, inner = 1;
};

Split split(const Shape& data, std::int64_t axis_attribute) {
  const int axis = normalize_axis(axis_attribute, data.rank());
  return {data.product(0, axis), data[axis], data.product(axis + 1, data.rank())};
}

std::int64_t slices_per_chunk(std::int64_t slice) {
  return std::max<std::int64_t>(1, kElementGrain / std::max<std::int64_t>(slice, 1));
}

void infer_gather(InferContext& c) {
  require_inputs(c, 2);
  require_index_type(c, 1);
  const Shape& data = c.shape(0);
  if (data.rank() == 0) throw user_error("cannot gather from a scalar");
  const int axis = normalize_axis(c.attributes().i("axis", 0), data.rank());
  std::vector<std::int64_t> extents(data.begin(), data.begin() + axis);
  extents.insert(extents.end(), c.shape(1).begin(), c.shape(1).end());
  extents.insert(extents.end(), data.begin() + axis + 1, data.end());
  c.set(0, c.dtype(0), Shape(std::move(extents)));
}

void forward_gather(ForwardContext& c) {
  const Split s = split(c.in(0).shape(), c.attributes().i("axis", 0));
  const std::vector<std::int64_t> indices = checked_indices(c.in(1), s.extent);
  const auto count = static_cast<std::int64_t>(indices.size());
  visit_width(c.in(0).dtype(), [&]<class U>(U) {
    const U* data = words<U>(c.in(0));
    U* y = mutable_words<U>(c.out(0));
    c.pool().parallel_for(s.outer * count, slices_per_chunk(s.inner), [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = begin; i < end; ++i) {
        const U* from = data + (i / count * s.extent + indices[static_cast<std::size_t>(i % count)]) * s.inner;
        std::copy(from, from + s.inner, y + i * s.inner);
      }
    });
  });
}

void vjp_gather(VjpContext& c) {
  if (!c.wants(0)) return;
  c.give(0, c.builder().private_op("GatherGrad", {c.in(1), c.cotangent()},
                                   {{"axis", c.attributes().i("axis", 0)}, {"extents", c.shape(c.in(0)).extents()}}));
}

void infer_gather_grad(InferContext& c) { c.set(0, c.dtype(1), Shape(c.attributes().ints("extents"))); }

void forward_gather_grad(ForwardContext& c) {
  const Split s = split(c.out_type(0).shape, c.attributes().i("axis", 0));
  const std::vector<std::int64_t> indices = checked_indices(c.in(0), s.extent);
  const auto count = static_cast<std::int64_t>(indices.size());
  // Every slice of the result that is read from, in the order of g.
  std::vector<std::int64_t> targets;
  targets.reserve(static_cast<std::size_t>(s.outer * count));
  for (std::int64_t outer = 0; outer < s.outer; ++outer)
    for (const std::int64_t index : indices) targets.push_back(outer * s.extent + index);
  visit_float(c.in(1).dtype(), [&]<class T>(T) {
    const T* g = c.in(1).data<T>();
    T* gradient = c.out(0).mutable_data<T>();
    c.pool().parallel_for(c.out(0).numel(), kElementGrain, [&](std::int64_t begin, std::int64_t end) {
      std::fill(gradient + begin, gradient + end, T{0});
    });
    for_owned_targets(c.pool(), targets, s.outer * s.extent, s.inner, [&](std::int64_t position, std::int64_t target) {
      const T* from = g + position * s.inner;
      T* to = gradient + target * s.inner;
      for (std::int64_t i = 0; i < s.inner; ++i) to[i] += from[i];
    });
  });
}

void infer_gather_elements(InferContext& c) {
  require_inputs(c, 2);
  require_index_type(c, 1);
  const Shape& data = c.shape(0);
  const Shape& indices = c.shape(1);
  if (data.rank() == 0 || data.rank() != indices.rank())
    throw user_error("data and indices must have one rank of 1 or more, got {} and {}", data.text(), indices.text());
  const int axis = normalize_axis(c.attributes().i("axis", 0), data.rank());
  for (int other = 0; other < data.rank(); ++other)
    if (other != axis && indices[other] > data[other])
      throw user_error("indices {} reach beyond data {} on axis {}", indices.text(), data.text(), other);
  c.set(0, c.dtype(0), indices);
}

void forward_gather_elements(ForwardContext& c) {
  const int axis = normalize_axis(c.attributes().i("axis", 0), c.in(0).shape().rank());
  const Lines lines = lines_along(c.in(0).shape(), c.in(1).shape(), axis);
  const std::vector<std::int64_t> indices = checked_indices(c.in(1), c.in(0).shape()[axis]);
  visit_width(c.in(0).dtype(), [&]<class U>(U) {
    const U* data = words<U>(c.in(0));
    U* y = mutable_words<U>(c.out(0));
    c.pool().parallel_for(lines.count, slices_per_chunk(lines.length), [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t line = begin; line < end; ++line) {
        const Lines::Start at = lines.start(line);
        for (std::int64_t i = 0; i < lines.length; ++i) {
          const std::int64_t position = at.index + i * lines.index_step;
          y[position] = data[at.data + indices[static_cast<std::size_t>(position)] * lines.data_step];
        }
      }
    });
  });
}

void vjp_gather_elements(VjpContext& c) {
  if (!c.wants(0)) return;
  GraphBuilder& b = c.builder();
  c.give(0, b.op("ScatterElements", {b.zeros_like(c.in(0)), c.in(1), c.cotangent()},
                 {{"axis", c.attributes().i("axis", 0)}, {"reduction", std::string("add")}}));
}

void infer_gather_nd(InferContext& c) {
  require_inputs(c, 2);
  require_index_type(c, 1);
  const Shape& data = c.shape(0);
  const Shape& indices = c.shape(1);
  const std::int64_t batch = c.attributes().i("batch_dims", 0);
  if (indices.rank() == 0 || data.rank() == 0) throw user_error("data and indices must have rank 1 or more");
  if (batch < 0 || batch >= indices.rank() || batch > data.rank() || indices.back() > data.rank() - batch)
    throw user_error("indices {} with batch_dims {} do not address data {}", indices.text(), batch, data.text());
  for (int axis = 0; axis < batch; ++axis)
    if (data[axis] != indices[axis])
      throw user_error("batch axis {} differs: data {}, indices {}", axis, data.text(), indices.text());
  std::vector<std::int64_t> extents(indices.begin(), indices.end() - 1);
  extents.insert(extents.end(), data.begin() + batch + indices.back(), data.end());
  c.set(0, c.dtype(0), Shape(std::move(extents)));
}

void forward_gather_nd(ForwardContext& c) {
  const SliceIndices at = slice_indices(c.in(0).shape(), c.in(1), static_cast<int>(c.attributes().i("batch_dims", 0)));
  visit_width(c.in(0).dtype(), [&]<class U>(U) {
    const U* data = words<U>(c.in(0));
    U* y = mutable_words<U>(c.out(0));
    const auto count = static_cast<std::int64_t>(at.slices.size());
    c.pool().parallel_for(count, slices_per_chunk(at.slice_size), [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = begin; i < end; ++i) {
        const U* from = data + at.slices[static_cast<std::size_t>(i)] * at.slice_size;
        std::copy(from, from + at.slice_size, y + i * at.slice_size);
      }
    });
  });
}

void vjp_gather_nd(VjpContext& c) {
  if (!c.wants(0)) return;
  if (c.attributes().i("batch_dims", 0) != 0)
    throw user_error("the gradient of GatherND with batch_dims is not available");
  GraphBuilder& b = c.builder();
  c.give(0, b.op("ScatterND", {b.zeros_like(c.in(0)), c.in(1), c.cotangent()}, {{"reduction", std::string("add")}}));
}

}  // namespace

std::vector<Op> gather_ops() {
  return {
      {.domain = "",
       .name = "Gather",
       .infer = infer_gather,
       .forward = forward_gather,
       .vjp = vjp_gather,
       .takes_half = true,
       .packed = Op::Packed::kAsCodes},
      {.domain = "",
       .name = "GatherElements",
       .since = 11,
       .infer = infer_gather_elements,
       .forward = forward_gather_elements,
       .vjp = vjp_gather_elements,
       .takes_half = true},
      {.domain = "",
       .name = "GatherND",
       .since = 11,
       .infer = infer_gather_nd,
       .forward = forward_gather_nd,
       .vjp = vjp_gather_nd,
       .takes_half = true},
      {.domain = "retune",
       .name = "GatherGrad",
       .infer = infer_gather_grad,
       .forward = forward_gather_grad,
       .no_vjp = kIsGradient},
  };
}

}  // namespace retune
