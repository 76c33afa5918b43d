// Losses on logits, private operators (methods.md 1.2 and 5.6).
//
//   CrossEntropy(logits [N, V], labels i64 [N], weights [N]) -> loss [], nll [N]
//       nll_i = log sum_v e^logits_iv - logits_i,labels_i,  loss = sum_i weights_i nll_i
//       dlogits_i = (softmax(logits_i) - onehot(labels_i)) (weights_i dloss + dnll_i),  dweights_i = nll_i dloss
//   KlDivergence(p_logits [N, V], q_logits [N, V], weights [N]) -> loss [], divergence [N]
//       p = softmax(p_logits),  q = softmax(q_logits)
//       kl_i = sum_v p_iv (log p_iv - log q_iv),  loss = sum_i weights_i kl_i
//       dq_logits_i = w_i (q_i - p_i),  dp_logits_i = w_i p_i (log p_i - log q_i - kl_i)
//
// A mean is the caller's weights (1 / N each). A label outside [0, V) is an error, whatever its weight. log softmax is
// f32 (f64 for f64), and the sum over i runs in order, in f64. The gradients are one pass over the logits each.
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

std::int64_t rows_per_chunk(std::int64_t v) { return std::max<std::int64_t>(1, 8192 / std::max<std::int64_t>(v, 1)); }

void check_logits(const InferContext& c, int logits, int weights) {
  require_float(c, logits);
  require_same_dtype(c, logits, weights);
  if (c.shape(logits).rank() != 2) throw user_error("logits must be [N, V], got shape {}", c.shape(logits).text());
  if (!(c.shape(weights) == Shape{c.shape(logits)[0]}))
    throw user_error("weights must be [{}], got shape {}", c.shape(logits)[0], c.shape(weights).text());
}

void infer_cross_entropy(InferContext& c) {
  require_inputs(c, 3);
  check_logits(c, 0, 2);
  if (c.dtype(1) != DType::kI64 || !(c.shape(1) == c.shape(2)))
    throw user_error("labels must be i64 {}, got {} {}", c.shape(2).text(), dtype_name(c.dtype(1)), c.shape(1).text());
  c.set(0, c.dtype(0), {});
  c.set(1, c.dtype(0), c.shape(2));
}

// log sum_v e^x_v
template <class T>
T log_sum_exp(const T* x, std::int64_t v) {
  const T top = lane_max<T>(v, [x](std::int64_t i) { return x[i]; });
  return top + std::log(lane_sum<T>(v, [x, top](std::int64_t i) { return vector_math::exp(x[i] - top); }));
}

void check_labels(const Tensor& labels, std::int64_t v) {
  const std::int64_t* label = labels.data<std::int64_t>();
  for (std::int64_t i = 0; i < labels.numel(); ++i)
    if (label[i] < 0 || label[i] >= v) throw user_error("label {} of row {} is outside the {} classes", label[i], i, v);
}

template <class T>
void weighted_sum(ForwardContext& c, const Tensor& weights, const T* values) {
  const T* w = weights.data<T>();
  double sum = 0;
  for (std::int64_t i = 0; i < weights.numel(); ++i) sum += static_cast<double>(w[i]) * static_cast<double>(values[i]);
  *c.out(0).mutable_data<T>() = static_cast<T>(sum);
}

// The second output if it is declared, else scratch.
Tensor row_values(ForwardContext& c, std::int64_t n) {
  return c.output_count() > 1 && c.wants(1) ? c.out(1) : c.scratch(c.in(0).dtype(), {n});
}

