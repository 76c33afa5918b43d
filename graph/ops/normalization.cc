// Layer and RMS normalisation, with and without the residual sum in front:
//   LayerNormalization (17), RMSNormalization (23), SimplifiedLayerNormalization ("" and com.microsoft),
//   SkipLayerNormalization, SkipSimplifiedLayerNormalization (com.microsoft).
//
// Over the axes from `axis` on, D elements a row, with u = g * scale:
//
//   layer  r = 1 / sqrt(mean((x - mean x)^2) + epsilon), n = (x - mean x) r, y = n * scale + bias
//          dx = r (u - mean u - n mean(u n)), dscale = sum g n, dbias = sum g    (Ba et al. 2016)
//   RMS    r = 1 / sqrt(mean(x^2) + epsilon), n = x r, y = n * scale
//          dx = r (u - n mean(u n)), dscale = sum g n                            (Zhang & Sennrich 2019)
//
// Statistics are in f32, also for f16 and bf16 (in f64 for f64). The private operators LayerNormGrad(x, scale, g) and
// RmsNormGrad(x, scale, g) compute them again from the row, which is in the cache anyway. Sums over rows add blocks of
// kRowBlock rows in order.
#include <algorithm>
#include <vector>

#include "graph/graph_builder.h"
#include "graph/ops/broadcast.h"
#include "graph/ops/families.h"
#include "graph/ops/kernel.h"
#include "graph/ops/lanes.h"
#include "graph/ops/row_statistics.h"

