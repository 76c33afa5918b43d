#include "facts/fact_set.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <functional>
#include <set>

#include "facts/json_text.h"
#include "facts/option_list.h"

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

FactSet load_text(const std::string& text, const std::string& name = "Gender.json") {
  write_text(scratch(name), text);
  return FactSet::load(scratch(name), {.audio_root = "audio"});
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

constexpr const char* kMinimal = R"([{"file": "a.wav", "reliability_question": "Who?\n\nOptions:\nMale\nFemale",
                                      "edited_answer": "male"}])";

// The gender item of SAKE's layout: three audio-locality items, of types 1, 3 and 4.
constexpr const char* kGender = R"([{
  "file": "a.wav", "original_answer": "female", "edited_answer": "male",
  "reliability_question": "Who?\n\nOptions:\nmale\nfemale",
  "generality": [{"file": "a.wav", "question": "Whose voice?\n\nOptions:\nfemale\nmale", "answer": "male"},
                 {"file": "b.wav", "question": "Who?\n\nOptions:\nmale\nfemale", "answer": "male"}],
  "locality": {
    "audio": [{"track": "Emotion", "file": "e.wav", "question": "How?\n\nOptions:\nsad\nfear", "answer": "fear"},
              {"track": "Gender", "file": "c.wav", "question": "Who?\n\nOptions:\nMale\nFemale", "answer": "Male", "update": true},
              {"track": "DynamicSuperb/SpoofDetection_ASVspoof", "file": "d.wav", "question": "Spoofed or authentic?",
               "answer": "spoofed"}],
    "text": [{"question": "How many?\n\nOptions:\n5\n7", "answer": "7", "original_answer": 1, "subject": "astronomy"}]},
  "portability": {"audio": {"file": "a.wav", "question": "Which?\n\nOptions:\nDhoti\nQipao", "answer": "Dhoti"}}}])";

TEST(FactSet, NeedsOnlyFileQuestionAndNewLabel) {
  const FactSet facts = load_text(kMinimal);
  ASSERT_EQ(facts.facts().size(), 1u);
  const EditRequest request = facts.requests()[0];
  EXPECT_EQ(request.id, "Gender-0000");
  EXPECT_EQ(request.attribute, "Gender");
  EXPECT_EQ(request.clip.name(), "Gender/a.wav");
  EXPECT_EQ(request.old_label, "");
  EXPECT_EQ(request.new_label, "male");
  EXPECT_EQ(request.scope, Scope::kLabel);
  ASSERT_EQ(facts.probes().size(), 1u) << "absent kinds are absent";
  EXPECT_EQ(facts.probes()[0].kind, ProbeKind::kReliability);
  EXPECT_EQ(facts.probes()[0].id, "Gender-0000/reliability");
}

TEST(FactSet, TypesFollowSakesTableAlsoForGender) {
  const FactSet facts = load_text(kGender);
  std::vector<std::pair<ProbeKind, int>> kinds;
  for (const Probe& probe : facts.probes()) kinds.emplace_back(probe.kind, probe.type);
  using enum ProbeKind;
  EXPECT_THAT(kinds, testing::ElementsAre(std::pair(kReliability, 0), std::pair(kGenerality, 1),
                                          std::pair(kGenerality, 2), std::pair(kAudioLocality, 1),
                                          std::pair(kAudioLocality, 3), std::pair(kAudioLocality, 4),
                                          std::pair(kTextLocality, 0), std::pair(kPortability, 0)));
  EXPECT_EQ(facts.probes()[3].clip->name(), "Emotion/e.wav");
  EXPECT_TRUE(facts.probes()[4].replaced);
  EXPECT_FALSE(facts.probes()[6].clip.has_value());
  EXPECT_EQ(facts.probes()[6].subject, "astronomy");
  EXPECT_TRUE(facts.ignored_keys().empty());
}

TEST(FactSet, SavesWhatItLoadsAsTheSameJson) {
  const FactSet facts = load_text(kGender);
  facts.save(scratch("again.json"));
  nlohmann::json original = nlohmann::json::parse(kGender);
  original[0]["track"] = "Gender";
  EXPECT_EQ(nlohmann::json::parse(read_text(scratch("again.json"))), original);
  FactSet::load(scratch("again.json"), {.audio_root = "audio"}).save(scratch("third.json"));
  EXPECT_EQ(read_text(scratch("again.json")), read_text(scratch("third.json")));
}

