#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "graph/op_case.h"
#include "tensor/error.h"

namespace retune {
namespace {

double logistic(double x) { return 1 / (1 + std::exp(-x)); }

struct Cell {
  const char* op;
  std::int64_t gates;
};
constexpr Cell kCells[] = {{"RNN", 1}, {"GRU", 3}, {"LSTM", 4}};

// One sequence in one direction, an element at a time, with default activations. rows: the positions in order.
struct Loop {
  std::string op;
  std::int64_t width, hidden;
  bool linear = false;
  const double *w, *r, *b, *p = nullptr;

  double gate(std::int64_t row, const double* x, const std::vector<double>& h) const {
    const std::int64_t gates = (op == "RNN" ? 1 : op == "GRU" ? 3 : 4) * hidden;
    double sum = b[row] + b[gates + row];
    for (std::int64_t i = 0; i < width; ++i) sum += w[row * width + i] * x[i];
    for (std::int64_t i = 0; i < hidden; ++i) sum += r[row * hidden + i] * h[static_cast<std::size_t>(i)];
    return sum;
  }

  void step(const double* x, std::vector<double>& h, std::vector<double>& c) const {
    const std::vector<double> old = h;
    for (std::int64_t k = 0; k < hidden; ++k) {
      const auto at = static_cast<std::size_t>(k);
      if (op == "RNN") {
        h[at] = std::tanh(gate(k, x, old));
      } else if (op == "GRU") {
        std::vector<double> inner = old;
        for (std::int64_t i = 0; i < hidden; ++i)
          inner[static_cast<std::size_t>(i)] *= logistic(gate(hidden + i, x, old));
        double n = gate(2 * hidden + k, x, inner);
        if (linear) {
          const std::vector<double> zeros(old.size());
          const double alone = gate(2 * hidden + k, x, zeros) - b[3 * hidden + 2 * hidden + k];
          double fed = b[3 * hidden + 2 * hidden + k];
          for (std::int64_t i = 0; i < hidden; ++i)
            fed += r[(2 * hidden + k) * hidden + i] * old[static_cast<std::size_t>(i)];
          n = alone + logistic(gate(hidden + k, x, old)) * fed;
        }
        const double z = logistic(gate(k, x, old));
        h[at] = (1 - z) * std::tanh(n) + z * old[at];
      } else {
        const double before = c[at], pi = p ? p[k] : 0, po = p ? p[hidden + k] : 0, pf = p ? p[2 * hidden + k] : 0;
        const double in = logistic(gate(k, x, old) + pi * before),
                     forget = logistic(gate(2 * hidden + k, x, old) + pf * before);
        c[at] = forget * before + in * std::tanh(gate(3 * hidden + k, x, old));
        h[at] = logistic(gate(hidden + k, x, old) + po * c[at]) * std::tanh(c[at]);
      }
    }
  }
};

struct Case {
  std::int64_t steps = 3, batch = 2, width = 3, hidden = 4;
  std::string direction = "forward";
  std::vector<std::int32_t> lengths{};
  bool peephole = false, linear = false, batch_first = false;
};

std::vector<Tensor> loop(const Cell& cell, const Case& s, const std::vector<Tensor>& in) {
  const std::int64_t directions = s.direction == "bidirectional" ? 2 : 1, h = s.hidden;
  const Shape states = s.batch_first ? Shape{s.batch, directions, h} : Shape{directions, s.batch, h};
  Tensor y = Tensor::zeros(
      DType::kF64, s.batch_first ? Shape{s.batch, s.steps, directions, h} : Shape{s.steps, directions, s.batch, h});
  Tensor last_h = Tensor::zeros(DType::kF64, states), last_c = Tensor::zeros(DType::kF64, states);
  for (std::int64_t d = 0; d < directions; ++d) {
    const Loop one{.op = cell.op,
                   .width = s.width,
                   .hidden = h,
                   .linear = s.linear,
                   .w = in[1].data<double>() + d * cell.gates * h * s.width,
                   .r = in[2].data<double>() + d * cell.gates * h * h,
                   .b = in[3].data<double>() + d * 2 * cell.gates * h,
                   .p = s.peephole ? in[7].data<double>() + d * 3 * h : nullptr};
    for (std::int64_t b = 0; b < s.batch; ++b) {
      const std::int64_t length = s.lengths.empty() ? s.steps : s.lengths[static_cast<std::size_t>(b)];
      const std::int64_t state = (s.batch_first ? b * directions + d : d * s.batch + b) * h;
      const double* from = in[5].data<double>() + state;
      std::vector<double> now(from, from + h), memory(static_cast<std::size_t>(h));
      if (in.size() > 6) memory.assign(in[6].data<double>() + state, in[6].data<double>() + state + h);
      for (std::int64_t i = 0; i < length; ++i) {
        const std::int64_t t = d == 1 || s.direction == "reverse" ? length - 1 - i : i;
        one.step(in[0].data<double>() + (s.batch_first ? b * s.steps + t : t * s.batch + b) * s.width, now, memory);
        const std::int64_t to = s.batch_first ? (b * s.steps + t) * directions + d : (t * directions + d) * s.batch + b;
        std::copy(now.begin(), now.end(), y.mutable_data<double>() + to * h);
      }
      std::copy(now.begin(), now.end(), last_h.mutable_data<double>() + state);
      std::copy(memory.begin(), memory.end(), last_c.mutable_data<double>() + state);
    }
  }
  if (std::string(cell.op) == "LSTM") return {y, last_h, last_c};
  return {y, last_h};
}

void runs(const Cell& cell, const Case& s) {
  const bool lstm = std::string(cell.op) == "LSTM";
  const std::int64_t d = s.direction == "bidirectional" ? 2 : 1, h = s.hidden;
  const Shape states = s.batch_first ? Shape{s.batch, d, h} : Shape{d, s.batch, h};
  std::vector<Tensor> inputs{
      random_f64(s.batch_first ? Shape{s.batch, s.steps, s.width} : Shape{s.steps, s.batch, s.width}, 1),
      random_f64({d, cell.gates * h, s.width}, 2),
      random_f64({d, cell.gates * h, h}, 3),
      random_f64({d, 2 * cell.gates * h}, 4),
      s.lengths.empty() ? Tensor() : Tensor::vector<std::int32_t>(s.lengths),
      random_f64(states, 5)};
  if (lstm) inputs.push_back(random_f64(states, 6));
  if (lstm && s.peephole) inputs.push_back(random_f64({d, 3 * h}, 7));
  check({.op = cell.op,
         .inputs = inputs,
         .attributes = {{"hidden_size", h},
                        {"direction", s.direction},
                        {"layout", std::int64_t{s.batch_first}},
                        {"linear_before_reset", std::int64_t{s.linear}}},
         .outputs = lstm ? 3 : 2,
         .reference = [=](const std::vector<Tensor>& in) { return loop(cell, s, in); }});
}

TEST(Recurrent, NetworksFollowALoopOverElements) {
  for (const Cell& cell : kCells) {
    runs(cell, {});
    runs(cell, {.steps = 1, .batch = 1});
    runs(cell, {.direction = "reverse"});
    runs(cell, {.steps = 5, .batch = 3, .width = 2, .hidden = 5, .direction = "bidirectional"});
    runs(cell, {.steps = 4, .batch = 3, .direction = "bidirectional", .lengths = {2, 4, 1}});
    runs(cell, {.direction = "bidirectional", .batch_first = true});
    runs(cell, {.batch = 0});
  }
}

TEST(Gru, MayResetBehindItsProduct) { runs({"GRU", 3}, {.direction = "bidirectional", .linear = true}); }

TEST(Lstm, LooksIntoItsCellThroughPeepholes) {
  runs({"LSTM", 4}, {.steps = 4, .direction = "bidirectional", .peephole = true});
}

TEST(Recurrent, ManyRowsGiveTheSameBytesWithAnyThreads) {
  for (const Cell& cell : kCells) runs(cell, {.steps = 2, .batch = 300, .width = 5, .hidden = 24});
}

}  // namespace
}  // namespace retune
