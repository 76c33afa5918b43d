// Limits of the private operators that run bodies.
#pragma once

#include <cstdint>

namespace retune {

// Nodes that one If, Loop or Scan may run, in all its trips and those of the loops inside it: what runs on is an error.
inline constexpr std::int64_t kControlStepLimit = std::int64_t{1} << 22;

}  // namespace retune
