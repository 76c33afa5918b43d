// RNN, GRU and LSTM (1, 3, 7, 14, 22): forward, in one or both directions, with all of their attributes.
//
//   X [T, B, I], W [D, G H, I], R [D, G H, H], B? [D, 2 G H], sequence_lens? [B], initial_h? [D, B, H], and for LSTM
//   initial_c? [D, B, H], P? [D, 3 H]  ->  Y [T, D, B, H], Y_h [D, B, H], for LSTM Y_c [D, B, H]
//
// with G gates and D directions; layout 1 puts the batch first in X, Y and the states. Rows behind a sequence's own
// length are 0 in Y, and its last state is that of its last row; a reversed direction starts there.
//
//   RNN    h' = f(x W + h R + b)
//   GRU    z, r = f(x W + h R + b);  n = g(x Wn + (r h) Rn + b), or with linear_before_reset g(x Wn + r (h Rn + b) + b)
//          h' = (1 - z) n + z h                                          Cho et al. 2014, arXiv:1406.1078
//   LSTM   i, o, f = f(x W + h R + p c + b), o with the new c;  n = g(x Wn + h Rn + b);  c' = f c + i n;  h' = o h(c')
//          with input_forget f = 1 - i                                   Hochreiter and Schmidhuber 1997; Gers 2000
//
// `clip` bounds what goes into the gates' activations. x W is one product over all steps; each step adds one of h.
#include <algorithm>
#include <array>
#include <cmath>
#include <string>

#include "graph/matrix_product.h"
#include "graph/ops/families.h"
#include "graph/ops/kernel.h"
#include "graph/ops/vector_math.h"

namespace retune {

namespace {

enum class Cell { kRnn, kGru, kLstm };

std::int64_t gates_of(Cell cell) { return cell == Cell::kRnn ? 1 : cell == Cell::kGru ? 3 : 4; }

struct Activation {
  std::string name;  // in lower case
  double alpha = 0, beta = 0;

  template <class T>
  T operator()(T x) const {
    const auto a = static_cast<T>(alpha), b = static_cast<T>(beta);
    if (name == "sigmoid") return vector_math::sigmoid(x);
    if (name == "tanh") return vector_math::tanh(x);
    if (name == "relu") return std::max(x, T{0});
    if (name == "affine") return a * x + b;
    if (name == "leakyrelu") return x < T{0} ? a * x : x;
    if (name == "thresholdedrelu") return x > a ? x : T{0};
    if (name == "scaledtanh") return a * vector_math::tanh(b * x);
    if (name == "hardsigmoid") return std::clamp(a * x + b, T{0}, T{1});
    if (name == "elu") return x < T{0} ? a * std::expm1(x) : x;
    if (name == "softsign") return x / (T{1} + std::fabs(x));
    return std::max(x, T{0}) + std::log1p(vector_math::exp(-std::fabs(x)));  // softplus
  }
  // The same for a row, so that the function is chosen once.
  template <class T>
  void over(T* x, std::int64_t count, double clip) const {
    if (clip > 0)
      for (std::int64_t i = 0; i < count; ++i) x[i] = std::clamp(x[i], static_cast<T>(-clip), static_cast<T>(clip));
    if (name == "sigmoid") {
      for (std::int64_t i = 0; i < count; ++i) x[i] = vector_math::sigmoid(x[i]);
    } else if (name == "tanh") {
      for (std::int64_t i = 0; i < count; ++i) x[i] = vector_math::tanh(x[i]);
    } else {
      for (std::int64_t i = 0; i < count; ++i) x[i] = (*this)(x[i]);
    }
  }
};

// What each activation's parameters are if the node does not say, and whether it has them.
struct ActivationDefault {
  const char* name;
  bool has_alpha, has_beta;
  double alpha, beta;
};
constexpr std::array<ActivationDefault, 11> kActivations{{{"relu", false, false, 0, 0},
                                                          {"tanh", false, false, 0, 0},
                                                          {"sigmoid", false, false, 0, 0},
                                                          {"affine", true, true, 1, 0},
                                                          {"leakyrelu", true, false, 0.01, 0},
                                                          {"thresholdedrelu", true, false, 1, 0},
                                                          {"scaledtanh", true, true, 1, 1},
                                                          {"hardsigmoid", true, true, 0.2, 0.5},
                                                          {"elu", true, false, 1, 0},
                                                          {"softsign", false, false, 0, 0},
                                                          {"softplus", false, false, 0, 0}}};

std::string lower_case(std::string text) {
  for (char& letter : text)
    if (letter >= 'A' && letter <= 'Z') letter = static_cast<char>(letter - 'A' + 'a');
  return text;
}

struct Recurrence {
  Cell cell = Cell::kRnn;
  std::int64_t steps = 0, batch = 0, width = 0, hidden = 0, directions = 1;
  bool reversed_first = false;  // of the single direction
  bool batch_first = false, linear_before_reset = false, input_forget = false;
  double clip = 0;
  std::vector<Activation> activations;  // per direction: f; f, g; f, g, h

