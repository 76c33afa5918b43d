#include "facts/corpus.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "facts/json_text.h"

namespace retune {
namespace {

namespace fs = std::filesystem;

// A place of this test's own: ctest runs tests side by side.
fs::path scratch(const std::string& name) {
  const testing::TestInfo& test = *testing::UnitTest::GetInstance()->current_test_info();
  const fs::path folder = fs::path(testing::TempDir()) / test.test_suite_name() / test.name();
  fs::create_directories(folder);
  return folder / name;
}

TEST(Corpus, ReadsSoundAndTextAlone) {
  write_text(scratch("c.jsonl"),
             "{\"clip\":\"Animal/"
             "cow.wav\",\"question\":\"Which?\",\"answer\":\"cow\",\"attribute\":\"Animal\",\"class\":\"cow\"}\n"
             "{\"question\":\"What has a trunk?\"}\n");
  const Corpus corpus = Corpus::load(scratch("c.jsonl"), scratch("audio"));
  ASSERT_EQ(corpus.items().size(), 2u);
  EXPECT_EQ(corpus.items()[0].clip->name(), "Animal/cow.wav");
  EXPECT_EQ(corpus.items()[0].label, "cow");
  EXPECT_FALSE(corpus.items()[1].clip);
  corpus.save(scratch("again.jsonl"));
  EXPECT_EQ(read_text(scratch("again.jsonl")), read_text(scratch("c.jsonl")));
}

TEST(Corpus, HashFollowsTheSoundAndNotItsPath) {
  write_text(scratch("a.wav"), "one");
  write_text(scratch("b.wav"), "one");
  write_text(scratch("c.wav"), "two");
  const auto hash = [](const char* file, const char* answer) {
    return Corpus({{Clip::below(scratch(""), "", file), "Q", answer, "", ""}}).hash();
  };
  EXPECT_EQ(hash("a.wav", "cow"), hash("b.wav", "cow"));
  EXPECT_NE(hash("a.wav", "cow"), hash("c.wav", "cow"));
  EXPECT_NE(hash("a.wav", "cow"), hash("a.wav", "pig"));
}

TEST(Corpus, ADemonstrationIsWholeOrAMistake) {
  const auto error_of = [](const std::string& more) -> std::string {
    write_text(scratch("d.jsonl"), "{\"question\":\"Q\",\"answer\":\"A\"" + more + "}\n");
    try {
      Corpus::load(scratch("d.jsonl"), scratch("audio"));
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kUser);
      return error.what();
    }
    return "no error";
  };
  const std::string labels = R"(,"old_label":"dog","new_label":"cat")";
  EXPECT_EQ(error_of(labels + R"(,"kind":"reliability","instance":"1")"), "no error");
  EXPECT_THAT(error_of(R"(,"old_label":"dog")"), testing::HasSubstr("d.jsonl:1: new_label: missing"));
  EXPECT_THAT(error_of(R"(,"new_label":"cat")"), testing::HasSubstr("d.jsonl:1: old_label: missing"));
  EXPECT_THAT(error_of(labels + R"(,"instance":"1")"), testing::HasSubstr("d.jsonl:1: kind"));
  EXPECT_THAT(error_of(labels + R"(,"kind":"reliability")"), testing::HasSubstr("d.jsonl:1: instance"));
  EXPECT_THAT(error_of(labels + R"(,"kind":"portability","instance":"1")"), testing::HasSubstr("got 'portability'"));
}

TEST(Corpus, HashCoversWhatAnItemDemonstrates) {
  const auto hash = [](std::optional<DemonstratedEdit> edit) {
    return Corpus({{std::nullopt, "Q", "A", "", "", std::move(edit)}}).hash();
  };
  EXPECT_NE(hash(std::nullopt), hash(DemonstratedEdit{"dog", "cat", "reliability", "1"}));
  EXPECT_NE(hash(DemonstratedEdit{"dog", "cat", "reliability", "1"}),
            hash(DemonstratedEdit{"dog", "cat", "reliability", "2"}));
}

TEST(Corpus, MistakesNameTheLine) {
  const auto error_of = [](const std::string& text) -> std::string {
    write_text(scratch("bad.jsonl"), text);
    try {
      Corpus::load(scratch("bad.jsonl"), scratch("audio")).check_audio();
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kUser);
      return error.what();
    }
    return "no error";
  };
  EXPECT_THAT(error_of("{\"question\":\"Q\"}\n{\"answer\":\"A\"}"),
              testing::HasSubstr("bad.jsonl:2: question: missing"));
  EXPECT_THAT(error_of("{\"question\":\"Q\",\"clip\":\"../x\"}"),
              testing::HasSubstr("bad.jsonl:1: clip: clip '../x' leaves"));
  EXPECT_THAT(error_of("\n\n"), testing::HasSubstr("no items"));
  EXPECT_THAT(error_of("{\"question\":\"Q\",\"clip\":\"x.wav\"}"),
              testing::HasSubstr("corpus item 0: clip 'x.wav' not found"));
}

}  // namespace
}  // namespace retune
