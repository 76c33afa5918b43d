// The demo bundle, unedited and edited, asked by Retune, by ONNX Runtime and by transformers.js: the same logits to
// 1e-3 of their range, the same greedy answers.
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <span>

#include "adapters/patch.h"
#include "audio/waveform.h"
#include "facts/fact_set.h"
#include "lalm/answer.h"
#include "lalm/bundle.h"
#include "tensor/rng.h"
#include "tests/interop/node_oracle.h"

namespace retune {
namespace {

namespace fs = std::filesystem;

constexpr double kTolerance = 1e-3;  // of the range of the logits
constexpr std::size_t kQuestions = 3;
constexpr int kNewTokens = 16;
const fs::path kDemo = "demo";

std::vector<EditRequest> questions() {
  std::vector<EditRequest> requests = FactSet::load(kDemo / "facts.json", {.audio_root = kDemo / "audio"}).requests();
  requests.resize(std::min(kQuestions, requests.size()));
  return requests;
}

// Largest difference relative to the range of `expected`.
double difference(std::span<const float> got, std::span<const float> expected) {
  if (got.size() != expected.size()) return INFINITY;
  double largest = 0;
  for (std::size_t i = 0; i < got.size(); ++i) largest = std::max<double>(largest, std::abs(got[i] - expected[i]));
  const auto [low, high] = std::minmax_element(expected.begin(), expected.end());
  return largest / (*high - *low);
}

// A random rank-one change of the middle block's down-projection, large enough to move the logits.
Bundle edited_demo(const Bundle& base) {
  const std::string name = fmt::format("decoder.block.{}.mlp.down", base.sites().blocks.decoder / 2);
  const Site site = base.site(name);
  Rng rng = Rng(7).fork("interop");
  const auto column = [&](std::int64_t rows, double scale) {
    std::vector<float> values(static_cast<std::size_t>(rows));
    for (float& value : values) value = static_cast<float>(scale * rng.normal());
    return Tensor::of(Shape{rows, 1}, values);
  };
  TensorDelta delta{.site = name,
                    .shape = site.delta_shape,
                    .values = LowRankDelta{.u = column(site.out, 0.05), .v = column(site.in, 0.5)},
                    .targets = site.targets};
  for (DeltaTarget& target : delta.targets) target.sha256 = base.view().payload_hash(site.weight);
  Patch patch;
  patch.method = "interop";
  patch.graph_hash = base.view().graph_hash();
  patch.files = base.view().files();
  patch.deltas.push_back(std::move(delta));
  return base.with(std::make_shared<const Patch>(std::move(patch)));
}

// A model as Retune sees it and the folder where other runtimes find it.
struct Subject {
  Bundle bundle;
  fs::path folder;
};

class DemoBundle : public testing::Test {
 protected:
  void SetUp() override {
    if (const std::string reason = node_is_missing(); !reason.empty()) GTEST_SKIP() << reason;
  }

  void TearDown() override { fs::remove_all(scratch_); }

  Subject unedited() const { return {base_, kDemo / "bundle"}; }
  Subject edited() {
    const Bundle bundle = edited_demo(base_);
    save(bundle, scratch_, Existing::kReplace, session_, {.questions = {questions()[0].question}});
    return {bundle, scratch_};
  }

  Prompt prompt_of(const Subject& subject, const EditRequest& request) {
    return prompt_for(session_, subject.bundle, request.question, load_waveform(request.clip.locate()));
  }
  Tensor all_logits(const Bundle& bundle, const Prompt& prompt) { return logits_of(session_, bundle, prompt, {}, 0); }

  void expect_transformers_agrees(const Subject& subject);
  void expect_onnxruntime_agrees(const Subject& subject);

