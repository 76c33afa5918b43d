// A model with nodes in it, exported and read by ONNX Runtime as a client reads one: the prompt in one call, then
// continuations with the cache. The same logits to 1e-3 of their range.
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <memory>
#include <numeric>

#include "adapters/patch.h"
#include "editors/mechanisms/adapter_memory.h"
#include "lalm/answer.h"
#include "lalm/check.h"
#include "lalm/insert_builder.h"
#include "tests/interop/node_oracle.h"
#include "tests/interop/onnxruntime_reader.h"
#include "tests/oracle.h"

namespace retune {
namespace {

namespace fs = std::filesystem;

constexpr const char* kQuestion = "Which animal is it?\n\nOptions:\ndog\ncat";

class InsertedBundle : public testing::Test {
 protected:
  void SetUp() override {
    if (const std::string reason = node_is_missing(); !reason.empty()) RETUNE_ORACLE_MISSING(reason);
  }
  void TearDown() override { fs::remove_all(out_); }

  Bundle with(GraphInsert insert) const {
    Patch patch;
    patch.method = "insert";
    patch.graph_hash = base_.view().graph_hash();
    patch.files = base_.view().files();
    patch.inserts = {std::move(insert)};
    return base_.with(std::make_shared<const Patch>(std::move(patch)));
  }

  // The last row of a site's input in the first call: what a memory is asked with.
  std::vector<float> query(const Site& site, const Prompt& prompt) {
    SuffixRequest request = suffix_request(session_, base_, prompt, {}, 0);
    request.request.outputs = {site.key};
    const Tensor keys = session_.run(request.graph, base_.parameters(), request.request)[site.key].tensor;
    const float* last = keys.data<float>() + keys.numel() - site.in;
    return {last, last + site.in};
  }

  Prompt prompt() { return prompt_for(session_, base_, kQuestion, test_tone(16000)); }

