// Help texts and the manual, made from the commands' own tables.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "cli/command.h"

namespace retune {

// What `retune --help` prints: every command with its sentence.
std::string overview();
// The same for the commands of a group ("patch").
std::string group_help(const std::string& group);
// Usage; positionals and flags with type, default, range and meaning; a worked example.
std::string command_help(const Command& command);
// For programs: {"name", "summary", "positionals", "flags", "example"}, each flag with its type, default and limits.
nlohmann::ordered_json command_json(const Command& command);
// docs/cli.md.
std::string manual();

}  // namespace retune
