// Scaled dot-product attention as one private operator; canonicalize.h puts it where exporters spell it out.
//
//   Attention(q [B, H, S, D], k [B, Hkv, T, D], v [B, Hkv, T, E], mask?) -> y [B, H, S, E], lse [B, H, S]
//
//   s = scale q k^T + mask,  lse = log sum_t e^s,  p = e^(s - lse),  y = p v               (Vaswani et al. 2017)
//
// Attributes scale (1 / sqrt(D)) and softcap: c > 0 bends the scores to c tanh(s / c) before the mask is added (Gemma
// Team 2024). mask broadcasts to [B, H, S, T]. Query head h reads key head floor(h / (H / Hkv)). A row that is masked
// everywhere
// (-inf) gives zeros. Scores exist for one block of rows of one head at a time; the gradient
//
//   AttentionGrad(q, k, v, lse, g, mask?) -> dq, dk, dv
//   dp = g v^T,  ds = p (dp - sum p dp),  dq = scale ds k,  dk = scale ds^T q,  dv = p^T g
//
// computes them again from lse (Dao et al. 2022, algorithm 4); with a softcap ds gets 1 - tanh^2(s / c). dk and dv add
// the query heads of their group in order. The mask has no gradient.
#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <memory>

#include "graph/graph_builder.h"
#include "graph/matrix_product.h"
#include "graph/ops/families.h"
#include "graph/ops/kernel.h"
#include "graph/ops/lanes.h"
#include "graph/ops/vector_math.h"

namespace retune {

namespace {

struct Geometry {
  std::int64_t batch = 0, heads = 0, key_heads = 0, queries = 0, keys = 0, d = 0, e = 0;
  std::int64_t group() const { return heads / key_heads; }
  // Rows of scores that exist at a time: what fits the second-level cache.
  std::int64_t rows() const { return std::clamp<std::int64_t>(65536 / std::max<std::int64_t>(keys, 1), 16, 128); }
};

Geometry geometry_of(const Shape& q, const Shape& k, const Shape& v) {
  if (q.rank() != 4 || k.rank() != 4 || v.rank() != 4)
    throw user_error("q, k and v must be [B, heads, positions, width], got {}, {} and {}", q.text(), k.text(),
                     v.text());
  const Geometry s{
      .batch = q[0], .heads = q[1], .key_heads = k[1], .queries = q[2], .keys = k[2], .d = q[3], .e = v[3]};
  if (k[0] != s.batch || v[0] != s.batch || v[1] != s.key_heads || v[2] != s.keys || k[3] != s.d || s.key_heads == 0 ||
      s.heads % s.key_heads != 0)
    throw user_error("q {}, k {} and v {} do not fit each other", q.text(), k.text(), v.text());
  return s;
}

// Where the mask of (batch, head, query, key) is; undefined masks have no values.
template <class T>
struct Mask {
  const T* values = nullptr;
  std::array<std::int64_t, 4> steps{};

