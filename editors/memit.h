// MEMIT: many requests at once, spread over several layers (methods.md 5.8; Meng et al. 2023, arXiv 2210.07229):
//
//   D = R K^T (lambda C + K K^T)^-1      the minimiser of ||D K - R||^2 + lambda tr(D C D^T)
//
// layer by layer (editors/mechanisms/spread_editor.h, closed_form.h). One request and one layer write the share s /
// (lambda + s) of what is missing, s = k^T C^-1 k, which is about k's width: lambda is given in widths.
#pragma once

#include "editors/registry.h"

namespace retune {

EditingMethod memit_method();

}  // namespace retune
