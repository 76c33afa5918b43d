// The vector that, added to a module's output or put in its place, makes the target likely (methods.md 5.6; Meng et al.
// 2022, arXiv 2202.05262):
//
//   L(delta) = sum_i w_i NLL_i(delta) + kl_weight KL(p_delta(.|kl prompt) || p_0(.|kl prompt)) + decay ||delta|| /
//   ||v0||^2
//
// Views i are the request's contexts with their weights; the same delta is added at each one's own selected rows and in
// the kl prompt, which is read at the selector. v0 is the value of the first (bare) view. The decay term's derivative
// at delta = 0 is 0.
//
// The delta is an Intervention: a step executes only what it reaches, which with last_prompt is a handful of rows
// behind one site.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "editors/mechanisms/key_collector.h"
#include "editors/settings.h"
#include "learning/lesson.h"
#include "learning/step_observer.h"

namespace retune {

struct TargetOptions {
  std::int64_t steps = 25;     // >= 1; the last makes no update
  double learning_rate = 0.1;  // of Adam; >= 0
  double decay = 1e-3;         // >= 0
  double clamp = 1.0;          // ||delta|| <= clamp * ||v0||, after each update; > 0; infinity: no limit
  double kl_weight = 0.0625;   // >= 0; 0 asks no kl prompt
  double stop_loss = 5e-2;     // nats, of L
  void validate() const;       // user errors
};

// What is optimised, at one site.
struct TargetProblem {
  Site site;
  std::span<const ContextView> views;
  std::span<const SiteReading> readings;  // of the same views, at the site, of the model as it stands
  std::vector<std::int64_t> target;       // ids, the end-of-turn token included
  std::optional<PromptView> kl_prompt;    // absent: no divergence term
  std::optional<SiteReading> kl_reading;
  // What the vector does to the value at the placement's rows: it is added, from 0 on, or takes the value's place, from
  // `initial` on.
  Intervention::Kind kind = Intervention::Kind::kAdd;
  std::vector<double> initial = {};  // [site.out]; kReplace only
};

// L as a function of delta. Everything that does not depend on delta is computed once, when it is made or first asked.
class TargetObjective {
 public:
  // `session`, `bundle` and what the problem views outlive it.
  TargetObjective(Session& session, const Bundle& bundle, const LossGraphs& losses, const TargetProblem& problem,
                  const TargetOptions& options);

  struct Evaluation {
    double loss = 0;               // L, nats
    std::vector<double> gradient;  // dL/d delta, [site.out]
  };
  Evaluation at(const Tensor& delta);  // f32 [site.out]

  double start_norm() const { return start_norm_; }  // ||v0||

 private:
  struct Term {
    SuffixRequest suffix;  // with one intervention
    std::string loss;
    double weight;
  };
  void add_divergence(const LossGraphs& losses, const TargetProblem& problem);
  static void intervene(Term& term, const TargetProblem& problem, const Placement& placement);

  Session& session_;
  const Bundle& bundle_;
  TargetOptions options_;
  std::vector<Term> terms_;
  double start_norm_ = 0;
};

struct TargetVector {
  std::vector<double> start;   // v0 [site.out]
  std::vector<double> delta;   // [site.out]; v* = start + delta, or of kReplace v* itself
  std::vector<double> losses;  // before each update
  std::int64_t updates = 0;    // at most steps - 1
};

// Adam on delta from 0 (kReplace: from `initial`). A step: loss; below stop_loss: stop; the last: stop; update; if
// ||delta|| > clamp ||v0||, scale it to that. Failure if a loss is not finite.
TargetVector optimize_target(Session& session, const Bundle& bundle, const LossGraphs& losses,
                             const TargetProblem& problem, const TargetOptions& options,
                             const StepObserver& observer = {});

// The settings that methods with a target vector share, and how they are read.
std::vector<Setting> target_settings();
TargetOptions target_options(const Settings& settings);

}  // namespace retune