TEST(FactSet, AListOfListsIsAListOfSequences) {
  const std::string item =
      R"({"track": "Animal", "file": "a.wav", "reliability_question": "Q?", "edited_answer": "cow"})";
  const FactSet facts = load_text("[[" + item + "," + item + "],[" + item + "]]", "all.json");
  ASSERT_EQ(facts.sequences().size(), 2u);
  EXPECT_EQ(facts.sequences()[1].begin, 2u);
  EXPECT_EQ(facts.requests()[2].id, "Animal-s01-e00");
  facts.save(scratch("lists.json"));
  EXPECT_TRUE(nlohmann::json::parse(read_text(scratch("lists.json")))[0].is_array());

  const FactSet two = facts.limited(1);
  EXPECT_EQ(two.facts().size(), 1u);
  ASSERT_EQ(two.sequences().size(), 1u);
  EXPECT_EQ(two.sequences()[0].end, 1u);
  EXPECT_EQ(facts.limited(99).facts().size(), 3u);
}

TEST(FactSet, AClipScopeIsKept) {
  nlohmann::json json = nlohmann::json::parse(kMinimal);
  json[0]["scope"] = "clip";
  const FactSet facts = load_text(json.dump());
  EXPECT_EQ(facts.requests()[0].scope, Scope::kClip);
  facts.save(scratch("scope.json"));
  EXPECT_EQ(FactSet::load(scratch("scope.json"), {}).requests()[0].scope, Scope::kClip);
}

struct Damage {
  const char* pointer;
  nlohmann::json value;
  const char* message;
};

TEST(FactSet, EveryMistakeIsOneLineWithItemAndKey) {
  const std::vector<Damage> damages = {
      {"/0/edited_answer", nullptr, "Gender.json: item 0: edited_answer: missing; expected text"},
      {"/0/file", 3, "item 0: file: expected text, got number"},
      {"/0/file", "../../etc/passwd", "item 0: file: clip '../../etc/passwd' leaves the audio root through '..'"},
      {"/0/reliability_question", "", "item 0: reliability_question: empty; expected text"},
      {"/0/edited_answer", "cow", "item 0: edited_answer: 'cow' is none of the question's options male | female"},
      {"/0/original_answer", "cow", "item 0: original_answer: 'cow' is none of the question's options"},
      {"/0/original_answer", "Male", "item 0: edited_answer: 'male' is the original answer too"},
      {"/0/generality", nlohmann::json::object(), "item 0: generality: expected a list, got object"},
      {"/0/generality/1/answer", "female",
       "item 0: generality[1]: answer: expected the new label 'male', got 'female'"},
      {"/0/generality/1/file", nullptr, "item 0: generality[1]: file: missing"},
      {"/0/locality/audio/0/answer", "happy",
       "item 0: locality: audio[0]: answer: 'happy' is none of the question's options"},
      {"/0/locality/audio/1/update", "yes", "item 0: locality: audio[1]: update: expected true or false, got text"},
      {"/0/locality/audio/2/track", "a/../b", "audio[2]: file: track 'a/../b' leaves the audio root"},
      {"/0/locality/text/0/original_answer", "B", "text[0]: original_answer: expected an integer, got text"},
      {"/0/portability/audio", 1, "item 0: portability: audio: expected an object, got number"},
      {"/0/scope", "world", "item 0: scope: expected 'label' or 'clip', got 'world'"},
      {"/0", 7, "item 0: expected an object, got number"},
  };
  for (const Damage& damage : damages) {
    nlohmann::json json = nlohmann::json::parse(kGender);
    json[nlohmann::json::json_pointer(damage.pointer)] = damage.value;
    const std::string message = error_of([&] { load_text(json.dump()); });
    EXPECT_THAT(message, HasSubstr(damage.message)) << damage.pointer;
    EXPECT_EQ(message.find('\n'), std::string::npos);
  }
  EXPECT_THAT(error_of([] { load_text("{}"); }), HasSubstr("expected a list of facts"));
  EXPECT_THAT(error_of([] { load_text("[]"); }), HasSubstr("the list of facts is empty"));
  EXPECT_THAT(error_of([] { load_text("[[]]"); }), HasSubstr("sequence 0: expected a list of facts"));
}