  std::int64_t gates() const { return gates_of(cell) * hidden; }
  std::int64_t row(std::int64_t t, std::int64_t b) const { return batch_first ? b * steps + t : t * batch + b; }
  std::int64_t y_at(std::int64_t t, std::int64_t d, std::int64_t b) const {
    return (batch_first ? (b * steps + t) * directions + d : (t * directions + d) * batch + b) * hidden;
  }
  std::int64_t state_at(std::int64_t d, std::int64_t b) const {
    return (batch_first ? b * directions + d : d * batch + b) * hidden;
  }
  bool is_reversed(std::int64_t d) const { return d == 1 || reversed_first; }
  const Activation& activation(std::int64_t d, std::size_t which) const {
    return activations[static_cast<std::size_t>(d) * activations.size() / static_cast<std::size_t>(directions) + which];
  }
  Shape state_shape() const {
    return batch_first ? Shape{batch, directions, hidden} : Shape{directions, batch, hidden};
  }
};

std::vector<Activation> read_activations(const Attributes& attributes, Cell cell, std::int64_t directions) {
  const std::vector<std::string> each = cell == Cell::kRnn   ? std::vector<std::string>{"tanh"}
                                        : cell == Cell::kGru ? std::vector<std::string>{"sigmoid", "tanh"}
                                                             : std::vector<std::string>{"sigmoid", "tanh", "tanh"};
  std::vector<std::string> names;
  if (const auto found = attributes.items().find("activations"); found != attributes.items().end()) {
    const auto* given = std::get_if<std::vector<std::string>>(&found->second);
    if (given == nullptr) throw user_error("attribute activations must be a list of names");
    names = *given;
  }
  if (names.empty())
    for (std::int64_t d = 0; d < directions; ++d) names.insert(names.end(), each.begin(), each.end());
  if (names.size() != each.size() * static_cast<std::size_t>(directions))
    throw user_error("{} activations for {} directions of {} each", names.size(), directions, each.size());
  const std::vector<double> alphas = attributes.floats("activation_alpha"),
                            betas = attributes.floats("activation_beta");
  std::size_t next_alpha = 0, next_beta = 0;
  std::vector<Activation> result;
  for (const std::string& name : names) {
    const auto* known = std::find_if(kActivations.begin(), kActivations.end(),
                                     [&](const ActivationDefault& a) { return a.name == lower_case(name); });
    if (known == kActivations.end()) throw user_error("activation '{}' is not supported", name);
    Activation activation{known->name, known->alpha, known->beta};
    if (known->has_alpha && next_alpha < alphas.size()) activation.alpha = alphas[next_alpha++];
    if (known->has_beta && next_beta < betas.size()) activation.beta = betas[next_beta++];
    result.push_back(std::move(activation));
  }
  return result;
}

Recurrence recurrence_of(const Node& node, const Shape& x, const Shape& recurrent) {
  const Attributes& attributes = node.attributes;
  Recurrence r;
  r.cell = node.op == "RNN" ? Cell::kRnn : node.op == "GRU" ? Cell::kGru : Cell::kLstm;
  if (x.rank() != 3 || recurrent.rank() != 3)
    throw user_error("X and R must have rank 3, got {} and {}", x.text(), recurrent.text());
  const std::string direction = attributes.s("direction", "forward");
  if (direction != "forward" && direction != "reverse" && direction != "bidirectional")
    throw user_error("attribute direction is '{}', expected forward, reverse or bidirectional", direction);
  r.directions = direction == "bidirectional" ? 2 : 1;
  r.reversed_first = direction == "reverse";
  r.batch_first = attributes.i("layout", 0) != 0;
  r.steps = x[r.batch_first ? 1 : 0];
  r.batch = x[r.batch_first ? 0 : 1];
  r.width = x[2];
  r.hidden = recurrent[2];
  if (attributes.i("hidden_size", r.hidden) != r.hidden)
    throw user_error("hidden_size is {}, but R is {}", attributes.i("hidden_size", 0), recurrent.text());
  r.linear_before_reset = attributes.i("linear_before_reset", 0) != 0;
  r.input_forget = attributes.i("input_forget", 0) != 0;
  r.clip = attributes.f("clip", 0);
  r.activations = read_activations(attributes, r.cell, r.directions);
  return r;
}

void require_shape(const InferContext& c, int i, const char* name, const Shape& shape) {
  if (c.has(i) && !(c.shape(i) == shape))
    throw user_error("{} is {}, expected {}", name, c.shape(i).text(), shape.text());
}

void infer_recurrent(InferContext& c) {
  require_inputs(c, 3);
  require_float(c, 0);
  for (const int i : {1, 2, 3, 5, 6, 7})
    if (c.has(i)) require_same_dtype(c, 0, i);
  const Recurrence r = recurrence_of(c.node(), c.shape(0), c.shape(2));
  require_shape(c, 1, "W", {r.directions, r.gates(), r.width});
  require_shape(c, 2, "R", {r.directions, r.gates(), r.hidden});
  require_shape(c, 3, "B", {r.directions, 2 * r.gates()});
  require_shape(c, 4, "sequence_lens", {r.batch});
  if (c.has(4) && c.dtype(4) != DType::kI32)
    throw user_error("sequence_lens must be i32, got {}", dtype_name(c.dtype(4)));
  require_shape(c, 5, "initial_h", r.state_shape());
  if (r.cell == Cell::kLstm) {
    require_shape(c, 6, "initial_c", r.state_shape());
    require_shape(c, 7, "P", {r.directions, 3 * r.hidden});
  }
  c.set(0, c.dtype(0),
        r.batch_first ? Shape{r.batch, r.steps, r.directions, r.hidden}
                      : Shape{r.steps, r.directions, r.batch, r.hidden});
  c.set(1, c.dtype(0), r.state_shape());
  if (r.cell == Cell::kLstm) c.set(2, c.dtype(0), r.state_shape());
}

// One direction of one node. Rows of `inputs` hold x W and all biases but the one inside a linear reset.
template <class T>
struct Direction {
  const Recurrence& r;
  ThreadPool& pool;
  std::int64_t d;
  const T *recurrent, *bias, *peephole;  // of this direction; the last two may be null
  std::vector<T> inputs{}, fed{}, h{}, c{}, reset{}, again{};

