// A whole study with any number of threads.
#include <gtest/gtest.h>

#include <array>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "audio/waveform.h"
#include "recipes/study.h"
#include "recipes/study_folder.h"
#include "tests/tiny_bundle.h"

namespace retune {
namespace {

namespace fs = std::filesystem;

constexpr const char* kRome = R"({"method": "rome", "decoding": {"max_new_tokens": 4}, "settings": {
    "site": "decoder.block.1.mlp.down", "target_steps": 5, "target_learning_rate": 0.05, "target_clamp": 50,
    "target_stop_loss": 0}})";
constexpr const char* kFineTuning = R"({"method": "ft", "decoding": {"max_new_tokens": 4}, "settings": {
    "sites": ["decoder.block.last.mlp", "connector"], "steps": 3, "learning_rate": 0.01}})";

// By method.
class StudyThreads : public testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    write_tiny_bundle(scratch_ / "model");
    save_waveform(scratch_ / "moo.wav", tone(180));
    save_waveform(scratch_ / "mew.wav", tone(700));
  }

  // Two facts, of which the study asks with the clip that is edited, with another one, and without any.
  FactSet facts() const {
    std::vector<Fact> facts;
    for (const auto& [file, other, old_label, new_label] :
         {std::array{"moo.wav", "mew.wav", "cow", "cat"}, std::array{"mew.wav", "moo.wav", "cat", "dog"}}) {
      const Clip clip = Clip::below(scratch_.path(), "", file);
      Fact fact;
      fact.request = {file, "Animal", clip, kTinyQuestion, {"cow", "cat", "dog"}, old_label, new_label, Scope::kLabel};
      Probe probe;
      probe.id = fact.request.id + "/reliability";
      probe.request_id = fact.request.id;
      probe.kind = ProbeKind::kReliability;
      probe.attribute = probe.track = "Animal";
      probe.clip = clip;
      probe.question = kTinyQuestion;
      probe.options = fact.request.options;
      probe.answer = new_label;
      fact.probes.push_back(probe);
      probe.id = fact.request.id + "/generality";
      probe.kind = ProbeKind::kGenerality;
      probe.type = 2;
      probe.clip = Clip::below(scratch_.path(), "", other);
      fact.probes.push_back(probe);
      probe.id = fact.request.id + "/text_locality";
      probe.kind = ProbeKind::kTextLocality;
      probe.type = 0;
      probe.clip.reset();
      probe.question = kTinyTextQuestion;
      probe.options = {"cow", "elephant"};
      probe.answer = "elephant";
      fact.probes.push_back(probe);
      facts.push_back(std::move(fact));
    }
    return FactSet::of(std::move(facts));
  }

  std::map<std::string, std::string> study(int threads) const {
    const char* recipe = std::string(GetParam()) == "rome" ? kRome : kFineTuning;
    const EditRun run{.recipe = Recipe::parse(recipe, "test.json"),
                      .model = scratch_ / "model",
                      .facts = facts(),
                      .out = scratch_ / std::to_string(threads),
                      .export_cell = 2};
    Session session({.threads = threads});
    run_edit(run, session);
    auto files = files_below(run.out);
    files.erase(kTimingFile);
    return files;
  }

  ScratchFolder scratch_;
};

TEST_P(StudyThreads, AnyNumberOfThreadsGivesTheSameBytes) {
  const auto one = study(1);
  for (const char* name : {"edits/0001/patch.h5", "edits/0002/patch.h5", "results.jsonl", "summary.json", "proof.json",
                           "bundle/onnx/decoder_model_merged.onnx"})
    EXPECT_TRUE(one.contains(name)) << name;
  // Without it a study that changes nothing would do.
  EXPECT_NE(one.at("bundle/onnx/decoder_model_merged.onnx"),
            bytes_of(scratch_ / "model/onnx/decoder_model_merged.onnx"));
  for (const int threads : {2, 4}) {
    const auto more = study(threads);
    EXPECT_EQ(more.size(), one.size());
    for (const auto& [name, bytes] : one) EXPECT_TRUE(more.contains(name) && more.at(name) == bytes) << name;
  }
}

INSTANTIATE_TEST_SUITE_P(By, StudyThreads, testing::Values("rome", "ft"),
                         [](const auto& method) { return std::string(method.param); });

}  // namespace
}  // namespace retune
