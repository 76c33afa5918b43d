#include "facts/demonstrations.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "facts/json_text.h"

namespace retune {
namespace {

namespace fs = std::filesystem;
using testing::ElementsAre;
using testing::HasSubstr;

// One SAKE item. Gender has no audio locality of type 2, so one turn less.
std::string item(const std::string& track, const std::string& old_label, const std::string& new_label,
                 const std::string& file, int audio_localities) {
  const std::string question = "Which?\\n\\nOptions:\\n" + old_label + "\\n" + new_label;
  std::string text = R"({"track": ")" + track + R"(", "file": ")" + file + R"(", "original_answer": ")" + old_label +
                     R"(", "edited_answer": ")" + new_label + R"(", "reliability_question": ")" + question +
                     R"(", "generality": [)";
  for (int i = 0; i < 3; ++i)
    text += std::string(i > 0 ? "," : "") + R"({"file": "g_)" + file + R"(", "question": ")" + question +
            R"(", "answer": ")" + new_label + R"("})";
  text += R"(], "locality": {"audio": [)";
  for (int i = 0; i < audio_localities; ++i)
    text += std::string(i > 0 ? "," : "") +
            R"({"track": "Other", "file": "o.wav", "question": "Loud?\n\nOptions:\nyes\nno", "answer": "no"})";
  text += R"(], "text": [{"question": "2+2?", "answer": "4"}]}, "portability": {"audio": {"file": ")" + file +
          R"(", "question": "Does it bark?", "answer": "no"}}})";
  return text;
}

FactSet load(const std::string& name, const std::string& json) {
  const fs::path file = fs::path(testing::TempDir()) / ("demonstrations-" + name + ".json");
  write_text(file, "[" + json + "]");
  return FactSet::load(file, {.audio_root = "audio"});
}

std::vector<std::string> kinds(const Corpus& corpus, const std::string& instance) {
  std::vector<std::string> result;
  for (const CorpusItem& item : corpus.items())
    if (item.demonstrates->instance == instance) result.push_back(item.demonstrates->kind);
  return result;
}

TEST(Demonstrations, AreNineTurnsAndOfGenderEight) {
  const FactSet facts =
      load("nine", item("Animal", "dog", "cat", "d.wav", 4) + "," + item("Gender", "male", "female", "m.wav", 3));
  const Corpus corpus = demonstrations_of(facts);
  EXPECT_THAT(kinds(corpus, "Animal-0000"),
              ElementsAre("reliability", "generality", "generality", "generality", "audio_locality", "audio_locality",
                          "audio_locality", "audio_locality", "text_locality"));
  EXPECT_EQ(kinds(corpus, "Gender-0001").size(), 8U);
  EXPECT_EQ(corpus.items()[0].answer, "cat");  // what the edit asks for
  EXPECT_EQ(corpus.items()[4].answer, "no");   // the truth
  EXPECT_EQ(corpus.items()[4].clip->name(), "Other/o.wav");
  EXPECT_FALSE(corpus.items()[8].clip);
}

TEST(Demonstrations, SurviveTheirFile) {
  const Corpus corpus = demonstrations_of(load("file", item("Animal", "dog", "cat", "d.wav", 4)));
  const fs::path file = fs::path(testing::TempDir()) / "demonstrations-file.jsonl";
  corpus.save(file);
  const Corpus again = Corpus::load(file, "audio");
  ASSERT_EQ(again.items().size(), corpus.items().size());
  for (std::size_t i = 0; i < corpus.items().size(); ++i) {
    EXPECT_EQ(again.items()[i].demonstrates->kind, corpus.items()[i].demonstrates->kind);
    EXPECT_EQ(again.items()[i].demonstrates->old_label, "dog");
    EXPECT_EQ(again.items()[i].demonstrates->new_label, "cat");
    EXPECT_EQ(again.items()[i].demonstrates->instance, "Animal-0000");
    EXPECT_EQ(again.items()[i].clip, corpus.items()[i].clip);
  }
}

TEST(Demonstrations, TestClipsAreRefused) {
  const FactSet facts = load("train", item("Animal", "dog", "cat", "d.wav", 4));
  EXPECT_NO_THROW(refuse_held_out_clips(facts, load("test", item("Animal", "pig", "cow", "p.wav", 0))));
  try {
    refuse_held_out_clips(facts, load("shared", item("Animal", "pig", "cow", "d.wav", 4)));
    FAIL() << "nothing was thrown";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kUser);
    EXPECT_THAT(error.what(), HasSubstr("Animal-0000 asks"));
    EXPECT_THAT(error.what(), HasSubstr("'Animal/d.wav'"));
  }
}

TEST(Demonstrations, NeedAnOldLabel) {
  const FactSet facts = load("bare", R"({"track": "Animal", "file": "d.wav", "edited_answer": "cat",
                                         "reliability_question": "Which?"})");
  EXPECT_THROW(demonstrations_of(facts), Error);
}

}  // namespace
}  // namespace retune
