// Changing a value in flight: adding to it or replacing it at some rows. Capturing needs nothing of this: any value may
// be asked for as an output of a request.
//
// The delta of an intervention is a leaf of its own, named like an input, so its gradient can be asked for and a target
// vector can be optimised without recomputing anything that it does not reach.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "tensor/tensor.h"

namespace retune {

struct Intervention {
  enum class Kind { kAdd, kReplace };

  std::string name;   // of the delta, as a leaf; unique in its request
  std::string value;  // the value to change, [..., T, D] or [..., D]
  Kind kind = Kind::kAdd;
  // Indices into the value with all leading axes flattened to rows of the last axis: [B*T]. Empty means every row.
  std::vector<std::int64_t> rows;
  // [D]: the same vector at each row; [rows, D]: a vector a row. f32.
  Tensor delta;
};

}  // namespace retune
