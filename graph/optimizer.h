// First-order optimisers on named f32 master tensors. They act on leaves and belong to no method.
//
// Adam (Kingma & Ba 2015, algorithm 1) with bias correction and decoupled weight decay (Loshchilov & Hutter 2019):
//   m = b1 m + (1-b1) g;  v = b2 v + (1-b2) g^2;  w -= lr * (m / (1-b1^t) / (sqrt(v / (1-b2^t)) + eps) + decay * w)
// RMSprop (Tieleman & Hinton 2012, lecture 6.5), neither centred nor with momentum:
//   v = a v + (1-a) g^2;  w -= lr * g / (sqrt(v) + eps)
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "tensor/tensor.h"
#include "tensor/thread_pool.h"

namespace retune {

struct AdamOptions {
  double learning_rate = 1e-3;  // > 0 (0 leaves every bit)
  double beta1 = 0.9;
  double beta2 = 0.999;
  double epsilon = 1e-8;
  double weight_decay = 0.0;
  void validate() const;
};

class Adam {
 public:
  explicit Adam(AdamOptions options);

  // One step: every tensor of `gradients` moves the f32 tensor of the same name in `masters`, in place. Names may come
  // and go: the moments and the step count of a name start at its first gradient. `learning_rate` overrides the option
  // (schedules).
  void step(std::map<std::string, Tensor>& masters, const std::map<std::string, Tensor>& gradients,
            double learning_rate, ThreadPool& pool);
  void step(std::map<std::string, Tensor>& masters, const std::map<std::string, Tensor>& gradients, ThreadPool& pool) {
    step(masters, gradients, options_.learning_rate, pool);
  }

  // For checkpoints: first and second moments by name, f32, and steps taken by name.
  struct Moments {
    Tensor first;
    Tensor second;
    std::int64_t steps = 0;
  };
  const std::map<std::string, Moments>& moments() const { return moments_; }
  void restore(std::map<std::string, Moments> moments) { moments_ = std::move(moments); }

 private:
  AdamOptions options_;
  std::map<std::string, Moments> moments_;
};

struct RmsPropOptions {
  double smoothing = 0.99;  // a above, in [0, 1)
  double epsilon = 1e-8;
  void validate() const;
};

class RmsProp {
 public:
  explicit RmsProp(RmsPropOptions options = {});

  // As Adam's; the mean square of a name starts at 0 at its first gradient.
  void step(std::map<std::string, Tensor>& masters, const std::map<std::string, Tensor>& gradients,
            double learning_rate, ThreadPool& pool);

  // For checkpoints: v by name, f32.
  const std::map<std::string, Tensor>& squares() const { return squares_; }
  void restore(std::map<std::string, Tensor> squares) { squares_ = std::move(squares); }

 private:
  RmsPropOptions options_;
  std::map<std::string, Tensor> squares_;
};

// w -= lr * (g + decay * w)
void sgd_step(std::map<std::string, Tensor>& masters, const std::map<std::string, Tensor>& gradients,
              double learning_rate, double weight_decay);
// Scales all gradients so that their joint L2 norm is at most `limit`; returns the norm before.
double clip_global_norm(std::map<std::string, Tensor>& gradients, double limit);

}  // namespace retune
