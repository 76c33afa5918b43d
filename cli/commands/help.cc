#include "cli/help.h"

#include <algorithm>

#include "cli/arguments.h"
#include "cli/commands/commands.h"
#include "cli/console.h"
#include "tensor/error.h"
#include "tensor/nearest_word.h"

namespace retune {

namespace {

std::string help_of(const std::string& name) {
  std::vector<std::string> names;
  for (const Command& command : commands()) {
    if (command.name == name) return command_help(command);
    if (command.name.starts_with(name + " ")) return group_help(name);
    names.push_back(command.name);
  }
  throw user_error("there is no command '{}'; did you mean '{}'?", name, nearest_word(name, names));
}

// Every command, or those of that name or group.
nlohmann::ordered_json help_json(const std::string& name) {
  nlohmann::ordered_json all = nlohmann::ordered_json::array();
  for (const Command& command : commands())
    if (name.empty() || command.name == name || command.name.starts_with(name + " "))
      all.push_back(command_json(command));
  return all;
}

int help(const Arguments& arguments, Console& console) {
  if (arguments.on("markdown")) {
    console.out() << manual();
    return 0;
  }
  std::string name;
  for (const std::string& word : arguments.texts("COMMAND")) name += (name.empty() ? "" : " ") + word;
  const std::string text = name.empty() ? overview() : help_of(name);  // refuses a name that there is not
  if (arguments.on("json"))
    console.print(help_json(name));
  else
    console.out() << text;
  return 0;
}

}  // namespace

Command help_command() {
  return {
      .name = "help",
      .summary = "Tells what the commands do, as --help does.",
      .positionals = {{.name = "COMMAND", .meaning = "the command to tell about", .count = Positional::Count::kAny}},
      .flags = {{.name = "markdown", .type = Flag::Type::kSwitch, .meaning = "print the manual, docs/cli.md"}},
      .example = "retune help patch show",
      .run = help};
}

}  // namespace retune
