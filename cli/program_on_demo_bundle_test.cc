// The commands that take a bundle, on the shipped one.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <sstream>

#include "audio/waveform.h"
#include "cli/program.h"
#include "tensor/content_hash.h"

namespace retune {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;
using testing::HasSubstr;

constexpr const char* kBundle = "demo/bundle";

struct Ran {
  int code = 0;
  std::string out, err;
};

Ran retune(const std::vector<std::string>& words) {
  std::ostringstream out, err;
  const int code = run_cli(words, {out, err});
  return {code, out.str(), err.str()};
}

std::map<std::string, ContentHash> contents(const fs::path& root) {
  std::map<std::string, ContentHash> files;
  for (const auto& entry : fs::recursive_directory_iterator(root))
    if (entry.is_regular_file()) files[fs::relative(entry.path(), root).string()] = ContentHash::of_file(entry.path());
  return files;
}

class DemoBundle : public testing::Test {
 protected:
  void SetUp() override {
    if (!fs::exists(fs::path(kBundle) / "config.json")) GTEST_SKIP() << "no demo/bundle in the working directory";
    folder_ = fs::path(testing::TempDir()) /
              (std::string("retune_demo_") + testing::UnitTest::GetInstance()->current_test_info()->name());
    fs::remove_all(folder_);
    fs::create_directories(folder_);
    std::ifstream file("demo/facts.json");
    fact_ = Json::parse(file).at(0);
    clip_ = "demo/audio/" + fact_.at("track").get<std::string>() + "/" + fact_.at("file").get<std::string>();
    question_ = fact_.at("reliability_question");
  }
  void TearDown() override { fs::remove_all(folder_); }
  std::string at(const std::string& name) const { return (folder_ / name).string(); }