  // Gates of row b at step t, in place in the row of `inputs`.
  T* gates(std::int64_t t, std::int64_t b) { return inputs.data() + r.row(t, b) * r.gates(); }

  // out [batch, count] = from [batch, hidden] times rows [first, first + count) of R, transposed.
  void feed_back(const std::vector<T>& from, std::int64_t first, std::int64_t count, std::vector<T>& out) {
    matrix_product(pool, {.m = r.batch, .n = count, .k = r.hidden, .transpose_b = true}, from.data(),
                   recurrent + first * r.hidden, out.data());
  }

  void step_rnn(T* x, std::int64_t b) {
    for (std::int64_t k = 0; k < r.hidden; ++k) x[k] += fed[static_cast<std::size_t>(b * r.hidden + k)];
    r.activation(d, 0).over(x, r.hidden, r.clip);
    std::copy_n(x, r.hidden, h.begin() + b * r.hidden);
  }

  // z and r, and what the candidate's product needs.
  void open_gru(T* x, std::int64_t b) {
    const T* own = fed.data() + b * r.gates();
    for (std::int64_t k = 0; k < 2 * r.hidden; ++k) x[k] += own[k];
    r.activation(d, 0).over(x, 2 * r.hidden, r.clip);
    for (std::int64_t k = 0; k < r.hidden; ++k)
      reset[static_cast<std::size_t>(b * r.hidden + k)] =
          x[r.hidden + k] * h[static_cast<std::size_t>(b * r.hidden + k)];
  }

