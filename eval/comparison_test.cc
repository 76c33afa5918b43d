#include "eval/comparison.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "facts/json_text.h"
#include "facts/option_list.h"
#include "tensor/error.h"

namespace retune {
namespace {

// Reliability answers, one an edit: '1' names the expected label.
std::vector<AnswerRecord> answers(const std::string& right) {
  std::vector<AnswerRecord> records;
  for (std::size_t i = 0; i < right.size(); ++i) {
    AnswerRecord& record = records.emplace_back();
    record.request_id = "e" + std::to_string(i);
    record.probe_id = record.request_id + "/reliability";
    record.kind = ProbeKind::kReliability;
    record.options = {"dog", "cat"};
    record.question = with_options("Which?", record.options);
    record.expected = "cat";
    record.after = ProbeAnswer{};
    record.after->text = right[i] == '1' ? "cat" : "dog";
  }
  return records;
}

TEST(Comparison, CountsDiscordantPairsAndTestsThem) {
  const Comparison comparison = compare(answers("1100000000"), answers("0111111111"));
  ASSERT_FALSE(comparison.rows.empty());
  const ComparisonRow& row = comparison.rows[0];
  EXPECT_EQ(row.metric, "reliability");
  EXPECT_EQ(row.items, 10);
  EXPECT_DOUBLE_EQ(row.score_a, 0.2);
  EXPECT_DOUBLE_EQ(row.score_b, 0.9);
  EXPECT_EQ(row.only_a, 1);
  EXPECT_EQ(row.only_b, 8);
  EXPECT_NEAR(row.mcnemar_p, 2.0 * 10 / 512, 1e-12);
  EXPECT_NEAR(row.bootstrap.difference, 0.7, 1e-12);
  EXPECT_GT(row.bootstrap.interval->low, 0);
  EXPECT_TRUE(row.holm_p.has_value());
  EXPECT_THAT(comparison_table(comparison), testing::ContainsRegex("reliability +10 +20.0 +90.0 +\\+70.0"));
  EXPECT_EQ(nlohmann::json::parse(comparison_json(comparison))["rows"][0]["only_b"], 8);
}

TEST(Comparison, AMethodDoesNotDifferFromItself) {
  const std::vector<AnswerRecord> same = answers("1010");
  for (const ComparisonRow& row : compare(same, same).rows) {
    EXPECT_EQ(row.bootstrap.difference, 0);
    EXPECT_EQ(row.bootstrap.p_value, 1);
    EXPECT_EQ(row.mcnemar_p, 1);
  }
}

TEST(Comparison, LeavesOutWhatHasNoPartner) {
  const Comparison comparison = compare(answers("111"), answers("11111"));
  EXPECT_EQ(comparison.paired, 3);
  EXPECT_EQ(comparison.only_in_a, 0);
  EXPECT_EQ(comparison.only_in_b, 2);
  EXPECT_THAT(comparison_table(comparison), testing::HasSubstr("2 only in B"));
}

TEST(Comparison, RefusesAnswersToOtherQuestions) {
  std::vector<AnswerRecord> other = answers("1");
  other[0].probe_id = "x";
  EXPECT_THROW(compare(answers("1"), other), Error);
  other = answers("1");
  other[0].expected = "dog";
  try {
    compare(answers("1"), other);
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kUser);
    EXPECT_STREQ(error.what(),
                 "probe 'e0/reliability' has the answer 'cat' in one file and 'dog' in the other; compare answers to "
                 "the same facts");
  }
}

}  // namespace
}  // namespace retune
