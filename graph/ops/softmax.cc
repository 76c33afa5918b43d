// Softmax and LogSoftmax. From opset 13 on they normalise along one axis (default -1); before, all axes from `axis` on
// (default 1) are flattened and normalised together.
//
//   Softmax     y_i = e^(x_i - max x) / sum_j e^(x_j - max x)       dx = y (g - sum_j g_j y_j)
//   LogSoftmax  y_i = x_i - max x - log sum_j e^(x_j - max x)       dx = g - e^y sum_j g_j
//
// The gradients are the private operators SoftmaxGrad(y, g) and LogSoftmaxGrad(y, g), one pass a row. A row of nothing
// but minus infinity gives NaN, as in every other runtime; attention.cc defines such rows as zero.
#include <algorithm>
#include <cmath>
#include <vector>

#include "graph/graph_builder.h"
#include "graph/ops/families.h"
#include "graph/ops/kernel.h"
#include "graph/ops/lanes.h"
#include "graph/ops/vector_math.h"

namespace retune {

namespace {

// The tensor as [outer, n, inner], normalised along n.
struct Split {
  std::int64_t outer = 1, n = 1, inner = 1;
};

Split split(const Shape& shape, const Node& node) {
  if (shape.rank() == 0) return {};
  if (node.version < 13 && node.domain != "retune") {
    const int axis = normalize_axis(node.attributes.i("axis", 1), shape.rank() + 1);  // an axis may equal the rank
    return {shape.product(0, axis), shape.product(axis, shape.rank()), 1};
  }
  const int axis = normalize_axis(node.attributes.i("axis", -1), shape.rank());
  return {shape.product(0, axis), shape[axis], shape.product(axis + 1, shape.rank())};
}

void infer(InferContext& c) {
  require_inputs(c, 1);
  require_float(c, 0);
  split(c.shape(0), c.node());
  c.same_as_input();
}

std::int64_t rows_per_chunk(std::int64_t n) { return std::max<std::int64_t>(1, 8192 / std::max<std::int64_t>(n, 1)); }

// Calls row(i, pointers...) for every row along the axis, gathered into contiguous scratch where the axis is not the
// last. `arrays` are the inputs followed by the output, all of the same layout.
template <class T, std::size_t kInputs, class F>
void for_rows(ForwardContext& c, const Split& s, F&& row) {
  const T* in[kInputs];
  for (std::size_t i = 0; i < kInputs; ++i) in[i] = c.in(static_cast<int>(i)).template data<T>();
  T* out = c.out(0).template mutable_data<T>();
  c.pool().parallel_for(s.outer * s.inner, rows_per_chunk(s.n), [&](std::int64_t begin, std::int64_t end) {
    std::vector<T> buffer(s.inner == 1 ? 0 : static_cast<std::size_t>(s.n) * (kInputs + 1));
    for (std::int64_t r = begin; r < end; ++r) {
      const std::int64_t base = r / s.inner * s.n * s.inner + r % s.inner;
      const T* from[kInputs];
      if (s.inner == 1) {
        for (std::size_t i = 0; i < kInputs; ++i) from[i] = in[i] + base;
        row(from, out + base);
        continue;
      }
      for (std::size_t i = 0; i < kInputs; ++i) {
        T* copy = buffer.data() + static_cast<std::int64_t>(i) * s.n;
        for (std::int64_t k = 0; k < s.n; ++k) copy[k] = in[i][base + k * s.inner];
        from[i] = copy;
      }
      T* result = buffer.data() + static_cast<std::int64_t>(kInputs) * s.n;
      row(from, result);
      for (std::int64_t k = 0; k < s.n; ++k) out[base + k * s.inner] = result[k];
    }
  });
}

void forward_softmax(ForwardContext& c) {
  const Split s = split(c.in(0).shape(), c.node());
  visit_float(c.in(0).dtype(), [&]<class T>(T) {
    for_rows<T, 1>(c, s, [n = s.n](const T* const* from, T* y) {
      const T* x = from[0];
      const T top = lane_max<T>(n, [x](std::int64_t i) { return x[i]; });
      for (std::int64_t i = 0; i < n; ++i) y[i] = vector_math::exp(x[i] - top);
      const T scale = T{1} / lane_sum<T>(n, [y](std::int64_t i) { return y[i]; });
      for (std::int64_t i = 0; i < n; ++i) y[i] *= scale;
    });
  });
}

void forward_log_softmax(ForwardContext& c) {
  const Split s = split(c.in(0).shape(), c.node());
  visit_float(c.in(0).dtype(), [&]<class T>(T) {
    for_rows<T, 1>(c, s, [n = s.n](const T* const* from, T* y) {
      const T* x = from[0];
      const T top = lane_max<T>(n, [x](std::int64_t i) { return x[i]; });
      const T log_sum = std::log(lane_sum<T>(n, [x, top](std::int64_t i) { return vector_math::exp(x[i] - top); }));
      for (std::int64_t i = 0; i < n; ++i) y[i] = x[i] - top - log_sum;
    });
  });
}

void forward_softmax_grad(ForwardContext& c) {
  const Split s = split(c.in(0).shape(), c.node());
  visit_float(c.in(0).dtype(), [&]<class T>(T) {
    for_rows<T, 2>(c, s, [n = s.n](const T* const* from, T* dx) {
      const T* y = from[0];
      const T* g = from[1];
      const T dot = lane_sum<T>(n, [y, g](std::int64_t i) { return y[i] * g[i]; });
      for (std::int64_t i = 0; i < n; ++i) dx[i] = y[i] * (g[i] - dot);
    });
  });
}

void forward_log_softmax_grad(ForwardContext& c) {
  const Split s = split(c.in(0).shape(), c.node());
  visit_float(c.in(0).dtype(), [&]<class T>(T) {
    for_rows<T, 2>(c, s, [n = s.n](const T* const* from, T* dx) {
      const T* y = from[0];
      const T* g = from[1];
      const T sum = lane_sum<T>(n, [g](std::int64_t i) { return g[i]; });
      for (std::int64_t i = 0; i < n; ++i) dx[i] = g[i] - vector_math::exp(y[i]) * sum;
    });
  });
}

void emit_gradient(VjpContext& c, std::string_view op) {
  GraphBuilder& b = c.builder();
  const Shape shape = c.shape(c.in(0));
  const Split s = split(shape, c.node());
  if (!c.wants(0)) return;
  // As [outer, n, inner], which also says the flattening of opset 11; reshapes are views.
  const Shape flat{s.outer, s.n, s.inner};
  const ValueId dx =
      b.private_op(op, {b.reshape(c.out(), flat), b.reshape(c.cotangent(), flat)}, {{"axis", std::int64_t{1}}});
  c.give(0, b.reshape(dx, shape));
}

void vjp_softmax(VjpContext& c) { emit_gradient(c, "SoftmaxGrad"); }
void vjp_log_softmax(VjpContext& c) { emit_gradient(c, "LogSoftmaxGrad"); }

}  // namespace

std::vector<Op> softmax_ops() {
  return {
      {.domain = "", .name = "Softmax", .infer = infer, .forward = forward_softmax, .vjp = vjp_softmax},
      {.domain = "", .name = "LogSoftmax", .infer = infer, .forward = forward_log_softmax, .vjp = vjp_log_softmax},
      {.domain = "retune",
       .name = "SoftmaxGrad",
       .infer = infer,
       .forward = forward_softmax_grad,
       .no_vjp = kIsGradient},
      {.domain = "retune",
       .name = "LogSoftmaxGrad",
       .infer = infer,
       .forward = forward_log_softmax_grad,
       .no_vjp = kIsGradient},
  };
}

}  // namespace retune