TEST(FactSet, KeysThatNothingReadsAreCounted) {
  nlohmann::json json = nlohmann::json::parse(kGender);
  json[0]["generalty"] = nlohmann::json::array();
  json[0]["locality"]["audio"][0]["speaker"] = "s1";
  EXPECT_THAT(load_text(json.dump()).ignored_keys(),
              testing::ElementsAre(std::pair("generalty", 1), std::pair("speaker", 1)));
}

// A misspelt optional key was ignored, and with it what was to be asked.
TEST(FactSet, AMisspeltKeyNamesTheOneThatWasMeant) {
  const auto refusal = [](const std::function<void(nlohmann::json&)>& change) {
    nlohmann::json json = nlohmann::json::parse(kGender);
    change(json[0]);
    return error_of([&] { load_text(json.dump()); });
  };
  const auto rename = [](nlohmann::json& object, const char* from, const char* to) {
    object[to] = object[from];
    object.erase(from);
  };
  EXPECT_THAT(refusal([&](auto& item) { rename(item, "generality", "generalty"); }),
              HasSubstr("Gender.json: item 0: there is no key 'generalty'; did you mean 'generality'?"));
  EXPECT_THAT(refusal([&](auto& item) { rename(item, "original_answer", "Original-Answer"); }),
              HasSubstr("did you mean 'original_answer'?"));
  EXPECT_THAT(refusal([&](auto& item) { rename(item["locality"]["audio"][1], "update", "updated"); }),
              HasSubstr("item 0: locality: audio[1]: there is no key 'updated'; did you mean 'update'?"));
  EXPECT_EQ(refusal([&](auto& item) { item["scopes_of_work"] = 1; }), "no error");
}

TEST(FactSet, MissingAudioIsNoErrorUntilAskedFor) {
  const FactSet facts = load_text(kMinimal);
  EXPECT_THAT(error_of([&] { facts.check_audio(); }), HasSubstr("Gender-0000: clip 'Gender/a.wav' not found"));
}

TEST(FactSet, CannotBeWrittenWithTypesThatItsPlacesDoNotTell) {
  FactSet facts = load_text(kGender);
  std::vector<Fact> parts = facts.facts();
  std::erase_if(parts[0].probes,
                [](const Probe& probe) { return probe.kind == ProbeKind::kGenerality && probe.type == 1; });
  EXPECT_THAT(error_of([&] { FactSet::of(parts).save(scratch("types.json")); }), HasSubstr("reads as type 1"));
  EXPECT_THROW(FactSet::of(parts, {{0, 0}, {1, 1}}), Error);
}

TEST(FactSet, ACorpusMayNotHoldTestedClips) {
  const fs::path audio = scratch("shared_audio");
  fs::create_directories(audio / "Gender");
  write_text(audio / "Gender" / "a.wav", "sound");
  write_text(audio / "renamed.wav", "sound");
  write_text(audio / "other.wav", "another sound");
  write_text(scratch("Gender.json"), kMinimal);
  const FactSet facts = FactSet::load(scratch("Gender.json"), {.audio_root = audio});
  const auto corpus = [&](const char* file) { return Corpus({{Clip::below(audio, "", file), "Q", "A", "", ""}}); };
  EXPECT_NO_THROW(refuse_shared_clips(corpus("other.wav"), facts));
  EXPECT_THAT(error_of([&] { refuse_shared_clips(corpus("renamed.wav"), facts); }),
              HasSubstr("the corpus holds clip 'renamed.wav'"));
}

// T16 of methods.md: SAKE's own files, where they are at hand.
class SakeSamples : public testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    path_ = fs::path("../shared/sake") / GetParam();
    if (!fs::exists(path_)) GTEST_SKIP() << "SAKE's sample files are not at " << path_.parent_path();
  }
  fs::path path_;
};

