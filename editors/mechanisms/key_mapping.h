// Proves that a low-rank change of a linear layer does to its key what it was made for:
//
//   || (W + u v^T) k + b - v* || / || v* ||
//
// with the factors as the patch holds them (f32), and with W and b read from the model and not from what the key's
// reading gave, so that a weight that is read the wrong way round shows as well.
#pragma once

#include "adapters/tensor_delta.h"
#include "editors/mechanisms/key_collector.h"
#include "lalm/bundle.h"

namespace retune {

// At most this: 1e-4, and twice the unit roundoff of a 16-bit weight, in whose precision such a model gives its values.
double key_tolerance(DType stored);

// That error, for the bundle as it stands beneath the change; `wanted` is the key and v*. Failure naming the site if it
// is above the tolerance or no number.
double prove_key_mapping(const Bundle& bundle, const Site& site, const LowRankDelta& change, const KeyValue& wanted);

}  // namespace retune
