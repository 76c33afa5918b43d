// A command of the program: what it takes, what it does, one worked example. commands/ holds one file a command.
#pragma once

#include <string>
#include <vector>

#include "cli/flag.h"

namespace retune {

class Arguments;
class Console;

struct Command {
  std::string name{};     // "ask", or two words of a group: "patch show"
  std::string summary{};  // a sentence
  std::vector<Positional> positionals{};
  std::vector<Flag> flags{};  // besides those of every command
  // A command line that works, and below it what it prints or leaves behind.
  std::string example{};
  // Results go to the console's `out`. Returns the exit code; throws Error.
  int (*run)(const Arguments& arguments, Console& console) = nullptr;
};

// In the order of the help text.
const std::vector<Command>& commands();

// --json, --threads, --seed, --memory, --log, --audio_root, --help, --version.
const std::vector<Flag>& global_flags();

}  // namespace retune
