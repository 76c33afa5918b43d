// Where a command writes, checked before it works, from its table of flags: the same rules for every command.
#pragma once

namespace retune {

class Arguments;
struct Command;

// User errors: an output that is, holds or lies inside something that the same command line reads (positionals, kPath;
// of the clips' folder only that it holds it); a kOutputFile that cannot be written, or that is there without --force.
// What only a recipe or a file names is for the library to check (tensor/staged_output.h).
void check_outputs(const Command& command, const Arguments& arguments);

}  // namespace retune
