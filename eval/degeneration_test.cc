// T20 of methods.md section 11, and the measures against values worked by hand.
#include "eval/degeneration.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <string>

namespace retune {
namespace {

Degeneration of_text(const std::string& text) { return degeneration({}, text, false); }

const std::string kLongText =
    "The recording opens with a short burst of wind, after which a single dog barks three times at a distance. "
    "A car passes slowly from left to right, and somebody closes a wooden gate. Towards the end the barking returns, "
    "closer now, and the speaker remarks calmly that the animal belongs to her neighbour and rarely makes any noise.";

TEST(Degeneration, FlagsTextThatHasFallenApart) {
  EXPECT_TRUE(of_text("dogdogdogdogdog").degenerate);
  EXPECT_TRUE(of_text("dog dog dog dog dog").degenerate);
  EXPECT_TRUE(of_text("the cat is the cat is the cat is the cat is the cat is").degenerate);
  EXPECT_TRUE(of_text("aaaaa").degenerate);
  EXPECT_TRUE(of_text("").degenerate);
  EXPECT_TRUE(of_text(" \n\t ").degenerate);
  EXPECT_TRUE(degeneration(std::vector<std::int64_t>(24, 17), "x", false).degenerate)
      << "one token 24 times, whatever the text";
}

TEST(Degeneration, LeavesSoundTextAlone) {
  EXPECT_FALSE(of_text("male").degenerate);
  EXPECT_FALSE(of_text("7").degenerate);
  EXPECT_FALSE(of_text("dogdogdogdog").degenerate) << "four times is not five";
  EXPECT_FALSE(of_text("dog, dog, cat").degenerate);
  EXPECT_FALSE(of_text(kLongText).degenerate);
  EXPECT_FALSE(degeneration(std::vector<std::int64_t>(19, 17), "x", false).degenerate) << "fewer than 20 tokens";
}

TEST(Degeneration, UnitsAreAtMostTwentyCharacters) {
  const auto five_times = [](const std::string& unit) { return unit + unit + unit + unit + unit; };
  EXPECT_TRUE(of_text(five_times("abcdefghijklmnopqrst")).degenerate);
  EXPECT_FALSE(of_text(five_times("abcdefghijklmnopqrstu")).degenerate);
  EXPECT_TRUE(of_text(five_times("\u72D7\u732B")).degenerate) << "characters, not bytes";
}

TEST(Degeneration, RepetitionCountsNGramsOfIds) {
  const Degeneration result = degeneration({1, 2, 1, 2, 1}, "text", false);
  EXPECT_DOUBLE_EQ(result.repetition[0], 1 - 2.0 / 5);
  EXPECT_DOUBLE_EQ(result.repetition[1], 1 - 2.0 / 4);
  EXPECT_DOUBLE_EQ(result.repetition[2], 1 - 2.0 / 3);
  EXPECT_DOUBLE_EQ(result.repetition[3], 0);
  EXPECT_EQ(degeneration({4, 4, 4, 9}, "text", false).longest_token_run, 3);
  EXPECT_EQ(of_text("no no no yes").longest_token_run, 3) << "words where there are no ids";
}

TEST(Degeneration, EntropyIsOfNGramsOfWords) {
  const Degeneration result = of_text("a b a b c");  // bigrams ab 2, ba 1, bc 1; trigrams aba, bab, abc
  EXPECT_NEAR(result.bigram_entropy, 1.5, 1e-12);
  EXPECT_NEAR(result.trigram_entropy, std::log2(3.0), 1e-12);
  EXPECT_NEAR(result.fluency, 0.5 * (2.0 / 3 * 1.5 + 4.0 / 3 * std::log2(3.0)), 1e-12);
  EXPECT_EQ(of_text("male").fluency, 0);
}

TEST(Degeneration, CompressionRatioIsLz78s) {
  // "aaaa": phrases a (0+8 bits), aa (1+8 bits), then the known "a" alone (2 bits): 32 bits of text in 19.
  EXPECT_NEAR(of_text("aaaa").compression_ratio, 32.0 / 19, 1e-12);
  EXPECT_EQ(of_text("").compression_ratio, 0);
  EXPECT_GT(of_text(std::string(2000, 'a')).compression_ratio, 5);
  EXPECT_LT(of_text(kLongText).compression_ratio, 1.5);
}

TEST(Degeneration, CharactersAreCounted) {
  EXPECT_EQ(of_text("a bb b").longest_character_run, 3) << "blanks left out";
  EXPECT_DOUBLE_EQ(of_text("ab\x01\xff").non_printable_share, 0.5);
  EXPECT_DOUBLE_EQ(of_text("a\nb").non_printable_share, 0);
  EXPECT_TRUE(degeneration({}, "dog", true).hit_length_limit);
}

}  // namespace
}  // namespace retune
