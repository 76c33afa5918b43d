#include "eval/answer_log.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <limits>

#include "eval/judge.h"
#include "facts/json_text.h"

namespace retune {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

AnswerRecord full_record() {
  AnswerRecord record;
  record.probe_id = "Animal-0007/audio_locality-3";
  record.request_id = "Animal-0007";
  record.attribute = "Animal";
  record.old_label = "cow";
  record.new_label = "cat";
  record.scope = Scope::kLabel;
  record.kind = ProbeKind::kAudioLocality;
  record.type = 3;
  record.track = "Animal";
  record.clip = "Animal/cat_50.wav";
  record.clip_hash = ContentHash::of("sound").hex();
  record.question = "Which \"animal\"?\n\nOptions:\ndog\ncat";
  record.options = {"dog", "cat"};
  record.expected = "cat";
  record.step = SequenceStep{2, 3, 5};
  record.before = ProbeAnswer{
      {5, 0, 9}, "caf\u00E9 \u72D7", false, {{"dog", -0.1234567890123456789, 1, 3}, {"cat", -1e-300, 2, 3}}, 1, 2};
  record.after = ProbeAnswer{{}, "", true, {{"dog", -std::numeric_limits<double>::infinity(), 1, 3}}, 0, 0};
  record.first_token_kl = 0.1;
  record.decoding_hash = "abc";
  record.verdicts = all_verdicts(record);
  return record;
}

std::string error_of(const std::function<void()>& action) {
  try {
    action();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kUser);
    return error.what();
  }
  return "no error";
}

fs::path scratch(const std::string& name) {
  const testing::TestInfo& test = *testing::UnitTest::GetInstance()->current_test_info();
  const fs::path folder = fs::path(testing::TempDir()) / test.test_suite_name() / test.name();
  fs::create_directories(folder);
  return folder / name;
}

TEST(AnswerLog, ARecordSurvivesTheFileExactly) {
  const AnswerRecord record = full_record();
  const std::string line = answer_line(record);
  EXPECT_EQ(line.find('\n'), std::string::npos);
  EXPECT_EQ(parse_answer_line(line, "x"), record);
  EXPECT_EQ(answer_line(parse_answer_line(line, "x")), line);
}

TEST(AnswerLog, ASmallRecordHasNoEmptyKeys) {
  AnswerRecord record;
  record.probe_id = "p";
  record.question = "Q";
  record.expected = "A";
  record.after = ProbeAnswer{};
  EXPECT_EQ(answer_line(record),
            R"({"schema":1,"probe":"p","kind":"plain","type":0,"question":"Q","options":[],"expected":"A",)"
            R"("after":{"ids":[],"text":"","hit_length_limit":false,"option_scores":[],"teacher_forced_hits":0,)"
            R"("teacher_forced_tokens":0},"metric_version":1,"verdicts":[]})");
  EXPECT_EQ(parse_answer_line(answer_line(record), "x"), record);
}

TEST(AnswerLog, NumbersThatJsonLacksAreWritten) {
  AnswerRecord record = full_record();
  record.first_token_kl = std::nan("");
  record.before->option_scores[0].logprob_sum = std::numeric_limits<double>::infinity();
  const AnswerRecord again = parse_answer_line(answer_line(record), "x");
  EXPECT_TRUE(std::isnan(*again.first_token_kl));
  EXPECT_EQ(again.before->option_scores[0].logprob_sum, std::numeric_limits<double>::infinity());
  EXPECT_EQ(again.after->option_scores[0].logprob_sum, -std::numeric_limits<double>::infinity());
}

TEST(AnswerLog, BytesThatAreNoUtf8BecomeReplacementCharacters) {
  AnswerRecord record = full_record();
  record.after->text = "dog \xe7\x8b";
  EXPECT_EQ(parse_answer_line(answer_line(record), "x").after->text, "dog \uFFFD");
}

TEST(AnswerLog, KeysOfALaterWriterAreIgnored) {
  nlohmann::json json = nlohmann::json::parse(answer_line(full_record()));
  json["mood"] = "good";
  EXPECT_EQ(parse_answer_line(json.dump(), "x"), full_record());
}