namespace retune {

namespace {

constexpr std::int64_t kRowBlock = 64;

template <Centring kind, class T>
void normalize_row(const T* x, const T* scale, const T* bias, std::int64_t d, RowStatistics<T> s, T* y) {
  for (std::int64_t i = 0; i < d; ++i) y[i] = (kind == Centring::kMean ? x[i] - s.mean : x[i]) * s.inverse * scale[i];
  if (bias != nullptr)
    for (std::int64_t i = 0; i < d; ++i) y[i] += bias[i];
}

// x as rows of D elements.
struct Rows {
  std::int64_t count = 1, d = 1;
};

Rows rows_of(const Shape& shape, std::int64_t axis) {
  const int first = normalize_axis(axis, shape.rank());
  return {shape.product(0, first), shape.product(first, shape.rank())};
}

Rows rows_of(const Shape& shape, const Attributes& attributes) { return rows_of(shape, attributes.i("axis", -1)); }

Shape normalized_shape(const Shape& shape, std::int64_t axis) {
  const int first = normalize_axis(axis, shape.rank());
  return Shape(std::vector<std::int64_t>(shape.begin() + first, shape.end()));
}

std::int64_t rows_per_chunk(std::int64_t d) {
  return std::max<std::int64_t>(1, kElementGrain / std::max<std::int64_t>(d, 1));
}

// Scale or bias with one element for each of the row: the tensor itself, or repeated where it broadcasts.
Tensor spread(ForwardContext& c, const Tensor& tensor, const Shape& row) {
  if (tensor.numel() == row.numel()) return tensor;
  Tensor wide = c.scratch(tensor.dtype(), row);
  visit_float(tensor.dtype(), [&]<class T>(T) {
    const auto plan = plan_broadcast<1>(row, {&tensor.shape()});
    T* to = wide.mutable_data<T>();
    for_each_run(plan, 0, row.numel(), [&](std::int64_t at, std::int64_t count, const auto& offset) {
      const T* from = tensor.data<T>() + offset[0];
      for (std::int64_t i = 0; i < count; ++i) to[at + i] = from[i * plan.inner[0]];
    });
  });
  return wide;
}

void check_row_operand(const InferContext& c, int input, const Shape& row) {
  require_same_dtype(c, 0, input);
  if (c.shape(input).rank() > row.rank() || !(broadcast(c.shape(input), row) == row))
    throw user_error("input {} of shape {} does not broadcast to the normalised axes {}", input, c.shape(input).text(),
                     row.text());
}

void infer_norm(InferContext& c) {
  require_inputs(c, 2);
  require_float(c, 0);
  const Shape& shape = c.shape(0);
  if (shape.rank() == 0) throw user_error("cannot normalise a scalar");
  const std::int64_t axis = c.attributes().i("axis", -1);
  const Shape row = normalized_shape(shape, axis);
  check_row_operand(c, 1, row);
  if (c.has(2)) check_row_operand(c, 2, row);
  c.set(0, c.dtype(0), shape);
  std::vector<std::int64_t> reduced = shape.extents();
  std::fill(reduced.begin() + normalize_axis(axis, shape.rank()), reduced.end(), 1);
  const DType stash = c.dtype(0) == DType::kF64 ? DType::kF64 : DType::kF32;
  for (int output = 1; output < c.output_count(); ++output) c.set(output, stash, Shape(reduced));
}

// Layer normalisation names (mean, inverse deviation) after y, RMS normalisation only the latter.
template <Centring kind>
void forward_norm(ForwardContext& c) {
  const Rows rows = rows_of(c.in(0).shape(), c.attributes());
  const Shape row = normalized_shape(c.in(0).shape(), c.attributes().i("axis", -1));
  const Tensor scales = spread(c, c.in(1), row);
  const Tensor biases = c.has(2) ? spread(c, c.in(2), row) : Tensor();
  visit_float(c.in(0).dtype(), [&]<class T>(T) {
    const T* x = c.in(0).data<T>();
    const T* scale = scales.data<T>();
    const T* bias = biases.defined() ? biases.data<T>() : nullptr;
    const T epsilon = static_cast<T>(c.attributes().f("epsilon", 1e-5));
    T* y = c.out(0).mutable_data<T>();
    constexpr int kInverse = kind == Centring::kMean ? 2 : 1;
    T* means = kind == Centring::kMean && c.wants(1) ? c.out(1).mutable_data<T>() : nullptr;
    T* inverses = c.wants(kInverse) ? c.out(kInverse).mutable_data<T>() : nullptr;
    c.pool().parallel_for(rows.count, rows_per_chunk(rows.d), [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t r = begin; r < end; ++r) {
        const RowStatistics<T> s = row_statistics<kind>(x + r * rows.d, rows.d, epsilon);
        normalize_row<kind>(x + r * rows.d, scale, bias, rows.d, s, y + r * rows.d);
        if (means != nullptr) means[r] = s.mean;
        if (inverses != nullptr) inverses[r] = s.inverse;
      }
    });
  });
}

// Inputs x [rows, D], scale [D], g [rows, D]; outputs dx, and if they are declared dscale [D] and (layer) dbias [D].
void infer_norm_grad(InferContext& c) {
  c.set(0, c.dtype(0), c.shape(0));
  for (int output = 1; output < c.output_count(); ++output) c.set(output, c.dtype(1), c.shape(1));
}

template <Centring kind, class T>
void row_gradient(const T* x, const T* scale, const T* g, std::int64_t d, RowStatistics<T> s, T* dx) {
  const auto normal = [&](std::int64_t i) { return (kind == Centring::kMean ? x[i] - s.mean : x[i]) * s.inverse; };
  const T count = static_cast<T>(d);
  const T along = lane_sum<T>(d, [&](std::int64_t i) { return g[i] * scale[i] * normal(i); }) / count;
  T mean = 0;
  if constexpr (kind == Centring::kMean) mean = lane_sum<T>(d, [&](std::int64_t i) { return g[i] * scale[i]; }) / count;
  for (std::int64_t i = 0; i < d; ++i) dx[i] = s.inverse * (g[i] * scale[i] - mean - normal(i) * along);
}

template <class T>
void add_blocks(const T* partial, std::int64_t blocks, std::int64_t stride, std::int64_t d, T* sum) {
  std::fill(sum, sum + d, T{0});
  for (std::int64_t block = 0; block < blocks; ++block)
    for (std::int64_t i = 0; i < d; ++i) sum[i] += partial[block * stride + i];
}

template <Centring kind>
void forward_norm_grad(ForwardContext& c) {
  const Rows rows{c.in(0).shape()[0], c.in(0).shape()[1]};
  const bool sums = c.output_count() > 1;
  const std::int64_t blocks = (rows.count + kRowBlock - 1) / kRowBlock, d = rows.d,
                     stride = kind == Centring::kMean ? 2 * d : d;
  visit_float(c.in(0).dtype(), [&]<class T>(T) {
    const T* x = c.in(0).data<T>();
    const T* scale = c.in(1).data<T>();
    const T* g = c.in(2).data<T>();
    const T epsilon = static_cast<T>(c.attributes().f("epsilon", 1e-5));
    T* dx = c.out(0).mutable_data<T>();
    Tensor partial = c.scratch(c.in(0).dtype(), sums ? Shape{blocks, stride} : Shape{0});
    T* partials = partial.mutable_data<T>();
    c.pool().parallel_for(rows.count, kRowBlock, [&](std::int64_t begin, std::int64_t end) {
      T* dscale = partials + begin / kRowBlock * stride;
      T* dbias = dscale + d;
      if (sums) std::fill(dscale, dscale + stride, T{0});
      for (std::int64_t r = begin; r < end; ++r) {
        const T* row = x + r * d;
        const T* cotangent = g + r * d;
        const RowStatistics<T> s = row_statistics<kind>(row, d, epsilon);
        row_gradient<kind>(row, scale, cotangent, d, s, dx + r * d);
        if (!sums) continue;
        for (std::int64_t i = 0; i < d; ++i)
          dscale[i] += cotangent[i] * ((kind == Centring::kMean ? row[i] - s.mean : row[i]) * s.inverse);
        if constexpr (kind == Centring::kMean)
          for (std::int64_t i = 0; i < d; ++i) dbias[i] += cotangent[i];
      }
    });
    if (sums) add_blocks(partials, blocks, stride, d, c.out(1).mutable_data<T>());
    if (sums && kind == Centring::kMean) add_blocks(partials + d, blocks, stride, d, c.out(2).mutable_data<T>());
  });
}

struct NormGradients {
  ValueId x = kNoValue, scale = kNoValue, bias = kNoValue;
};

// Gradients of normalisation of x over the axes from `axis` on; of scale and bias only if `parameters` are wanted.
NormGradients emit_norm_gradient(GraphBuilder& b, Centring kind, ValueId x, ValueId scale, ValueId g, std::int64_t axis,
                                 double epsilon, bool parameters) {
  const Shape shape = b.shape(x), row = normalized_shape(shape, axis), scale_shape = b.shape(scale);
  const Rows rows = rows_of(shape, axis);
  ValueId wide = scale;
  if (scale_shape.numel() != row.numel()) wide = b.op("Expand", {scale, b.ints(row.extents())});
  const char* op = kind == Centring::kMean ? "LayerNormGrad" : "RmsNormGrad";
  const int outputs = parameters ? (kind == Centring::kMean ? 3 : 2) : 1;
  const std::vector<ValueId> made = b.private_ops(
      op, {b.reshape(x, {rows.count, rows.d}), b.reshape(wide, {rows.d}), b.reshape(g, {rows.count, rows.d})},
      {{"epsilon", epsilon}}, outputs);
  NormGradients gradients{.x = b.reshape(made[0], shape), .scale = kNoValue, .bias = kNoValue};
  if (outputs > 1) gradients.scale = b.reshape(made[1], row);
  if (outputs > 2) gradients.bias = b.reshape(made[2], row);
  return gradients;
}

// A gradient with an element for each of the row, for a parameter that may have been repeated along it.
ValueId fit(GraphBuilder& b, ValueId gradient, const Shape& shape) {
  return b.shape(gradient).numel() == shape.numel() ? b.reshape(gradient, shape) : b.sum_to(gradient, shape);
}

template <Centring kind>
void vjp_norm(VjpContext& c) {
  for (std::size_t output = 1; output < c.node().outputs.size(); ++output)
    if (c.cotangent(static_cast<int>(output)) != kNoValue)
      throw user_error("the statistics that it also returns have no gradient");
  GraphBuilder& b = c.builder();
  const bool parameters = c.wants(1) || c.wants(2);
  const NormGradients d = emit_norm_gradient(b, kind, c.in(0), c.in(1), c.cotangent(), c.attributes().i("axis", -1),
                                             c.attributes().f("epsilon", 1e-5), parameters);
  if (c.wants(0)) c.give(0, d.x);
  if (c.wants(1)) c.give(1, fit(b, d.scale, c.shape(c.in(1))));
  if (c.wants(2)) c.give(2, fit(b, d.bias, c.shape(c.in(2))));
}

// Skip normalisation: inputs x [B, S, D], skip (the same, or broadcast over B), scale [D], then beta [D] (layer only)
// and bias [D]. Outputs y, mean, inverse deviation, and the sum x + skip + bias that was normalised.
constexpr int kSum = 3;

template <Centring kind>
constexpr int kBiasInput = kind == Centring::kMean ? 4 : 3;

double skip_epsilon(const Attributes& attributes) { return attributes.f("epsilon", 1e-12); }

template <Centring kind>
void infer_skip_norm(InferContext& c) {
  require_inputs(c, 3);
  require_float(c, 0);
  const Shape& shape = c.shape(0);
  if (shape.rank() == 0) throw user_error("cannot normalise a scalar");
  if (!(broadcast(shape, c.shape(1)) == shape))
    throw user_error("skip of shape {} does not broadcast to {}", c.shape(1).text(), shape.text());
  for (int input = 2; input <= kBiasInput<kind>; ++input)
    if (c.has(input)) check_row_operand(c, input, {shape.back()});
  std::vector<std::int64_t> reduced = shape.extents();
  reduced.back() = 1;
  c.set(0, c.dtype(0), shape);
  c.set(1, DType::kF32, Shape(reduced));
  c.set(2, DType::kF32, Shape(reduced));
  c.set(kSum, c.dtype(0), shape);
}

template <Centring kind>
void forward_skip_norm(ForwardContext& c) {
  const Rows rows = rows_of(c.in(0).shape(), -1);
  const Shape row{rows.d};
  const Tensor scales = spread(c, c.in(2), row);
  const Tensor betas = kind == Centring::kMean && c.has(3) ? spread(c, c.in(3), row) : Tensor();
  const Tensor biases = c.has(kBiasInput<kind>) ? spread(c, c.in(kBiasInput<kind>), row) : Tensor();
  const auto plan = plan_broadcast<1>(c.in(0).shape(), {&c.in(1).shape()});
  Tensor sums = c.wants(kSum) ? c.out(kSum) : c.scratch(c.in(0).dtype(), c.in(0).shape());
  visit_float(c.in(0).dtype(), [&]<class T>(T) {
    const T* x = c.in(0).data<T>();
    const T* skip = c.in(1).data<T>();
    const T* beta = betas.defined() ? betas.data<T>() : nullptr;
    const T epsilon = static_cast<T>(skip_epsilon(c.attributes()));
    T* sum = sums.mutable_data<T>();
    T* y = c.out(0).mutable_data<T>();
    float* means = c.wants(1) ? c.out(1).mutable_data<float>() : nullptr;
    float* inverses = c.wants(2) ? c.out(2).mutable_data<float>() : nullptr;
    c.pool().parallel_for(rows.count, rows_per_chunk(rows.d), [&](std::int64_t begin, std::int64_t end) {
      for_each_run(plan, begin * rows.d, end * rows.d, [&](std::int64_t at, std::int64_t count, const auto& offset) {
        for (std::int64_t i = 0; i < count; ++i) sum[at + i] = x[at + i] + skip[offset[0] + i * plan.inner[0]];
      });
      for (std::int64_t r = begin; r < end; ++r) {
        T* own = sum + r * rows.d;
        if (biases.defined())
          for (std::int64_t i = 0; i < rows.d; ++i) own[i] += biases.data<T>()[i];
        const RowStatistics<T> s = row_statistics<kind>(own, rows.d, epsilon);
        normalize_row<kind>(own, scales.data<T>(), beta, rows.d, s, y + r * rows.d);
        if (means != nullptr) means[r] = static_cast<float>(s.mean);
        if (inverses != nullptr) inverses[r] = static_cast<float>(s.inverse);
      }
    });
  });
}

template <Centring kind>
void vjp_skip_norm(VjpContext& c) {
  GraphBuilder& b = c.builder();
  const auto cotangent = [&](int output) {
    return output < static_cast<int>(c.node().outputs.size()) ? c.cotangent(output) : kNoValue;
  };
  if (cotangent(1) != kNoValue || cotangent(2) != kNoValue)
    throw user_error("the statistics that it also returns have no gradient");
  constexpr int kBias = kBiasInput<kind>;
  const bool wants_sum = c.wants(0) || c.wants(1) || c.wants(kBias), wants_beta = kind == Centring::kMean && c.wants(3);
  ValueId ds = cotangent(kSum);
  if (c.cotangent(0) != kNoValue) {
    ValueId sum = static_cast<int>(c.node().outputs.size()) > kSum ? c.out(kSum) : kNoValue;
    if (sum == kNoValue) {
      sum = b.add(c.in(0), c.in(1));
      if (c.has(kBias)) sum = b.add(sum, c.in(kBias));
    }
    const NormGradients d = emit_norm_gradient(b, kind, sum, c.in(2), c.cotangent(0), -1, skip_epsilon(c.attributes()),
                                               c.wants(2) || wants_beta);
    ds = ds == kNoValue ? d.x : b.add(d.x, ds);
    if (c.wants(2)) c.give(2, fit(b, d.scale, c.shape(c.in(2))));
    if (wants_beta) c.give(3, fit(b, d.bias, c.shape(c.in(3))));
  }
  if (!wants_sum) return;
  if (c.wants(0)) c.give(0, ds);
  if (c.wants(1)) c.give(1, b.sum_to(ds, c.shape(c.in(1))));
  if (c.wants(kBias)) c.give(kBias, b.sum_to(ds, c.shape(c.in(kBias))));
}

}  // namespace

