// AveragePool (7, 10, 11, 19), MaxPool (8, 10, 11, 12), GlobalAveragePool (1): x [N, C, ...] with one to three spatial
// axes.
//
//   AveragePool   mean of the window's elements inside the image; with count_include_pad padding counts as zeros
//   SumPool       private: their sum, with attribute sum = 1
//   MaxPool       largest element of the window; optional second output: its index in x, flattened by rows, or with
//                 storage_order = 1 by columns within a plane
//
// Gradients: an average spreads g / count over its window; a maximum gives g to its element, the first of equal ones,
// as PyTorch does. Private operators AveragePoolGrad(g) and MaxPoolGrad(x, g), a plane (one channel of one image) at a
// time, so that overlapping windows add in order.
#include <algorithm>
#include <limits>

#include "graph/graph_builder.h"
#include "graph/ops/families.h"
#include "graph/ops/kernel.h"
#include "graph/ops/lanes.h"
#include "graph/ops/window.h"

namespace retune {

namespace {

Window pool_window(const Attributes& attributes, const Shape& x) {
  const std::vector<std::int64_t> kernel = attributes.ints("kernel_shape");
  if (kernel.empty()) throw user_error("attribute kernel_shape is missing");
  const Window w = window_of(attributes, x, kernel);
  for (std::size_t axis = 0; axis < 3; ++axis)
    if (std::max(w.pad_begin[axis], w.pad_end[axis]) > (w.kernel[axis] - 1) * w.dilation[axis])
      throw user_error("padding is as large as the window, which leaves windows without an element");
  return w;
}

void infer_pool(InferContext& c) {
  require_inputs(c, 1);
  const bool bytes = c.node().op == "MaxPool" && dtype_size(c.dtype(0)) == 1 && c.dtype(0) != DType::kBool;
  if (!bytes) require_float(c, 0);
  const Shape& x = c.shape(0);
  const Shape shape = pool_window(c.attributes(), x).output_shape(x[0], x[1]);
  c.set(0, c.dtype(0), shape);
  c.set(1, DType::kI64, shape);
}

// Calls f(output, input) for each output position of a plane and each input position under its window that is inside
// the image.
template <class F>
void for_each_tap(const Window& w, std::int64_t output, F&& f) {
  const Window::Extents at = coordinates(output, w.output);
  const auto input = [&](std::size_t axis, std::int64_t tap) {
    return at[axis] * w.stride[axis] - w.pad_begin[axis] + tap * w.dilation[axis];
  };
  const auto outside = [&](std::size_t axis, std::int64_t position) {
    return position < 0 || position >= w.input[axis];
  };
  for (std::int64_t i = 0; i < w.kernel[0]; ++i) {
    const std::int64_t z = input(0, i);
    if (outside(0, z)) continue;
    for (std::int64_t j = 0; j < w.kernel[1]; ++j) {
      const std::int64_t y = input(1, j);
      if (outside(1, y)) continue;
      for (std::int64_t k = 0; k < w.kernel[2]; ++k) {
        const std::int64_t x = input(2, k);
        if (!outside(2, x)) f((z * w.input[1] + y) * w.input[2] + x);
      }
    }
  }
}

// Taps of one axis between `low` and `high`.
std::int64_t taps_between(const Window& w, std::size_t axis, std::int64_t position, std::int64_t low,
                          std::int64_t high) {
  const std::int64_t start = position * w.stride[axis] - w.pad_begin[axis];
  std::int64_t count = 0;
  for (std::int64_t i = 0; i < w.kernel[axis]; ++i)
    count += start + i * w.dilation[axis] >= low && start + i * w.dilation[axis] < high;
  return count;
}

bool counts_padding(const Attributes& attributes) { return attributes.i("count_include_pad", 0) != 0; }

// What each output position's sum is divided by.
std::vector<std::int64_t> divisors(const Window& w, const Attributes& attributes) {
  if (attributes.i("sum", 0) != 0) return std::vector<std::int64_t>(static_cast<std::size_t>(w.output_size()), 1);
  const bool count_padding = counts_padding(attributes);
  std::vector<std::int64_t> result;
  result.reserve(static_cast<std::size_t>(w.output_size()));
  for (std::int64_t output = 0; output < w.output_size(); ++output) {
    std::int64_t count = 1;
    for (std::size_t axis = 0; axis < 3; ++axis) {
      const std::int64_t position = coordinates(output, w.output)[axis];
      count *= taps_between(w, axis, position, count_padding ? -w.pad_begin[axis] : 0,
                            w.input[axis] + (count_padding ? w.pad_end[axis] : 0));
    }
    result.push_back(std::max<std::int64_t>(count, 1));
  }
  return result;
}

std::int64_t planes_per_chunk(const Window& w) {
  return std::max<std::int64_t>(1, kElementGrain / std::max<std::int64_t>(w.output_size() * w.taps(), 1));
}

void forward_average(ForwardContext& c) {
  const Shape& shape = c.in(0).shape();
  const Window w = pool_window(c.attributes(), shape);
  const std::vector<std::int64_t> divisor = divisors(w, c.attributes());
  visit_float(c.in(0).dtype(), [&]<class T>(T) {
    const T* x = c.in(0).data<T>();
    T* y = c.out(0).mutable_data<T>();
    c.pool().parallel_for(shape[0] * shape[1], planes_per_chunk(w), [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t plane = begin; plane < end; ++plane) {
        const T* image = x + plane * w.input_size();
        for (std::int64_t p = 0; p < w.output_size(); ++p) {
          T sum = 0;
          for_each_tap(w, p, [&](std::int64_t at) { sum += image[at]; });
          y[plane * w.output_size() + p] = sum / static_cast<T>(divisor[static_cast<std::size_t>(p)]);
        }
      }
    });
  });
}

// Where the largest element under a window is, or -1 if none is inside. NaN wins, as in PyTorch.
template <class T>
std::int64_t largest_tap(const Window& w, const T* image, std::int64_t output) {
  std::int64_t best = -1;
  for_each_tap(w, output, [&](std::int64_t at) {
    if (best < 0 || image[at] > image[best] || (image[at] != image[at] && image[best] == image[best])) best = at;
  });
  return best;
}

void forward_max(ForwardContext& c) {
  const Shape& shape = c.in(0).shape();
  const Window w = pool_window(c.attributes(), shape);
  const bool by_columns = c.attributes().i("storage_order", 0) != 0;
  // Where a pixel stands in its plane as the second output counts.
  const auto stored = [&](std::int64_t at) {
    if (!by_columns) return at;
    const Window::Extents p = coordinates(at, w.input);
    return (p[2] * w.input[1] + p[1]) * w.input[0] + p[0];
  };
  const auto kernel = [&]<class T>(T) {
    const T* x = c.in(0).data<T>();
    T* y = c.out(0).mutable_data<T>();
    std::int64_t* indices = c.wants(1) ? c.out(1).mutable_data<std::int64_t>() : nullptr;
    c.pool().parallel_for(shape[0] * shape[1], planes_per_chunk(w), [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = begin * w.output_size(); i < end * w.output_size(); ++i) {
        const std::int64_t base = i / w.output_size() * w.input_size();
        const std::int64_t at = largest_tap(w, x + base, i % w.output_size());
        y[i] = at < 0 ? std::numeric_limits<T>::lowest() : x[base + at];
        if (indices != nullptr) indices[i] = at < 0 ? -1 : base + stored(at);
      }
    });
  };
  if (c.in(0).dtype() == DType::kU8) return kernel(std::uint8_t{});
  if (c.in(0).dtype() == DType::kI8) return kernel(std::int8_t{});
  visit_float(c.in(0).dtype(), kernel);
}