TEST_P(SakeSamples, AreReadWithEveryProbeAndNoKeyLeftOver) {
  const FactSet facts = FactSet::load(path_);
  EXPECT_TRUE(facts.ignored_keys().empty());
  const nlohmann::json json = nlohmann::json::parse(read_text(path_));
  EXPECT_EQ(facts.facts().size(), json.size());
  EXPECT_TRUE(json.size() == 300 || json.size() == 10);
  std::set<std::string> ids;
  for (const Probe& probe : facts.probes()) EXPECT_TRUE(ids.insert(probe.id).second) << probe.id;
}

TEST_P(SakeSamples, GiveTheTypesOfTheirPositions) {
  const FactSet facts = FactSet::load(path_);
  for (const Fact& fact : facts.facts()) {
    std::vector<int> types;
    for (const Probe& probe : fact.probes) {
      if (probe.kind == ProbeKind::kAudioLocality) types.push_back(probe.type);
      if (probe.type == 2 && probe.kind == ProbeKind::kAudioLocality) {
        EXPECT_FALSE(same_label(probe.answer, fact.request.old_label));
      }
    }
    const bool gender = fact.request.attribute == "Gender";
    EXPECT_EQ(types, gender ? (std::vector<int>{1, 3, 4}) : (std::vector<int>{1, 2, 3, 4})) << fact.request.id;
    EXPECT_EQ(fact.probes.size(), gender ? 9u : 10u);
    EXPECT_EQ(fact.request.options.size(), gender ? 2u : 4u);
    EXPECT_GE(find_label(fact.request.options, fact.request.old_label), 0);
    EXPECT_GE(find_label(fact.request.options, fact.request.new_label), 0);
  }
}

TEST_P(SakeSamples, HoldMultipleChoiceTextQuestionsWhoseIndexIsTheAnswer) {
  const nlohmann::json json = nlohmann::json::parse(read_text(path_));
  const FactSet facts = FactSet::load(path_);
  for (std::size_t i = 0; i < json.size(); ++i) {
    const nlohmann::json& item = json[i]["locality"]["text"][0];
    for (const Probe& probe : facts.facts()[i].probes) {
      if (probe.kind != ProbeKind::kTextLocality) continue;
      EXPECT_FALSE(probe.subject.empty());
      ASSERT_LT(item["original_answer"].get<std::size_t>(), probe.options.size());
      EXPECT_EQ(probe.options[item["original_answer"].get<std::size_t>()], probe.answer) << probe.id;
    }
  }
}

TEST_P(SakeSamples, AreWrittenBackAsTheSameJson) {
  FactSet::load(path_).save(scratch("sake.json"));
  nlohmann::json original = nlohmann::json::parse(read_text(path_));
  for (nlohmann::json& item : original) {
    if (!item.contains("track")) item["track"] = path_.stem().string();
  }
  EXPECT_EQ(nlohmann::json::parse(read_text(scratch("sake.json"))), original);
}

TEST_P(SakeSamples, OfASequenceDoNotContradictEachOther) {
  const FactSet facts = FactSet::load(path_);
  if (facts.facts().size() > 10) GTEST_SKIP() << "a file of single edits";
  std::set<std::pair<std::string, std::string>> labels;
  std::set<std::pair<std::string, std::string>> old_labels;
  for (const EditRequest& request : facts.requests()) {
    EXPECT_TRUE(labels.insert({request.attribute, request.old_label}).second);
    EXPECT_TRUE(labels.insert({request.attribute, request.new_label}).second);
    old_labels.insert({request.attribute, request.old_label});
  }
  for (const Probe& probe : facts.probes()) {
    if (probe.kind != ProbeKind::kAudioLocality) continue;
    EXPECT_FALSE(old_labels.contains({probe.track, probe.answer})) << probe.id;
  }
}

INSTANTIATE_TEST_SUITE_P(Files, SakeSamples,
                         testing::Values("Animal.json", "Gender.json", "sequence_0.json", "sequence_1.json"),
                         [](const auto& sample) { return fs::path(sample.param).stem().string(); });

}  // namespace
}  // namespace retune
