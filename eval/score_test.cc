#include "eval/score.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <cmath>

#include "eval/answer_log.h"
#include "facts/json_text.h"
#include "facts/option_list.h"
#include "tensor/error.h"

namespace retune {
namespace {

ProbeAnswer said(const std::string& text) {
  ProbeAnswer answer;
  answer.text = text;
  return answer;
}

// The unedited model says `before` and the edited one `after`; "dog" was right, "cat" is the edit's target.
AnswerRecord probe(const std::string& request, ProbeKind kind, int type, const std::string& before,
                   const std::string& after) {
  AnswerRecord record;
  record.request_id = request;
  record.probe_id = request + "/" + kind_name(kind) + std::to_string(type);
  record.attribute = "Animal";
  record.kind = kind;
  record.type = type;
  record.options = {"dog", "cat"};
  record.question = with_options("Which?", record.options);
  record.old_label = "dog";
  record.new_label = "cat";
  record.expected = counts_consistency(kind) ? "dog" : "cat";
  record.before = said(before);
  record.after = said(after);
  return record;
}

MetricOptions quick() {
  MetricOptions options;
  options.judges = {Judge::kExtraction};
  options.bootstrap_samples = 0;
  return options;
}

const MetricRow& row(const MetricReport& report, const std::string& name) {
  for (const MetricRow& one : report.judges.at(0).rows) {
    if (one.metric == name) return one;
  }
  throw failure("no row {}", name);
}

// A row of methods.md 9.1 (SAKE v2): audio locality by type and its published average, in per cent.
struct PublishedRow {
  const char* name;
  std::array<double, 4> types;
  double average;
};

constexpr std::array<const char*, 4> kAttributes = {"Gender", "Animal", "Emotion", "Language"};

// 4,500 answers with the published success rates, 300 an attribute and type, none of type 2 for gender. Of all
// successes `gender_successes` fall to gender, spread over its types in order; without it, they are dealt attribute by
// attribute.
std::vector<AnswerRecord> published_answers(const PublishedRow& published, int gender_successes) {
  std::vector<AnswerRecord> records;
  for (int type = 1; type <= 4; ++type) {
    const int items = type == 2 ? 900 : 1200;
    int successes = static_cast<int>(std::lround(published.types[static_cast<std::size_t>(type) - 1] / 100 * items));
    for (const char* attribute : kAttributes) {
      const bool gender = attribute == kAttributes[0];
      if (gender && type == 2) continue;
      int here = std::min(successes, 300);
      if (gender && gender_successes >= 0) {
        here = std::min(here, gender_successes);
        gender_successes -= here;
      }
      successes -= here;
      for (int i = 0; i < 300; ++i) {
        records.push_back(
            probe(fmt::format("{}{}", attribute, i), ProbeKind::kAudioLocality, type, "dog", i < here ? "dog" : "cat"));
        records.back().attribute = attribute;
      }
    }
    EXPECT_EQ(successes, 0) << published.name;
  }
  return records;
}

// A locality item about the very label that is edited: a label-wide edit is meant to change it, an edit of one clip
// not.
TEST(Score, MarksLocalityItemsThatShareTheOldAnswer) {
  const auto item = [](const std::string& request, Scope scope, const std::string& track, const std::string& expected,
                       const std::string& after) {
    AnswerRecord record = probe(request, ProbeKind::kAudioLocality, 2, "dog", after);
    record.scope = scope;
    record.track = track;
    record.expected = expected;
    return record;
  };
  const std::vector<AnswerRecord> records = {
      item("1", Scope::kLabel, "Animal", "Dog", "cat"),   // follows the edit, as it is to
      item("2", Scope::kClip, "Animal", "dog", "cat"),    // should have stayed
      item("3", Scope::kLabel, "Animal", "pig", "dog"),   // another label
      item("4", Scope::kLabel, "Emotion", "dog", "dog"),  // another attribute
  };
  std::vector<bool> marked;
  for (const AnswerRecord& record : records) marked.push_back(shares_old_answer(record));
  EXPECT_THAT(marked, testing::ElementsAre(true, true, false, false));
  const MetricReport report = score(records, quick());
  EXPECT_EQ(row(report, "audio_locality").shares_old_answer, 2);
  EXPECT_EQ(row(report, "audio_locality").score.value, 0.5);
  EXPECT_EQ(row(report, "audio_locality").score_outside_scope.items, 3);
  EXPECT_NEAR(row(report, "audio_locality").score_outside_scope.value, 2.0 / 3, 1e-12);
  EXPECT_THAT(report_table(report),
              testing::HasSubstr("2 audio-locality items share the edited attribute's old answer"));
  EXPECT_THAT(answer_line(records[0]), testing::HasSubstr("\"shares_old_answer\":true"));
  EXPECT_THAT(answer_line(records[2]), testing::Not(testing::HasSubstr("shares_old_answer")));
  EXPECT_EQ(parse_answer_line(answer_line(records[0]), "a line"), records[0]);
  EXPECT_EQ(row(report, "text_locality").shares_old_answer, 0);
}

// T18: the micro average weighs the types 1200/900/1200/1200.
TEST(Score, MicroAveragesReproduceThePublishedTable) {
  const std::vector<PublishedRow> rows = {
      {"DeSTA FT(LLM)", {87.92, 15.78, 74.67, 69.08}, 64.93}, {"DeSTA FT(Audio)", {78.58, 48.11, 76.00, 64.83}, 68.13},
      {"DeSTA KE", {96.42, 43.89, 76.33, 92.42}, 79.49},      {"DeSTA MEND", {93.50, 17.22, 74.58, 86.92}, 71.44},
      {"DeSTA I-IKE", {79.33, 50.67, 73.67, 54.58}, 65.49},   {"DeSTA IE-IKE", {70.00, 50.00, 70.75, 42.58}, 58.89},
      {"Qwen2 FT(LLM)", {91.50, 10.33, 83.33, 70.17}, 67.40}, {"Qwen2 FT(Audio)", {96.75, 80.00, 90.00, 92.58}, 90.49},
      {"Qwen2 KE", {89.83, 61.44, 87.25, 89.42}, 83.36},      {"Qwen2 MEND", {98.58, 49.44, 85.42, 91.25}, 83.29},
      {"AF3 FT(LLM)", {98.00, 69.89, 85.42, 92.92}, 87.67},   {"AF3 FT(Audio)", {96.92, 78.56, 89.33, 93.25}, 90.24},
  };
  for (const PublishedRow& published : rows) {
    const MetricReport report = score(published_answers(published, -1), quick());
    EXPECT_EQ(row(report, "audio_locality").score.items, 4500);
    EXPECT_NEAR(100 * row(report, "audio_locality").score.value, published.average, 0.00501) << published.name;
    for (int type = 1; type <= 4; ++type) {
      const Rate rate = row(report, fmt::format("audio_locality_{}", type)).score;
      EXPECT_EQ(rate.items, type == 2 ? 900 : 1200);
      EXPECT_NEAR(100 * rate.value, published.types[static_cast<std::size_t>(type) - 1], 0.00501) << published.name;
    }
  }
}

// T18: with 760 of FT(LLM)'s 2,922 successes in gender (900 items), the mean of the four attribute means is the 66.15
// of methods.md.
TEST(Score, MacroAveragesAreMeansOfAttributeMeans) {
  const PublishedRow published = {"DeSTA FT(LLM)", {87.92, 15.78, 74.67, 69.08}, 64.93};
  const MetricReport report = score(published_answers(published, 760), quick());
  const MetricRow& locality = row(report, "audio_locality");
  EXPECT_NEAR(100 * locality.score.value, 64.93, 0.00501);
  EXPECT_NEAR(100 * locality.macro.value, 66.15, 0.00501);
  EXPECT_EQ(locality.macro.items, 4);
  EXPECT_EQ(locality.attributes.at("Gender").score.items, 900);
  EXPECT_EQ(locality.attributes.at("Animal").score.items, 1200);
}

TEST(Score, EachKindCountsWhatItShould) {
  using enum ProbeKind;
  std::vector<AnswerRecord> records = {
      probe("e1", kReliability, 0, "dog", "cat"),   probe("e1", kGenerality, 1, "dog", "dog"),
      probe("e1", kAudioLocality, 1, "dog", "dog"), probe("e1", kTextLocality, 0, "cat", "cat"),
      probe("e1", kPortability, 0, "dog", "cat"),   probe("e2", kReliability, 0, "cat", "cat"),
      probe("e2", kPortability, 0, "dog", "dog"),
  };
  const MetricReport report = score(records, quick());
  EXPECT_EQ(report.answers, 7);
  EXPECT_EQ(report.requests, 2);
  const MetricRow& reliability = row(report, "reliability");
  EXPECT_EQ(reliability.score.value, 1);
  EXPECT_EQ(reliability.right_before.value, 0.5) << "R0: the unedited model names the new label in e2 already";
  EXPECT_EQ(reliability.old_before.value, 0.5);
  EXPECT_EQ(reliability.old_after.value, 0);
  EXPECT_EQ(reliability.score_given_right.items, 1);
  EXPECT_EQ(row(report, "generality").score.value, 0);
  EXPECT_EQ(row(report, "text_locality").score.value, 1) << "unchanged, though wrong";
  EXPECT_EQ(row(report, "text_locality").right_after.value, 0);
  EXPECT_EQ(row(report, "text_locality").score_given_right.items, 0);
  EXPECT_EQ(row(report, "portability").score.value, 0.5);
  EXPECT_EQ(row(report, "portability").score_given_right.items, 1) << "e1, whose clip the unedited model heard rightly";
  EXPECT_EQ(row(report, "portability").score_given_right.value, 1);
  EXPECT_EQ(score_of(report, "reliability").value, 1);
}

TEST(Score, NoItemsIsNeverZero) {
  const MetricReport report = score({probe("e1", ProbeKind::kReliability, 0, "dog", "cat")}, quick());
  const MetricRow& locality = row(report, "audio_locality");
  EXPECT_EQ(locality.score.items, 0);
  EXPECT_TRUE(std::isnan(locality.score.value));
  EXPECT_TRUE(std::isnan(locality.macro.value));
  EXPECT_FALSE(locality.wilson.has_value());
  EXPECT_THAT(report_table(report), testing::ContainsRegex("audio_locality +0 +no items"));
  const nlohmann::json json = nlohmann::json::parse(report_json(report));
  EXPECT_TRUE(json["judges"][0]["rows"][5]["score"]["value"].is_null());
  EXPECT_EQ(json["judges"][0]["rows"][5]["metric"], "audio_locality");
  EXPECT_TRUE(std::isnan(score_of(report, "accuracy").value));
  EXPECT_THROW(score_of(report, "reliabilty"), Error);
  EXPECT_THROW(score_of(report, "reliability", Judge::kExactMatch), Error);
}

TEST(Score, WithoutUneditedAnswersOnlyCorrectnessIsKnown) {
  std::vector<AnswerRecord> records = {probe("e1", ProbeKind::kReliability, 0, "", "cat"),
                                       probe("e1", ProbeKind::kTextLocality, 0, "", "dog")};
  for (AnswerRecord& record : records) record.before.reset();
  const MetricReport report = score(records, quick());
  EXPECT_FALSE(report.has_before);
  EXPECT_EQ(row(report, "reliability").score.value, 1);
  EXPECT_EQ(row(report, "text_locality").score.items, 0);
  EXPECT_EQ(row(report, "text_locality").right_after.value, 1);
  EXPECT_THAT(report_table(report), testing::HasSubstr("no unedited answers: correctness only"));
}

TEST(Score, PlainProbesHaveAnAccuracyByAttribute) {
  std::vector<AnswerRecord> records;
  for (int i = 0; i < 4; ++i) {
    records.push_back(probe("", ProbeKind::kPlain, 0, "", i < 3 ? "cat" : "dog"));
    records.back().probe_id = fmt::format("p{}", i);
    records.back().attribute = i < 2 ? "Animal" : "Text";
    records.back().before.reset();
  }
  const MetricReport report = score(records);
  ASSERT_EQ(report.judges[0].rows.size(), 1u);
  EXPECT_EQ(row(report, "accuracy").score.value, 0.75);
  EXPECT_EQ(row(report, "accuracy").macro.value, 0.75);
  EXPECT_EQ(row(report, "accuracy").attributes.at("Text").score.value, 0.5);
  EXPECT_EQ(row(report, "accuracy").clusters, 4);
  EXPECT_TRUE(row(report, "accuracy").bootstrap.has_value());
}

// A question of a probe file, where no edit is.
AnswerRecord question(int number, ProbeKind kind, const std::string& attribute, const std::string& after) {
  AnswerRecord record = probe("", kind, 0, "", after);
  record.probe_id = fmt::format("p{}", number);
  record.attribute = record.track = attribute;
  record.expected = "cat";
  record.before.reset();
  return record;
}

std::vector<AnswerRecord> answered_probe_file() {
  std::vector<AnswerRecord> records;
  const auto add = [&records](ProbeKind kind, const char* attribute, int right, int wrong) {
    for (int i = 0; i < right + wrong; ++i)
      records.push_back(question(static_cast<int>(records.size()), kind, attribute, i < right ? "cat" : "dog"));
  };
  add(ProbeKind::kPlain, "Animal", 9, 1);
  add(ProbeKind::kPlain, "Emotion", 2, 2);
  add(ProbeKind::kTextLocality, "Text", 3, 1);
  add(ProbeKind::kPortability, "Animal", 4, 1);
  add(ProbeKind::kPortability, "Emotion", 0, 3);
  return records;
}

// The table of a probe file printed one macro average: what the model knows of each attribute stood in the JSON only,
// and text facts hid as the "right after" of a text_locality without items.
TEST(Score, ProbeFilesAreReportedByKindOfQuestionAndAttribute) {
  const std::string table = report_table(score(answered_probe_file(), quick()));
  // Wilson's interval of 9 of 10 is 59.6 to 98.2 (Brown, Cai and DasGupta 2001, equation 4).
  EXPECT_THAT(table, testing::ContainsRegex("first hop +14 +78\\.6 +[0-9.]+-[0-9.]+\n"
                                            "  Animal +10 +90\\.0 +59\\.6-98\\.2\n"
                                            "  Emotion +4 +50\\.0 +15\\.0-85\\.0\n"
                                            "text facts +4 +75\\.0 +30\\.1-95\\.4\n"
                                            "  Text +4 +75\\.0 +30\\.1-95\\.4\n"
                                            "second hop +8 +50\\.0 +[0-9.]+-[0-9.]+\n"
                                            "  Animal +5 +80\\.0 +[0-9.]+-[0-9.]+\n"
                                            "  Emotion +3 +0\\.0 +0\\.0-56\\.1\n"));
  EXPECT_THAT(table, testing::Not(testing::HasSubstr("no items"))) << "nothing was asked of edits";
}

TEST(Score, TheSummaryOfAProbeFileHoldsWhatItsTableShows) {
  const nlohmann::json summary = nlohmann::json::parse(report_json(score(answered_probe_file(), quick())));
  const nlohmann::json& rows = summary["judges"][0]["rows"];
  ASSERT_EQ(rows.size(), 3U);
  EXPECT_EQ(rows[0]["metric"], "text_locality");
  EXPECT_EQ(rows[0]["attributes"]["Text"]["right_after"]["value"], 0.75);
  EXPECT_EQ(rows[1]["metric"], "portability");
  EXPECT_EQ(rows[1]["attributes"]["Animal"]["right_after"]["items"], 5);
  EXPECT_EQ(rows[2]["metric"], "accuracy");
  EXPECT_EQ(rows[2]["attributes"]["Animal"]["value"], 0.9);
  EXPECT_NEAR(rows[2]["attributes"]["Animal"]["wilson_95"][0].get<double>(), 0.596, 5e-4);
}

TEST(Score, ProbesWithoutAnAttributeAreReportedByTheirTrack) {
  std::vector<AnswerRecord> records = {question(0, ProbeKind::kPlain, "", "cat"),
                                       question(1, ProbeKind::kPlain, "", "dog")};
  records[0].track = "Task/Counting";
  const std::string table = report_table(score(records, quick()));
  EXPECT_THAT(table, testing::ContainsRegex("  Task/Counting +1 +100\\.0"));
  EXPECT_THAT(table, testing::ContainsRegex("  \\(none\\) +1 +0\\.0"));
}

TEST(Score, EditsAreReportedByAttributeToo) {
  std::vector<AnswerRecord> records = {probe("e1", ProbeKind::kReliability, 0, "dog", "cat"),
                                       probe("e2", ProbeKind::kReliability, 0, "dog", "dog"),
                                       probe("e2", ProbeKind::kTextLocality, 0, "dog", "dog")};
  const std::string of_one = report_table(score(records, quick()));
  EXPECT_THAT(of_one, testing::Not(testing::HasSubstr("score by attribute"))) << "the score is the attribute's";
  records[0].attribute = "Gender";
  const std::string table = report_table(score(records, quick()));
  EXPECT_THAT(table, testing::ContainsRegex("score by attribute +Animal +Gender\n"
                                            "reliability +0\\.0 +100\\.0\n"));
  EXPECT_THAT(table, testing::ContainsRegex("text_locality +100\\.0 +-\n"));
}

TEST(Score, ClustersAreEditsOrClips) {
  std::vector<AnswerRecord> records;
  for (int i = 0; i < 6; ++i) {
    records.push_back(probe(fmt::format("e{}", i), ProbeKind::kGenerality, 2, "dog", i % 2 ? "cat" : "dog"));
    records.back().clip = i < 3 ? "Animal/a.wav" : "Animal/b.wav";
  }
  const MetricReport report = score(records);
  EXPECT_EQ(row(report, "generality").clusters, 6);
  EXPECT_EQ(row(report, "generality_2").clusters, 2);
}

TEST(Score, ARateOfOneHasWilsonsIntervalInTheTable) {
  std::vector<AnswerRecord> records;
  for (int i = 0; i < 10; ++i)
    records.push_back(probe(fmt::format("e{}", i), ProbeKind::kReliability, 0, "dog", "cat"));
  const MetricReport report = score(records);
  EXPECT_EQ(*row(report, "reliability").bootstrap, (Interval{1, 1}));
  EXPECT_THAT(report_table(report), testing::HasSubstr("72.2-100.0"));
}

TEST(Score, AnswersAreMeasuredWithoutAJudge) {
  AnswerRecord first = probe("e1", ProbeKind::kTextLocality, 0, "dog", "dog dog dog dog dog");
  first.first_token_kl = 0.5;
  first.before->teacher_forced_hits = 1;
  first.before->teacher_forced_tokens = 4;
  first.after->option_scores = {{"dog", std::log(0.2), 1, 3}, {"cat", std::log(0.6), 1, 3}};
  AnswerRecord second = probe("e2", ProbeKind::kTextLocality, 0, "dog", "dog");
  second.first_token_kl = 0.1;
  second.before->teacher_forced_hits = 6;
  second.before->teacher_forced_tokens = 6;
  second.after->hit_length_limit = true;
  const MetricReport report = score({first, second}, quick());
  const AnswerRow& answers = report.answer_rows.at(10);
  EXPECT_EQ(answers.metric, "text_locality");
  EXPECT_DOUBLE_EQ(answers.first_token_kl.value, 0.3);
  EXPECT_DOUBLE_EQ(answers.token_accuracy_before.value, 0.7);
  EXPECT_EQ(answers.token_accuracy_before.items, 10);
  EXPECT_EQ(answers.token_accuracy_after.items, 0);
  EXPECT_EQ(answers.degenerate_after.value, 0.5);
  EXPECT_EQ(answers.hit_limit_after.value, 0.5);
  EXPECT_NEAR(answers.expected_probability_after.value, 0.25, 1e-12);
  EXPECT_EQ(answers.expected_rank_after.value, 2);
  EXPECT_NEAR(answers.margin_after.value, std::log(3.0), 1e-12);
  EXPECT_EQ(row(report, "text_locality").score.value, 1);
  EXPECT_EQ(row(report, "text_locality").score_degenerate_wrong.value, 0.5);
  EXPECT_THAT(report_table(report), testing::HasSubstr("degenerate answers: 1 of 2 after, 0 of 2 before"));
}

TEST(Score, SequencesAreReportedAtGapZeroAndByGap) {
  std::vector<AnswerRecord> records;
  // Two sequences of two edits: each holds right after it; the first edit of sequence 0 is lost after the second.
  for (int sequence = 0; sequence < 2; ++sequence) {
    for (const auto& [position, applied] : {std::pair(1, 1), std::pair(2, 1), std::pair(2, 2), std::pair(1, 2)}) {
      const bool lost = sequence == 0 && position == 1 && applied == 2;
      const bool not_yet = applied < position;
      AnswerRecord record = probe(fmt::format("s{}e{}", sequence, position), ProbeKind::kReliability, 0, "dog",
                                  lost || not_yet ? "dog" : "cat");
      record.step = SequenceStep{sequence, position, applied};
      records.push_back(record);
    }
  }
  const MetricReport report = score(records, quick());
  EXPECT_TRUE(report.sequential);
  EXPECT_EQ(row(report, "reliability").score.items, 4) << "gap 0 only";
  EXPECT_EQ(row(report, "reliability").clusters, 2) << "whole sequences";
  const RetentionRow& retention = report.judges[0].retention.at(0);
  ASSERT_EQ(retention.gaps.size(), 2u);
  EXPECT_EQ(retention.gaps[1].score.items, 2);
  EXPECT_EQ(retention.gaps[1].score.value, 0.5);
  EXPECT_EQ(retention.gaps[1].retention.value, 0.5);
  EXPECT_EQ(retention.backward_transfer->value, -0.5);
  EXPECT_EQ(retention.forward_transfer->value, 0);
  EXPECT_EQ(retention.half_life, 1);
  EXPECT_FALSE(retention.auc_5.has_value());
  EXPECT_THAT(report_table(report), testing::ContainsRegex("reliability +1 +2 +50.0"));
}

TEST(Score, NeedsNothingButTheFile) {
  std::vector<AnswerRecord> records;
  for (int i = 0; i < 8; ++i) {
    records.push_back(probe(fmt::format("e{}", i), ProbeKind::kReliability, 0, "dog", i % 3 ? "cat" : "dog"));
    records.back().verdicts = all_verdicts(records.back());
  }
  const std::filesystem::path path = std::filesystem::path(testing::TempDir()) / "score_test_results.jsonl";
  save_answers(path, records);
  EXPECT_EQ(report_json(score(load_answers(path))), report_json(score(records)));
  EXPECT_EQ(score(records).changed_verdicts, 0);
}

TEST(Score, VerdictsThatNoLongerFollowAreCounted) {
  AnswerRecord record = probe("e1", ProbeKind::kReliability, 0, "dog", "cat");
  record.verdicts = all_verdicts(record);
  record.verdicts[0].right_after = false;
  const MetricReport report = score({record}, quick());
  EXPECT_EQ(report.changed_verdicts, 1);
  EXPECT_EQ(row(report, "reliability").score.value, 1) << "the answers decide, not the stored verdicts";
  EXPECT_THAT(report_table(report), testing::HasSubstr("1 stored verdicts come out differently"));
  record.verdicts[0].version = 99;
  EXPECT_EQ(score({record}, quick()).changed_verdicts, 0) << "another version may decide otherwise";
}

TEST(Score, OptionsHaveLimits) {
  MetricOptions options;
  options.bootstrap_samples = -1;
  EXPECT_THROW(options.validate(), Error);
  options.bootstrap_samples = 1'000'001;
  EXPECT_THROW(options.validate(), Error);
  options = {};
  options.judges = {};
  EXPECT_THROW(options.validate(), Error);
  options.judges = {Judge::kExtraction, Judge::kExtraction};
  EXPECT_THROW(options.validate(), Error);
}

}  // namespace
}  // namespace retune