void infer_average_grad(InferContext& c) { c.set(0, c.dtype(0), Shape(c.attributes().ints("extents"))); }

void forward_average_grad(ForwardContext& c) {
  const Shape& shape = c.out_type(0).shape;
  const Window w = pool_window(c.attributes(), shape);
  const std::vector<std::int64_t> divisor = divisors(w, c.attributes());
  visit_float(c.in(0).dtype(), [&]<class T>(T) {
    const T* g = c.in(0).data<T>();
    T* dx = c.out(0).mutable_data<T>();
    c.pool().parallel_for(shape[0] * shape[1], planes_per_chunk(w), [&](std::int64_t begin, std::int64_t end) {
      std::fill(dx + begin * w.input_size(), dx + end * w.input_size(), T{0});
      for (std::int64_t i = begin * w.output_size(); i < end * w.output_size(); ++i) {
        const T share = g[i] / static_cast<T>(divisor[static_cast<std::size_t>(i % w.output_size())]);
        T* image = dx + i / w.output_size() * w.input_size();
        for_each_tap(w, i % w.output_size(), [&](std::int64_t at) { image[at] += share; });
      }
    });
  });
}

void infer_max_grad(InferContext& c) { c.set(0, c.dtype(0), c.shape(0)); }

void forward_max_grad(ForwardContext& c) {
  const Shape& shape = c.in(0).shape();
  const Window w = pool_window(c.attributes(), shape);
  visit_float(c.in(0).dtype(), [&]<class T>(T) {
    const T* x = c.in(0).data<T>();
    const T* g = c.in(1).data<T>();
    T* dx = c.out(0).mutable_data<T>();
    c.pool().parallel_for(shape[0] * shape[1], planes_per_chunk(w), [&](std::int64_t begin, std::int64_t end) {
      std::fill(dx + begin * w.input_size(), dx + end * w.input_size(), T{0});
      for (std::int64_t i = begin * w.output_size(); i < end * w.output_size(); ++i) {
        const std::int64_t base = i / w.output_size() * w.input_size();
        const std::int64_t at = largest_tap(w, x + base, i % w.output_size());
        if (at >= 0) dx[base + at] += g[i];
      }
    });
  });
}

