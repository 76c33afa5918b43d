// What this program was built from and how.
#pragma once

#include <string>

namespace retune {

// Several lines: version; compiler, -march, build type, sanitizers, BLAS; libraries.
std::string version_text();

}  // namespace retune
