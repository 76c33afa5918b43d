#include "adapters/patch_text.h"

#include <nlohmann/json.hpp>

#include "tensor/error.h"

namespace retune {

void check_patch_text(std::string_view text, std::string_view what) {
  if (text.find('\0') != std::string_view::npos) throw user_error("the patch's {} holds a NUL byte", what);
  try {
    (void)nlohmann::json(text).dump();  // throws where text is not UTF-8
  } catch (const nlohmann::json::exception&) {
    throw user_error("the patch's {} is not UTF-8", what);
  }
}

}  // namespace retune