void forward_cross_entropy(ForwardContext& c) {
  const std::int64_t n = c.in(0).shape()[0], v = c.in(0).shape()[1];
  check_labels(c.in(1), v);
  Tensor values = row_values(c, n);
  visit_float(c.in(0).dtype(), [&]<class T>(T) {
    const T* x = c.in(0).data<T>();
    const std::int64_t* label = c.in(1).data<std::int64_t>();
    T* nll = values.mutable_data<T>();
    c.pool().parallel_for(n, rows_per_chunk(v), [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = begin; i < end; ++i) nll[i] = log_sum_exp(x + i * v, v) - x[i * v + label[i]];
    });
    weighted_sum<T>(c, c.in(2), nll);
  });
}

// Inputs logits, labels, factors [N] (weights * dloss + dnll).
void infer_like_first(InferContext& c) { c.set(0, c.dtype(0), c.shape(0)); }

void forward_cross_entropy_grad(ForwardContext& c) {
  const std::int64_t n = c.in(0).shape()[0], v = c.in(0).shape()[1];
  check_labels(c.in(1), v);
  visit_float(c.in(0).dtype(), [&]<class T>(T) {
    const T* logits = c.in(0).data<T>();
    const std::int64_t* label = c.in(1).data<std::int64_t>();
    const T* factor = c.in(2).data<T>();
    T* gradient = c.out(0).mutable_data<T>();
    c.pool().parallel_for(n, rows_per_chunk(v), [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = begin; i < end; ++i) {
        const T* x = logits + i * v;
        T* dx = gradient + i * v;
        if (factor[i] == 0) {
          std::fill(dx, dx + v, T{0});
          continue;
        }
        const T top = lane_max<T>(v, [x](std::int64_t k) { return x[k]; });
        for (std::int64_t k = 0; k < v; ++k) dx[k] = vector_math::exp(x[k] - top);
        const T scale = factor[i] / lane_sum<T>(v, [dx](std::int64_t k) { return dx[k]; });
        for (std::int64_t k = 0; k < v; ++k) dx[k] *= scale;
        dx[label[i]] -= factor[i];
      }
    });
  });
}

ValueId second_cotangent(const VjpContext& c) { return c.node().outputs.size() > 1 ? c.cotangent(1) : kNoValue; }

// weights * dloss + d(row values), whichever of the two there are.
ValueId row_factors(VjpContext& c, ValueId weights) {
  GraphBuilder& b = c.builder();
  const ValueId scaled = c.cotangent(0) == kNoValue ? kNoValue : b.mul(weights, c.cotangent(0));
  const ValueId own = second_cotangent(c);
  if (scaled == kNoValue) return own;
  return own == kNoValue ? scaled : b.add(scaled, own);
}

// The row values (nll or divergence), computed again if the node does not name them.
ValueId row_values_of(VjpContext& c, std::string_view op) {
  if (c.node().outputs.size() > 1 && c.out(1) != kNoValue) return c.out(1);
  return c.builder().private_ops(op, c.node().inputs, {}, 2)[1];
}

void vjp_cross_entropy(VjpContext& c) {
  GraphBuilder& b = c.builder();
  if (c.wants(0)) c.give(0, b.private_op("CrossEntropyGrad", {c.in(0), c.in(1), row_factors(c, c.in(2))}));
  if (c.wants(2) && c.cotangent(0) != kNoValue) c.give(2, b.mul(row_values_of(c, "CrossEntropy"), c.cotangent(0)));
}

void infer_kl(InferContext& c) {
  require_inputs(c, 3);
  check_logits(c, 0, 2);
  require_same_dtype(c, 0, 1);
  if (!(c.shape(0) == c.shape(1)))
    throw user_error("both logits must have one shape, got {} and {}", c.shape(0).text(), c.shape(1).text());
  c.set(0, c.dtype(0), {});
  c.set(1, c.dtype(0), c.shape(2));
}

// sum_v p_v (log p_v - log q_v), given the log normalisers of both rows. A class that p excludes (log p = -inf) adds
// nothing.
template <class T>
T divergence(const T* p, const T* q, T log_p, T log_q, std::int64_t v) {
  return lane_sum<T>(v, [=](std::int64_t k) {
    const T probability = vector_math::exp(p[k] - log_p);
    const T term = probability * ((p[k] - log_p) - (q[k] - log_q));
    return probability > 0 ? term : T{0};
  });
}