TEST(AnswerLog, EveryMistakeIsOneLineWithPlaceAndKey) {
  const std::vector<std::tuple<const char*, nlohmann::json, const char*>> damages = {
      {"/schema", 2, "r:1: schema: expected version 1, got 2"},
      {"/schema", nullptr, "r:1: schema: missing"},
      {"/probe", "", "r:1: probe: empty"},
      {"/kind", "kindness", "r:1: kind: expected one of reliability"},
      {"/type", 5, "r:1: type: expected 0 to 4 for kind audio_locality"},
      {"/scope", "all", "r:1: scope: expected 'label' or 'clip'"},
      {"/clip_hash", "zz", "r:1: clip_hash:"},
      {"/options", "dog", "r:1: options: expected a list of texts, got text"},
      {"/step/position", 0, "r:1: step: position: expected 1 or more"},
      {"/step/sequence", 1e10, "r:1: step: sequence: expected an integer"},
      {"/step/edits_applied", 2'000'000'000, "r:1: step: edits_applied: expected 0 to 1000000"},
      {"/before/ids/1", 1.5, "r:1: before: ids[1]: expected an integer"},
      {"/before/option_scores/0/logprob_sum", "minus",
       "before: option_scores[0]: logprob_sum: expected a number or one of"},
      {"/before/option_scores/0/tokens", -1, "tokens: expected 0 to"},
      {"/before/teacher_forced_hits", 3, "before: teacher_forced_hits: more hits than tokens"},
      {"/before", 3, "r:1: before: expected an object, got number"},
      {"/verdicts/0/right_after", "yes", "verdicts[0]: right_after: expected true or false"},
  };
  for (const auto& [pointer, value, message] : damages) {
    nlohmann::json json = nlohmann::json::parse(answer_line(full_record()));
    json[nlohmann::json::json_pointer(pointer)] = value;
    EXPECT_THAT(error_of([&] { parse_answer_line(json.dump(), "r:1"); }), HasSubstr(message)) << pointer;
  }
  nlohmann::json silent = nlohmann::json::parse(answer_line(full_record()));
  silent.erase("before");
  silent.erase("after");
  EXPECT_THAT(error_of([&] { parse_answer_line(silent.dump(), "r:1"); }), HasSubstr("r:1: no answer"));
  EXPECT_THAT(error_of([] { parse_answer_line("{", "r:1"); }), HasSubstr("r:1: line 1, column 2: not valid JSON"));
}

TEST(AnswerLog, FilesKeepTheOrderAndEachAnswerOnce) {
  AnswerRecord first = full_record();
  AnswerRecord second = full_record();
  second.step->edits_applied = 6;
  save_answers(scratch("r.jsonl"), {first, second});
  EXPECT_THAT(load_answers(scratch("r.jsonl")), testing::ElementsAre(first, second));

  save_answers(scratch("twice.jsonl"), {first, first});
  EXPECT_THAT(error_of([] { load_answers(scratch("twice.jsonl")); }),
              HasSubstr("twice.jsonl:2: probe 'Animal-0007/audio_locality-3'"));
  write_text(scratch("empty.jsonl"), "");
  EXPECT_THAT(error_of([] { load_answers(scratch("empty.jsonl")); }), HasSubstr("no answers"));
  write_text(scratch("torn.jsonl"), answer_line(first) + "\n" + answer_line(second).substr(0, 100));
  EXPECT_THAT(error_of([] { load_answers(scratch("torn.jsonl")); }), HasSubstr("torn.jsonl:2: "));
}

TEST(AnswerLog, DescriptionsCarryWhatIsKnownBeforeAsking) {
  EditRequest request;
  request.id = "e";
  request.old_label = "cow";
  request.new_label = "cat";
  request.scope = Scope::kClip;
  Probe probe;
  probe.id = "e/portability";
  probe.request_id = "e";
  probe.kind = ProbeKind::kPortability;
  probe.clip = Clip::below("audio", "Animal", "cow.wav");
  probe.answer = "Purring";
  const AnswerRecord record = describe(probe, &request);
  EXPECT_EQ(record.clip, "Animal/cow.wav");
  EXPECT_EQ(record.new_label, "cat");
  EXPECT_EQ(record.scope, Scope::kClip);
  EXPECT_EQ(record.expected, "Purring");
  EXPECT_FALSE(describe(probe, nullptr).scope.has_value());
}

}  // namespace
}  // namespace retune
