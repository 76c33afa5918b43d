// Every command of docs/cli.md, once for people and once for programs, on the shipped model.

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "adapters/tensor_file.h"
#include "cli/command.h"
#include "cli/program.h"

namespace retune {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;

constexpr const char* kBundle = "demo/bundle";
constexpr const char* kGolden = "tests/golden/operators/test_add_same";

struct Ran {
  int code = 0;
  std::string out, err;
};

// What a command line needs that another command makes.
enum class Needs { kNothing, kPatch, kAnswers, kData, kTensors, kTests };

struct Line {
  std::string command;  // as in docs/cli.md
  // Behind it; AT/ stands for the folder of what was prepared, OUT/ for an empty one, CLIP, QUESTION and ANSWER for
  // those of the first shipped fact.
  std::vector<std::string> words;
  Needs needs = Needs::kNothing;
};

std::vector<Line> lines() {
  return {
      {"inspect", {kBundle, "--check", "--all", "--hash"}},
      {"ask", {kBundle, "--audio", "CLIP", "--question", "QUESTION", "--options", "cow,dog", "--max_new_tokens", "8"}},
      {"edit",
       {kBundle, "--recipe", "AT/recipe.json", "--facts", "demo/facts.json", "--audio_root", "demo/audio", "--limit",
        "1", "--export", "1", "--out", "OUT/study"}},
      {"eval",
       {kBundle, "--facts", "demo/facts.json", "--audio_root", "demo/audio", "--limit", "1", "--max_new_tokens", "8",
        "--out", "OUT/eval"}},
      {"score", {"AT/answers/results.jsonl", "--bootstrap", "100"}, Needs::kAnswers},
      {"facts", {"demo/facts.json", "--audio_root", "demo/audio"}},
      {"study plan", {"AT/study.json"}},
      {"study run", {"AT/study.json", "--out", "OUT/table"}},
      {"methods", {}},
      {"patch show", {"AT/edited/patch.h5", "--full"}, Needs::kPatch},
      {"patch apply", {kBundle, "AT/edited/patch.h5", "--out", "OUT/applied"}, Needs::kPatch},
      {"patch revert",
       {"AT/edited/bundle", "AT/edited/patch.h5", "--base", kBundle, "--out", "OUT/reverted"},
       Needs::kPatch},
      {"patch diff", {kBundle, "AT/edited/bundle", "--out", "OUT/diff.h5"}, Needs::kPatch},
      {"patch merge", {"AT/edited/patch.h5", "AT/edited/patch.h5", "--out", "OUT/merged.h5"}, Needs::kPatch},
      {"stats",
       {kBundle, "--site", "decoder.block.0.mlp.down,decoder.block.1.mlp.down", "--corpus", "AT/corpus.jsonl", "--out",
        "OUT/moments"}},
      {"synth", {"--out",        "OUT/data", "--attributes",  "Animal", "--train_clips",  "100", "--val_clips",  "100",
                 "--test_clips", "100",      "--train_edits", "1",      "--val_edits",    "1",   "--test_edits", "1",
                 "--sequences",  "0",        "--demo_edits",  "1",      "--clip_seconds", "1"}},
      {"train", {"AT/train.json", "--data", "AT/data", "--out", "OUT/model"}, Needs::kData},
      {"run",
       {"demo/bundle/onnx/embed_tokens.onnx", "--inputs", "AT/in.h5", "--outputs", "OUT/out.h5"},
       Needs::kTensors},
      {"grad",
       {"demo/bundle/onnx/embed_tokens.onnx", "--inputs", "AT/in.h5", "--of", "inputs_embeds", "--outputs",
        "OUT/gradients.h5"},
       Needs::kTensors},
      {"conformance", {"AT/tests"}, Needs::kTests},
      {"operators", {}},
      {"help", {"ask"}},
  };
}

class EveryCommand : public testing::TestWithParam<Line> {
 protected:
  void SetUp() override {
    if (!fs::exists(fs::path(kBundle) / "config.json")) GTEST_SKIP() << "no demo/bundle in the working directory";
    fs::remove_all(folder_);
    fs::create_directories(folder_);
    std::ifstream file("demo/facts.json");
    fact_ = Json::parse(file).at(0);
    write("recipe.json", R"({"method": "ft", "settings": {"sites": "decoder.block.last.mlp.down", "steps": 2,
        "learning_rate": 0.001, "stop_loss": 0}, "decoding": {"max_new_tokens": 8}})");
    write("study.json", Json{{"study", {(folder_ / "recipe.json").string()}},
                             {"facts_per_attribute", 1},
                             {"common", {{"model", kBundle}, {"facts", "demo/facts.json"}}}}
                            .dump());
    write("corpus.jsonl", R"({"question": "What has a trunk?", "answer": "elephant"})");
    write("train.json", R"({"train": "lalm", "vocabulary_size": 300,
        "model": {"encoder_width": 16, "encoder_blocks": 1, "encoder_heads": 2, "encoder_hidden": 32,
                  "max_encoder_frames": 200, "connector_hidden": 32, "width": 16, "blocks": 1, "heads": 2,
                  "kv_heads": 1, "head_size": 8, "hidden": 32},
        "hearing": {"steps": 1, "batch": 2, "warmup_steps": 0}, "joint": {"steps": 1, "batch": 4, "warmup_steps": 0}})");
    prepare(GetParam().needs);
  }
  void TearDown() override { fs::remove_all(folder_); }

  void write(const std::string& name, const std::string& text) const { std::ofstream(folder_ / name) << text; }

  std::string filled(const std::string& word) const {
    if (word == "CLIP") return "demo/audio/" + fact_.at("track").get<std::string>() + "/" + text("file");
    if (word == "QUESTION") return text("reliability_question");
    if (word == "ANSWER") return text("edited_answer");
    if (word.starts_with("AT/")) return (folder_ / word.substr(3)).string();
    return word.starts_with("OUT/") ? (folder_ / "out" / word.substr(4)).string() : word;
  }
  std::string text(const char* key) const { return fact_.at(key).get<std::string>(); }

  Ran retune(const std::string& command, const std::vector<std::string>& words) const {
    std::vector<std::string> line;
    std::istringstream parts(command);
    for (std::string part; parts >> part;) line.push_back(part);
    for (const std::string& word : words) line.push_back(filled(word));
    std::ostringstream out, err;
    const int code = run_cli(line, {out, err});
    return {code, out.str(), err.str()};
  }

  void expect_done(const std::string& command, const std::vector<std::string>& words) const {
    const Ran ran = retune(command, words);
    ASSERT_EQ(ran.code, 0) << command << ": " << ran.err;
  }

  void prepare(Needs needs) const {
    switch (needs) {
      case Needs::kNothing:
        return;
      case Needs::kPatch:
        return expect_done("edit", {kBundle, "--recipe", "AT/recipe.json", "--audio", "CLIP", "--question", "QUESTION",
                                    "--answer", "ANSWER", "--out", "AT/edited"});
      case Needs::kAnswers:
        return expect_done("eval", {kBundle, "--facts", "demo/facts.json", "--audio_root", "demo/audio", "--limit", "1",
                                    "--max_new_tokens", "2", "--out", "AT/answers"});
      case Needs::kData:
        return expect_done("synth", {"--out",        "AT/data", "--attributes",   "Animal", "--train_clips", "100",
                                     "--val_clips",  "100",     "--test_clips",   "100",    "--train_edits", "0",
                                     "--val_edits",  "0",       "--test_edits",   "0",      "--sequences",   "0",
                                     "--demo_edits", "0",       "--clip_seconds", "1"});
      case Needs::kTensors:
        return write_tensors(folder_ / "in.h5", {{"input_ids", Tensor::of<std::int64_t>({1, 3}, {5, 6, 7})}});
      case Needs::kTests:
        if (!fs::exists(kGolden)) GTEST_SKIP() << "no golden operators in the working directory";
        fs::create_directories(folder_ / "tests");
        fs::copy(kGolden, folder_ / "tests" / "test_add_same", fs::copy_options::recursive);
    }
  }

  fs::path folder_ = fs::path(testing::TempDir()) / ("retune_every_command_" + std::to_string(getpid()));
  Json fact_;
};

