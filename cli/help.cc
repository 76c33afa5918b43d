#include "cli/help.h"

#include <fmt/format.h>

#include <algorithm>

namespace retune {

namespace {

constexpr std::size_t kWidth = 100;

// Words of `text` in lines of at most kWidth, those after the first indented.
std::string wrapped(const std::string& text, std::size_t column) {
  std::string result;
  std::size_t at = column;
  std::size_t begin = 0;
  while (begin < text.size()) {
    const std::size_t end = std::min(text.find(' ', begin), text.size());
    if (at > column && at + 1 + end - begin > kWidth) {
      result += "\n" + std::string(column, ' ');
      at = column;
    } else if (at > column) {
      result += ' ';
      ++at;
    }
    result += text.substr(begin, end - begin);
    at += end - begin;
    begin = end + 1;
  }
  return result + "\n";
}

struct Entry {
  std::string head;
  std::string meaning;
};

std::string listed(const std::vector<Entry>& entries) {
  std::size_t width = 0;
  for (const Entry& entry : entries) width = std::max(width, entry.head.size());
  std::string text;
  for (const Entry& entry : entries)
    text += fmt::format("  {:<{}}  {}", entry.head, width, wrapped(entry.meaning, width + 4));
  return text;
}

std::string head_of(const Flag& flag) {
  return flag.type == Flag::Type::kSwitch ? fmt::format("--{}", flag.name)
                                          : fmt::format("--{} {}", flag.name, placeholder(flag.type));
}

std::string meaning_of(const Flag& flag) {
  std::vector<std::string> notes;
  if (flag.required) notes.emplace_back("required");
  if (!flag.choices.empty()) {
    std::string choices;
    for (const std::string& choice : flag.choices) choices += (choices.empty() ? "" : ", ") + choice;
    notes.push_back(fmt::format("one of {}", choices));
  }
  if (flag.least && flag.most)
    notes.push_back(fmt::format("{} to {}", *flag.least, *flag.most));
  else if (flag.least)
    notes.push_back(fmt::format("at least {}", *flag.least));
  else if (flag.most)
    notes.push_back(fmt::format("at most {}", *flag.most));
  if (!flag.fallback.empty()) notes.push_back(fmt::format("default {}", flag.fallback));
  std::string text = flag.meaning;
  for (std::size_t i = 0; i < notes.size(); ++i) text += (i == 0 ? " (" : "; ") + notes[i];
  return notes.empty() ? text : text + ")";
}

std::string usage(const Command& command) {
  std::string text = fmt::format("retune {}", command.name);
  for (const Positional& positional : command.positionals) {
    switch (positional.count) {
      case Positional::Count::kOne:
        text += fmt::format(" {}", positional.name);
        break;
      case Positional::Count::kOptional:
        text += fmt::format(" [{}]", positional.name);
        break;
      case Positional::Count::kMany:
        text += fmt::format(" {}...", positional.name);
        break;
      case Positional::Count::kAny:
        text += fmt::format(" [{}...]", positional.name);
        break;
    }
  }
  for (const Flag& flag : command.flags)
    if (flag.required) text += fmt::format(" {}", head_of(flag));
  return text + " [--flags]";
}

std::string flag_list(const std::vector<Flag>& flags) {
  std::vector<Entry> entries;
  for (const Flag& flag : flags) entries.push_back({head_of(flag), meaning_of(flag)});
  return listed(entries);
}

// What is particular to the command.
std::string body(const Command& command) {
  std::string text = fmt::format("usage: {}\n\n{}", usage(command), wrapped(command.summary, 0));
  std::vector<Entry> positionals;
  for (const Positional& positional : command.positionals) positionals.push_back({positional.name, positional.meaning});
  if (!positionals.empty()) text += "\narguments:\n" + listed(positionals);
  if (!command.flags.empty()) text += "\nflags:\n" + flag_list(command.flags);
  text += "\nexample:\n";
  std::size_t begin = 0;
  while (begin < command.example.size()) {
    const std::size_t end = std::min(command.example.find('\n', begin), command.example.size());
    text += fmt::format("{}{}\n", end == begin ? "" : "  ", command.example.substr(begin, end - begin));
    begin = end + 1;
  }
  return text;
}

std::string command_list(const std::string& group) {
  std::vector<Entry> entries;
  for (const Command& command : commands())
    if (command.name.starts_with(group)) entries.push_back({command.name, command.summary});
  return listed(entries);
}

constexpr const char* kExitCodes =
    "exit codes:\n"
    "  0  done\n"
    "  1  disk, memory or a numeric failure\n"
    "  2  something wrong in what was supplied, found before anything was written\n"
    "  3  interrupted; the same command again goes on\n"
    "  4  a proof, a requirement or a conformance check failed\n";

}  // namespace

std::string overview() {
  return fmt::format(
      "usage: retune COMMAND [ARGUMENTS] [--flags]\n\n"
      "Edits what an audio-language model believes it hears, and measures what that changed.\n\n"
      "commands:\n{}\nflags of every command:\n{}\n{}\n"
      "retune COMMAND --help tells everything about one command, with an example.\n",
      command_list(""), flag_list(global_flags()), kExitCodes);
}

std::string group_help(const std::string& group) {
  return fmt::format(
      "usage: retune {} COMMAND [ARGUMENTS] [--flags]\n\ncommands:\n{}\nretune {} COMMAND --help tells more.\n", group,
      command_list(group + " "), group);
}

std::string command_help(const Command& command) {
  return body(command) + "\nflags of every command:\n" + flag_list(global_flags());
}

nlohmann::ordered_json command_json(const Command& command) {
  using Json = nlohmann::ordered_json;
  static constexpr const char* kCounts[] = {"one", "optional", "many", "any"};  // in the order of Positional::Count
  Json positionals = Json::array();
  for (const Positional& positional : command.positionals)
    positionals.push_back({{"name", positional.name},
                           {"count", kCounts[static_cast<int>(positional.count)]},
                           {"meaning", positional.meaning}});
  Json flags = Json::array();
  for (const Flag& flag : command.flags) {
    Json entry = {{"name", flag.name}, {"type", placeholder(flag.type)}, {"required", flag.required}};
    if (!flag.fallback.empty()) entry["default"] = flag.fallback;
    if (flag.least) entry["least"] = *flag.least;
    if (flag.most) entry["most"] = *flag.most;
    if (!flag.choices.empty()) entry["choices"] = flag.choices;
    entry["meaning"] = flag.meaning;
    flags.push_back(std::move(entry));
  }
  return {{"name", command.name},
          {"summary", command.summary},
          {"positionals", std::move(positionals)},
          {"flags", std::move(flags)},
          {"example", command.example}};
}

std::string manual() {
  std::string text =
      "# The command line\n\n"
      "Made by `retune help --markdown` from the same tables that `--help` prints; a test keeps them equal.\n\n"
      "Results go to standard output, everything else to standard error. An error is one line. Flags are written "
      "`--name value` or\n"
      "`--name=value`, switches `--name` or `--noname`; what follows `--` is no flag.\n\n"
      "```text\n" +
      overview() + "```\n";
  for (const Command& command : commands())
    text += fmt::format("\n## {}\n\n```text\n{}```\n", command.name, body(command));
  return text;
}

}  // namespace retune
