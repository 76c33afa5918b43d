// KE's network (methods.md 5.12; De Cao et al. 2021, arXiv 2104.08164, section 4): it reads the edit and says how each
// matrix's gradient G is to be scaled and shifted.
//
//   c = tanh(A BiLSTM(E[ids]) + a)                        the last states of both directions, E the model's embeddings
//   (gamma_a, rho_a, gamma_b, rho_b, eta) = V2 tanh(V1 c + b1) + b2          V1, V2 weight-normalised, of each matrix
//   D = kappa sigmoid(eta) (softmax(rho_a) gamma_a^T * G + softmax(rho_b) gamma_b^T)
//
// with gamma in R^in, rho in R^out. Sound enters through its placeholders alone; there is no padding, so no id is
// special. The cell is a Scan, which is unrolled for its gradient: with more than about 300 ids there is none
// (docs/operators.md).
#pragma once

#include "learning/hyper_network.h"

namespace retune {

// "ke". Options: lstm_width (of each direction), condition_width (of c), hidden_width (of V1), kappa. The changes are
// dense.
HyperNetworkKind ke_network_kind();

}  // namespace retune
