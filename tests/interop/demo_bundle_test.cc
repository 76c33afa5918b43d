// The demo bundle, unedited and edited by the shipped recipes, asked by Retune, by ONNX Runtime and by transformers.js:
// the same logits to 1e-3 of their range, the same greedy answers.
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <iterator>
#include <memory>
#include <optional>
#include <span>
#include <string>

#include "adapters/patch.h"
#include "audio/waveform.h"
#include "facts/fact_set.h"
#include "lalm/answer.h"
#include "lalm/bundle.h"
#include "recipes/study.h"
#include "recipes/study_folder.h"
#include "tests/interop/node_oracle.h"
#include "tests/interop/onnxruntime_reader.h"
#include "tests/oracle.h"

namespace retune {
namespace {

namespace fs = std::filesystem;

constexpr double kTolerance = 1e-3;  // of the range of the logits
constexpr std::size_t kClips = 2;
constexpr int kNewTokens = 16;
const fs::path kDemo = "demo";

FactSet demo_facts() { return FactSet::load(kDemo / "facts.json", {.audio_root = kDemo / "audio"}); }

struct Question {
  std::string id;
  std::string text;
  std::optional<Waveform> clip;
};

// Clips' own questions, of which the first is the one that is edited, and one in text alone.
std::vector<Question> questions() {
  const FactSet facts = demo_facts();
  std::vector<Question> questions;
  for (const EditRequest& request : facts.requests())
    if (questions.size() < kClips)
      questions.push_back({request.id, request.question, load_waveform(request.clip.locate())});
  const std::vector<Probe> probes = facts.probes();
  const auto text = std::ranges::find_if(probes, [](const Probe& probe) { return !probe.clip; });
  if (text != probes.end()) questions.push_back({text->id, text->question, std::nullopt});
  EXPECT_EQ(questions.size(), kClips + 1) << "demo/facts.json has too few clips, or no question in text alone";
  return questions;
}

// Largest difference relative to the range of `expected`.
double difference(std::span<const float> got, std::span<const float> expected) {
  if (got.size() != expected.size()) return INFINITY;
  double largest = 0;
  for (std::size_t i = 0; i < got.size(); ++i) largest = std::max<double>(largest, std::abs(got[i] - expected[i]));
  const auto [low, high] = std::minmax_element(expected.begin(), expected.end());
  return largest / (*high - *low);
}

// A model as Retune sees it and the folder where other runtimes find it.
struct Subject {
  Bundle bundle;
  fs::path folder;
};

class DemoBundle : public testing::Test {
 protected:
  void SetUp() override {
    if (const std::string reason = node_is_missing(); !reason.empty()) RETUNE_ORACLE_MISSING(reason);
  }

  Subject unedited() const { return {base_, kDemo / "bundle"}; }

  Prompt prompt_of(const Subject& subject, const Question& question) {
    return prompt_for(session_, subject.bundle, question.text, question.clip);
  }
  Answer greedy(const Subject& subject, const Prompt& prompt) {
    AnswerOptions options;
    options.max_new_tokens = kNewTokens;
    return answer(session_, subject.bundle, prompt, options);
  }

  void expect_transformers_agrees(const Subject& subject);
  void expect_onnxruntime_agrees(const Subject& subject);
  void expect_client_agrees(const Subject& subject, const Prompt& prompt, const Answer& ours);

  Session session_;
  Bundle base_ = Bundle::open(kDemo / "bundle");
};

// Edits the first of the demo's facts by a recipe of that name.
class DemoBundleEdited : public DemoBundle, public testing::WithParamInterface<const char*> {
 protected:
  void TearDown() override { fs::remove_all(scratch_); }

  Subject edited() {
    const EditRun run{.recipe = Recipe::load(fmt::format("recipes/{}.json", GetParam())),
                      .model = kDemo / "bundle",
                      .facts = demo_facts().limited(1),
                      .out = scratch_,
                      .export_cell = 1};
    const EditReport report = run_edit(run, session_);
    const Patch patch = Patch::load(run.out / kEditsFolder / "0001" / kPatchFile);
    return {base_.with(std::make_shared<const Patch>(patch)), report.bundle};
  }

  // Without it agreement could be had by an edit that was lost.
  void expect_edit_is_heard(const Subject& subject) {
    const Question question = questions()[0];
    const std::string label = demo_facts().requests()[0].new_label;
    EXPECT_NE(greedy(unedited(), prompt_of(unedited(), question)).text, label);
    EXPECT_EQ(greedy(subject, prompt_of(subject, question)).text, label);
  }

