// Text that a patch may hold: UTF-8 without NUL, so that it survives HDF5 and JSON.
#pragma once

#include <string_view>

namespace retune {

// User error naming `what` ("recipe", "target") where the text is not such.
void check_patch_text(std::string_view text, std::string_view what);

}  // namespace retune