  void add_to(T* scores, std::int64_t batch, std::int64_t head, std::int64_t query, std::int64_t keys) const {
    if (values == nullptr) return;
    const T* row = values + batch * steps[0] + head * steps[1] + query * steps[2];
    if (steps[3] == 0) {
      for (std::int64_t i = 0; i < keys; ++i) scores[i] += row[0];
    } else {
      for (std::int64_t i = 0; i < keys; ++i) scores[i] += row[i];
    }
  }
};

template <class T>
Mask<T> mask_of(const Tensor& tensor) {
  Mask<T> mask{.values = tensor.data<T>()};
  const std::vector<std::int64_t> strides = tensor.shape().strides();
  for (int axis = 0; axis < tensor.shape().rank(); ++axis)
    if (tensor.shape()[axis] != 1)
      mask.steps[static_cast<std::size_t>(4 - tensor.shape().rank() + axis)] = strides[static_cast<std::size_t>(axis)];
  return mask;
}

void check_mask(const InferContext& c, int input, const Geometry& s) {
  const Shape full{s.batch, s.heads, s.queries, s.keys};
  require_same_dtype(c, 0, input);
  if (c.shape(input).rank() > 4 || !(broadcast(c.shape(input), full) == full))
    throw user_error("a mask of shape {} does not broadcast to {}", c.shape(input).text(), full.text());
}

void infer_attention(InferContext& c) {
  require_inputs(c, 3);
  require_float(c, 0);
  require_same_dtype(c, 0, 1);
  require_same_dtype(c, 0, 2);
  const Geometry s = geometry_of(c.shape(0), c.shape(1), c.shape(2));
  if (c.has(3)) check_mask(c, 3, s);
  c.set(0, c.dtype(0), {s.batch, s.heads, s.queries, s.e});
  c.set(1, c.dtype(0) == DType::kF64 ? DType::kF64 : DType::kF32, {s.batch, s.heads, s.queries});
}

struct Rule {
  double scale = 1, softcap = 0;
};

// The default scale is that of the paper.
Rule rule_of(const Attributes& attributes, const Geometry& s) {
  return {attributes.f("scale", 1.0 / std::sqrt(static_cast<double>(std::max<std::int64_t>(s.d, 1)))),
          attributes.f("softcap", 0)};
}

// A row of scores becomes e^(s - max s); gives log sum e^s and, in `sum`, the sum of what is left in the row.
template <class T>
T exponentiate(T* row, std::int64_t n, T& sum) {
  const T top = lane_max<T>(n, [row](std::int64_t i) { return row[i]; });
  if (top == -std::numeric_limits<T>::infinity()) {
    std::fill(row, row + n, T{0});
    sum = 1;  // the row of y is then zero
    return top;
  }
  for (std::int64_t i = 0; i < n; ++i) row[i] = vector_math::exp(row[i] - top);
  sum = lane_sum<T>(n, [row](std::int64_t i) { return row[i]; });
  return top + std::log(sum);
}

// One head of one row of the batch.
template <class T>
struct Head {
  std::int64_t batch = 0, head = 0;
  const T* q = nullptr;
  const T* k = nullptr;
  const T* v = nullptr;
};

template <class T>
Head<T> head_of(ForwardContext& c, const Geometry& s, std::int64_t index) {
  const std::int64_t batch = index / s.heads, head = index % s.heads, source = batch * s.key_heads + head / s.group();
  return {batch, head, c.in(0).data<T>() + index * s.queries * s.d, c.in(1).data<T>() + source * s.keys * s.d,
          c.in(2).data<T>() + source * s.keys * s.e};
}

// scores [count, keys] of the queries [begin, begin + count), mask included. With a softcap, `slopes` (if not null) are
// what it multiplies gradients by.
template <class T>
void score_rows(ThreadPool& pool, const Geometry& s, const Head<T>& head, const Mask<T>& mask, const Rule& rule,
                std::int64_t begin, std::int64_t count, T* scores, T* slopes) {
  matrix_product(pool, {.m = count, .n = s.keys, .k = s.d, .transpose_b = true, .alpha = rule.scale},
                 head.q + begin * s.d, head.k, scores);
  if (rule.softcap > 0) {
    const T cap = static_cast<T>(rule.softcap);
    for (std::int64_t i = 0; i < count * s.keys; ++i) {
      const T bent = vector_math::tanh(scores[i] / cap);
      scores[i] = cap * bent;
      if (slopes != nullptr) slopes[i] = T{1} - bent * bent;
    }
  }
  for (std::int64_t i = 0; i < count; ++i) mask.add_to(scores + i * s.keys, head.batch, head.head, begin + i, s.keys);
}

void forward_attention(ForwardContext& c) {
  const Geometry s = geometry_of(c.in(0).shape(), c.in(1).shape(), c.in(2).shape());
  const Rule rule = rule_of(c.attributes(), s);
  const std::int64_t rows = s.rows(), blocks = (s.queries + rows - 1) / rows;
  visit_float(c.in(0).dtype(), [&]<class T>(T) {
    const Mask<T> mask = c.has(3) ? mask_of<T>(c.in(3)) : Mask<T>{};
    T* y = c.out(0).mutable_data<T>();
    T* lse = c.wants(1) ? c.out(1).mutable_data<T>() : nullptr;
    c.pool().parallel_for(s.batch * s.heads * blocks, 1, [&](std::int64_t item, std::int64_t) {
      const std::int64_t index = item / blocks, begin = item % blocks * rows, count = std::min(rows, s.queries - begin);
      const Head<T> head = head_of<T>(c, s, index);
      const auto scores = std::make_unique_for_overwrite<T[]>(static_cast<std::size_t>(count * s.keys));
      std::array<T, 128> sums;
      score_rows<T>(c.pool(), s, head, mask, rule, begin, count, scores.get(), nullptr);
      for (std::int64_t i = 0; i < count; ++i) {
        const T log_sum = exponentiate(scores.get() + i * s.keys, s.keys, sums[static_cast<std::size_t>(i)]);
        if (lse != nullptr) lse[index * s.queries + begin + i] = log_sum;
      }
      T* out = y + (index * s.queries + begin) * s.e;
      matrix_product(c.pool(), {.m = count, .n = s.e, .k = s.keys}, scores.get(), head.v, out);
      // Dividing E values a row is less work than dividing its scores.
      for (std::int64_t i = 0; i < count; ++i)
        for (std::int64_t j = 0; j < s.e; ++j) out[i * s.e + j] /= sums[static_cast<std::size_t>(i)];
    });
  });
}

void infer_attention_grad(InferContext& c) {
  for (int i = 0; i < 3; ++i) c.set(i, c.dtype(i), c.shape(i));
}

// Scratch and destinations of one key head.
template <class T>
struct HeadGradient {
  T* p = nullptr;       // [rows, keys]
  T* ds = nullptr;      // [rows, keys]
  T* slopes = nullptr;  // [rows, keys], with a softcap
  T* dq = nullptr;      // [queries, D]
  T* dk = nullptr;      // [keys, D]
  T* dv = nullptr;      // [keys, E]
};

template <class T>
void head_gradient(ThreadPool& pool, const Geometry& s, const Head<T>& head, const Mask<T>& mask, const Rule& rule,
                   const T* lse, const T* g, const HeadGradient<T>& to) {
  const std::int64_t rows = s.rows();
  for (std::int64_t begin = 0; begin < s.queries; begin += rows) {
    const std::int64_t count = std::min(rows, s.queries - begin);
    const T* own = g + begin * s.e;
    score_rows(pool, s, head, mask, rule, begin, count, to.p, to.slopes);
    matrix_product(pool, {.m = count, .n = s.keys, .k = s.e, .transpose_b = true}, own, head.v, to.ds);
    for (std::int64_t i = 0; i < count; ++i) {
      T* p = to.p + i * s.keys;
      T* ds = to.ds + i * s.keys;
      const T log_sum = lse[begin + i];
      if (log_sum == -std::numeric_limits<T>::infinity()) {
        std::fill(p, p + s.keys, T{0});
        std::fill(ds, ds + s.keys, T{0});
        continue;
      }
      for (std::int64_t k = 0; k < s.keys; ++k) p[k] = vector_math::exp(p[k] - log_sum);
      const T dot = lane_sum<T>(s.keys, [p, ds](std::int64_t k) { return p[k] * ds[k]; });
      for (std::int64_t k = 0; k < s.keys; ++k) ds[k] = p[k] * (ds[k] - dot);
      if (to.slopes != nullptr)
        for (std::int64_t k = 0; k < s.keys; ++k) ds[k] *= to.slopes[i * s.keys + k];
    }
    matrix_product(pool, {.m = count, .n = s.d, .k = s.keys, .alpha = rule.scale}, to.ds, head.k, to.dq + begin * s.d);
    matrix_product(pool, {.m = s.keys, .n = s.d, .k = count, .transpose_a = true, .alpha = rule.scale, .beta = 1},
                   to.ds, head.q + begin * s.d, to.dk);
    matrix_product(pool, {.m = s.keys, .n = s.e, .k = count, .transpose_a = true, .beta = 1}, to.p, own, to.dv);
  }
}

void forward_attention_grad(ForwardContext& c) {
  const Geometry s = geometry_of(c.in(0).shape(), c.in(1).shape(), c.in(2).shape());
  const Rule rule = rule_of(c.attributes(), s);
  visit_float(c.in(0).dtype(), [&]<class T>(T) {
    const Mask<T> mask = c.has(5) ? mask_of<T>(c.in(5)) : Mask<T>{};
    const T* lse = c.in(3).data<T>();
    const T* g = c.in(4).data<T>();
    T* dq = c.out(0).mutable_data<T>();
    T* dk = c.out(1).mutable_data<T>();
    T* dv = c.out(2).mutable_data<T>();
    // A task owns a key head with all query heads that read it.
    c.pool().parallel_for(s.batch * s.key_heads, 1, [&](std::int64_t item, std::int64_t) {
      const auto elements = static_cast<std::size_t>(std::min(s.rows(), s.queries) * s.keys);
      const auto p = std::make_unique_for_overwrite<T[]>(elements), ds = std::make_unique_for_overwrite<T[]>(elements);
      const auto slopes = rule.softcap > 0 ? std::make_unique_for_overwrite<T[]>(elements) : nullptr;
      HeadGradient<T> to{.p = p.get(), .ds = ds.get(), .slopes = slopes.get()};
      to.dk = dk + item * s.keys * s.d;
      to.dv = dv + item * s.keys * s.e;
      std::fill(to.dk, to.dk + s.keys * s.d, T{0});
      std::fill(to.dv, to.dv + s.keys * s.e, T{0});
      for (std::int64_t index = item * s.group(); index < (item + 1) * s.group(); ++index) {
        to.dq = dq + index * s.queries * s.d;
        head_gradient(c.pool(), s, head_of<T>(c, s, index), mask, rule, lse + index * s.queries,
                      g + index * s.queries * s.e, to);
      }
    });
  });
}

void vjp_attention(VjpContext& c) {
  if (c.wants(3)) throw user_error("the mask of an attention has no gradient");
  const bool names_lse = c.node().outputs.size() > 1 && c.out(1) != kNoValue;
  if (names_lse && c.cotangent(1) != kNoValue) throw user_error("the log-sum-exp of an attention has no gradient");
  GraphBuilder& b = c.builder();
  const ValueId lse = names_lse ? c.out(1) : b.private_ops("Attention", c.node().inputs, c.attributes(), 2)[1];
  std::vector<ValueId> inputs{c.in(0), c.in(1), c.in(2), lse, c.cotangent(0)};
  if (c.has(3)) inputs.push_back(c.in(3));
  const std::vector<ValueId> gradients = b.private_ops("AttentionGrad", std::move(inputs), c.attributes(), 3);
  for (int i = 0; i < 3; ++i)
    if (c.wants(i)) c.give(i, gradients[static_cast<std::size_t>(i)]);
}

}  // namespace

std::vector<Op> attention_ops() {
  return {
      {.domain = "retune",
       .name = "Attention",
       .infer = infer_attention,
       .forward = forward_attention,
       .vjp = vjp_attention},
      {.domain = "retune",
       .name = "AttentionGrad",
       .infer = infer_attention_grad,
       .forward = forward_attention_grad,
       .no_vjp = kIsGradient},
  };
}

}  // namespace retune
