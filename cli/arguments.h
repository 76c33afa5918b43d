// The words behind a command, checked against what the command takes.
//
//   const Arguments arguments = Arguments::parse(command, {"model", "--audio", "dog.wav", "--json"});
//   arguments.path("BUNDLE"); arguments.given("audio"); arguments.on("json");
//
// Asking for a name that the command does not have is a std::logic_error.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "cli/command.h"

namespace retune {

class Arguments {
 public:
  // User errors, each naming the command and what to do: an unknown flag (with the nearest that there is), a flag given
  // twice or without its value, a value of another type or out of range, too few or too many positionals. With --help
  // or
  // --version given nothing is missed.
  static Arguments parse(const Command& command, std::span<const std::string> words);

  // Of flags and positionals alike, by name. The fallback where it was not given.
  bool given(std::string_view name) const;
  bool on(std::string_view name) const;  // a switch
  std::string text(std::string_view name) const;
  std::filesystem::path path(std::string_view name) const;
  std::vector<std::string> texts(std::string_view name) const;  // of kTexts, or of a positional of many
  std::int64_t integer(std::string_view name) const;
  double number(std::string_view name) const;
  std::vector<double> numbers(std::string_view name) const;  // of kNumbers
  std::int64_t bytes(std::string_view name) const;

 private:
  std::vector<std::string> take_flags(const std::string& command, std::span<const Flag> flags,
                                      std::span<const std::string> words);
  void take_positionals(const Command& command, std::span<const std::string> words);
  const std::vector<std::string>& values(std::string_view name) const;

  std::map<std::string, std::vector<std::string>, std::less<>> values_;  // every name; empty: not given, no fallback
  std::set<std::string, std::less<>> given_;
};

}  // namespace retune
