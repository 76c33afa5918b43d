#include "text/pre_tokenizer.h"

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
using testing::IsEmpty;

std::vector<std::string> cut(const std::string& json, const std::string& text, bool first = true) {
  std::vector<PreToken> pieces;
  pre_tokenizer_from_json(nlohmann::json::parse(json), "test")({text, first}, pieces);
  std::vector<std::string> texts;
  for (const PreToken& piece : pieces) texts.push_back(piece.text);
  return texts;
}

std::string split(const std::string& behavior, const std::string& more = "") {
  return R"({"type": "Split", "pattern": {"String": "-"}, "behavior": ")" + behavior + "\"" + more + "}";
}

// The example of the `tokenizers` library's documentation of SplitDelimiterBehavior.
TEST(PreTokenizer, SplitsInTheFiveDocumentedWays) {
  const std::string text = "the-final--countdown";
  EXPECT_THAT(cut(split("Removed"), text), ElementsAre("the", "final", "countdown"));
  EXPECT_THAT(cut(split("Isolated"), text), ElementsAre("the", "-", "final", "-", "-", "countdown"));
  EXPECT_THAT(cut(split("MergedWithPrevious"), text), ElementsAre("the-", "final-", "-", "countdown"));
  EXPECT_THAT(cut(split("MergedWithNext"), text), ElementsAre("the", "-final", "-", "-countdown"));
  EXPECT_THAT(cut(split("Contiguous"), text), ElementsAre("the", "-", "final", "--", "countdown"));
  EXPECT_THAT(cut(split("Removed", R"(, "invert": true)"), text), ElementsAre("-", "-", "-"));
}

TEST(PreTokenizer, ByteLevelCutsAndWritesBytes) {
  EXPECT_THAT(cut(R"({"type": "ByteLevel", "add_prefix_space": false})", "a é's"), ElementsAre("a", "ĠÃ©", "'s"));
  EXPECT_THAT(cut(R"({"type": "ByteLevel", "add_prefix_space": true})", "a"), ElementsAre("Ġa"));
  EXPECT_THAT(cut(R"({"type": "ByteLevel", "add_prefix_space": true})", " a"), ElementsAre("Ġa"));
  EXPECT_THAT(cut(R"({"type": "ByteLevel", "add_prefix_space": false, "use_regex": false})", "a b"),
              ElementsAre("aĠb"));
  EXPECT_THAT(cut(R"({"type": "ByteLevel", "add_prefix_space": false, "use_regex": false})", ""), ElementsAre(""));
}

TEST(PreTokenizer, DigitsPunctuationAndWhiteSpace) {
  EXPECT_THAT(cut(R"({"type": "Digits", "individual_digits": true})", "a12b"), ElementsAre("a", "1", "2", "b"));
  EXPECT_THAT(cut(R"({"type": "Digits", "individual_digits": false})", "a12b"), ElementsAre("a", "12", "b"));
  EXPECT_THAT(cut(R"({"type": "Punctuation"})", "a,b。[]c"), ElementsAre("a", ",", "b", "。", "[", "]", "c"));
  EXPECT_THAT(cut(R"({"type": "Whitespace"})", "it's a  x_y!!"), ElementsAre("it", "'", "s", "a", "x_y", "!!"));
  EXPECT_THAT(cut(R"({"type": "WhitespaceSplit"})", " it's \n a"), ElementsAre("it's", "a"));
  EXPECT_THAT(cut(R"({"type": "WhitespaceSplit"})", "  "), IsEmpty());
}

TEST(PreTokenizer, MetaspacePrependsAsItsSchemeSays) {
  EXPECT_THAT(cut(R"({"type": "Metaspace"})", "a b"), ElementsAre("▁a", "▁b"));
  EXPECT_THAT(cut(R"({"type": "Metaspace", "prepend_scheme": "first", "split": false})", "a b"), ElementsAre("▁a▁b"));
  EXPECT_THAT(cut(R"({"type": "Metaspace", "prepend_scheme": "first", "split": false})", "a b", false),
              ElementsAre("a▁b"));
  EXPECT_THAT(cut(R"({"type": "Metaspace", "prepend_scheme": "never"})", "a"), ElementsAre("a"));
  EXPECT_THAT(cut(R"({"type": "Metaspace"})", " a"), ElementsAre("▁a"));
}

TEST(PreTokenizer, ASequenceCutsWhatIsLeft) {
  EXPECT_THAT(
      cut(R"({"type": "Sequence", "pretokenizers": [{"type": "WhitespaceSplit"}, {"type": "Digits"}]})", "a1 b"),
      ElementsAre("a", "1", "b"));
  EXPECT_THAT(cut("null", "a b"), ElementsAre("a b"));
}

TEST(PreTokenizer, NamesWhatItCannotDo) {
  EXPECT_THROW(cut(split("Sideways"), "a"), Error);
  EXPECT_THROW(cut(R"({"type": "Split", "behavior": "Removed"})", "a"), Error);
  try {
    cut(R"({"type": "UnicodeScripts"})", "a");
    FAIL();
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("type \"UnicodeScripts\" is not supported"));
  }
}

}  // namespace
}  // namespace retune
