// What the rows of a value are.
#pragma once

#include <string>

#include "graph/graph.h"

namespace retune {

enum class SiteAxis {
  kPositions,  // behind the prompt: rows are positions
  kAudio,      // before it: rows are those of one clip's encoder or connector
};

// From the structure of the linked graph: whether the value depends on "inputs_embeds". User error for a value that
// neither depends on it nor on the sound (the token embedding).
SiteAxis site_axis(const Graph& linked, const std::string& value);

}  // namespace retune
