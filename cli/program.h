// The program, callable: what main does, with its words and streams as arguments.
#pragma once

#include <span>
#include <string>

#include "cli/console.h"

namespace retune {

// `words`: argv without the program's name. Returns the exit code: 0 done; 1 disk, memory, a numeric failure; 2
// anything wrong in what the user supplied; 3 interrupted; 4 a proof, a requirement or a conformance check failed.
// Whatever goes wrong is one line "retune: error: ..." on `err`; nothing is thrown.
int run_cli(std::span<const std::string> words, Streams streams);

}  // namespace retune