std::vector<Op> normalization_ops() {
  constexpr auto kLayer = Centring::kMean;
  constexpr auto kRms = Centring::kNone;
  return {
      {.domain = "",
       .name = "LayerNormalization",
       .since = 17,
       .infer = infer_norm,
       .forward = forward_norm<kLayer>,
       .vjp = vjp_norm<kLayer>},
      {.domain = "",
       .name = "RMSNormalization",
       .since = 23,
       .infer = infer_norm,
       .forward = forward_norm<kRms>,
       .vjp = vjp_norm<kRms>},
      // Found in the default domain too, where ONNX Runtime writes it.
      {.domain = "com.microsoft",
       .name = "SimplifiedLayerNormalization",
       .infer = infer_norm,
       .forward = forward_norm<kRms>,
       .vjp = vjp_norm<kRms>},
      {.domain = "com.microsoft",
       .name = "SkipLayerNormalization",
       .infer = infer_skip_norm<kLayer>,
       .forward = forward_skip_norm<kLayer>,
       .vjp = vjp_skip_norm<kLayer>},
      {.domain = "com.microsoft",
       .name = "SkipSimplifiedLayerNormalization",
       .infer = infer_skip_norm<kRms>,
       .forward = forward_skip_norm<kRms>,
       .vjp = vjp_skip_norm<kRms>},
      {.domain = "retune",
       .name = "LayerNormGrad",
       .infer = infer_norm_grad,
       .forward = forward_norm_grad<kLayer>,
       .no_vjp = kIsGradient},
      {.domain = "retune",
       .name = "RmsNormGrad",
       .infer = infer_norm_grad,
       .forward = forward_norm_grad<kRms>,
       .no_vjp = kIsGradient},
  };
}

}  // namespace retune
