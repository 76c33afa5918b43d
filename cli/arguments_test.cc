#include "cli/arguments.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tensor/error.h"

namespace retune {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

const Command& example() {
  using Type = Flag::Type;
  static const Command command{
      .name = "hear",
      .positionals = {{.name = "BUNDLE", .meaning = "a folder"},
                      {.name = "CLIP", .meaning = "clips", .count = Positional::Count::kMany}},
      .flags = {{.name = "max_new_tokens", .type = Type::kInteger, .fallback = "256", .least = 0, .most = 512},
                {.name = "rate", .type = Type::kNumber, .fallback = "0.5"},
                {.name = "options", .type = Type::kTexts},
                {.name = "weights", .type = Type::kNumbers},
                {.name = "question", .fallback = "what?"},
                {.name = "check", .type = Type::kSwitch},
                {.name = "mode", .choices = {"single", "batch"}},
                {.name = "cache", .type = Type::kBytes, .fallback = "1.5KiB"}}};
  return command;
}

Arguments parse(const std::vector<std::string>& words) { return Arguments::parse(example(), words); }

std::string refusal(const std::vector<std::string>& words) {
  try {
    parse(words);
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kUser);
    return error.what();
  }
  return "accepted";
}

TEST(Arguments, TakeFlagsAndPositionalsInAnyOrder) {
  const Arguments arguments = parse({"--check", "model", "--max-new-tokens=3", "a.wav", "--rate", "2e-1", "b.wav"});
  EXPECT_EQ(arguments.path("BUNDLE"), "model");
  EXPECT_THAT(arguments.texts("CLIP"), ElementsAre("a.wav", "b.wav"));
  EXPECT_EQ(arguments.integer("max_new_tokens"), 3);
  EXPECT_DOUBLE_EQ(arguments.number("rate"), 0.2);
  EXPECT_TRUE(arguments.on("check"));
}

TEST(Arguments, FallBackWhereAFlagIsNotGiven) {
  const Arguments arguments = parse({"model", "a.wav"});
  EXPECT_EQ(arguments.integer("max_new_tokens"), 256);
  EXPECT_EQ(arguments.text("question"), "what?");
  EXPECT_EQ(arguments.bytes("cache"), 1536);
  EXPECT_FALSE(arguments.given("question"));
  EXPECT_FALSE(arguments.on("check"));
  EXPECT_TRUE(arguments.texts("options").empty());
}

TEST(Arguments, SplitListsAtCommasThatAreNotEscaped) {
  const Arguments arguments = parse({"model", "a.wav", "--options",
                                     R"(a dog,yes\, a cat,)"
                                     "cow",
                                     "--weights", "0.5,-2"});
  EXPECT_THAT(arguments.texts("options"), ElementsAre("a dog", "yes, a cat", "cow"));
  EXPECT_THAT(arguments.numbers("weights"), ElementsAre(0.5, -2.0));
}

TEST(Arguments, SwitchesCanBeTurnedOff) {
  EXPECT_FALSE(parse({"m", "c", "--nocheck"}).on("check"));
  EXPECT_FALSE(parse({"m", "c", "--check=false"}).on("check"));
  EXPECT_TRUE(parse({"m", "c", "--nocheck"}).given("check"));
}

TEST(Arguments, EverythingBehindTwoDashesIsNoFlag) {
  EXPECT_THAT(parse({"m", "--", "--check", "-x"}).texts("CLIP"), ElementsAre("--check", "-x"));
}

TEST(Arguments, NegativeNumbersAreNoFlags) { EXPECT_THAT(parse({"m", "-3"}).texts("CLIP"), ElementsAre("-3")); }

TEST(Arguments, AMisspeltFlagNamesTheNearestOne) {
  EXPECT_THAT(refusal({"m", "c", "--max_new_token", "3"}), HasSubstr("did you mean --max_new_tokens?"));
  EXPECT_THAT(refusal({"m", "c", "--jsn"}), HasSubstr("did you mean --json?"));
}

TEST(Arguments, ValuesOfAnotherTypeOrOutOfRangeAreRefused) {
  EXPECT_THAT(refusal({"m", "c", "--max_new_tokens", "three"}), HasSubstr("expected an integer, got 'three'"));
  EXPECT_THAT(refusal({"m", "c", "--max_new_tokens", "513"}), HasSubstr("at most 512, got '513'"));
  EXPECT_THAT(refusal({"m", "c", "--max_new_tokens", "1.5"}), HasSubstr("expected an integer"));
  EXPECT_THAT(refusal({"m", "c", "--rate", "nan"}), HasSubstr("expected a number"));
  EXPECT_THAT(refusal({"m", "c", "--mode", "batches"}), HasSubstr("one of single, batch"));
  EXPECT_THAT(refusal({"m", "c", "--options", "a,,b"}), HasSubstr("between single commas"));
  EXPECT_THAT(refusal({"m", "c", "--cache", "2GB"}), HasSubstr("a size such as"));
  EXPECT_THAT(refusal({"m", "c", "--check=maybe"}), HasSubstr("true or false"));
}

TEST(Arguments, MissingValuesAreNotTakenFromTheNextFlag) {
  EXPECT_THAT(refusal({"m", "c", "--question", "--check"}), HasSubstr("--question needs a value"));
  EXPECT_THAT(refusal({"m", "c", "--question"}), HasSubstr("--question needs a value"));
}

TEST(Arguments, CountsAreChecked) {
  EXPECT_THAT(refusal({}), HasSubstr("BUNDLE is missing"));
  EXPECT_THAT(refusal({"m"}), HasSubstr("CLIP is missing"));
  EXPECT_THAT(refusal({"m", "c", "--rate", "1", "--rate", "2"}), HasSubstr("given twice"));
  EXPECT_EQ(refusal({"--help"}), "accepted");
}

TEST(ParseBytes, KnowsBinaryUnits) {
  EXPECT_EQ(parse_bytes("4096"), 4096);
  EXPECT_EQ(parse_bytes("2KiB"), 2048);
  EXPECT_EQ(parse_bytes("0.5GiB"), std::int64_t{1} << 29);
  EXPECT_THROW(parse_bytes("-1MiB"), Error);
  EXPECT_THROW(parse_bytes("1e300GiB"), Error);
  EXPECT_THROW(parse_bytes(""), Error);
}

}  // namespace
}  // namespace retune