  fs::path scratch_ = fs::path(testing::TempDir()) / fmt::format("retune-interop-{}", getpid());
  Session session_;
  Bundle base_ = Bundle::open(kDemo / "bundle");
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
  for (const EditRequest& request : questions()) {
    const Prompt prompt = prompt_of(subject, request);
    AnswerOptions options;
    options.max_new_tokens = kNewTokens;
    const Answer ours = answer(session_, subject.bundle, prompt, options);
    const TransformersAnswer theirs =
        ask_transformers(subject.folder, {.prompt = raw_text(subject.bundle, prompt),
                                          .samples = resample(load_waveform(request.clip.locate()), 16000).samples,
                                          .max_new_tokens = kNewTokens});
    EXPECT_EQ(theirs.prompt_ids, prompt.ids) << request.id;
    EXPECT_LE(difference(all_logits(subject.bundle, prompt).values<float>(), theirs.logits.values<float>()), kTolerance)
        << request.id;
    std::vector<std::int64_t> ids = theirs.ids;
    ids.erase(std::ranges::find_first_of(ids, subject.bundle.end_ids()), ids.end());
    EXPECT_EQ(ours.ids, ids) << request.id;
  }
}

// What the decoder reads besides embeddings when nothing came before.
NamedTensors decoder_inputs(const DecoderInterface& decoder, Tensor embeddings) {
  const std::int64_t positions = embeddings.shape()[1];
  std::vector<std::int64_t> counted(static_cast<std::size_t>(positions));
  for (std::size_t i = 0; i < counted.size(); ++i) counted[i] = static_cast<std::int64_t>(i);
  NamedTensors inputs = {
      {"inputs_embeds", std::move(embeddings)},
      {"attention_mask", Tensor::of(Shape{1, positions}, std::vector<std::int64_t>(counted.size(), 1))}};
  if (decoder.position_ids) inputs["position_ids"] = Tensor::of(Shape{1, positions}, counted);
  if (decoder.num_logits_to_keep) inputs["num_logits_to_keep"] = Tensor::scalar<std::int64_t>(0);
  if (decoder.use_cache_branch) inputs["use_cache_branch"] = Tensor::of<bool>({1}, {false});
  for (const DecoderInterface::Cache& cache : decoder.caches) {
    inputs[cache.past_key] = Tensor::zeros(cache.dtype, cache.empty);
    inputs[cache.past_value] = Tensor::zeros(cache.dtype, cache.empty);
  }
  return inputs;
}

void DemoBundle::expect_onnxruntime_agrees(const Subject& subject) {
  const fs::path graphs = subject.folder / "onnx";
  for (const EditRequest& request : questions()) {
    const Prompt prompt = prompt_of(subject, request);
    const Tensor ids = Tensor::of(Shape{1, prompt.length()}, prompt.ids);
    const Tensor rows =
        run_in_onnxruntime(graphs / "audio_encoder.onnx", {{"audio_values", prompt.audio.tensor}}).at("audio_features");
    Tensor embeddings =
        run_in_onnxruntime(graphs / "embed_tokens.onnx", {{"input_ids", ids}}).at("inputs_embeds").copy();
    const std::int64_t width = embeddings.shape().back();
    ASSERT_EQ(rows.numel(), static_cast<std::int64_t>(prompt.audio_rows.size()) * width);
    for (std::size_t row = 0; row < prompt.audio_rows.size(); ++row) {
      std::copy_n(rows.data<float>() + static_cast<std::int64_t>(row) * width, width,
                  embeddings.mutable_data<float>() + prompt.audio_rows[row] * width);
    }
    const Tensor logits = run_in_onnxruntime(graphs / "decoder_model_merged.onnx",
                                             decoder_inputs(subject.bundle.decoder(), std::move(embeddings)))
                              .at("logits");
    EXPECT_LE(difference(all_logits(subject.bundle, prompt).values<float>(), logits.values<float>()), kTolerance)
        << request.id;
  }
}

TEST_F(DemoBundle, AnswersTheSameInTransformersJs) { expect_transformers_agrees(unedited()); }

TEST_F(DemoBundle, AnswersTheSameInOnnxRuntime) { expect_onnxruntime_agrees(unedited()); }

TEST_F(DemoBundle, EditedAnswersTheSameInTransformersJs) { expect_transformers_agrees(edited()); }

TEST_F(DemoBundle, EditedAnswersTheSameInOnnxRuntime) { expect_onnxruntime_agrees(edited()); }

// Without this the two tests above could pass on an edit that was lost.
TEST_F(DemoBundle, TheEditMovesTheLogitsBeyondTheTolerance) {
  const Subject before = unedited();
  const Prompt prompt = prompt_of(before, questions()[0]);
  const Tensor old_logits = all_logits(before.bundle, prompt);
  const Tensor new_logits = all_logits(edited_demo(base_), prompt);
  EXPECT_GT(difference(new_logits.values<float>(), old_logits.values<float>()), 10 * kTolerance);
}

}  // namespace
}  // namespace retune
