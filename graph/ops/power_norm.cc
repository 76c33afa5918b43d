// Powers and roots of sums, as bodies of other operators: LpPool (1, 2, 11, 18), GlobalLpPool (1, 2), GlobalMaxPool
// (1), LpNormalization (1), LRN (1), MeanVarianceNormalization (9).
//
//   LpPool                      (sum over the window of |x|^p)^(1 / p); padding counts as zeros
//   LpNormalization             x / (sum along the axis of |x|^p)^(1 / p); 0 where all are 0
//   LRN                         x / (bias + alpha / size sum over neighbouring channels of x^2)^beta
//                               (Krizhevsky et al. 2012, section 3.3)
//   MeanVarianceNormalization   (x - mean) / (deviation + 1e-9)
#include "graph/ops/body.h"
#include "graph/ops/families.h"
#include "graph/ops/kernel.h"

namespace retune {

namespace {

constexpr auto kKeep = GraphBuilder::KeepDims::kYes;

ValueId power(GraphBuilder& b, ValueId x, std::int64_t p) {
  if (p == 1) return b.op("Abs", {x});
  if (p == 2) return b.mul(x, x);
  return b.op("Pow", {b.op("Abs", {x}), b.scalar(static_cast<double>(p), b.dtype(x))});
}

ValueId root(GraphBuilder& b, ValueId x, std::int64_t p) {
  if (p == 1) return x;
  if (p == 2) return b.op("Sqrt", {x});
  return b.op("Pow", {x, b.scalar(1.0 / static_cast<double>(p), b.dtype(x))});
}

std::int64_t exponent(const InferContext& c) {
  require_inputs(c, 1);
  require_float(c, 0);
  const std::int64_t p = c.attributes().i("p", 2);
  if (p < 1) throw user_error("attribute p is {}, expected 1 or more", p);
  return p;
}

Graph lp_pool_body(const InferContext& c) {
  const std::int64_t p = exponent(c);
  Body body(c);
  Attributes window = c.attributes();
  window.set("sum", std::int64_t{1});
  return body.finish(
      {root(body.builder(), body.builder().private_op("SumPool", {power(body.builder(), body.in(0), p)}, window), p)});
}

// The axes behind [N, C].
std::vector<std::int64_t> spatial_axes(const InferContext& c) {
  require_inputs(c, 1);
  require_float(c, 0);
  if (c.shape(0).rank() < 2) throw user_error("input must be [N, C, ...], got {}", c.shape(0).text());
  std::vector<std::int64_t> axes;
  for (int axis = 2; axis < c.shape(0).rank(); ++axis) axes.push_back(axis);
  return axes;
}

Graph global_lp_pool_body(const InferContext& c) {
  const std::vector<std::int64_t> axes = spatial_axes(c);
  const std::int64_t p = exponent(c);
  Body body(c);
  GraphBuilder& b = body.builder();
  ValueId sum = power(b, body.in(0), p);
  if (!axes.empty()) sum = b.reduce_sum(sum, axes, kKeep);
  return body.finish({root(b, sum, p)});
}

Graph global_max_pool_body(const InferContext& c) {
  const std::vector<std::int64_t> axes = spatial_axes(c);
  Body body(c);
  GraphBuilder& b = body.builder();
  return body.finish(
      {axes.empty() ? b.op("Identity", {body.in(0)}) : b.op("ReduceMax", {body.in(0)}, {{"axes", axes}})});
}

Graph lp_normalization_body(const InferContext& c) {
  const std::int64_t p = exponent(c);
  if (p > 2) throw user_error("attribute p is {}, expected 1 or 2", p);
  const std::int64_t axis = normalize_axis(c.attributes().i("axis", -1), c.shape(0).rank());
  Body body(c);
  GraphBuilder& b = body.builder();
  const ValueId sum = b.reduce_sum(power(b, body.in(0), p), {axis}, kKeep);
  // A row of zeros is divided by 1, and has no root to differentiate.
  const ValueId is_zero = b.op("Equal", {sum, b.scalar(0, c.dtype(0))});
  return body.finish({b.div(body.in(0), root(b, b.op("Where", {is_zero, b.scalar(1, c.dtype(0)), sum}), p))});
}

Graph lrn_body(const InferContext& c) {
  const std::vector<std::int64_t> spatial = spatial_axes(c);
  const Attributes& a = c.attributes();
  const Shape x = c.shape(0);
  const std::int64_t size = a.i("size", 0), before = (size - 1) / 2;
  if (size < 1 || size >= (std::int64_t{1} << 31)) throw user_error("attribute size is {}, expected 1 or more", size);
  Body body(c);
  GraphBuilder& b = body.builder();
  // Channels as rows of an image.
  const ValueId squares = b.reshape(b.mul(body.in(0), body.in(0)), {x[0], 1, x[1], x.product(2, x.rank())});
  const ValueId sums = b.private_op("SumPool", {squares},
                                    {{"kernel_shape", std::vector<std::int64_t>{size, 1}},
                                     {"pads", std::vector<std::int64_t>{before, 0, size - 1 - before, 0}},
                                     {"sum", std::int64_t{1}}});
  const ValueId scaled =
      b.add(b.mul(b.reshape(sums, x), a.f("alpha", 0.0001) / static_cast<double>(size)), a.f("bias", 1.0));
  return body.finish({b.div(body.in(0), b.op("Pow", {scaled, b.scalar(a.f("beta", 0.75), c.dtype(0))}))});
}

Graph mean_variance_body(const InferContext& c) {
  require_inputs(c, 1);
  require_float(c, 0);
  const Attributes axes{{"axes", c.attributes().ints("axes", {0, 2, 3})}};
  Body body(c);
  GraphBuilder& b = body.builder();
  const ValueId centred = b.sub(body.in(0), b.op("ReduceMean", {body.in(0)}, axes));
  const ValueId variance = b.op("ReduceMean", {b.mul(centred, centred)}, axes);
  return body.finish({b.div(centred, b.add(b.op("Sqrt", {variance}), 1e-9))});
}

}  // namespace

std::vector<Op> power_norm_ops() {
  return {{.domain = "", .name = "LpPool", .body = lp_pool_body},
          {.domain = "", .name = "GlobalLpPool", .body = global_lp_pool_body},
          {.domain = "", .name = "GlobalMaxPool", .body = global_max_pool_body},
          {.domain = "", .name = "LpNormalization", .body = lp_normalization_body},
          {.domain = "", .name = "LRN", .body = lrn_body},
          {.domain = "", .name = "MeanVarianceNormalization", .since = 9, .body = mean_variance_body}};
}

}  // namespace retune
