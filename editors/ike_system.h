// The system message of the in-context methods, the same for all models: editors/resources/ike_system.txt, compiled in.
// Its four parts are those of methods.md 2.4; {edits} stands for the lines of the edits.
#pragma once

#include <string_view>

namespace retune {

// Ends without a line break. A change of it changes what the methods do: the recipe names it by its hash.
std::string_view ike_system_text();

}  // namespace retune
