#include "cli/help.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <iterator>
#include <set>

#include "cli/arguments.h"

namespace retune {
namespace {

using testing::HasSubstr;

// The first command of an example as a shell would split it: double quotes, and a backslash at the end of a line.
std::vector<std::string> shell_words(const std::string& example) {
  std::vector<std::string> words(1);
  bool quoted = false;
  for (std::size_t i = 0; i < example.size(); ++i) {
    const char c = example[i];
    if (c == '\\' && i + 1 < example.size() && example[i + 1] == '\n') {
      ++i;
    } else if (c == '\n') {
      break;
    } else if (c == '"') {
      quoted = !quoted;
    } else if (c == ' ' && !quoted) {
      if (!words.back().empty()) words.emplace_back();
    } else {
      words.back() += c;
    }
  }
  return words;
}

TEST(Help, EveryExampleIsAValidCommandLine) {
  for (const Command& command : commands()) {
    const std::vector<std::string> name = shell_words("retune " + command.name);
    const std::vector<std::string> words = shell_words(command.example);
    ASSERT_GT(words.size(), name.size() - 1) << command.name;
    EXPECT_TRUE(std::equal(name.begin(), name.end(), words.begin())) << command.example;
    const std::vector<std::string> rest(words.begin() + static_cast<std::ptrdiff_t>(name.size()), words.end());
    EXPECT_NO_THROW(Arguments::parse(command, rest)) << command.example;
  }
}

TEST(Help, EveryFlagAndArgumentSaysWhatItMeans) {
  std::set<std::string> names;
  for (const Command& command : commands()) {
    EXPECT_TRUE(names.insert(command.name).second) << command.name;
    EXPECT_FALSE(command.summary.empty()) << command.name;
    EXPECT_NE(command.run, nullptr) << command.name;
    const std::string help = command_help(command);
    EXPECT_THAT(help, HasSubstr("usage: retune " + command.name));
    EXPECT_THAT(help, HasSubstr("example:\n  retune " + command.name));
    for (const Positional& positional : command.positionals)
      EXPECT_FALSE(positional.meaning.empty()) << positional.name;
    for (const Flag& flag : command.flags) {
      EXPECT_FALSE(flag.meaning.empty()) << command.name << " --" << flag.name;
      EXPECT_THAT(help, HasSubstr("--" + flag.name));
      for (const Flag& global : global_flags()) EXPECT_NE(flag.name, global.name) << command.name;
    }
    EXPECT_THAT(overview(), HasSubstr("\n  " + command.name + " "));
  }
}

TEST(Help, NoLineIsWiderThanAHundredColumns) {
  for (const Command& command : commands()) {
    const std::string help = command_help(command);
    for (std::size_t begin = 0, end = 0; begin < help.size(); begin = end + 1) {
      end = help.find('\n', begin);
      EXPECT_LE(end - begin, 104U) << help.substr(begin, end - begin);
    }
  }
}

TEST(Help, TheManualIsWhatTheTablesSay) {
  std::ifstream file("docs/cli.md");
  const std::string text{std::istreambuf_iterator<char>(file), {}};
  EXPECT_TRUE(text == manual()) << "docs/cli.md is not what the commands say; write it again: "
                                   "retune help --markdown > docs/cli.md";
}

}  // namespace
}  // namespace retune
