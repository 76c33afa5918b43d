// Trains a weight beside a linear layer's own (methods.md 5.15; Wang et al. 2024, arXiv 2405.14768):
//
//   D(X) = mean_t || phi(W0 k_t + b) - phi(W' k_t + b) ||
//   L    = NLL + M[gamma + D_out - D_in]+ + M[D_out - alpha]+ + M[beta - D_in]+
//
// NLL is that of the lessons with W' in the layer's place at every position; phi is the block's own activation; t runs
// over the rows of a prompt and its target. D_in are the lessons', D_out those of prompts that are none of the edit's
// business; M is the mean over those that are positive, as in the reference, the first over all pairs. W' moves by
// stochastic gradient descent within a mask and stays within nu of W0, element by element.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "graph/session.h"
#include "lalm/bundle.h"
#include "lalm/site.h"
#include "learning/lesson.h"
#include "learning/step_observer.h"

namespace retune {

struct SideOptions {
  std::int64_t steps = 50;
  double learning_rate = 1.0;
  double weight_decay = 1e-5;
  bool reference_decay = false;  // the decay acts outside the mask too, as in the reference, which drifts there
  double bound = 1.0;            // nu, in units of the weight
  double alpha = 5, beta = 20, gamma = 10;
};

// The three hinges, and their derivatives by each distance.
struct ActivationLoss {
  double loss = 0;
  std::vector<double> inside, outside;
};
ActivationLoss activation_loss(std::span<const double> inside, std::span<const double> outside,
                               const SideOptions& options);

struct SideProblem {
  Site site;
  std::string insert;           // the name of the site's insert, set aside while training
  std::vector<Lesson> inside;   // their weights sum to one
  std::vector<Lesson> outside;  // their targets may be empty
  Tensor original;              // W0, f32 [in, out]
  Tensor start;                 // W' so far, likewise
  std::vector<std::uint8_t> mask;
};

struct SideTraining {
  Tensor weight;                  // W'
  std::vector<double> losses;     // L, before each step's update
  std::vector<double> distances;  // D_in of each lesson at the last step, before its update
  std::int64_t updates = 0;
};

// A step: loss; if it is at most 0.02 and changed by at most 1e-4: stop; masked gradient; update; clamp. Failure if a
// loss is not finite; user errors as lesson_request, find_activation.
SideTraining train_side_weight(Session& session, const Bundle& bundle, const SideProblem& problem,
                               const SideOptions& options, const StepObserver& observer = {});

// How far the activation of a layer moves when another weight takes its place: D above.
class SideDistance {
 public:
  // `original` f32 [in, out].
  SideDistance(Session& session, const Bundle& bundle, const Site& site, Tensor original);

  // Of a prompt and what continues it, read whole: the layer's input and what the activation makes of its own output.
  struct Rows {
    Tensor keys;  // f32 [rows, in]
    Tensor base;  // f32 [rows, out]
  };
  Rows rows_of(const Lesson& lesson) const;

  double at(const Rows& rows, const Tensor& weight) const;
  Tensor gradient(const Rows& rows, const Tensor& weight) const;  // f32 [in, out]

 private:
  Results run(const Tensor& keys, const Tensor& base, const Tensor& weight, const Request& what) const;

  Session& session_;
  const Bundle& bundle_;
  Site site_;
  Tensor original_;
  std::shared_ptr<const Graph> graph_;
};

}  // namespace retune