void vjp_average(VjpContext& c) {
  Attributes attributes = c.attributes();
  attributes.set("extents", c.shape(c.in(0)).extents());
  if (c.wants(0)) c.give(0, c.builder().private_op("AveragePoolGrad", {c.cotangent()}, std::move(attributes)));
}

void vjp_max(VjpContext& c) {
  if (c.wants(0)) c.give(0, c.builder().private_op("MaxPoolGrad", {c.in(0), c.cotangent()}, c.attributes()));
}

void infer_global_average(InferContext& c) {
  require_inputs(c, 1);
  require_float(c, 0);
  if (c.shape(0).rank() < 2) throw user_error("input must be [N, C, ...], got {}", c.shape(0).text());
  std::vector<std::int64_t> extents = c.shape(0).extents();
  std::fill(extents.begin() + 2, extents.end(), 1);
  c.set(0, c.dtype(0), Shape(std::move(extents)));
}

void forward_global_average(ForwardContext& c) {
  const Shape& shape = c.in(0).shape();
  const std::int64_t planes = shape.product(0, 2), size = shape.product(2, shape.rank());
  visit_float(c.in(0).dtype(), [&]<class T>(T) {
    const T* x = c.in(0).data<T>();
    T* y = c.out(0).mutable_data<T>();
    c.pool().parallel_for(planes, std::max<std::int64_t>(1, kElementGrain / std::max<std::int64_t>(size, 1)),
                          [&](std::int64_t begin, std::int64_t end) {
                            for (std::int64_t i = begin; i < end; ++i)
                              y[i] = lane_sum<T>(size, [image = x + i * size](std::int64_t k) { return image[k]; }) /
                                     static_cast<T>(size);
                          });
  });
}

void vjp_global_average(VjpContext& c) {
  if (!c.wants(0)) return;
  GraphBuilder& b = c.builder();
  const Shape& shape = c.shape(c.in(0));
  const auto size = static_cast<double>(std::max<std::int64_t>(1, shape.product(2, shape.rank())));
  const std::vector<std::int64_t> extents = shape.extents();
  c.give(0, b.op("Expand", {b.mul(c.cotangent(), 1.0 / size), b.ints(extents)}));
}

}  // namespace

std::vector<Op> pooling_ops() {
  return {
      {.domain = "",
       .name = "AveragePool",
       .since = 7,
       .infer = infer_pool,
       .forward = forward_average,
       .vjp = vjp_average},
      {.domain = "", .name = "MaxPool", .infer = infer_pool, .forward = forward_max, .vjp = vjp_max},
      {.domain = "",
       .name = "GlobalAveragePool",
       .infer = infer_global_average,
       .forward = forward_global_average,
       .vjp = vjp_global_average},
      {.domain = "retune", .name = "SumPool", .infer = infer_pool, .forward = forward_average, .vjp = vjp_average},
      {.domain = "retune",
       .name = "AveragePoolGrad",
       .infer = infer_average_grad,
       .forward = forward_average_grad,
       .no_vjp = kIsGradient},
      {.domain = "retune",
       .name = "MaxPoolGrad",
       .infer = infer_max_grad,
       .forward = forward_max_grad,
       .no_vjp = kIsGradient},
  };
}

}  // namespace retune