  fs::path folder_;
  Json fact_;
  std::string clip_, question_;
};

TEST_F(DemoBundle, AskScoresOptionsAndNamesTheBestByMean) {
  const Ran ran = retune({"ask", kBundle, "--audio", clip_, "--question", question_, "--options",
                          fact_.at("original_answer").get<std::string>() + ",a quite unlikely answer", "--json"});
  ASSERT_EQ(ran.code, 0) << ran.err;
  const Json answer = Json::parse(ran.out);
  EXPECT_EQ(answer["text"], fact_["original_answer"]);
  EXPECT_EQ(answer["best"], fact_["original_answer"]);
  ASSERT_EQ(answer["options"].size(), 2U);
  for (const Json& option : answer["options"])
    EXPECT_NEAR(option["mean"].get<double>(), option["sum"].get<double>() / option["tokens"].get<double>(), 1e-12);
  EXPECT_GT(answer["options"][1]["tokens"], 1);
}

TEST_F(DemoBundle, AskWithoutGeneratingOnlyScores) {
  const Ran ran = retune(
      {"ask", kBundle, "--question", "Is a cow an animal?", "--options", "yes,no", "--max_new_tokens", "0", "--json"});
  ASSERT_EQ(ran.code, 0) << ran.err;
  EXPECT_TRUE(Json::parse(ran.out)["ids"].empty());
}

TEST_F(DemoBundle, AskRefusesSoundThatIsNone) {
  std::ofstream(folder_ / "text.wav") << "no sound";
  std::ofstream(folder_ / "empty.wav");
  save_waveform(folder_ / "silence.wav", {std::vector<float>(16000, 0.0F), 16000});
  for (const char* name : {"text.wav", "empty.wav", "silence.wav", "missing.wav"}) {
    const Ran ran = retune({"ask", kBundle, "--audio", at(name), "--question", question_});
    EXPECT_EQ(ran.code, 2) << name;
    EXPECT_THAT(ran.err, HasSubstr(name));
  }
}

// "log-mel: the sound is too short" came without the clip's name.
TEST_F(DemoBundle, AskNamesAClipThatIsTooShort) {
  save_waveform(folder_ / "click.wav", {std::vector<float>(1, 0.5F), 16000});
  const Ran ran = retune({"ask", kBundle, "--audio", at("click.wav"), "--question", question_});
  EXPECT_EQ(ran.code, 2);
  EXPECT_THAT(ran.err, HasSubstr("click.wav: log-mel: the sound is too short"));
}

TEST_F(DemoBundle, AskTellsWhatAnInContextMethodExportedAsItsPatchDoes) {
  std::ofstream(folder_ / "recipe.json") << R"({"method": "i-ike", "decoding": {"max_new_tokens": 4}})";
  const Ran edit = retune({"edit", kBundle, "--recipe", at("recipe.json"), "--audio", clip_, "--question", question_,
                           "--old_answer", fact_.at("original_answer").get<std::string>(), "--answer",
                           fact_.at("edited_answer").get<std::string>(), "--out", at("edited")});
  ASSERT_EQ(edit.code, 0) << edit.err;
  EXPECT_THAT(edit.out, HasSubstr("no weight was changed"));
  std::vector<std::string> ask = {
      "ask",        kBundle,
      "--audio",    clip_,
      "--question", question_,
      "--options",  fact_.at("original_answer").get<std::string>() + "," + fact_.at("edited_answer").get<std::string>(),
      "--json"};
  const Ran plain = retune(ask);
  ask.insert(ask.end(), {"--patch", at("edited/patch.h5")});
  const Ran patched = retune(ask);
  ask[ask.size() - 2] = "--context";
  ask.back() = at("edited/context");
  const Ran told = retune(ask);
  ASSERT_EQ(patched.code, 0) << patched.err;
  EXPECT_EQ(told.out, patched.out);
  EXPECT_NE(told.out, plain.out);
  const Ran apply = retune({"patch", "apply", kBundle, at("edited/patch.h5"), "--out", at("applied")});
  EXPECT_EQ(apply.code, 2);
  EXPECT_THAT(apply.err, HasSubstr("retune ask demo/bundle --patch"));
  EXPECT_FALSE(fs::exists(at("applied")));
}

TEST_F(DemoBundle, InspectTellsItsStructureAndThatItIsReadRightly) {
  const Ran ran = retune({"inspect", kBundle, "--check", "--json"});
  ASSERT_EQ(ran.code, 0) << ran.err;
  const Json document = Json::parse(ran.out);
  EXPECT_EQ(document["models"].size(), 3U);
  EXPECT_GE(document["decoder"]["blocks"], 6);
  EXPECT_GT(document["checks"].size(), 3U);
  for (const Json& model : document["models"]) EXPECT_TRUE(model["unsupported"].empty());
}

// `inspect` failed unless --json was given: its text asked for a flag that the command did not declare.
TEST_F(DemoBundle, InspectListsSitesAndOnRequestEveryOne) {
  const Ran brief = retune({"inspect", kBundle, "--check"});
  ASSERT_EQ(brief.code, 0) << brief.err;
  EXPECT_THAT(brief.out, HasSubstr("decoder.block.0.mlp.down"));
  EXPECT_THAT(brief.out, HasSubstr("--all lists them"));
  EXPECT_THAT(brief.out, HasSubstr("passed  "));
  EXPECT_THAT(brief.out, Not(HasSubstr("parameter  ")));
  const Ran all = retune({"inspect", kBundle, "--all"});
  ASSERT_EQ(all.code, 0) << all.err;
  EXPECT_THAT(all.out, HasSubstr("parameter  "));
  EXPECT_GT(all.out.size(), brief.out.size());
}

TEST_F(DemoBundle, OneFactIsEditedWrittenAppliedAndReverted) {
  const std::string other = fact_.at("edited_answer");
  const Ran edited = retune({"edit", kBundle, "--recipe", "recipes/ft.json", "--audio", clip_, "--question", question_,
                             "--answer", other, "--out", at("edit"), "--log", "error"});
  ASSERT_EQ(edited.code, 0) << edited.err;
  EXPECT_THAT(edited.out, HasSubstr("proved"));
  const Ran asked = retune({"ask", at("edit/bundle"), "--audio", clip_, "--question", question_, "--json"});
  EXPECT_EQ(Json::parse(asked.out)["text"], other) << asked.err;

  const Ran applied = retune({"patch", "apply", kBundle, at("edit/patch.h5"), "--out", at("applied")});
  ASSERT_EQ(applied.code, 0) << applied.err;
  EXPECT_EQ(contents(folder_ / "applied"), contents(folder_ / "edit" / "bundle"));
  const Ran reverted =
      retune({"patch", "revert", at("applied"), at("edit/patch.h5"), "--base", kBundle, "--out", at("reverted")});
  ASSERT_EQ(reverted.code, 0) << reverted.err;
  EXPECT_EQ(contents(folder_ / "reverted"), contents(kBundle));

  const std::vector<std::string> again = {"patch",   "apply",  kBundle,  at("edit/patch.h5"), "--out", at("proven"),
                                          "--force", "--json", "--proof"};
  const auto proven = [&](const std::string& mode) {
    std::vector<std::string> words = again;
    words.push_back(mode);
    return retune(words);
  };
  const Json full = Json::parse(proven("full").out), brief = Json::parse(proven("edited").out);
  EXPECT_EQ(full["mode"], "full");
  // The same bundle was proven by `edit`, in whose folder and in whose words it stands too.
  std::ifstream study(folder_ / "edit" / "proof.json");
  const Json written = Json::parse(study);
  EXPECT_EQ(written["schema"], 1);
  EXPECT_EQ(written["answers_proven"], 1);
  for (const char* key : {"mode", "files", "copied", "logit_difference"}) EXPECT_EQ(full[key], written[key]) << key;
  EXPECT_EQ(full["copied"].size() + full["files"].size(), contents(kBundle).size());
  EXPECT_EQ(brief["mode"], "edited");
  EXPECT_TRUE(brief["copied"].empty());
  EXPECT_EQ(Json::parse(proven("auto").out)["mode"], "full");
  EXPECT_EQ(proven("most").code, 2);

  // The patch is for the base, not for what it made of it.
  EXPECT_EQ(retune({"patch", "apply", at("applied"), at("edit/patch.h5"), "--out", at("twice")}).code, 2);
  EXPECT_EQ(retune({"patch", "revert", kBundle, at("edit/patch.h5"), "--base", kBundle, "--out", at("twice")}).code, 2);
  EXPECT_EQ(retune({"patch", "apply", kBundle, at("edit/patch.h5"), "--out", at("applied")}).code, 2)
      << "a folder that is there needs --force";
  EXPECT_FALSE(fs::exists(folder_ / "twice"));

  const Ran diff = retune({"patch", "diff", kBundle, at("applied"), "--out", at("diff.h5")});
  ASSERT_EQ(diff.code, 0) << diff.err;
  ASSERT_EQ(retune({"patch", "apply", kBundle, at("diff.h5"), "--out", at("again")}).code, 0);
  EXPECT_EQ(contents(folder_ / "again"), contents(folder_ / "applied"));
}

TEST_F(DemoBundle, DryRunsWriteNothing) {
  const Ran edit = retune({"edit", kBundle, "--recipe", "recipes/rome.json", "--facts", "demo/facts.json", "--limit",
                           "2", "--out", at("edit"), "--dry_run", "--json"});
  ASSERT_EQ(edit.code, 0) << edit.err;
  EXPECT_EQ(Json::parse(edit.out)["edits"], 2);
  const Ran eval = retune(
      {"eval", kBundle, "--facts", "demo/facts.json", "--limit", "1", "--out", at("eval"), "--dry_run", "--json"});
  ASSERT_EQ(eval.code, 0) << eval.err;
  EXPECT_GT(Json::parse(eval.out)["probes"], 1);
  const Ran train = retune({"train", "recipes/demo-lalm.json", "--out", at("model"), "--dry_run", "--json"});
  ASSERT_EQ(train.code, 0) << train.err;
  EXPECT_GT(Json::parse(train.out)["parameters"], 1000000);
  EXPECT_TRUE(fs::is_empty(folder_));
}

TEST_F(DemoBundle, OneFactNeedsAllOfItsParts) {
  const Ran ran = retune(
      {"edit", kBundle, "--recipe", "recipes/ft.json", "--audio", clip_, "--question", question_, "--out", at("edit")});
  EXPECT_EQ(ran.code, 2);
  EXPECT_THAT(ran.err, HasSubstr("--answer is missing"));
  EXPECT_FALSE(fs::exists(folder_ / "edit"));
}

}  // namespace
}  // namespace retune
