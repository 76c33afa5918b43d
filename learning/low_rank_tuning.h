// Training a low-rank adapter on lessons: the weights stay, the factors beside them learn (LoRA; Hu et al. 2021, arXiv
// 2106.09685; methods.md 5.5).
//
//   LowRankAdapter start;
//   for (const Site& site : sites) start[site.name] = fresh_factors(site, 8, rng.fork("init"));
//   LowRankResult result = tune_low_rank(session, bundle, paths, sites, lessons, start, {}, rng);
//
// Needs differentiable graphs from the sites to the logits, and memory for the activations between them of one prompt
// at a time. The whole prompt is read at each step, for an adapter acts at every position; what stands before the first
// site is computed once.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "learning/lesson.h"
#include "learning/low_rank_path.h"
#include "learning/step_observer.h"
#include "tensor/rng.h"

namespace retune {

struct LowRankFactors {
  Tensor a;  // f32 [r, in]
  Tensor b;  // f32 [out, r]
};
using LowRankAdapter = std::map<std::string, LowRankFactors>;  // by site name

// A uniform in +-1/sqrt(in) (Kaiming's with a = sqrt 5), drawn row by row from the Rng forked by the site's name; B
// zero. User error for a rank above the smaller side of the matrix.
LowRankFactors fresh_factors(const Site& site, std::int64_t rank, const Rng& rng);

struct LowRankOptions {
  std::int64_t steps = 60;      // at most; >= 0
  double learning_rate = 5e-3;  // of Adam; >= 0
  double weight_decay = 0;      // decoupled, of A and B; >= 0
  double stop_loss = 0;         // nats; the step that is below it makes no update; 0: never
  double dropout = 0;           // share of the path's input that is dropped at each step, in [0, 1)
  void validate() const;        // user errors
};

struct LowRankResult {
  LowRankAdapter adapter;
  std::vector<double> losses;  // before each step's update, with its dropout
  std::int64_t updates = 0;
};

// `paths`: the bundle's loss graphs with paths beside `sites`, masked if and only if options.dropout > 0. Lessons'
// weights should sum to one. User errors: no lesson, no site; failure: a loss that is not finite.
LowRankResult tune_low_rank(Session& session, const Bundle& bundle, const LossGraphs& paths,
                            const std::vector<Site>& sites, const std::vector<Lesson>& lessons, LowRankAdapter start,
                            const LowRankOptions& options, const Rng& rng, const StepObserver& observer = {});

}  // namespace retune
