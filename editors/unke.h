// UnKE: one block of the decoder is trained until its output at the last prompt token is the vector that makes the
// answer likely, and stays what it was everywhere else (methods.md 5.11; Deng et al. 2025, arXiv 2405.15349). The
// vector is mechanisms/target_optimizer.h; the training is learning/part_fitting.h.
#pragma once

#include "editors/registry.h"

namespace retune {

// "unke". One patch for any number of requests; dense deltas of the block's own weights.
EditingMethod unke_method();

}  // namespace retune
