// KE, also called EFK: a network reads the edit, and scales and shifts the gradient of each matrix (methods.md 5.12;
// De Cao et al. 2021, arXiv 2104.08164). The network is learning/ke_network.h, its training training/hyper_trainer.h.
#pragma once

#include "editors/registry.h"

namespace retune {

// "ke". One patch a request; dense deltas.
EditingMethod ke_method();

}  // namespace retune
