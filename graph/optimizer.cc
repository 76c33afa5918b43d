#include "graph/optimizer.h"

#include <cmath>

#include "graph/ops/lanes.h"
#include "tensor/error.h"

namespace retune {

namespace {

constexpr std::int64_t kGrain = 16384;  // elements a task

// The master that a gradient moves; user error if there is none or they do not fit.
Tensor& master_of(std::map<std::string, Tensor>& masters, const std::string& name, const Tensor& gradient) {
  const auto found = masters.find(name);
  if (found == masters.end()) throw user_error("there is a gradient for '{}' but no master tensor of that name", name);
  Tensor& master = found->second;
  if (master.dtype() != DType::kF32 || gradient.dtype() != DType::kF32 || !(master.shape() == gradient.shape()))
    throw user_error("'{}': master and gradient must be f32 of one shape, got {} and {}", name, master.text(),
                     gradient.text());
  return master;
}

void require(bool holds, const char* name, const char* range, double value) {
  if (!holds) throw user_error("optimizer option {} must be {}, got {}", name, range, value);
}

// The scalars of one step, rounded once.
struct AdamStep {
  float beta1, beta2;
  float one_minus_beta1, one_minus_beta2;
  float first_correction, second_correction;  // 1 / (1 - beta^t)
  float epsilon, decay, learning_rate;
};

void adam_range(const AdamStep& s, const float* g, float* m, float* v, std::int64_t begin, std::int64_t end) {
  for (std::int64_t i = begin; i < end; ++i) {
    m[i] = s.beta1 * m[i] + s.one_minus_beta1 * g[i];
    v[i] = s.beta2 * v[i] + s.one_minus_beta2 * (g[i] * g[i]);
  }
}

void move_range(const AdamStep& s, const float* m, const float* v, float* w, std::int64_t begin, std::int64_t end) {
  for (std::int64_t i = begin; i < end; ++i) {
    const float direction = m[i] * s.first_correction / (std::sqrt(v[i] * s.second_correction) + s.epsilon);
    w[i] -= s.learning_rate * (direction + s.decay * w[i]);
  }
}

}  // namespace

void AdamOptions::validate() const {
  require(learning_rate >= 0 && std::isfinite(learning_rate), "learning_rate", "finite and not negative",
          learning_rate);
  require(beta1 >= 0 && beta1 < 1, "beta1", "in [0, 1)", beta1);
  require(beta2 >= 0 && beta2 < 1, "beta2", "in [0, 1)", beta2);
  require(epsilon > 0 && std::isfinite(epsilon), "epsilon", "finite and positive", epsilon);
  require(weight_decay >= 0 && std::isfinite(weight_decay), "weight_decay", "finite and not negative", weight_decay);
}

Adam::Adam(AdamOptions options) : options_(options) { options_.validate(); }

void Adam::step(std::map<std::string, Tensor>& masters, const std::map<std::string, Tensor>& gradients,
                double learning_rate, ThreadPool& pool) {
  require(learning_rate >= 0 && std::isfinite(learning_rate), "learning_rate", "finite and not negative",
          learning_rate);
  for (const auto& [name, gradient] : gradients) {
    Tensor& master = master_of(masters, name, gradient);
    Moments& moments = moments_[name];
    if (!moments.first.defined()) {
      moments.first = Tensor::zeros(DType::kF32, master.shape());
      moments.second = Tensor::zeros(DType::kF32, master.shape());
    }
    if (!(moments.first.shape() == master.shape()))
      throw user_error("'{}': its moments are {}, its master is {}; they come from another model", name,
                       moments.first.text(), master.text());
    ++moments.steps;
    const double t = static_cast<double>(moments.steps);
    const AdamStep s{.beta1 = static_cast<float>(options_.beta1),
                     .beta2 = static_cast<float>(options_.beta2),
                     .one_minus_beta1 = static_cast<float>(1 - options_.beta1),
                     .one_minus_beta2 = static_cast<float>(1 - options_.beta2),
                     .first_correction = static_cast<float>(1 / (1 - std::pow(options_.beta1, t))),
                     .second_correction = static_cast<float>(1 / (1 - std::pow(options_.beta2, t))),
                     .epsilon = static_cast<float>(options_.epsilon),
                     .decay = static_cast<float>(options_.weight_decay),
                     .learning_rate = static_cast<float>(learning_rate)};
    const float* g = gradient.data<float>();
    float* m = moments.first.mutable_data<float>();
    float* v = moments.second.mutable_data<float>();
    float* w = master.mutable_data<float>();
    pool.parallel_for(master.numel(), kGrain, [&](std::int64_t begin, std::int64_t end) {
      adam_range(s, g, m, v, begin, end);
      // Not even -0 - 0 may be written where nothing is to be learnt.
      if (learning_rate != 0) move_range(s, m, v, w, begin, end);
    });
  }
}

void RmsPropOptions::validate() const {
  require(smoothing >= 0 && smoothing < 1, "smoothing", "in [0, 1)", smoothing);
  require(epsilon > 0 && std::isfinite(epsilon), "epsilon", "finite and positive", epsilon);
}

RmsProp::RmsProp(RmsPropOptions options) : options_(options) { options_.validate(); }

void RmsProp::step(std::map<std::string, Tensor>& masters, const std::map<std::string, Tensor>& gradients,
                   double learning_rate, ThreadPool& pool) {
  require(learning_rate >= 0 && std::isfinite(learning_rate), "learning_rate", "finite and not negative",
          learning_rate);
  const auto keep = static_cast<float>(options_.smoothing), take = static_cast<float>(1 - options_.smoothing);
  const auto epsilon = static_cast<float>(options_.epsilon), rate = static_cast<float>(learning_rate);
  for (const auto& [name, gradient] : gradients) {
    Tensor& master = master_of(masters, name, gradient);
    Tensor& square = squares_[name];
    if (!square.defined()) square = Tensor::zeros(DType::kF32, master.shape());
    if (!(square.shape() == master.shape()))
      throw user_error("'{}': its mean square is {}, its master is {}; they come from another model", name,
                       square.text(), master.text());
    const float* g = gradient.data<float>();
    float* v = square.mutable_data<float>();
    float* w = master.mutable_data<float>();
    pool.parallel_for(master.numel(), kGrain, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = begin; i < end; ++i) {
        v[i] = keep * v[i] + take * (g[i] * g[i]);
        if (rate != 0) w[i] -= rate * g[i] / (std::sqrt(v[i]) + epsilon);
      }
    });
  }
}

