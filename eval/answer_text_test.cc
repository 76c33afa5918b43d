#include "eval/answer_text.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace retune {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

TEST(AnswerText, NormalisationFoldsWhatTheJudgesDoNotTellApart) {
  EXPECT_EQ(normalized("  **Dog.** "), "dog");
  EXPECT_EQ(normalized("middle_aged-adult"), "middle aged adult");
  EXPECT_EQ(normalized("It\u2019s a \u201Ccat\u201D!"), "it's a \"cat\"!");
  EXPECT_EQ(normalized("\uFF24\uFF4F\uFF47"), "dog") << "full-width letters, by NFKC";
  EXPECT_EQ(normalized("E\u0301TE\u0301"), "\u00E9t\u00E9") << "composed, by NFKC";
  EXPECT_EQ(normalized("\uFB01sh"), "fish") << "the ligature fi";
  EXPECT_EQ(normalized("a \t\r\n b   c"), "a \n b c") << "line breaks stay, they end sentences";
  EXPECT_EQ(normalized(" .'\"*\n"), "");
  EXPECT_EQ(normalized(""), "");
}

TEST(AnswerText, IllFormedBytesCountAsReplacementCharacters) {
  EXPECT_EQ(well_formed("a\xff"
                        "b"),
            "a\uFFFDb");
  EXPECT_EQ(code_points("a\xc3").back(), U'\uFFFD');
  EXPECT_EQ(normalized("Dog \xff\xfe"), "dog \uFFFD\uFFFD");
  EXPECT_EQ(words(normalized("\xff"
                             "dog\xff")),
            std::vector<std::string>{"dog"});
}

TEST(AnswerText, WordsAreRunsOfLettersDigitsAndMarks) {
  EXPECT_THAT(words("it's 2 o'clock, caf\u00E9"), ElementsAre("it", "s", "2", "o", "clock", "caf\u00E9"));
  EXPECT_THAT(words("\u0939\u093F\u0928\u094D\u0926\u0940"), ElementsAre("\u0939\u093F\u0928\u094D\u0926\u0940"));
  EXPECT_THAT(words(" ... "), IsEmpty());
}

TEST(AnswerText, WordF1IsTheHarmonicMeanOverBags) {
  EXPECT_DOUBLE_EQ(word_f1("a b c", "a b c"), 1);
  EXPECT_DOUBLE_EQ(word_f1("a b c d", "a b"), 2 * (0.5 * 1.0) / 1.5);
  EXPECT_DOUBLE_EQ(word_f1("a a b", "a c"), 2.0 * 1 / 5) << "a word counts as often as both have it";
  EXPECT_DOUBLE_EQ(word_f1("", ""), 0);
  EXPECT_DOUBLE_EQ(word_f1("a", "b"), 0);
}

TEST(AnswerText, WholeWordsHaveNoLetterBesideThem) {
  EXPECT_THAT(whole_word_positions("male, female and male", "male"), ElementsAre(0, 17));
  EXPECT_THAT(whole_word_positions("caf\u00E9s", "caf"), IsEmpty());
  EXPECT_THAT(whole_word_positions("<silence>", "<silence>"), ElementsAre(0));
  EXPECT_THAT(whole_word_positions("0.4m2 0.4m", "0.4m"), ElementsAre(6));
  EXPECT_THAT(whole_word_positions("text", ""), IsEmpty());
}

}  // namespace
}  // namespace retune
