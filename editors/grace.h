// GRACE: a codebook of hidden keys with radii beside one module, whose output it replaces where the prompt is near a
// key (methods.md 5.16; Hartvigsen et al. 2023, arXiv 2211.11031). No weight moves.
//
// The key is the module's input at the last prompt position; entries are made, split, grown and replaced by the rules
// of editors/mechanisms/codebook.h; the value is trained on the target's likelihood by Adam. The codebook so far is
// that of the patches beneath: each patch remembers the entries that it made or changed, and brings the whole codebook
// as an insert of the graph.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "editors/mechanisms/codebook_insert.h"
#include "editors/mechanisms/target_optimizer.h"
#include "editors/registry.h"

namespace retune {

// "grace". A batch puts one request after another into one codebook. Notes: "loss" and "updates" of all requests in
// order; "radius", "distance" (to the nearest key there was; -1: none) and "entry", one a request; "entries" in all.
EditingMethod grace_method();

struct GraceOptions {
  CodebookRules rules;
  ReplacedRows rows = ReplacedRows::kLast;
  bool warm = false;           // a value begins as the module's output; else uniformly drawn from [0, 1)
  std::int64_t steps = 50;     // updates of a value; >= 0
  double learning_rate = 1.0;  // of Adam
  double stop_loss = 0;        // nats below which a value is good enough
};

struct GraceStep {
  Placing placing;
  TargetVector training;  // its delta is the entry's value
};

// One edit of a codebook: makes room for the prompt's key and trains the value of the entry that answers it. `bundle`
// has no codebook at the site (editors/mechanisms/aside.h), `losses` are its graphs. Errors as read_site,
// optimize_target.
GraceStep learn_entry(Session& session, const Bundle& bundle, const LossGraphs& losses, const Site& site,
                      const PromptView& view, const std::vector<std::int64_t>& target, const GraceOptions& options,
                      Rng rng, Codebook& codebook, const StepObserver& observer = {});

// Half the median distance between the key of a prompt and the nearest one of another label: a radius for new entries.
// Of at most `prompts` of the corpus's labelled items, evenly spaced; those with sound where there are any. User error
// for fewer than two labels.
double measured_radius(Session& session, const Bundle& bundle, const Site& site, const Corpus& corpus,
                       std::int64_t prompts);

}  // namespace retune
