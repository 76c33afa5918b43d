// Activation steering from contrast pairs (methods.md 5.17; contrastive addition: arXiv 2312.06681; in audio-language
// models: arXiv 2603.14636):
//
//   v_l = mean_i h_l(x_i+) - mean_i h_l(x_i-)         at the residual stream after block l of the unedited model
//   h  <- h + alpha v_l                               with norm_preserve: (h + alpha v_l) |h| / |h + alpha v_l|
//
// x+ are clips of the new label and x- clips of the old label from the corpus, asked the request's question; or the
// request itself followed by the new and by the old answer. A gate adds the vector only where a plane says that the
// state is one of the old label's (mechanisms/linear_gate.h), read at the first of the layers as the block gives it,
// whatever other edits add there: so edits add up whichever comes first.
#pragma once

#include "editors/registry.h"

namespace retune {

// "steer". Changes no weight: the patch has one insert, "steer.N" with N its place in the stack. A request's vector is
// that of the unedited model whatever lies beneath; the vectors of several requests add.
EditingMethod steer_method();

}  // namespace retune
