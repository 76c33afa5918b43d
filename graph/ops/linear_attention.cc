// Sequence mixers with a state instead of a cache, of ONNX 27 and com.microsoft: LinearAttention and
// CausalConvWithState.
//
//   LinearAttention      q [B, T, Hq dk], k [B, T, H dk], v [B, T, H dv], past_state? [B, H, dk, dv], decay? [B, T, H]
//   or
//                        [B, T, H dk], beta? [B, T, H or 1]  ->  y [B, T, Hq dv], present_state
//
//     S_t = diag(e^decay_t) S_{t-1} + k_t u_t^T,   u_t = v_t, or with the delta rule beta_t (v_t - S^T k_t) of the
//     decayed S;   y_t = scale S_t^T q_t, Hq / H query heads reading one state
//     (Yang et al. 2024, arXiv:2412.06464; Katharopoulos et al. 2020, arXiv:2006.16236)
//
//   CausalConvWithState  x [B, C, L], weight [C, 1, K], bias? [C], past_state? [B, C, K - 1]: a depthwise convolution
//   of
//                        past_state and x, with SiLU where asked; the last K - 1 columns are the present state
//
// Both are bodies; the recurrence is the private operator LinearAttention (heads apart, decay and beta for each), whose
// gradient runs it again, keeps the states of one head, and walks back:
//
//   dq = scale S dy,  dS += scale q dy^T,  dk = dS u + S' dr,  du = dS^T k,  dv = beta du,  dr = -beta du,
//   dS' = dS + k dr^T,  ddecay_i = sum_j dS'_ij S'_ij,  dS_{t-1} = diag(e^decay) dS'      with S' the decayed state
#include <algorithm>
#include <cmath>

#include "graph/ops/body.h"
#include "graph/ops/families.h"
#include "graph/ops/kernel.h"

namespace retune {

namespace {

// Of the private operator: q [B, T, Hq, dk], k [B, T, H, dk], v [B, T, H, dv], past [B, H, dk, dv], decay? like k,
// beta? [B, T, H].
struct Heads {
  std::int64_t batch, steps, queries, heads, keys, values;
  double scale;