void forward_kl(ForwardContext& c) {
  const std::int64_t n = c.in(0).shape()[0], v = c.in(0).shape()[1];
  Tensor values = row_values(c, n);
  visit_float(c.in(0).dtype(), [&]<class T>(T) {
    const T* p = c.in(0).data<T>();
    const T* q = c.in(1).data<T>();
    T* kl = values.mutable_data<T>();
    c.pool().parallel_for(n, rows_per_chunk(2 * v), [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = begin * v; i < end * v; i += v)
        kl[i / v] = divergence(p + i, q + i, log_sum_exp(p + i, v), log_sum_exp(q + i, v), v);
    });
    weighted_sum<T>(c, c.in(2), kl);
  });
}

// Inputs p_logits, q_logits, factors [N]; the gradient of p_logits (KlGradP) or of q_logits (KlGradQ).
template <bool kOfP>
void forward_kl_grad(ForwardContext& c) {
  const std::int64_t n = c.in(0).shape()[0], v = c.in(0).shape()[1];
  visit_float(c.in(0).dtype(), [&]<class T>(T) {
    const T* factor = c.in(2).data<T>();
    T* gradient = c.out(0).mutable_data<T>();
    c.pool().parallel_for(n, rows_per_chunk(3 * v), [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = begin; i < end; ++i) {
        const T* p = c.in(0).data<T>() + i * v;
        const T* q = c.in(1).data<T>() + i * v;
        T* d = gradient + i * v;
        const T log_p = log_sum_exp(p, v), log_q = log_sum_exp(q, v), w = factor[i];
        if constexpr (kOfP) {
          const T kl = divergence(p, q, log_p, log_q, v);
          for (std::int64_t k = 0; k < v; ++k) {
            const T probability = vector_math::exp(p[k] - log_p);
            const T value = w * probability * ((p[k] - log_p) - (q[k] - log_q) - kl);
            d[k] = probability > 0 ? value : T{0};
          }
        } else {
          for (std::int64_t k = 0; k < v; ++k)
            d[k] = w * (vector_math::exp(q[k] - log_q) - vector_math::exp(p[k] - log_p));
        }
      }
    });
  });
}

void vjp_kl(VjpContext& c) {
  GraphBuilder& b = c.builder();
  if (c.wants(0)) c.give(0, b.private_op("KlGradP", {c.in(0), c.in(1), row_factors(c, c.in(2))}));
  if (c.wants(1)) c.give(1, b.private_op("KlGradQ", {c.in(0), c.in(1), row_factors(c, c.in(2))}));
  if (c.wants(2) && c.cotangent(0) != kNoValue) c.give(2, b.mul(row_values_of(c, "KlDivergence"), c.cotangent(0)));
}

}  // namespace

std::vector<Op> cross_entropy_ops() {
  return {
      {.domain = "retune",
       .name = "CrossEntropy",
       .infer = infer_cross_entropy,
       .forward = forward_cross_entropy,
       .vjp = vjp_cross_entropy},
      {.domain = "retune",
       .name = "CrossEntropyGrad",
       .infer = infer_like_first,
       .forward = forward_cross_entropy_grad,
       .no_vjp = kIsGradient},
      {.domain = "retune", .name = "KlDivergence", .infer = infer_kl, .forward = forward_kl, .vjp = vjp_kl},
      {.domain = "retune",
       .name = "KlGradP",
       .infer = infer_like_first,
       .forward = forward_kl_grad<true>,
       .no_vjp = kIsGradient},
      {.domain = "retune",
       .name = "KlGradQ",
       .infer = infer_like_first,
       .forward = forward_kl_grad<false>,
       .no_vjp = kIsGradient},
  };
}

}  // namespace retune