  void close_gru(T* x, std::int64_t b) {
    T* candidate = x + 2 * r.hidden;
    const T* own = fed.data() + b * r.gates() + 2 * r.hidden;
    const T* inner = bias == nullptr ? nullptr : bias + r.gates() + 2 * r.hidden;
    for (std::int64_t k = 0; k < r.hidden; ++k) {
      if (r.linear_before_reset)
        candidate[k] += x[r.hidden + k] * (own[k] + (inner == nullptr ? T{0} : inner[k]));
      else
        candidate[k] += again[static_cast<std::size_t>(b * r.hidden + k)];
    }
    r.activation(d, 1).over(candidate, r.hidden, r.clip);
    T* state = h.data() + b * r.hidden;
    for (std::int64_t k = 0; k < r.hidden; ++k) state[k] = (T{1} - x[k]) * candidate[k] + x[k] * state[k];
  }

  // Gates i, o, f, n in a row.
  void step_lstm(T* x, std::int64_t b) {
    const std::int64_t n = r.hidden;
    const T* own = fed.data() + b * r.gates();
    T *in = x, *out = x + n, *forget = x + 2 * n, *fresh = x + 3 * n, *cell = c.data() + b * n,
      *state = h.data() + b * n;
    for (std::int64_t k = 0; k < 4 * n; ++k) x[k] += own[k];
    if (peephole != nullptr)
      for (std::int64_t k = 0; k < n; ++k) {
        in[k] += peephole[k] * cell[k];
        forget[k] += peephole[2 * n + k] * cell[k];
      }
    r.activation(d, 0).over(in, n, r.clip);
    if (r.input_forget)
      for (std::int64_t k = 0; k < n; ++k) forget[k] = T{1} - in[k];
    else
      r.activation(d, 0).over(forget, n, r.clip);
    r.activation(d, 1).over(fresh, n, r.clip);
    for (std::int64_t k = 0; k < n; ++k) cell[k] = forget[k] * cell[k] + in[k] * fresh[k];
    if (peephole != nullptr)
      for (std::int64_t k = 0; k < n; ++k) out[k] += peephole[n + k] * cell[k];
    r.activation(d, 0).over(out, n, r.clip);
    std::copy_n(cell, n, state);
    r.activation(d, 2).over(state, n, 0);
    for (std::int64_t k = 0; k < n; ++k) state[k] *= out[k];
  }
};

// x W and the biases, for every row of X.
template <class T>
void feed_inputs(ForwardContext& ctx, Direction<T>& run, const T* x, const T* weight) {
  const Recurrence& r = run.r;
  const std::int64_t rows = r.steps * r.batch, gates = r.gates();
  run.inputs.resize(static_cast<std::size_t>(rows * gates));
  matrix_product(ctx.pool(), {.m = rows, .n = gates, .k = r.width, .transpose_b = true}, x, weight, run.inputs.data());
  if (run.bias == nullptr) return;
  const std::int64_t second = r.cell == Cell::kGru && r.linear_before_reset ? 2 * r.hidden : gates;
  for (std::int64_t i = 0; i < rows; ++i)
    for (std::int64_t k = 0; k < gates; ++k)
      run.inputs[static_cast<std::size_t>(i * gates + k)] += run.bias[k] + (k < second ? run.bias[gates + k] : T{0});
}

// Calls f(t, b) for the sequences that have a step number s.
template <class T, class F>
void for_running(Direction<T>& run, const std::vector<std::int64_t>& lengths, std::int64_t s, F&& f) {
  const std::int64_t grain = std::max<std::int64_t>(1, kElementGrain / std::max<std::int64_t>(run.r.gates(), 1));
  run.pool.parallel_for(run.r.batch, grain, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t b = begin; b < end; ++b) {
      const std::int64_t length = lengths[static_cast<std::size_t>(b)];
      if (s < length) f(run.r.is_reversed(run.d) ? length - 1 - s : s, b);
    }
  });
}

template <class T>
void run_direction(Direction<T>& run, const std::vector<std::int64_t>& lengths, T* y) {
  const Recurrence& r = run.r;
  const std::int64_t longest = lengths.empty() ? 0 : *std::max_element(lengths.begin(), lengths.end());
  for (std::int64_t s = 0; s < longest; ++s) {
    run.feed_back(run.h, 0, r.gates(), run.fed);
    if (r.cell == Cell::kGru) {
      for_running(run, lengths, s, [&](std::int64_t t, std::int64_t b) { run.open_gru(run.gates(t, b), b); });
      if (!r.linear_before_reset) run.feed_back(run.reset, 2 * r.hidden, r.hidden, run.again);
    }
    for_running(run, lengths, s, [&](std::int64_t t, std::int64_t b) {
      T* gates = run.gates(t, b);
      if (r.cell == Cell::kRnn) run.step_rnn(gates, b);
      if (r.cell == Cell::kGru) run.close_gru(gates, b);
      if (r.cell == Cell::kLstm) run.step_lstm(gates, b);
      if (y != nullptr) std::copy_n(run.h.begin() + b * r.hidden, r.hidden, y + r.y_at(t, run.d, b));
    });
  }
}

