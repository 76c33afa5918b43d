// Fine-tuning: gradient descent on the target's likelihood, restricted to chosen weights (methods.md 5.1-5.4; the loop
// is learning/fine_tuning.h).
#pragma once

#include "editors/registry.h"

namespace retune {

// "ft". One patch for any number of requests; dense deltas.
EditingMethod fine_tuning_method();

}  // namespace retune
