// ScatterND (11, 13, 16, 18) and ScatterElements (11, 13, 16, 18): a copy of data in which the elements that the
// indices name are replaced by updates or, by the attribute reduction, joined with them (add, mul, min, max). Updates
// of one element apply in their order.
//
// With g = dL/dy: for "none", data gets g with the replaced elements zeroed, updates get g where they were put (where
// two updates meet, ONNX leaves the result open, and so is its gradient); for "add", data gets g and updates get g
// where they were added.
#include <algorithm>
#include <string>

#include "graph/graph_builder.h"
#include "graph/ops/families.h"
#include "graph/ops/index.h"
#include "graph/ops/kernel.h"

namespace retune {

namespace {

enum class Reduction { kNone, kAdd, kMul, kMin, kMax };

Reduction reduction_of(const Attributes& attributes) {
  const std::string name = attributes.s("reduction", "none");
  if (name == "none") return Reduction::kNone;
  if (name == "add") return Reduction::kAdd;
  if (name == "mul") return Reduction::kMul;
  if (name == "min") return Reduction::kMin;
  if (name == "max") return Reduction::kMax;
  throw user_error("reduction '{}' is unknown; expected none, add, mul, min or max", name);
}

template <class T>
T join(Reduction reduction, T old, T update) {
  switch (reduction) {
    case Reduction::kAdd:
      return static_cast<T>(old + update);
    case Reduction::kMul:
      return static_cast<T>(old * update);
    case Reduction::kMin:
      return std::min(old, update);
    case Reduction::kMax:
      return std::max(old, update);
    default:
      return update;
  }
}

// Calls f with the type in which the elements are joined; replacing needs only their width.
template <class F>
void visit_elements(Reduction reduction, DType dtype, F&& f) {
  if (reduction == Reduction::kNone) return visit_width(dtype, f);
  visit_number(dtype, f);
}

template <class T>
T* copy_of_data(ForwardContext& c) {
  const T* from = reinterpret_cast<const T*>(c.in(0).raw());
  T* to = reinterpret_cast<T*>(c.out(0).mutable_raw());
  c.pool().parallel_for(c.in(0).numel(), kElementGrain,
                        [&](std::int64_t begin, std::int64_t end) { std::copy(from + begin, from + end, to + begin); });
  return to;
}

void check_operands(const InferContext& c) {
  require_inputs(c, 3);
  require_same_dtype(c, 0, 2);
  if (c.dtype(1) != DType::kI64 && c.dtype(1) != DType::kI32)
    throw user_error("indices must be i32 or i64, got {}", dtype_name(c.dtype(1)));
  reduction_of(c.attributes());
  if (c.shape(0).rank() == 0) throw user_error("cannot scatter into a scalar");
}

void infer_scatter_nd(InferContext& c) {
  check_operands(c);
  const Shape& data = c.shape(0);
  const Shape& indices = c.shape(1);
  if (indices.rank() == 0 || indices.back() > data.rank())
    throw user_error("indices {} do not address data {}", indices.text(), data.text());
  std::vector<std::int64_t> extents(indices.begin(), indices.end() - 1);
  extents.insert(extents.end(), data.begin() + indices.back(), data.end());
  const Shape expected(std::move(extents));
  if (!(c.shape(2) == expected)) throw user_error("updates must be {}, got {}", expected.text(), c.shape(2).text());
  c.set(0, c.dtype(0), data);
}

void forward_scatter_nd(ForwardContext& c) {
  const Reduction reduction = reduction_of(c.attributes());
  const SliceIndices at = slice_indices(c.in(0).shape(), c.in(1), 0);
  visit_elements(reduction, c.in(0).dtype(), [&]<class T>(T) {
    T* y = copy_of_data<T>(c);
    const T* updates = reinterpret_cast<const T*>(c.in(2).raw());
    for_owned_targets(c.pool(), at.slices, at.slice_count, at.slice_size,
                      [&](std::int64_t position, std::int64_t target) {
                        const T* from = updates + position * at.slice_size;
                        T* to = y + target * at.slice_size;
                        for (std::int64_t i = 0; i < at.slice_size; ++i) to[i] = join(reduction, to[i], from[i]);
                      });
  });
}

void refuse_other_reductions(Reduction reduction) {
  if (reduction != Reduction::kNone && reduction != Reduction::kAdd)
    throw user_error("there is no gradient through reduction mul, min or max");
}

void vjp_scatter_nd(VjpContext& c) {
  GraphBuilder& b = c.builder();
  const Reduction reduction = reduction_of(c.attributes());
  refuse_other_reductions(reduction);
  if (c.wants(0))
    c.give(0, reduction == Reduction::kAdd ? c.cotangent()
                                           : b.op("ScatterND", {c.cotangent(), c.in(1), b.zeros_like(c.in(2))}));
  if (c.wants(2)) c.give(2, b.op("GatherND", {c.cotangent(), c.in(1)}));
}

void infer_scatter_elements(InferContext& c) {
  check_operands(c);
  const Shape& data = c.shape(0);
  const Shape& indices = c.shape(1);
  if (!(indices == c.shape(2)) || indices.rank() != data.rank())
    throw user_error("indices and updates must have one shape of the rank of data, got {}, {} and {}", indices.text(),
                     c.shape(2).text(), data.text());
  const int axis = normalize_axis(c.attributes().i("axis", 0), data.rank());
  for (int other = 0; other < data.rank(); ++other)
    if (other != axis && indices[other] > data[other])
      throw user_error("indices {} reach beyond data {} on axis {}", indices.text(), data.text(), other);
  c.set(0, c.dtype(0), data);
}

void forward_scatter_elements(ForwardContext& c) {
  const Reduction reduction = reduction_of(c.attributes());
  const int axis = normalize_axis(c.attributes().i("axis", 0), c.in(0).shape().rank());
  const Lines lines = lines_along(c.in(0).shape(), c.in(1).shape(), axis);
  const std::vector<std::int64_t> indices = checked_indices(c.in(1), c.in(0).shape()[axis]);
  visit_elements(reduction, c.in(0).dtype(), [&]<class T>(T) {
    T* y = copy_of_data<T>(c);
    const T* updates = reinterpret_cast<const T*>(c.in(2).raw());
    // Lines do not meet, so they may run in any order.
    const std::int64_t grain = std::max<std::int64_t>(1, kElementGrain / std::max<std::int64_t>(lines.length, 1));
    c.pool().parallel_for(lines.count, grain, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t line = begin; line < end; ++line) {
        const Lines::Start at = lines.start(line);
        for (std::int64_t i = 0; i < lines.length; ++i) {
          const std::int64_t position = at.index + i * lines.index_step;
          T& value = y[at.data + indices[static_cast<std::size_t>(position)] * lines.data_step];
          value = join(reduction, value, updates[position]);
        }
      }
    });
  });
}

void vjp_scatter_elements(VjpContext& c) {
  GraphBuilder& b = c.builder();
  const Reduction reduction = reduction_of(c.attributes());
  refuse_other_reductions(reduction);
  const Attributes axis{{"axis", c.attributes().i("axis", 0)}};
  if (c.wants(0))
    c.give(0, reduction == Reduction::kAdd
                  ? c.cotangent()
                  : b.op("ScatterElements", {c.cotangent(), c.in(1), b.zeros_like(c.in(2))}, axis));
  if (c.wants(2)) c.give(2, b.op("GatherElements", {c.cotangent(), c.in(1)}, axis));
}

}  // namespace

std::vector<Op> scatter_ops() {
  return {
      {.domain = "",
       .name = "ScatterND",
       .since = 11,
       .infer = infer_scatter_nd,
       .forward = forward_scatter_nd,
       .vjp = vjp_scatter_nd},
      {.domain = "",
       .name = "ScatterElements",
       .since = 11,
       .infer = infer_scatter_elements,
       .forward = forward_scatter_elements,
       .vjp = vjp_scatter_elements},
  };
}

}  // namespace retune
