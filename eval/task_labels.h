// Labels of the 30 Dynamic-SUPERB Phase-2 tasks that SAKE asks as audio locality, type 4. Their questions list options
// in too many phrasings to be read (methods.md 8.4, step 2).
#pragma once

#include <string_view>
#include <vector>

namespace retune {

// `track` as in the facts ("DynamicSuperb/HowFarAreYou_3DSpeaker"); empty for tracks that have no table.
std::vector<std::string_view> task_labels(std::string_view track);

}  // namespace retune