// `inspect` failed unless --json was given, and no test ran it without.
TEST_P(EveryCommand, SucceedsForPeopleAndForPrograms) {
  for (const bool json : {false, true}) {
    fs::remove_all(folder_ / "out");
    fs::create_directories(folder_ / "out");
    std::vector<std::string> words = GetParam().words;
    if (json) words.push_back("--json");
    const Ran ran = retune(GetParam().command, words);
    ASSERT_EQ(ran.code, 0) << ran.err;
    EXPECT_FALSE(ran.out.empty());
    EXPECT_EQ(Json::accept(ran.out), json) << ran.out;
  }
}

std::string test_name(const testing::TestParamInfo<Line>& info) {
  std::string name = info.param.command;
  for (char& c : name)
    if (c == ' ') c = '_';
  return name;
}

INSTANTIATE_TEST_SUITE_P(Commands, EveryCommand, testing::ValuesIn(lines()), test_name);

TEST(EveryCommandList, NamesEveryCommandOfTheProgram) {
  std::vector<std::string> tried, there;
  for (const Line& line : lines()) tried.push_back(line.command);
  for (const Command& command : commands()) there.push_back(command.name);
  EXPECT_THAT(tried, testing::UnorderedElementsAreArray(there));
}

}  // namespace
}  // namespace retune
