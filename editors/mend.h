// MEND: a network edits the factors of the gradient (methods.md 5.13; Mitchell et al. 2022, arXiv 2110.11309). The
// network is learning/mend_network.h, its training training/hyper_trainer.h.
#pragma once

#include "editors/registry.h"

namespace retune {

// "mend". Low-rank deltas, of a rank of the tokens that the gradient comes from. Several requests make one patch: the
// sum of what each would change in the same model.
EditingMethod mend_method();

}  // namespace retune
