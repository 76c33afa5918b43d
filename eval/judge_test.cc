#include "eval/judge.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <map>

#include "facts/option_list.h"
#include "tensor/error.h"

namespace retune {
namespace {

ProbeAnswer said(const std::string& text) {
  ProbeAnswer answer;
  answer.text = text;
  return answer;
}

AnswerRecord reliability(const std::string& before, const std::string& after) {
  AnswerRecord record;
  record.probe_id = "e/reliability";
  record.kind = ProbeKind::kReliability;
  record.options = {"dog", "cat", "cow"};
  record.question = with_options("Which animal?", record.options);
  record.old_label = "dog";
  record.new_label = "cat";
  record.expected = "cat";
  record.before = said(before);
  record.after = said(after);
  return record;
}

TEST(Judge, CorrectnessIsTheExpectedOptionBeforeAndAfter) {
  const Verdict verdict = judge(Judge::kExtraction, reliability("It is a dog.", "It is a cat."));
  EXPECT_EQ(verdict.judge, "J1");
  EXPECT_EQ(verdict.right_before, false);
  EXPECT_EQ(verdict.right_after, true);
  EXPECT_EQ(verdict.old_before, true);
  EXPECT_EQ(verdict.old_after, false);
  EXPECT_EQ(verdict.consistent, false);
}

TEST(Judge, AnAbsentAnswerIsNotJudged) {
  AnswerRecord record = reliability("dog", "cat");
  record.before.reset();
  for (const Verdict& verdict : all_verdicts(record)) {
    EXPECT_FALSE(verdict.right_before.has_value());
    EXPECT_FALSE(verdict.consistent.has_value());
  }
  EXPECT_EQ(all_verdicts(record)[0].right_after, true);
}

TEST(Judge, SeveralOptionsAreWrongOnlyForTheStrictJudge) {
  const AnswerRecord record = reliability("dog or cow", "cat or dog");
  EXPECT_EQ(judge(Judge::kExtraction, record).right_after, true);
  EXPECT_EQ(judge(Judge::kExtractionStrict, record).right_after, false);
  EXPECT_EQ(judge(Judge::kExtractionStrict, record).consistent, false);
  EXPECT_EQ(judge(Judge::kExtractionStrict, reliability("dog or cow", "cow and dog")).consistent, true);
}

TEST(Judge, ConsistencyFollowsTheRules) {
  const auto consistent = [](const std::string& before, const std::string& after) {
    return *judge(Judge::kExtraction, reliability(before, after)).consistent;
  };
  EXPECT_TRUE(consistent("It is a dog", "dog"));
  EXPECT_TRUE(consistent("gibberish here", "gibberish here")) << "identical";
  EXPECT_TRUE(consistent("", "")) << "identical";
  EXPECT_FALSE(consistent("dog", "")) << "empty afterwards";
  EXPECT_FALSE(consistent("", "dog"));
  EXPECT_FALSE(consistent("dog", "no idea")) << "an option before, none after";
  EXPECT_TRUE(consistent("I can hear a bird singing", "I hear a bird")) << "no option in either, F1 2*4/(6+4) = 0.8";
  EXPECT_FALSE(consistent("I can hear a bird", "nothing at all")) << "F1 = 0";
  EXPECT_TRUE(consistent("a b c d e f g", "a b c")) << "F1 = 0.6";
  EXPECT_TRUE(consistent("a b c d e f g h i j k", "a b")) << "F1 = 4/13 = 0.308";
  EXPECT_FALSE(consistent("a b c d e f g h i j k l", "a b")) << "F1 = 4/14 = 0.286";
}

TEST(Judge, LetteredOptionsCompareTheFirstLetter) {
  AnswerRecord record;
  record.kind = ProbeKind::kAudioLocality;
  record.question = "Choose. (A) Why not watch a comedy?\n(B) I can watch movies.";
  record.options = parse_options(record.question).answers();
  record.expected = "B";
  record.before = said("(B) I can watch movies.");
  record.after = said("Option B");
  Verdict verdict = judge(Judge::kExtraction, record);
  EXPECT_EQ(verdict.right_before, true);
  EXPECT_EQ(verdict.consistent, true);

  record.after = said("A");
  verdict = judge(Judge::kExtraction, record);
  EXPECT_EQ(verdict.right_after, false);
  EXPECT_EQ(verdict.consistent, false);

  record.after = said("I can watch movies");
  verdict = judge(Judge::kExtraction, record);
  EXPECT_EQ(verdict.right_after, true) << "the text of an option names it";
  EXPECT_EQ(verdict.consistent, true) << "no letter, word F1 = 2*4/9";
  record.after = said("Hello there");
  EXPECT_EQ(judge(Judge::kExtraction, record).consistent, false);
}

TEST(Judge, TaskLabelsStandInForOptionsThatCannotBeRead) {
  AnswerRecord record;
  record.kind = ProbeKind::kAudioLocality;
  record.type = 4;
  record.track = "DynamicSuperb/SpoofDetection_ASVspoof";
  record.question = "Detect spoofing. The answer could be spoofed or authentic.";
  record.expected = "spoofed";
  record.before = said("The voice is spoofed.");
  record.after = said("It seems authentic");
  const Verdict verdict = judge(Judge::kExtraction, record);
  EXPECT_EQ(verdict.right_before, true);
  EXPECT_EQ(verdict.right_after, false);
  EXPECT_EQ(verdict.consistent, false);
}

TEST(Judge, WithoutAnyOptionsTheLabelsAtStakeAreLookedFor) {
  AnswerRecord record = reliability("I hear a dog", "I hear a cat");
  record.options.clear();
  record.question = "What do you hear?";
  const Verdict verdict = judge(Judge::kExtractionStrict, record);
  EXPECT_EQ(verdict.right_after, true);
  EXPECT_EQ(verdict.old_before, true);
  EXPECT_EQ(verdict.consistent, false);
}

TEST(Judge, ExactMatchIsNormalisedEquality) {
  EXPECT_EQ(judge(Judge::kExactMatch, reliability("dog", " *Cat.* ")).right_after, true);
  EXPECT_EQ(judge(Judge::kExactMatch, reliability("dog", "a cat")).right_after, false);
  EXPECT_EQ(judge(Judge::kExactMatch, reliability("Dog.", "dog")).consistent, true);
  EXPECT_EQ(judge(Judge::kExactMatch, reliability("Dog.", "dog")).old_before, true);
}

// A unigram model over characters: log p(option) is the sum over its letters, a token each.
OptionScore unigram(const std::string& text, const std::map<char, double>& logs) {
  OptionScore score{text, 0, static_cast<int>(text.size()), static_cast<int>(text.size())};
  for (const char c : text) score.logprob_sum += logs.at(c);
  return score;
}

TEST(Judge, LikelihoodScoresOrderTheOptionsAsConstructed) {
  const std::map<char, double> logs = {{'a', -1.0}, {'b', -0.9}, {'c', -3.0}};
  AnswerRecord record = reliability("", "");
  record.options = {"a", "bbbb", "c"};
  record.expected = "a";
  record.after->option_scores = {unigram("a", logs), unigram("bbbb", logs), unigram("c", logs)};
  record.before->option_scores = {unigram("bb", logs), unigram("a", logs)};

  EXPECT_EQ(judge(Judge::kLikelihoodSum, record).right_after, true) << "-1.0 against -3.6 and -3.0";
  EXPECT_EQ(judge(Judge::kLikelihood, record).right_after, false) << "-1.0 against -0.9 a token";
  const auto by_mean = option_preference(Judge::kLikelihood, record.after->option_scores);
  ASSERT_TRUE(by_mean.has_value());
  EXPECT_EQ(by_mean->best, 1);
  EXPECT_NEAR(by_mean->margin, 0.1, 1e-12);
  EXPECT_THAT(by_mean->ranks, testing::ElementsAre(2, 1, 3));
  const double total = std::exp(-1.0) + std::exp(-0.9) + std::exp(-3.0);
  EXPECT_NEAR(by_mean->probabilities[0], std::exp(-1.0) / total, 1e-12);
  EXPECT_NEAR(by_mean->probabilities[0] + by_mean->probabilities[1] + by_mean->probabilities[2], 1, 1e-12);
}

TEST(Judge, TheUnitOfTheLikelihoodDecides) {
  // Two tokens of four bytes each against one token of two bytes: sums -4 and -3, a token -2 and -3, a byte -0.5 and
  // -1.5.
  const std::vector<OptionScore> scores = {{"longword", -4, 2, 8}, {"ab", -3, 1, 2}};
  EXPECT_EQ(option_preference(Judge::kLikelihoodSum, scores)->best, 1);
  EXPECT_EQ(option_preference(Judge::kLikelihood, scores)->best, 0);
  EXPECT_EQ(option_preference(Judge::kLikelihoodChar, scores)->best, 0);
  EXPECT_EQ(option_preference(Judge::kLikelihood, {{"x", -1, 1, 1}, {"y", -1, 1, 1}})->best, 0)
      << "a tie goes to the earlier";
}

TEST(Judge, LikelihoodsThatAreNoNumbersGiveNoVerdict) {
  const double nan = std::nan("");
  const double infinity = std::numeric_limits<double>::infinity();
  EXPECT_FALSE(option_preference(Judge::kLikelihood, {}).has_value());
  EXPECT_FALSE(option_preference(Judge::kLikelihood, {{"x", nan, 1, 1}, {"y", -1, 1, 1}}).has_value());
  EXPECT_FALSE(option_preference(Judge::kLikelihood, {{"x", -1, 0, 1}}).has_value());
  EXPECT_FALSE(option_preference(Judge::kLikelihood, {{"x", -infinity, 1, 1}, {"y", -infinity, 1, 1}}).has_value());
  const auto one = option_preference(Judge::kLikelihood, {{"x", -infinity, 1, 1}, {"y", -1, 1, 1}});
  ASSERT_TRUE(one.has_value());
  EXPECT_EQ(one->best, 1);
  EXPECT_EQ(one->probabilities[0], 0);
}

TEST(Judge, NamesGoBothWays) {
  for (const Judge one : kJudges) EXPECT_EQ(judge_from_name(judge_name(one)), one);
  EXPECT_THROW(judge_from_name("J9"), Error);
}

}  // namespace
}  // namespace retune
