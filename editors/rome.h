// ROME: a rank-one update that maps one key to one value (methods.md 5.7; Meng et al. 2022, arXiv 2202.05262), and
// R-ROME, which uses one key throughout (Gupta et al. 2024, arXiv 2403.07175).
//
//   u = C^-1 k / ||C^-1 k||,   W' = W + lambda u^T
//   ROME     k = mean key      lambda = (v0 + delta - y) / (k_bare . u)
//   R-ROME   k = mean key      lambda = (v0 + delta - mean y) / (k . u)       variant "prefix"
//            k = bare key      lambda = delta / (k_bare . u)                  variant "prompt"
//
// Key and value are those of the bare request unless it says mean; C is the site's second moment or the identity.
#pragma once

#include "editors/registry.h"

namespace retune {

// "rome" and "r-rome". One request a patch; a low-rank delta of rank one, proven to take its key to the target: the
// note "key_error" is what editors/mechanisms/key_mapping.h measures, a failure where that is too much.
EditingMethod rome_method();
EditingMethod r_rome_method();

}  // namespace retune
