#include "facts/probe_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "facts/json_text.h"

namespace retune {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

// A place of this test's own: ctest runs tests side by side.
fs::path scratch(const std::string& name) {
  const testing::TestInfo& test = *testing::UnitTest::GetInstance()->current_test_info();
  const fs::path folder = fs::path(testing::TempDir()) / test.test_suite_name() / test.name();
  fs::create_directories(folder);
  return folder / name;
}

std::vector<Probe> load_text(const std::string& text) {
  write_text(scratch("p.jsonl"), text);
  return load_probes(scratch("p.jsonl"), "audio");
}

TEST(ProbeFile, NeedsOnlyQuestionAndAnswer) {
  const std::vector<Probe> probes =
      load_text("\n{\"question\":\"Which?\\n\\nOptions:\\ncow\\npig\",\"answer\":\"Pig\"}\n");
  ASSERT_EQ(probes.size(), 1u);
  EXPECT_EQ(probes[0].id, "line-2");
  EXPECT_EQ(probes[0].kind, ProbeKind::kPlain);
  EXPECT_THAT(probes[0].options, testing::ElementsAre("cow", "pig"));
  EXPECT_FALSE(probes[0].clip);
}

TEST(ProbeFile, SavesWhatItLoads) {
  const std::string text =
      "{\"id\":\"p1\",\"clip\":\"Animal/"
      "cow.wav\",\"question\":\"Which?\",\"options\":[\"cow\",\"pig\"],\"answer\":\"cow\","
      "\"attribute\":\"Animal\",\"kind\":\"plain\"}\n"
      "{\"id\":\"p2\",\"clip\":\"x.wav\",\"question\":\"How "
      "many?\",\"options\":[],\"answer\":\"one\",\"attribute\":\"Animal\","
      "\"track\":\"Task/Counting\",\"kind\":\"audio_locality\",\"type\":4,\"subject\":\"s\"}\n";
  save_probes(scratch("again.jsonl"), load_text(text));
  EXPECT_EQ(read_text(scratch("again.jsonl")), text);
}

TEST(ProbeFile, MistakesNameLineAndKey) {
  const auto error_of = [](const std::string& text) -> std::string {
    try {
      load_text(text);
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kUser);
      return error.what();
    }
    return "no error";
  };
  EXPECT_THAT(error_of(R"({"question":"Q","options":["cow","pig"],"answer":"dog"})"),
              HasSubstr("p.jsonl:1: answer: 'dog' is none of the options cow | pig"));
  EXPECT_THAT(error_of(R"({"question":"Q","answer":"a","kind":"relability"})"),
              HasSubstr("kind: expected one of reliability"));
  EXPECT_THAT(error_of(R"({"question":"Q","answer":"a","kind":"plain","type":1})"), HasSubstr("type: expected 0 to 0"));
  EXPECT_THAT(
      error_of(
          "{\"id\":\"x\",\"question\":\"Q\",\"answer\":\"a\"}\n{\"id\":\"x\",\"question\":\"Q\",\"answer\":\"a\"}"),
      HasSubstr("p.jsonl:2: id: 'x' stands on an earlier line"));
  EXPECT_THAT(error_of("{\"question\":\"Q\",\"answer\":\"a\"}\n{\"question\":"),
              HasSubstr("p.jsonl:2: line 1, column"));
  EXPECT_THAT(error_of(""), HasSubstr("no probes"));
  // A misspelt optional key was ignored: the probe had no options, or no clip.
  EXPECT_EQ(error_of(R"({"question":"Q","answer":"cow","option":["cow","pig"]})"),
            scratch("p.jsonl").string() + ":1: there is no key 'option'; did you mean 'options'?");
  EXPECT_THAT(error_of(R"({"question":"Q","answer":"cow","Clip":"x.wav"})"), HasSubstr("did you mean 'clip'?"));
  EXPECT_EQ(error_of(R"({"question":"Q","answer":"cow","note":"any other key"})"), "no error");
  // Equal options were both "best", and a blank one could be.
  EXPECT_THAT(error_of(R"({"question":"Q","options":["cow","pig","Cow "],"answer":"cow"})"),
              HasSubstr("p.jsonl:1: options[2]: 'Cow ' stands there twice"));
  EXPECT_THAT(error_of(R"({"question":"Q","options":["cow"," "],"answer":"cow"})"),
              HasSubstr("options[1]: blank; expected text"));
}

TEST(ProbeFile, MissingAudioNamesTheProbe) {
  const std::vector<Probe> probes = load_text(R"({"question":"Q","answer":"a","clip":"x.wav"})");
  try {
    check_audio(probes);
    FAIL();
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("probe line-1: clip 'x.wav' not found"));
  }
}

}  // namespace
}  // namespace retune
