#include "editors/mechanisms/linear_gate.h"

#include <algorithm>
#include <cmath>

#include "tensor/error.h"
#include "tensor/linear_algebra.h"

namespace retune {

namespace {

constexpr int kSteps = 100;
constexpr double kConverged = 1e-12;  // change of f, beside 1

double dot(std::span<const double> a, std::span<const double> b) {
  double sum = 0;
  for (std::size_t i = 0; i < a.size(); ++i) sum += a[i] * b[i];
  return sum;
}

// log(1 + e^x) without overflow.
double softplus(double x) { return std::max(x, 0.0) + std::log1p(std::exp(-std::abs(x))); }
double sigmoid(double x) { return x >= 0 ? 1 / (1 + std::exp(-x)) : std::exp(x) / (1 + std::exp(x)); }

// The problem in the states' span: (w, b) = sum_i a_i (x_i, 1), so f = K a with K_ij = x_i . x_j + 1.
class Problem {
 public:
  Problem(std::vector<double> kernel, std::vector<double> signs, std::vector<double> shares, double ridge)
      : kernel_(std::move(kernel)), signs_(std::move(signs)), shares_(std::move(shares)), ridge_(ridge) {}

  std::vector<double> solve() const {
    std::vector<double> a(size(), 0.0), f(size(), 0.0);
    double loss = objective(a, f);
    for (int step = 0; step < kSteps; ++step) {
      const std::vector<double> target = newton(f);
      double length = 1;
      std::vector<double> next_a, next_f;
      double next = loss;
      for (int halving = 0; halving < 30; ++halving, length /= 2) {
        next_a = a;
        for (std::size_t i = 0; i < size(); ++i) next_a[i] += length * (target[i] - a[i]);
        next_f = values(next_a);
        next = objective(next_a, next_f);
        if (next <= loss) break;
      }
      double change = 0;
      for (std::size_t i = 0; i < size(); ++i) change = std::max(change, std::abs(next_f[i] - f[i]));
      if (!(next <= loss)) break;  // as near as f64 comes
      a = std::move(next_a);
      f = std::move(next_f);
      loss = next;
      if (change < kConverged) break;
    }
    return a;
  }

 private:
  std::size_t size() const { return signs_.size(); }

  std::vector<double> values(const std::vector<double>& a) const {
    std::vector<double> f(size());
    for (std::size_t i = 0; i < size(); ++i) f[i] = dot(std::span(kernel_).subspan(i * size(), size()), a);
    return f;
  }

  double objective(const std::vector<double>& a, const std::vector<double>& f) const {
    double sum = ridge_ / 2 * dot(a, f);
    for (std::size_t i = 0; i < size(); ++i) sum += shares_[i] * softplus(-signs_[i] * f[i]);
    return sum;
  }

  // The minimum of the second-order expansion at f: a = S (ridge I + S K S)^-1 (S f + g / S) with S^2 the curvature of
  // each state's term and g its negative slope.
  std::vector<double> newton(const std::vector<double>& f) const {
    const std::size_t n = size();
    std::vector<double> root(n), right(n), matrix(n * n);
    for (std::size_t i = 0; i < n; ++i) {
      const double p = sigmoid(-signs_[i] * f[i]);
      root[i] = std::sqrt(std::max(shares_[i] * p * (1 - p), 1e-30));
      right[i] = root[i] * f[i] + shares_[i] * signs_[i] * p / root[i];
    }
    for (std::size_t i = 0; i < n; ++i)
      for (std::size_t j = 0; j < n; ++j)
        matrix[i * n + j] = root[i] * kernel_[i * n + j] * root[j] + (i == j ? ridge_ : 0.0);
    const auto factor = Cholesky::factor(matrix, static_cast<std::int64_t>(n));
    if (!factor) throw failure("the gate's states are not finite, or its ridge {} is too small for them", ridge_);
    std::vector<double> a = factor->solve(right, 1);
    for (std::size_t i = 0; i < n; ++i) a[i] *= root[i];
    return a;
  }

  std::vector<double> kernel_, signs_, shares_;
  double ridge_;
};

}  // namespace

double LinearGate::score(std::span<const double> state) const { return dot(weight, state) + bias; }

LinearGate train_gate(std::span<const std::vector<double>> inside, std::span<const std::vector<double>> outside,
                      double ridge) {
  if (inside.empty() || outside.empty())
    throw user_error("a gate needs states on both sides, got {} and {}", inside.size(), outside.size());
  if (!(ridge > 0)) throw user_error("a gate's ridge must be above 0, got {}", ridge);
  std::vector<std::vector<double>> states(inside.begin(), inside.end());
  states.insert(states.end(), outside.begin(), outside.end());
  const std::size_t n = states.size(), width = states[0].size();
  std::vector<double> mean(width, 0.0), signs, shares;
  for (std::size_t i = 0; i < n; ++i) {
    for (std::size_t d = 0; d < width; ++d) mean[d] += states[i][d] / static_cast<double>(n);
    const bool is_inside = i < inside.size();
    signs.push_back(is_inside ? 1 : -1);
    shares.push_back(0.5 / static_cast<double>(is_inside ? inside.size() : outside.size()));
  }
  double square = 0;
  for (std::vector<double>& state : states) {
    for (std::size_t d = 0; d < width; ++d) state[d] -= mean[d];
    square += dot(state, state) / static_cast<double>(n);
  }
  if (!std::isfinite(square)) throw failure("a gate's states are not finite");
  const double scale = square > 0 ? std::sqrt(square) : 1;
  std::vector<double> kernel(n * n);
  for (std::size_t i = 0; i < n; ++i)
    for (std::size_t j = 0; j < n; ++j) kernel[i * n + j] = dot(states[i], states[j]) / (scale * scale) + 1;
  const std::vector<double> a = Problem(std::move(kernel), std::move(signs), std::move(shares), ridge).solve();
  LinearGate gate{std::vector<double>(width, 0.0), 0};
  for (std::size_t i = 0; i < n; ++i) {
    gate.bias += a[i];
    for (std::size_t d = 0; d < width; ++d) gate.weight[d] += a[i] * states[i][d] / (scale * scale);
  }
  gate.bias -= dot(gate.weight, mean);
  return gate;
}

}  // namespace retune
