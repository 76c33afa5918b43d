// Conv (1, 11): x [N, C, ...], weight [M, C / group, ...], bias [M] -> y [N, M, ...], with one to three spatial axes.
//
//   y[n, m, p] = bias[m] + sum over c, t of weight[m, c, t] x[n, c, p * stride + t * dilation - pad]
//
// A convolution is a matrix product with columns: the patch under each output position, unrolled (im2col, Chellapilla
// et al. 2006).
//
//   Y = W columns(X),   dX = columns^T(W^T G): patches added where they were taken,   dW = sum_n G columns(X)^T
//
// The gradients are the private operators ConvInputGrad(weight, g) and ConvWeightGrad(x, g); the bias' is a ReduceSum.
// dW adds the images of a block in order, then the blocks in order; blocks are cut by N alone.
#include <algorithm>
#include <memory>

#include "graph/graph_builder.h"
#include "graph/ops/columns.h"
#include "graph/ops/families.h"
#include "graph/ops/kernel.h"

namespace retune {

namespace {

constexpr std::int64_t kWeightBlocks = 8;

Convolution convolution_of(const Attributes& attributes, const Shape& x, const Shape& weight) {
  if (weight.rank() != x.rank() || x.rank() < 3)
    throw user_error("input {} and weight {} must have one rank of 3 to 5", x.text(), weight.text());
  const std::vector<std::int64_t> kernel(weight.begin() + 2, weight.end());
  if (attributes.has("kernel_shape") && attributes.ints("kernel_shape") != kernel)
    throw user_error("attribute kernel_shape disagrees with the weight {}", weight.text());
  Convolution s;
  s.window = window_of(attributes, x, kernel);
  s.groups = attributes.i("group", 1);
  if (s.groups < 1 || x[1] % s.groups != 0 || weight[0] % s.groups != 0 || weight[1] != x[1] / s.groups)
    throw user_error("{} groups do not fit input {} and weight {}", s.groups, x.text(), weight.text());
  s.images = x[0];
  s.in_channels = weight[1];
  s.out_channels = weight[0] / s.groups;
  return s;
}

void infer_conv(InferContext& c) {
  require_inputs(c, 2);
  require_float(c, 0);
  require_same_dtype(c, 0, 1);
  const Convolution s = convolution_of(c.attributes(), c.shape(0), c.shape(1));
  if (c.has(2) && !(c.shape(2) == Shape{c.shape(1)[0]}))
    throw user_error("bias must be [{}], got {}", c.shape(1)[0], c.shape(2).text());
  c.set(0, c.dtype(0), s.window.output_shape(s.images, c.shape(1)[0]));
}

template <class T>
void convolve_group(ThreadPool& pool, const Convolution& s, const T* x, const T* weight, T* y) {
  const std::int64_t size = s.window.output_size();
  if (s.window.is_pointwise())
    return matrix_product(pool, {.m = s.out_channels, .n = size, .k = s.depth()}, weight, x, y);
  const std::int64_t block = std::min(s.block(), size);
  const auto columns = std::make_unique_for_overwrite<T[]>(static_cast<std::size_t>(s.depth() * block));
  for (std::int64_t begin = 0; begin < size; begin += block) {
    const std::int64_t end = std::min(begin + block, size);
    unroll(s, x, begin, end, columns.get());
    matrix_product(pool, {.m = s.out_channels, .n = end - begin, .k = s.depth(), .ldc = size}, weight, columns.get(),
                   y + begin);
  }
}

void forward_conv(ForwardContext& c) {
  const Convolution s = convolution_of(c.attributes(), c.in(0).shape(), c.in(1).shape());
  visit_float(c.in(0).dtype(), [&]<class T>(T) {
    const T* x = c.in(0).data<T>();
    const T* weight = c.in(1).data<T>();
    const T* bias = c.has(2) ? c.in(2).data<T>() : nullptr;
    T* y = c.out(0).mutable_data<T>();
    const std::int64_t size = s.window.output_size();
    c.pool().parallel_for(s.images * s.groups, 1, [&](std::int64_t item, std::int64_t) {
      const std::int64_t group = item % s.groups;
      T* own = y + item * s.y_group();
      convolve_group(c.pool(), s, x + item * s.x_group(), weight + group * s.weight_group(), own);
      if (bias == nullptr) return;
      for (std::int64_t m = 0; m < s.out_channels; ++m)
        for (std::int64_t p = 0; p < size; ++p) own[m * size + p] += bias[group * s.out_channels + m];
    });
  });
}

Shape extents_of(const Attributes& attributes) { return Shape(attributes.ints("extents")); }

// Inputs weight, g; attribute extents: the shape of x.
void infer_input_grad(InferContext& c) { c.set(0, c.dtype(1), extents_of(c.attributes())); }

void forward_input_grad(ForwardContext& c) {
  const Convolution s = convolution_of(c.attributes(), c.out_type(0).shape, c.in(0).shape());
  visit_float(c.in(0).dtype(), [&]<class T>(T) {
    convolve_transposed(c.pool(), s, c.in(0).data<T>(), c.in(1).data<T>(), c.out(0).mutable_data<T>());
  });
}

// Inputs x, g; attribute extents: the shape of the weight.
void infer_weight_grad(InferContext& c) { c.set(0, c.dtype(0), extents_of(c.attributes())); }

// dweight [out_channels, depth] += g columns(x)^T for one group of one image.
template <class T>
void add_weight_gradient(ThreadPool& pool, const Convolution& s, const T* x, const T* g, T* columns, T* dweight) {
  const std::int64_t size = s.window.output_size(), block = std::min(s.block(), size);
  MatrixProduct product{.m = s.out_channels, .n = s.depth(), .k = size, .transpose_b = true, .lda = size, .beta = 1.0};
  if (s.window.is_pointwise()) return matrix_product(pool, product, g, x, dweight);
  for (std::int64_t begin = 0; begin < size; begin += block) {
    product.k = std::min(block, size - begin);
    unroll(s, x, begin, begin + product.k, columns);
    matrix_product(pool, product, g + begin, columns, dweight);
  }
}

void forward_weight_grad(ForwardContext& c) {
  const Convolution s = convolution_of(c.attributes(), c.in(0).shape(), c.out_type(0).shape);
  visit_float(c.in(0).dtype(), [&]<class T>(T) {
    const T* x = c.in(0).data<T>();
    const T* g = c.in(1).data<T>();
    T* dweight = c.out(0).mutable_data<T>();
    const std::int64_t per_block = (s.images + kWeightBlocks - 1) / kWeightBlocks, numel = c.out(0).numel();
    const std::int64_t blocks = per_block == 0 ? 0 : (s.images + per_block - 1) / per_block;
    Tensor partial = c.scratch(c.in(0).dtype(), {blocks, numel});
    T* partials = partial.mutable_data<T>();
    c.pool().parallel_for(blocks * s.groups, 1, [&](std::int64_t item, std::int64_t) {
      const std::int64_t block = item / s.groups, group = item % s.groups;
      T* own = partials + block * numel + group * s.weight_group();
      std::fill(own, own + s.weight_group(), T{0});
      const std::int64_t columns_size = s.depth() * std::min(s.block(), s.window.output_size());
      const auto columns = std::make_unique_for_overwrite<T[]>(static_cast<std::size_t>(columns_size));
      for (std::int64_t n = block * per_block; n < std::min(s.images, (block + 1) * per_block); ++n) {
        const std::int64_t at = n * s.groups + group;
        add_weight_gradient(c.pool(), s, x + at * s.x_group(), g + at * s.y_group(), columns.get(), own);
      }
    });
    c.pool().parallel_for(numel, kElementGrain, [&](std::int64_t begin, std::int64_t end) {
      std::fill(dweight + begin, dweight + end, T{0});
      for (std::int64_t block = 0; block < blocks; ++block)
        for (std::int64_t i = begin; i < end; ++i) dweight[i] += partials[block * numel + i];
    });
  });
}

void vjp_conv(VjpContext& c) {
  GraphBuilder& b = c.builder();
  const auto attributes = [&](ValueId extents_from) {
    Attributes all = c.attributes();
    all.set("extents", c.shape(extents_from).extents());
    return all;
  };
  if (c.wants(0)) c.give(0, b.private_op("ConvInputGrad", {c.in(1), c.cotangent()}, attributes(c.in(0))));
  if (c.wants(1)) c.give(1, b.private_op("ConvWeightGrad", {c.in(0), c.cotangent()}, attributes(c.in(1))));
  if (c.wants(2)) {
    std::vector<std::int64_t> axes{0};
    for (int axis = 2; axis < c.shape(c.in(0)).rank(); ++axis) axes.push_back(axis);
    c.give(2, b.reduce_sum(c.cotangent(), axes, GraphBuilder::KeepDims::kNo));
  }
}

}  // namespace

std::vector<Op> convolution_ops() {
  return {
      {.domain = "", .name = "Conv", .infer = infer_conv, .forward = forward_conv, .vjp = vjp_conv},
      {.domain = "retune",
       .name = "ConvInputGrad",
       .infer = infer_input_grad,
       .forward = forward_input_grad,
       .no_vjp = kIsGradient},
      {.domain = "retune",
       .name = "ConvWeightGrad",
       .infer = infer_weight_grad,
       .forward = forward_weight_grad,
       .no_vjp = kIsGradient},
  };
}

}  // namespace retune
