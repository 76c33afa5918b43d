// MEND's network (methods.md 5.13; Mitchell et al. 2022, arXiv 2110.11309, section 3): it edits the factors of the
// gradient, token by token. With x, g the factors of a token, n = in, m = out:
//
//   q = [(x - mean_x) / (std_x + 1e-7) ; (g - mean_g) / (std_g + 1e-7)]          R^{n+m}
//   q <- q + relu(s (U (V q) + b) + o)          twice, V in R^{r x (n+m)}, U in R^{(n+m) x r}; relu'(0) = 1
//   (x~ ; g~) = q;   W' = W - a sum over tokens of g~ x~^T
//
// U, V, b and the statistics are those of all matrices of one shape; s, o and a are each matrix's own. At first U = b =
// o = 0 and s = 1, so the blocks add nothing, and V is standard normal. Because every pre-activation is 0 then, the
// slope of relu at 0 decides whether the network ever learns (Clip has it, graph/ops/selection.cc). Tokens whose x or g
// is zero are left out.
#pragma once

#include "learning/hyper_network.h"

namespace retune {

// "mend". Options: rank, blocks, normalise, step (a at first), step_rate_apart and step_learning_rate (the rate at
// which a is trained), reference_sign (W' = W + a ...). The changes are low-rank: u [out, tokens], v [in, tokens].
HyperNetworkKind mend_network_kind();

}  // namespace retune
