#include "text/pattern.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "tensor/error.h"

namespace retune {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

std::vector<std::string> matched(std::string_view regex, const std::string& text) {
  std::vector<std::string> found;
  for (const TextRange range : Pattern::regex(regex, "test").matches(text)) found.emplace_back(range.of(text));
  return found;
}

std::string regex_error(std::string_view regex) {
  try {
    Pattern::regex(regex, "tokenizer.json: pre_tokenizer");
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kUser);
    EXPECT_THAT(error.what(), HasSubstr("tokenizer.json: pre_tokenizer"));
    return error.what();
  }
  return "no error";
}

// The differences between Oniguruma's Ruby syntax and PCRE2 that matter to ids, each with what Oniguruma matches.
TEST(Pattern, MeansWhatOnigurumaMeans) {
  EXPECT_THAT(matched(R"(\s+)", "a\u0085\u00A0b\u180Ec\u3000"), ElementsAre("\u0085\u00A0", "\u3000"));
  EXPECT_THAT(matched(R"([^\s]+)", "a\u180Eb c"), ElementsAre("a\u180Eb", "c"));
  EXPECT_THAT(matched(R"([\S]+)", "a\u180Eb c"), ElementsAre("a\u180Eb", "c"));
  EXPECT_THAT(matched(R"(\w+)", "na\u0308h_1-x\u00B2"), ElementsAre("na\u0308h_1", "x"));
  EXPECT_THAT(matched(R"(\p{N}{1,3}+)", "12345 6"), ElementsAre("12345", "6"));  // a repeated group, not possessive
  EXPECT_THAT(matched(R"((ab){2}+c)", "ababababc"), ElementsAre("ababababc"));
  EXPECT_THAT(matched(R"(^\w|\w$)", "ab\ncd"), ElementsAre("a", "b", "c", "d"));
  EXPECT_THAT(matched(R"(.+)", "a\rb\nc"), ElementsAre("a\rb", "c"));
  EXPECT_THAT(matched(R"(\h+)", "xyz 0aF"), ElementsAre("0aF"));
  EXPECT_THAT(matched(R"(\u00e9)", "caf\u00E9"), ElementsAre("\u00E9"));
  EXPECT_THAT(matched(R"(a{b)", "a{b"), ElementsAre("a{b"));
}

TEST(Pattern, KeepsPossessiveAndLazyQuantifiersAndGroups) {
  EXPECT_THAT(matched(R"(a++b|a+)", "aaab aa"), ElementsAre("aaab", "aa"));
  EXPECT_THAT(matched(R"(<.+?>)", "<a><b>"), ElementsAre("<a>", "<b>"));
  EXPECT_THAT(matched(R"((?i:'s|'t)|x)", "it'S 'T"), ElementsAre("'S", "'T"));
  EXPECT_THAT(matched(R"(\s+(?!\S)|\s+)", "a   b  "), ElementsAre("  ", " ", "  "));
  EXPECT_THAT(matched(R"([[:digit:]\]]+)", "12]a"), ElementsAre("12]"));
}

TEST(Pattern, FindsEmptyMatchesWithoutEnd) {
  EXPECT_EQ(Pattern::regex("x*", "test").matches("日x").size(), 3u);
  EXPECT_EQ(Pattern::regex("x*", "test").matches("").size(), 1u);
}

TEST(Pattern, TakesLiteralsLiterally) {
  EXPECT_EQ(Pattern::literal("a.b", "test").replace("a.b axb \\a.b", "$1"), "$1 axb \\$1");
  EXPECT_EQ(Pattern::literal(" ", "test").replace("a b  c", "▁"), "a▁b▁▁c");
  EXPECT_EQ(Pattern::literal("▁", "test").replace("▁a▁", " "), " a ");
}

TEST(Pattern, RefusesWhatPcre2WouldReadDifferently) {
  EXPECT_THAT(regex_error(R"([a-z&&[^m]])"), HasSubstr("an intersection of character classes"));
  EXPECT_THAT(regex_error(R"([a[bc]])"), HasSubstr("a character class inside another"));
  EXPECT_THAT(regex_error(R"([\W])"), HasSubstr(R"('\W' in a character class)"));
  EXPECT_THAT(regex_error(R"([abc)"), HasSubstr("unclosed"));
  EXPECT_THAT(regex_error(R"(abc\)"), HasSubstr("at the end"));
  EXPECT_THAT(regex_error(R"(a)b)"), HasSubstr("unmatched"));
  EXPECT_NE(regex_error(R"((a)"), "no error");
  EXPECT_NE(regex_error(R"(\p{Nonsense})"), "no error");
  EXPECT_THROW(Pattern::from_json(nlohmann::json::array(), "test"), Error);
}

TEST(Pattern, GivesUpOnCatastrophicPatternsWithAnError) {
  const std::string text = std::string(60, 'a') + "b";
  try {
    Pattern::regex("(a|aa)+$", "test").matches(text);
    FAIL() << "expected the match limit";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kUser);
    EXPECT_THAT(error.what(), HasSubstr("(a|aa)+$"));
  }
}

TEST(Pattern, MatchesLongRunsInLinearTime) {
  const std::string spaces(1'000'000, ' ');
  EXPECT_EQ(Pattern::regex(R"(\s*[\r\n]+|\s+(?!\S)|\s+)", "test").matches(spaces + "x").size(), 2u);
}

}  // namespace
}  // namespace retune
