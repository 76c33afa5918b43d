#include "recipes/progress.h"

#include "tensor/error.h"

namespace retune {

void Watch::report(const Progress& progress) const {
  if (observer) observer(progress);
  if (stopped())
    throw Error(ErrorCode::kInterrupted,
                fmt::format("interrupted during '{}'; run the same command again to go on", progress.stage));
}

}  // namespace retune