  std::int64_t group() const { return queries / heads; }
  std::int64_t state() const { return keys * values; }
};

Heads heads_of(const Attributes& a, const Shape& q, const Shape& v) {
  return {q[0], q[1], q[2], v[2], q[3], v[3], a.f("scale", 1)};
}

template <class T>
struct Inputs {
  const T *q, *k, *v, *past, *decay, *beta;
};

template <class T>
Inputs<T> inputs_of(const ForwardContext& c) {
  const auto at = [&](int i) { return c.has(i) ? c.in(i).data<T>() : nullptr; };
  return {at(0), at(1), at(2), at(3), at(4), at(5)};
}

// One step of one head: `state` becomes the decayed one, then u is written into it. `decayed`, if there is one, keeps a
// copy from in between.
template <class T>
void advance(const Heads& s, const Inputs<T>& in, std::int64_t row, T* state, T* u, T* decayed) {
  const T *k = in.k + row * s.keys, *v = in.v + row * s.values;
  if (in.decay != nullptr)
    for (std::int64_t i = 0; i < s.keys; ++i) {
      const T factor = std::exp(in.decay[row * s.keys + i]);
      for (std::int64_t j = 0; j < s.values; ++j) state[i * s.values + j] *= factor;
    }
  if (decayed != nullptr) std::copy_n(state, s.state(), decayed);
  std::copy_n(v, s.values, u);
  if (in.beta != nullptr) {
    for (std::int64_t i = 0; i < s.keys; ++i)
      for (std::int64_t j = 0; j < s.values; ++j) u[j] -= k[i] * state[i * s.values + j];
    for (std::int64_t j = 0; j < s.values; ++j) u[j] *= in.beta[row];
  }
  for (std::int64_t i = 0; i < s.keys; ++i)
    for (std::int64_t j = 0; j < s.values; ++j) state[i * s.values + j] += k[i] * u[j];
}

void infer_linear_attention(InferContext& c) {
  const Heads s = heads_of(c.attributes(), c.shape(0), c.shape(2));
  c.set(0, c.dtype(0), {s.batch, s.steps, s.queries, s.values});
  c.set(1, c.dtype(0), {s.batch, s.heads, s.keys, s.values});
}

void linear_attention_forward(ForwardContext& c) {
  const Heads s = heads_of(c.attributes(), c.in(0).shape(), c.in(2).shape());
  visit_float(c.in(0).dtype(), [&]<class T>(T) {
    const Inputs<T> in = inputs_of<T>(c);
    T *y = c.out(0).mutable_data<T>(), *states = c.out(1).mutable_data<T>();
    c.pool().parallel_for(s.batch * s.heads, 1, [&](std::int64_t head, std::int64_t) {
      T* state = states + head * s.state();
      std::copy_n(in.past + head * s.state(), s.state(), state);
      std::vector<T> u(static_cast<std::size_t>(s.values));
      for (std::int64_t t = 0; t < s.steps; ++t) {
        const std::int64_t row = (head / s.heads * s.steps + t) * s.heads + head % s.heads;
        advance<T>(s, in, row, state, u.data(), nullptr);
        for (std::int64_t query = row * s.group(); query < (row + 1) * s.group(); ++query) {
          T* to = y + query * s.values;
          std::fill(to, to + s.values, T{0});
          for (std::int64_t i = 0; i < s.keys; ++i) {
            const T factor = static_cast<T>(s.scale) * in.q[query * s.keys + i];
            for (std::int64_t j = 0; j < s.values; ++j) to[j] += factor * state[i * s.values + j];
          }
        }
      }
    });
  });
}

// Gradients by the private operator's inputs; where there is no decay or beta, null.
template <class T>
struct Gradients {
  T *q, *k, *v, *past, *decay, *beta;
};

// Walks one step back. `state` is what was read at this step, `decayed` what stood before the write, dstate the
// gradient of `state`, which becomes that of the state one step earlier.
template <class T>
void retreat(const Heads& s, const Inputs<T>& in, const Gradients<T>& d, std::int64_t row, const T* state,
             const T* decayed, const T* u, const T* dy, T* dstate) {
  const T *k = in.k + row * s.keys, *v = in.v + row * s.values;
  for (std::int64_t query = row * s.group(); query < (row + 1) * s.group(); ++query)
    for (std::int64_t i = 0; i < s.keys; ++i) {
      T sum{0};
      const T factor = static_cast<T>(s.scale) * in.q[query * s.keys + i];
      for (std::int64_t j = 0; j < s.values; ++j) {
        sum += state[i * s.values + j] * dy[query * s.values + j];
        dstate[i * s.values + j] += factor * dy[query * s.values + j];
      }
      d.q[query * s.keys + i] = static_cast<T>(s.scale) * sum;
    }
  std::vector<T> du(static_cast<std::size_t>(s.values), T{0}), dr(du);
  for (std::int64_t i = 0; i < s.keys; ++i) {
    T sum{0};
    for (std::int64_t j = 0; j < s.values; ++j) {
      sum += dstate[i * s.values + j] * u[j];
      du[static_cast<std::size_t>(j)] += dstate[i * s.values + j] * k[i];
    }
    d.k[row * s.keys + i] = sum;
  }
  const T beta = in.beta == nullptr ? T{1} : in.beta[row];
  T dbeta{0};
  for (std::int64_t j = 0; j < s.values; ++j) {
    d.v[row * s.values + j] = beta * du[static_cast<std::size_t>(j)];
    if (in.beta == nullptr) continue;
    T recalled{0};
    for (std::int64_t i = 0; i < s.keys; ++i) recalled += decayed[i * s.values + j] * k[i];
    dbeta += du[static_cast<std::size_t>(j)] * (v[j] - recalled);
    dr[static_cast<std::size_t>(j)] = -beta * du[static_cast<std::size_t>(j)];
  }
  if (in.beta != nullptr) {
    d.beta[row] = dbeta;
    for (std::int64_t i = 0; i < s.keys; ++i)
      for (std::int64_t j = 0; j < s.values; ++j) {
        d.k[row * s.keys + i] += decayed[i * s.values + j] * dr[static_cast<std::size_t>(j)];
        dstate[i * s.values + j] += k[i] * dr[static_cast<std::size_t>(j)];
      }
  }
  if (in.decay == nullptr) return;
  for (std::int64_t i = 0; i < s.keys; ++i) {
    T sum{0};
    const T factor = std::exp(in.decay[row * s.keys + i]);
    for (std::int64_t j = 0; j < s.values; ++j) {
      sum += dstate[i * s.values + j] * decayed[i * s.values + j];
      dstate[i * s.values + j] *= factor;
    }
    d.decay[row * s.keys + i] = sum;
  }
}

// Inputs those of LinearAttention, then dy and dstate; outputs the gradients of the first six.
void infer_linear_attention_grad(InferContext& c) {
  for (int i = 0; i < 6; ++i)
    if (c.has(i))
      c.set(i, c.dtype(i), c.shape(i));
    else
      c.set(i, c.dtype(0), {0});
}

void linear_attention_grad_forward(ForwardContext& c) {
  const Heads s = heads_of(c.attributes(), c.in(0).shape(), c.in(2).shape());
  visit_float(c.in(0).dtype(), [&]<class T>(T) {
    const Inputs<T> in = inputs_of<T>(c);
    const auto out = [&](int i) { return c.out(i).template mutable_data<T>(); };
    const Gradients<T> d{out(0), out(1), out(2), out(3), out(4), out(5)};
    const T* dy = c.in(6).data<T>();
    c.pool().parallel_for(s.batch * s.heads, 1, [&](std::int64_t head, std::int64_t) {
      const auto steps = static_cast<std::size_t>(s.steps), size = static_cast<std::size_t>(s.state());
      std::vector<T> states(steps * size), decayed(steps * size), u(steps * static_cast<std::size_t>(s.values)),
          state(in.past + head * s.state(), in.past + (head + 1) * s.state());
      const auto row = [&](std::int64_t t) { return (head / s.heads * s.steps + t) * s.heads + head % s.heads; };
      for (std::int64_t t = 0; t < s.steps; ++t) {
        advance(s, in, row(t), state.data(), u.data() + t * s.values, decayed.data() + t * s.state());
        std::copy(state.begin(), state.end(), states.begin() + t * s.state());
      }
      T* dstate = d.past + head * s.state();
      std::copy_n(c.in(7).data<T>() + head * s.state(), s.state(), dstate);
      for (std::int64_t t = s.steps; t-- > 0;)
        retreat<T>(s, in, d, row(t), states.data() + t * s.state(), decayed.data() + t * s.state(),
                   u.data() + t * s.values, dy, dstate);
    });
  });
}

void linear_attention_vjp(VjpContext& c) {
  GraphBuilder& b = c.builder();
  std::vector<ValueId> inputs;
  for (int i = 0; i < 6; ++i) inputs.push_back(c.has(i) ? c.in(i) : kNoValue);
  for (int i = 0; i < 2; ++i) inputs.push_back(c.cotangent(i) == kNoValue ? b.zeros_like(c.out(i)) : c.cotangent(i));
  const auto gradients = b.private_ops("LinearAttentionGrad", inputs, c.attributes(), 6);
  for (int i = 0; i < 6; ++i)
    if (c.wants(i)) c.give(i, gradients[static_cast<std::size_t>(i)]);
}

// [B, T, H D] as [B, T, H, D].
ValueId by_heads(Body& body, ValueId x, std::int64_t heads, const char* name) {
  const Shape shape = body.shape(x);
  if (shape.rank() != 3 || shape[2] % heads != 0)
    throw user_error("{} is {}, expected [B, T, {} heads times their width]", name, shape.text(), heads);
  return body.builder().reshape(x, {shape[0], shape[1], heads, shape[2] / heads});
}

ValueId expanded(GraphBuilder& b, ValueId x, const Shape& shape) {
  return b.shape(x) == shape ? x : b.op("Expand", {x, b.ints(shape.extents())});
}

Graph linear_attention_body(const InferContext& c) {
  require_inputs(c, 3);
  require_float(c, 0);
  const Attributes& a = c.attributes();
  const std::int64_t queries = a.i("q_num_heads", 0), heads = a.i("kv_num_heads", 0);
  const std::string rule = a.s("update_rule", "gated_delta");
  const bool gated = rule == "gated" || rule == "gated_delta", delta = rule == "delta" || rule == "gated_delta";
  if (!gated && !delta && rule != "linear") throw user_error("update_rule '{}' is unknown", rule);
  if (queries < 1 || heads < 1 || queries % heads != 0)
    throw user_error("{} query heads do not share {} key heads evenly", queries, heads);
  if (c.has(4) != gated || c.has(5) != delta)
    throw user_error("update_rule '{}' {} decay and {} beta", rule, gated ? "needs" : "forbids",
                     delta ? "needs" : "forbids");
  Body body(c);
  GraphBuilder& b = body.builder();
  const DType dtype = c.dtype(0);
  const ValueId q = by_heads(body, body.in(0), queries, "query"), k = by_heads(body, body.in(1), heads, "key"),
                v = by_heads(body, body.in(2), heads, "value");
  const Shape keys = body.shape(k), values = body.shape(v);
  if (body.shape(q)[3] != keys[3] || keys[0] != values[0] || keys[1] != values[1] || body.shape(q)[0] != keys[0] ||
      body.shape(q)[1] != keys[1])
    throw user_error("query {}, key {} and value {} do not fit", c.shape(0).text(), c.shape(1).text(),
                     c.shape(2).text());
  const Shape states{keys[0], heads, keys[3], values[3]};
  if (c.has(3) && !(c.shape(3) == states))
    throw user_error("past_state is {}, expected {}", c.shape(3).text(), states.text());
  std::vector<ValueId> inputs{q, k, v};
  inputs.push_back(c.has(3) ? b.cast(body.in(3), dtype) : b.constant(Tensor::zeros(dtype, states)));
  inputs.push_back(gated ? expanded(b, by_heads(body, b.cast(body.in(4), dtype), heads, "decay"), keys) : kNoValue);
  inputs.push_back(delta ? expanded(b, b.cast(body.in(5), dtype), {keys[0], keys[1], heads}) : kNoValue);
  const double scale = a.f("scale", 0);
  const auto made = b.private_ops("LinearAttention", inputs,
                                  {{"scale", scale == 0 ? 1 / std::sqrt(static_cast<double>(keys[3])) : scale}}, 2);
  const ValueId y = b.reshape(made[0], {keys[0], keys[1], queries * values[3]});
  return body.finish({y, b.cast(made[1], c.has(3) ? c.dtype(3) : dtype)});
}

Graph causal_conv_body(const InferContext& c) {
  require_inputs(c, 2);
  require_float(c, 0);
  const Shape x = c.shape(0), weight = c.shape(1);
  if (x.rank() != 3 || !(weight.rank() == 3 && weight[0] == x[1] && weight[1] == 1 && weight[2] > 0))
    throw user_error("input {} and weight {} must be [B, C, L] and [C, 1, K]", x.text(), weight.text());
  const Shape states{x[0], x[1], weight[2] - 1};
  if (c.has(3) && !(c.shape(3) == states))
    throw user_error("past_state is {}, expected {}", c.shape(3).text(), states.text());
  const std::string activation = c.attributes().s("activation", "none");
  if (activation != "none" && activation != "silu" && activation != "swish")
    throw user_error("activation is '{}', expected none, silu or swish", activation);
  Body body(c);
  GraphBuilder& b = body.builder();
  const ValueId past = c.has(3) ? b.cast(body.in(3), c.dtype(0)) : b.constant(Tensor::zeros(c.dtype(0), states));
  const ValueId all = b.op("Concat", {past, body.in(0)}, {{"axis", std::int64_t{2}}});
  std::vector<ValueId> inputs{all, body.in(1)};
  if (c.has(2)) inputs.push_back(body.in(2));
  ValueId y = b.op("Conv", inputs, {{"group", x[1]}});
  if (activation != "none") y = b.ops("com.microsoft", "QuickGelu", {y}, {{"alpha", 1.0}}, {""})[0];
  const ValueId present = b.op("Slice", {all, b.ints({x[2]}), b.ints({x[2] + states[2]}), b.ints({2})});
  return body.finish({y, b.cast(present, c.has(3) ? c.dtype(3) : c.dtype(0))});
}

}  // namespace

std::vector<Op> linear_attention_ops() {
  std::vector<Op> ops{{.domain = "retune",
                       .name = "LinearAttention",
                       .infer = infer_linear_attention,
                       .forward = linear_attention_forward,
                       .vjp = linear_attention_vjp},
                      {.domain = "retune",
                       .name = "LinearAttentionGrad",
                       .infer = infer_linear_attention_grad,
                       .forward = linear_attention_grad_forward,
                       .no_vjp = kIsGradient}};
  for (const bool microsoft : {false, true}) {
    const char* domain = microsoft ? "com.microsoft" : "";
    const int since = microsoft ? 1 : 27;
    ops.push_back({.domain = domain, .name = "LinearAttention", .since = since, .body = linear_attention_body});
    ops.push_back({.domain = domain, .name = "CausalConvWithState", .since = since, .body = causal_conv_body});
  }
  return ops;
}

}  // namespace retune