  fs::path scratch_ = fs::path(testing::TempDir()) / fmt::format("retune-interop-{}", getpid());
};

// The prompt as text, each clip one placeholder: what a user of transformers.js passes.
std::string raw_text(const Bundle& bundle, const Prompt& prompt) {
  std::vector<std::int64_t> ids;
  for (std::size_t i = 0; i < prompt.ids.size(); ++i) {
    const auto position = static_cast<std::int64_t>(i);
    const bool repeated = std::ranges::binary_search(prompt.audio_rows, position) &&
                          std::ranges::binary_search(prompt.audio_rows, position - 1);
    if (!repeated) ids.push_back(prompt.ids[i]);
  }
  return bundle.tokenizer().decode(ids);
}

void DemoBundle::expect_transformers_agrees(const Subject& subject) {
  for (const Question& question : questions()) {
    SCOPED_TRACE(question.id);
    const Prompt prompt = prompt_of(subject, question);
    TransformersQuestion raw{.prompt = raw_text(subject.bundle, prompt), .samples = {}, .max_new_tokens = kNewTokens};
    if (question.clip) raw.samples = resample(*question.clip, 16000).samples;
    const TransformersAnswer theirs = ask_transformers(subject.folder, raw);
    EXPECT_EQ(theirs.prompt_ids, prompt.ids);
    const Tensor logits = logits_of(session_, subject.bundle, prompt, {}, 0);
    EXPECT_LE(difference(logits.values<float>(), theirs.logits.values<float>()), kTolerance);
    std::vector<std::int64_t> ids = theirs.ids;
    ids.erase(std::ranges::find_first_of(ids, subject.bundle.end_ids()), ids.end());
    EXPECT_EQ(greedy(subject, prompt).ids, ids);
  }
}

// Logits [ids, vocabulary] of the exported files, each run by ONNX Runtime in one call.
Tensor onnxruntime_logits(const Subject& subject, const Prompt& prompt, const std::vector<std::int64_t>& ids) {
  return OnnxRuntimeReader(subject.folder, subject.bundle.decoder())
      .prefill(ids, prompt.audio, prompt.audio_rows)
      .logits;
}

// The most likely token after each of the last `count` positions.
std::vector<std::int64_t> most_likely(const Tensor& logits, std::size_t count) {
  const std::int64_t vocabulary = logits.shape().back();
  std::vector<std::int64_t> ids;
  for (const float* row = logits.data<float>() + logits.numel() - static_cast<std::int64_t>(count) * vocabulary;
       ids.size() < count; row += vocabulary)
    ids.push_back(std::distance(row, std::max_element(row, row + vocabulary)));
  return ids;
}

// Where something in the model depends on where a call ends: prefill, then a call a token.
void DemoBundle::expect_client_agrees(const Subject& subject, const Prompt& prompt, const Answer& ours) {
  const OnnxRuntimeReader reader(subject.folder, subject.bundle.decoder());
  OnnxRuntimeReader::Call call = reader.prefill(prompt.ids, prompt.audio, prompt.audio_rows);
  EXPECT_LE(difference(logits_of(session_, subject.bundle, prompt, {}, 0).values<float>(), call.logits.values<float>()),
            kTolerance);
  std::vector<std::int64_t> ids;
  while (static_cast<int>(ids.size()) < kNewTokens) {
    const std::int64_t next = most_likely(call.logits, 1)[0];
    if (std::ranges::count(subject.bundle.end_ids(), next) > 0) break;
    ids.push_back(next);
    call = reader.go_on(call, {next});
  }
  EXPECT_EQ(ours.ids, ids);
}

// Retune's answer is ONNX Runtime's greedy one if, read after the prompt, each of its tokens is the most likely next.
void DemoBundle::expect_onnxruntime_agrees(const Subject& subject) {
  for (const Question& question : questions()) {
    SCOPED_TRACE(question.id);
    const Prompt prompt = prompt_of(subject, question);
    const Answer ours = greedy(subject, prompt);
    if (subject.bundle.per_call()) {
      expect_client_agrees(subject, prompt, ours);
      continue;
    }
    std::vector<std::int64_t> ids = prompt.ids;
    ids.insert(ids.end(), ours.ids.begin(), ours.ids.end());
    const Tensor logits = onnxruntime_logits(subject, prompt, ids);
    EXPECT_LE(
        difference(logits_of(session_, subject.bundle, prompt, ours.ids, 0).values<float>(), logits.values<float>()),
        kTolerance);
    std::vector<std::int64_t> theirs = most_likely(logits, ours.ids.size() + 1);
    if (!ours.hit_length_limit) {
      EXPECT_TRUE(std::ranges::count(subject.bundle.end_ids(), theirs.back())) << theirs.back() << " does not end it";
    }
    theirs.pop_back();
    EXPECT_EQ(ours.ids, theirs);
  }
}

TEST_F(DemoBundle, AnswersTheSameInTransformersJs) { expect_transformers_agrees(unedited()); }

TEST_F(DemoBundle, AnswersTheSameInOnnxRuntime) { expect_onnxruntime_agrees(unedited()); }

TEST_P(DemoBundleEdited, AnswersTheSameInTransformersJs) {
  const Subject subject = edited();
  expect_edit_is_heard(subject);
  expect_transformers_agrees(subject);
}

TEST_P(DemoBundleEdited, AnswersTheSameInOnnxRuntime) {
  const Subject subject = edited();
  expect_edit_is_heard(subject);
  expect_onnxruntime_agrees(subject);
}

INSTANTIATE_TEST_SUITE_P(By, DemoBundleEdited, testing::Values("rome", "ft", "ft-connector", "steer", "grace", "wise"),
                         [](const auto& recipe) {
                           std::string name = recipe.param;
                           std::erase(name, '-');  // GoogleTest's names hold no dash
                           return name;
                         });

}  // namespace
}  // namespace retune
