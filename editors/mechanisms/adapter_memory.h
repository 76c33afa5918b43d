// A low-rank adapter between edits (methods.md 5.5, item 6): which one the patches beneath carry, the model as if it
// had never been, and the patch that puts the next in its place.
//
// A patch's memory holds the whole adapter as it is after the edit, so the topmost patch that has one says it, and
// taking that patch off gives back the one before to the bit. Deltas are increments: what the adapter adds now, less
// what it added before.
#pragma once

#include <optional>
#include <string>

#include "adapters/patch.h"
#include "lalm/bundle.h"
#include "learning/low_rank_tuning.h"

namespace retune {

struct AdapterState {
  LowRankAdapter adapter;
  double scale = 1;     // s of training
  double discount = 1;  // what s is multiplied by in the edited model
  bool beside = false;  // as nodes beside the weights; else merged into them
  double factor() const { return scale * discount; }
};

// The adapter of the topmost patch of `method` that remembers one.
std::optional<AdapterState> adapter_beneath(const Bundle& bundle, const std::string& method);
// The bundle with every patch of its stack but those of `method` that remember an adapter.
Bundle without_adapter(const Bundle& bundle, const std::string& method);
void remember(Patch& patch, const AdapterState& state);

// The site's factor * B A, less the same of `before` (null: nothing was there), as one low-rank delta: B and A of both
// side by side, multiplied and summed in f64. Nothing where the two add the same, which adding a zero delta is not:
// -0.0 + 0.0 is +0.0.
std::optional<TensorDelta> adapter_delta(const Bundle& bundle, const Site& site, const AdapterState& now,
                                         const AdapterState* before);

// The same as nodes beside the layer, which leave its weight alone: y + factor * ((x A^T) B^T), for the file that holds
// the site of `model`, the bundle without the adapter. An adapter that adds nothing passes y on to the bit. Nothing
// where the insert that `before` left does the same.
std::optional<GraphInsert> adapter_insert(const Bundle& model, const std::string& name, const Site& site,
                                          const AdapterState& now, const AdapterState* before);

}  // namespace retune