std::vector<std::int64_t> lengths_of(const ForwardContext& ctx, const Recurrence& r) {
  if (!ctx.has(4)) return std::vector<std::int64_t>(static_cast<std::size_t>(r.batch), r.steps);
  std::vector<std::int64_t> lengths = ctx.in(4).to_i64();
  for (const std::int64_t length : lengths)
    if (length < 0 || length > r.steps) throw user_error("sequence_lens holds {}, expected 0 to {}", length, r.steps);
  return lengths;
}

// states [directions, batch, hidden] in either layout, to and from a direction's own [batch, hidden].
template <class T>
void load_state(const ForwardContext& ctx, int input, const Recurrence& r, std::int64_t d, std::vector<T>& own) {
  own.assign(static_cast<std::size_t>(r.batch * r.hidden), T{0});
  if (!ctx.has(input)) return;
  for (std::int64_t b = 0; b < r.batch; ++b)
    std::copy_n(ctx.in(input).data<T>() + r.state_at(d, b), r.hidden, own.begin() + b * r.hidden);
}

template <class T>
void store_state(ForwardContext& ctx, int output, const Recurrence& r, std::int64_t d, const std::vector<T>& own) {
  if (!ctx.wants(output)) return;
  ctx.out(output);  // also where nothing is stored
  for (std::int64_t b = 0; b < r.batch; ++b)
    std::copy_n(own.begin() + b * r.hidden, r.hidden, ctx.out(output).mutable_data<T>() + r.state_at(d, b));
}

void forward_recurrent(ForwardContext& ctx) {
  const Recurrence r = recurrence_of(ctx.node(), ctx.in(0).shape(), ctx.in(2).shape());
  const std::vector<std::int64_t> lengths = lengths_of(ctx, r);
  const bool is_lstm = r.cell == Cell::kLstm;
  visit_float(ctx.in(0).dtype(), [&]<class T>(T) {
    T* y = ctx.wants(0) ? ctx.out(0).mutable_data<T>() : nullptr;
    if (y != nullptr) std::fill_n(y, ctx.out(0).numel(), T{0});
    for (std::int64_t d = 0; d < r.directions; ++d) {
      Direction<T> run{.r = r,
                       .pool = ctx.pool(),
                       .d = d,
                       .recurrent = ctx.in(2).data<T>() + d * r.gates() * r.hidden,
                       .bias = ctx.has(3) ? ctx.in(3).data<T>() + d * 2 * r.gates() : nullptr,
                       .peephole = is_lstm && ctx.has(7) ? ctx.in(7).data<T>() + d * 3 * r.hidden : nullptr};
      const auto rows = static_cast<std::size_t>(r.batch);
      run.fed.resize(rows * static_cast<std::size_t>(r.gates()));
      run.reset.resize(rows * static_cast<std::size_t>(r.hidden));
      run.again.resize(rows * static_cast<std::size_t>(r.hidden));
      load_state(ctx, 5, r, d, run.h);
      if (is_lstm) load_state(ctx, 6, r, d, run.c);
      feed_inputs(ctx, run, ctx.in(0).data<T>(), ctx.in(1).data<T>() + d * r.gates() * r.width);
      run_direction(run, lengths, y);
      store_state(ctx, 1, r, d, run.h);
      if (is_lstm) store_state(ctx, 2, r, d, run.c);
    }
  });
}

}  // namespace

std::vector<Op> recurrent_ops() {
  std::vector<Op> ops;
  for (const char* name : {"RNN", "GRU", "LSTM"})
    ops.push_back({.domain = "",
                   .name = name,
                   .infer = infer_recurrent,
                   .forward = forward_recurrent,
                   .no_vjp = "recurrent networks run forward only"});
  return ops;
}

}  // namespace retune
