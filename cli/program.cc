#include "cli/program.h"

#include <algorithm>
#include <exception>
#include <new>

#include "cli/arguments.h"
#include "cli/command.h"
#include "cli/help.h"
#include "cli/output_check.h"
#include "cli/version.h"
#include "tensor/error.h"
#include "tensor/nearest_word.h"
#include "weights/external_data.h"

namespace retune {

namespace {

// Names of commands may be two words; `count` says how many were used.
const Command* find_command(std::span<const std::string> words, std::size_t& count) {
  for (count = std::min<std::size_t>(2, words.size()); count > 0; --count) {
    const std::string name = count == 2 ? words[0] + " " + words[1] : words[0];
    for (const Command& command : commands())
      if (command.name == name) return &command;
  }
  return nullptr;
}

bool is_group(const std::string& word) {
  return std::any_of(commands().begin(), commands().end(),
                     [&](const Command& command) { return command.name.starts_with(word + " "); });
}

Error unknown_command(std::span<const std::string> words) {
  const bool group = is_group(words[0]);
  const std::string given = group && words.size() > 1 ? words[0] + " " + words[1] : words[0];
  std::vector<std::string> names;
  for (const Command& command : commands())
    if (!group || command.name.starts_with(words[0] + " ")) names.push_back(command.name);
  if (!group)
    for (const Command& command : commands()) names.push_back(command.name.substr(0, command.name.find(' ')));
  if (group && words.size() == 1) {
    std::string list;
    for (const std::string& name : names) list += (list.empty() ? "" : ", ") + name;
    return user_error("{} is a group of commands: {}; see retune {} --help", given, list, given);
  }
  return user_error("there is no command '{}'; did you mean '{}'? see retune --help", given,
                    nearest_word(given, names));
}

// Flags may stand before the command; those that take a value keep it.
std::size_t command_position(std::span<const std::string> words) {
  std::size_t i = 0;
  while (i < words.size() && words[i].starts_with("-")) {
    const std::string name = words[i].substr(std::min(words[i].find_first_not_of('-'), words[i].size()));
    const bool takes_value = std::any_of(global_flags().begin(), global_flags().end(), [&](const Flag& flag) {
      return flag.name == name && flag.type != Flag::Type::kSwitch;
    });
    i += takes_value ? 2 : 1;
  }
  return std::min(i, words.size());
}

void print_version(const Arguments& arguments, Streams streams) {
  if (arguments.on("json"))
    streams.out << version_json().dump(2) << "\n";
  else
    streams.out << version_text();
}

// Without a command only --help and --version make sense.
int run_without_command(std::span<const std::string> words, Streams streams) {
  const Command none;
  const Arguments arguments = Arguments::parse(none, words);
  if (arguments.on("version")) {
    print_version(arguments, streams);
    return 0;
  }
  if (!arguments.on("help")) throw user_error("no command is given; see retune --help");
  streams.out << overview();
  return 0;
}

int dispatch(std::span<const std::string> words, Streams streams) {
  const std::size_t position = command_position(words);
  if (position == words.size()) return run_without_command(words, streams);
  const auto from_command = words.subspan(position);
  std::size_t count = 0;
  const Command* command = find_command(from_command, count);
  if (command == nullptr) {
    const bool asks = std::any_of(words.begin(), words.end(),
                                  [](const std::string& word) { return word == "--help" || word == "-h"; });
    if (!asks || !is_group(from_command[0])) {
      // A misspelt flag before the command may have left its value in the command's place.
      Arguments::parse(Command{}, words.first(position));
      throw unknown_command(from_command);
    }
    streams.out << group_help(from_command[0]);
    return 0;
  }
  std::vector<std::string> rest(words.begin(), words.begin() + static_cast<std::ptrdiff_t>(position));
  rest.insert(rest.end(), from_command.begin() + static_cast<std::ptrdiff_t>(count), from_command.end());
  const Arguments arguments = Arguments::parse(*command, rest);
  if (arguments.on("help")) {
    streams.out << command_help(*command);
    return 0;
  }
  if (arguments.on("version")) {
    print_version(arguments, streams);
    return 0;
  }
  check_outputs(*command, arguments);
  Console console(streams, arguments.text("log"));
  return command->run(arguments, console);
}

int report(std::ostream& err, ErrorCode code, std::string message) {
  // Messages hold names from files, which may be long, or hold what a terminal takes for commands.
  constexpr std::size_t kMaxMessageBytes = 2000;
  std::replace_if(
      message.begin(), message.end(), [](char c) { return c == '\n' || c == '\r'; }, ' ');
  err << "retune: error: " << printable(message, kMaxMessageBytes) << std::endl;
  return static_cast<int>(code);
}

}  // namespace

int run_cli(std::span<const std::string> words, Streams streams) {
  try {
    const int code = dispatch(words, streams);
    streams.out.flush();
    if (!streams.out) throw failure("cannot write all of the results to standard output; is the disk full?");
    return code;
  } catch (const Error& error) {
    streams.out.flush();
    return report(streams.err, error.code(), error.what());
  } catch (const std::bad_alloc&) {
    return report(streams.err, ErrorCode::kFailure, "out of memory; give a smaller --memory or --threads");
  } catch (const std::exception& error) {
    return report(streams.err, ErrorCode::kFailure,
                  std::string("this is a fault of Retune, please report it: ") + error.what());
  }
}

}  // namespace retune
