#include "facts/option_list.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace retune {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

TEST(OptionList, ReadsTheLinesAfterTheLastMark) {
  const OptionList list = parse_options("Options: none of these count.\nWhich?\n\nOptions:\n  Male \n\nFemale\r\n");
  EXPECT_EQ(list.style, OptionStyle::kListed);
  EXPECT_THAT(list.texts, ElementsAre("Male", "Female"));
}

TEST(OptionList, ReadsOneLineWithCommas) {
  EXPECT_THAT(parse_options("Determine the tonic. Options: e, dsh, c.").texts, ElementsAre("e", "dsh", "c"));
  EXPECT_THAT(parse_options("Which?\nOptions:\nonly one").texts, ElementsAre("only one"));
}

TEST(OptionList, ReadsLettersWhereNothingIsMarked) {
  const OptionList list = parse_options("Choose. (A) Why not?\n(B) I can. (C) Are you?");
  EXPECT_EQ(list.style, OptionStyle::kLettered);
  EXPECT_THAT(list.texts, ElementsAre("Why not?", "I can.", "Are you?"));
  EXPECT_THAT(list.answers(), ElementsAre("A", "B", "C"));
}

TEST(OptionList, AMarkWinsOverLetters) {
  EXPECT_THAT(parse_options("Given (A) x and (B) y.\n\nOptions:\nx\ny").answers(), ElementsAre("x", "y"));
}

TEST(OptionList, ReadsNothingFromFreePhrasings) {
  EXPECT_EQ(parse_options("The answer could be spoofed or authentic.").style, OptionStyle::kNone);
  EXPECT_EQ(parse_options("Only (A) stands here.").style, OptionStyle::kNone);
  EXPECT_EQ(parse_options("Options:\n\n  ").style, OptionStyle::kNone);
  EXPECT_THAT(parse_options("").answers(), IsEmpty());
}

TEST(OptionList, PrintsWhatItReads) {
  const std::vector<std::string> options = {"dog", "a cat, asleep", "(C) cow"};
  EXPECT_EQ(with_options("Which?", {"dog", "cat"}), "Which?\n\nOptions:\ndog\ncat");
  EXPECT_EQ(parse_options(with_options("Which?", options)).texts, options);
}

TEST(OptionList, LabelsDifferInMoreThanCaseAndBlanks) {
  EXPECT_TRUE(same_label(" Male", "male\n"));
  EXPECT_FALSE(same_label("male", "female"));
  EXPECT_EQ(find_label({"Male", "male"}, "male"), 1);
  EXPECT_EQ(find_label({"Male", "Female"}, "female"), 1);
  EXPECT_EQ(find_label({"dog"}, "cat"), -1);
}

TEST(OptionList, OptionsAreNeitherBlankNorTheSame) {
  const auto fault_of = [](const std::vector<std::string>& options) { return check_options(options); };
  EXPECT_FALSE(fault_of({}).has_value());
  EXPECT_FALSE(fault_of({"Rome", "Paris", "Romeo"}).has_value());
  const auto same = fault_of({"Rome", "Paris", " rome"});
  ASSERT_TRUE(same.has_value());
  EXPECT_EQ(same->position, 2u);
  EXPECT_FALSE(same->blank);
  const auto blank = fault_of({"Rome", " \t", ""});
  ASSERT_TRUE(blank.has_value());
  EXPECT_EQ(blank->position, 1u);
  EXPECT_TRUE(blank->blank);
}

}  // namespace
}  // namespace retune
