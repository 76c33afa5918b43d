// What this program was built from and how.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

namespace retune {

// "retune" (version), "compiler", "options" (build type, -march), "flags", "sanitizers" and "libraries", an object of
// every library that is linked with its version: as loaded where the library can tell, else as compiled against.
nlohmann::ordered_json version_json();
// The same, a line each.
std::string version_text();

}  // namespace retune
