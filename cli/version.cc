#include "cli/version.h"

#include <cblas.h>
#include <fmt/format.h>

#include "adapters/patch.h"

namespace retune {

std::string version_text() {
  return fmt::format(
      "retune {}\n"
      "compiler    {}\n"
      "options     -march={}, {}\n"
      "sanitizers  {}\n"
      "BLAS        {}\n"
      "libraries   {}\n",
      retune_version(), RETUNE_COMPILER, RETUNE_MARCH, RETUNE_BUILD_TYPE, RETUNE_SANITIZERS, openblas_get_config(),
      RETUNE_LIBRARIES);
}

}  // namespace retune