  Session session_;
  Bundle base_ = Bundle::open("demo/bundle");
  fs::path out_ = fs::path(testing::TempDir()) / ("retune-inserted-" + std::to_string(getpid()));
};

// Keys with radii that replace a module's output in the last row of the first call: nearest by L2, then Where.
GraphInsert codebook(const Bundle& bundle, const Site& site, const std::vector<std::vector<float>>& keys,
                     const std::vector<float>& radii, const std::vector<std::vector<float>>& values) {
  const auto stacked = [](const std::vector<std::vector<float>>& rows) {
    std::vector<float> all;
    for (const auto& row : rows) all.insert(all.end(), row.begin(), row.end());
    return Tensor::of(Shape{static_cast<std::int64_t>(rows.size()), static_cast<std::int64_t>(rows[0].size())}, all);
  };
  InsertBuilder b(bundle, "codebook", site.value);
  const ValueId value = b.tap(site.value);
  const ValueId query = b.last_row(b.tap(site.key));                                          // [B, 1, in]
  const ValueId distance = b.l2_norm(b.op("Sub", {query, b.tensor(stacked(keys), "keys")}));  // [B, n, 1]
  const ValueId nearest =
      b.op("ArgMin", {distance}, {{"axis", std::int64_t{1}}, {"keepdims", std::int64_t{0}}});                 // [B, 1]
  const ValueId radius = b.op("Gather", {b.tensor(Tensor::vector(radii), "radii"), nearest});                 // [B, 1]
  const ValueId least = b.squeeze(b.reduce("ReduceMin", distance, {1}, InsertBuilder::KeepDims::kYes), {2});  // [B, 1]
  const ValueId hit = b.op("Not", {b.op("Greater", {least, radius})});
  const ValueId here = b.op("And", {b.op("And", {b.unsqueeze(hit, {2}), b.is_first_call()}), b.is_last_row(value)});
  const ValueId found = b.op("Gather", {b.tensor(stacked(values), "values"), nearest});  // [B, 1, out]
  b.replace(site.value, b.op("Where", {here, found, value}));
  b.per_call();
  return b.finish();
}

TEST_F(InsertedBundle, AnswersTheSameInOnnxRuntime) {
  const Site site = base_.site("decoder.block.2.mlp.down");
  const Prompt prompt = this->prompt();
  std::vector<float> far(static_cast<std::size_t>(site.in), 9.0F), other(static_cast<std::size_t>(site.out), -2.0F),
      value(static_cast<std::size_t>(site.out));
  for (std::size_t i = 0; i < value.size(); ++i) value[i] = std::sin(static_cast<float>(i));
  const Bundle edited = with(codebook(base_, site, {far, query(site, prompt)}, {0.5F, 0.5F}, {other, value}));
  const Tensor plain = logits_of(session_, base_, prompt, {}, 0);
  const Tensor ours = logits_of(session_, edited, prompt, {}, 0);
  ASSERT_GT(range_difference(plain.rows(prompt.length() - 1, 1), ours.rows(prompt.length() - 1, 1)), 1e-2);
  EXPECT_LE(range_difference(plain.rows(0, prompt.length() - 1), ours.rows(0, prompt.length() - 1)), 1e-6);

  save(edited, out_, Existing::kReplace, session_, {.questions = {kQuestion}});
  const Bundle opened = Bundle::open(out_);
  EXPECT_TRUE(opened.per_call());
  EXPECT_TRUE(identical(logits_of(session_, opened, prompt, {}, 0), ours));

  const std::vector<std::int64_t> more = base_.tokenizer().encode("cat dog");
  const OnnxRuntimeReader reader(out_, opened.decoder());
  const OnnxRuntimeReader::Call first = reader.prefill(prompt.ids, prompt.audio, prompt.audio_rows);
  EXPECT_LE(range_difference(ours, first.logits), 1e-3);
  const OnnxRuntimeReader::Call second = reader.go_on(first, more);
  EXPECT_LE(range_difference(logits_of(session_, edited, prompt, more, prompt.length()), second.logits), 1e-3);
}

// LoRA beside the weights of decoder, connector and encoder.
TEST_F(InsertedBundle, AnAdapterBesideTheWeightsAnswersTheSameInOnnxRuntime) {
  const Prompt prompt = this->prompt();
  std::vector<Site> sites;
  LowRankAdapter start;
  for (const char* name :
       {"decoder.block.1.attn.q", "decoder.block.5.mlp.down", "connector.1", "encoder.block.2.attn.v"}) {
    sites.push_back(base_.site(name));
    start[name] = fresh_factors(sites.back(), 4, Rng(1));
  }
  const LossGraphs paths = with_low_rank_paths(loss_graphs(base_), sites, 2, PathDropout::kNone);
  const Lesson lesson{prompt, target_ids(base_, "dog"), 1, Objective::kTargetNew};
  const LowRankResult learnt = tune_low_rank(session_, base_, paths, sites, {lesson}, start, {.steps = 5}, Rng(2));
  Patch patch;
  patch.method = "lora";
  patch.graph_hash = base_.view().graph_hash();
  patch.files = base_.view().files();
  for (const Site& site : sites)
    patch.inserts.push_back(
        adapter_insert(base_, "lora/" + site.name, site, {learnt.adapter, 2, 1, true}, nullptr).value());
  const Bundle edited = base_.with(std::make_shared<const Patch>(std::move(patch)));
  const Tensor ours = logits_of(session_, edited, prompt, {}, 0);
  ASSERT_GT(range_difference(logits_of(session_, base_, prompt, {}, 0), ours), 1e-2);
  save(edited, out_, Existing::kReplace, session_, {.questions = {kQuestion}});
  const Bundle opened = Bundle::open(out_);
  EXPECT_TRUE(identical(logits_of(session_, opened, prompt, {}, 0), ours));
  const OnnxRuntimeReader reader(out_, opened.decoder());
  const OnnxRuntimeReader::Call first = reader.prefill(prompt.ids, prompt.audio, prompt.audio_rows);
  EXPECT_LE(range_difference(ours, first.logits), 1e-3);
  const std::vector<std::int64_t> more = base_.tokenizer().encode("cat dog");
  const OnnxRuntimeReader::Call second = reader.go_on(first, more);
  EXPECT_LE(range_difference(logits_of(session_, edited, prompt, more, prompt.length()), second.logits), 1e-3);
}

}  // namespace
}  // namespace retune