void sgd_step(std::map<std::string, Tensor>& masters, const std::map<std::string, Tensor>& gradients,
              double learning_rate, double weight_decay) {
  require(learning_rate >= 0 && std::isfinite(learning_rate), "learning_rate", "finite and not negative",
          learning_rate);
  require(weight_decay >= 0 && std::isfinite(weight_decay), "weight_decay", "finite and not negative", weight_decay);
  const auto rate = static_cast<float>(learning_rate), decay = static_cast<float>(weight_decay);
  for (const auto& [name, gradient] : gradients) {
    Tensor& master = master_of(masters, name, gradient);
    if (rate == 0) continue;
    const float* g = gradient.data<float>();
    float* w = master.mutable_data<float>();
    for (std::int64_t i = 0; i < master.numel(); ++i) w[i] -= rate * (g[i] + decay * w[i]);
  }
}

double clip_global_norm(std::map<std::string, Tensor>& gradients, double limit) {
  require(limit > 0, "clip_norm", "positive", limit);
  double squares = 0;
  for (const auto& [name, gradient] : gradients)
    squares += lane_sum<double>(gradient.numel(), [g = gradient.data<float>()](std::int64_t i) {
      return static_cast<double>(g[i]) * static_cast<double>(g[i]);
    });
  const double norm = std::sqrt(squares);
  // A norm that is not finite is the caller's to report; scaling would only spread it.
  if (!(norm > limit) || !std::isfinite(norm)) return norm;
  const auto scale = static_cast<float>(limit / norm);
  for (auto& [name, gradient] : gradients) {
    Tensor scaled = Tensor::empty(DType::kF32, gradient.shape());
    const float* from = gradient.data<float>();
    float* to = scaled.mutable_data<float>();
    for (std::int64_t i = 0; i < gradient.numel(); ++i) to[i] = from[i] * scale;
    gradient = std::move(scaled);
  }
  return norm;
}

}  // namespace retune
