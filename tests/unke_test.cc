// UnKE's block training against PyTorch, and the invariants of methods.md 5.11 (T1, T2 of its section 11).
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <functional>

#include "adapters/tensor_file.h"
#include "lalm/check.h"
#include "learning/part_fitting.h"
#include "learning/site_weight.h"
#include "tensor/error.h"
#include "tests/edit_fixture.h"

namespace retune {
namespace {

using testing::HasSubstr;

// What the part reads of a prompt, beside the prompt's own inputs.
Inputs inputs_for(Session& session, const Bundle& bundle, const ModelPart& part, const Prompt& prompt) {
  SuffixRequest suffix = suffix_request(session, bundle, prompt, {}, 0);
  suffix.request.outputs = part.leaves;
  const Results results = session.run(suffix.graph, bundle.parameters(), suffix.request);
  Inputs inputs;
  for (const auto& [name, feed] : suffix.request.inputs)
    if (part.graph->find(name) != kNoValue) inputs[name] = feed;
  for (const std::string& leaf : part.leaves) inputs[leaf] = results[leaf];
  return inputs;
}

ModelPart block_part(const Bundle& bundle, int block) {
  std::vector<std::string> weights;
  for (const Site& site : bundle.sites_in(fmt::format("decoder.block.{}", block))) weights.push_back(site.weight);
  return cut_part(*bundle.text_graph(), bundle.site(fmt::format("decoder.block.{}.residual", block)).value, weights);
}

std::vector<double> changes(const Bundle& before, const Bundle& after, const std::string& parameter) {
  const Tensor &was = before.parameters().at(parameter).tensor, &is = after.parameters().at(parameter).tensor;
  std::vector<double> result(static_cast<std::size_t>(was.numel()));
  for (std::int64_t i = 0; i < was.numel(); ++i)
    result[static_cast<std::size_t>(i)] =
        static_cast<double>(is.data<float>()[i]) - static_cast<double>(was.data<float>()[i]);
  return result;
}

double length(const std::vector<double>& v) {
  double sum = 0;
  for (const double item : v) sum += item * item;
  return std::sqrt(sum);
}

class GoldenUnke : public testing::Test {
 protected:
  void SetUp() override {
    if (!std::filesystem::exists("demo/bundle/config.json")) GTEST_SKIP() << "demo/bundle is not here";
    golden_ = read_tensors("tests/golden/unke/golden.h5");
  }

  std::vector<PartExample> examples(Session& session, const Bundle& bundle, const ModelPart& part) const {
    const std::int64_t placeholder = bundle.tokenizer().require_id(bundle.placeholder());
    std::vector<PartExample> examples;
    double kept_rows = 0;
    for (int i = 0; golden_.contains(fmt::format("ids_{}", i)); ++i) {
      Prompt prompt{golden_.at(fmt::format("ids_{}", i)).to_i64(), {}, {}};
      for (std::int64_t p = 0; p < prompt.length(); ++p)
        if (prompt.ids[static_cast<std::size_t>(p)] == placeholder) prompt.audio_rows.push_back(p);
      if (!prompt.audio_rows.empty()) prompt.audio = {golden_.at(fmt::format("mel_{}", i)), {}};
      PartExample example;
      example.inputs = inputs_for(session, bundle, part, prompt);
      example.rows = prompt.length();
      if (i > 0) kept_rows += static_cast<double>(prompt.length());
      examples.push_back(std::move(example));
    }
    const std::vector<double> shift = golden_.at("shift").to_f64();
    const auto width = static_cast<double>(shift.size());
    for (PartExample& example : examples) example.weight = 1 / (kept_rows * width);
    examples[0].weight = 1 / (static_cast<double>(examples[0].rows) * width);
    examples[0].shifted_row = examples[0].rows - 1;
    examples[0].shift = shift;
    return examples;
  }

  std::map<std::string, Tensor> golden_;
};

TEST_F(GoldenUnke, TheBlockMovesAsInPyTorch) {
  const Bundle bundle = Bundle::open("demo/bundle");
  Session session({.threads = 2});
  const ModelPart part = block_part(bundle, 3);
  const std::vector<Site> sites = bundle.sites_in("decoder.block.3");
  const std::vector<double> losses = golden_.at("losses").to_f64();
  const PartFitResult result =
      fit_part(session, bundle, part, sites, examples(session, bundle, part),
               {.steps = static_cast<std::int64_t>(losses.size()), .learning_rate = 1e-3, .weight_decay = 0.01});
  ASSERT_EQ(result.losses.size(), losses.size());
  for (std::size_t i = 0; i < losses.size(); ++i) EXPECT_NEAR(result.losses[i], losses[i], 1e-4 * losses[i]) << i;
  Patch patch;
  patch.method = "unke";
  patch.graph_hash = bundle.view().graph_hash();
  patch.files = bundle.view().files();
  patch.deltas = result.deltas;
  const Bundle edited = bundle.with(std::make_shared<const Patch>(std::move(patch)));
  std::size_t compared = 0;
  for (const auto& [name, feed] : bundle.parameters()) {
    const std::string bare = name.substr(name.find('/') + 1);
    if (!golden_.contains("norm/" + bare)) continue;
    SCOPED_TRACE(bare);
    ++compared;
    const std::vector<double> moved = changes(bundle, edited, name);
    const double norm = golden_.at("norm/" + bare).to_f64()[0];
    EXPECT_NEAR(length(moved), norm, 1e-3 * norm);
    const Tensor& indices = golden_.at("indices/" + bare);
    const std::vector<double> entries = golden_.at("entries/" + bare).to_f64();
    std::vector<double> apart;
    for (std::int64_t i = 0; i < indices.numel(); ++i)
      apart.push_back(moved[static_cast<std::size_t>(indices.data<std::int64_t>()[i])] -
                      entries[static_cast<std::size_t>(i)]);
    EXPECT_LT(length(apart), 1e-3 * length(entries));
  }
  EXPECT_EQ(compared, 9U) << "four projections, three of the MLP, two norms";
}

class UnkeMethod : public EditFixture {
 protected:
  // Few steps that show.
  static Settings settings(const Settings& more = Settings::object()) {
    Settings all = {{"block", "decoder.block.1"}, {"steps", 40},         {"learning_rate", 2e-3},
                    {"preserve_text", 3},         {"preserve_audio", 3}, {"target_steps", 5},
                    {"target_learning_rate", 0.1}};
    if (!more.is_null()) all.update(more);
    return all;
  }
  Patch unke(const Settings& more, const Bundle& bundle, const EditRequest& what) {
    const Corpus data = corpus();
    return edit("unke", settings(more), bundle, what, &data);
  }
  Patch unke(const Settings& more = Settings::object()) { return unke(more, base_, request()); }
};

TEST_F(UnkeMethod, ZeroStrengthIsTheIdentity) {
  for (const Settings& none : std::vector<Settings>{{{"steps", 0}}, {{"learning_rate", 0.0}}}) {
    const Patch patch = unke(none);
    EXPECT_TRUE(patch.deltas.empty()) << none;
    EXPECT_TRUE(same_parameters(base_, with(base_, patch))) << none;
  }
}

// The targets are then what the block gives, computed by the same kernels on the same shapes.
TEST_F(UnkeMethod, WithoutAVectorAndWithoutDecayNothingMoves) {
  const Patch patch = unke({{"target_steps", 1}, {"weight_decay", 0.0}});
  EXPECT_THAT(patch.notes.at("block_loss"), testing::Each(0.0));
  EXPECT_EQ(patch.notes.at("block_loss").size(), 40U);
  EXPECT_TRUE(patch.deltas.empty());
}

TEST_F(UnkeMethod, MovesEveryWeightOfItsBlockAndNoOther) {
  const Patch patch = unke();
  const Bundle edited = with(base_, patch);
  std::vector<std::string> moved, own;
  for (const TensorDelta& delta : patch.deltas) moved.push_back(delta.site);
  for (const Site& site : base_.sites_in("decoder.block.1")) own.push_back(site.name);
  EXPECT_EQ(own.size(), 9U) << "norms too";
  EXPECT_THAT(moved, testing::UnorderedElementsAreArray(own));
  EXPECT_EQ(edited.view().edited().size(), own.size());
  const std::vector<double>& losses = patch.notes.at("block_loss");
  EXPECT_LT(losses.back(), 0.5 * losses.front());
  EXPECT_LT(nll(edited, request()), nll(base_, request()));
  EXPECT_TRUE(same_parameters(edited.without_top(), base_));
}

// The block's output moves toward the vector where the answer begins, and stays elsewhere.
TEST_F(UnkeMethod, BringsTheVectorToTheLastPromptTokenAlone) {
  const Patch patch = unke({{"steps", 150}});
  const Bundle edited = with(base_, patch);
  SuffixRequest suffix = suffix_request(session_, base_, prompt(), {}, 0);
  const std::string value = base_.site("decoder.block.1.residual").value;
  suffix.request.outputs = {value};
  const Tensor before = session_.run(suffix.graph, base_.parameters(), suffix.request)[value].tensor;
  const Tensor after = session_.run(suffix.graph, edited.parameters(), suffix.request)[value].tensor;
  const std::int64_t rows = before.shape()[1], width = before.shape()[2];
  std::vector<double> last, others;
  for (std::int64_t i = 0; i < before.numel(); ++i)
    (i / width == rows - 1 ? last : others)
        .push_back(static_cast<double>(after.data<float>()[i]) - static_cast<double>(before.data<float>()[i]));
  const double wanted = patch.notes.at("target_norm")[0];
  EXPECT_NEAR(length(last) / wanted, 1.0, 0.3);
  EXPECT_LT(length(others) / std::sqrt(static_cast<double>(rows - 1)), 0.3 * wanted);
}

TEST_F(UnkeMethod, EditsOnEditsComeOffInReverse) {
  const Bundle once = with(base_, unke());
  const Bundle twice = with(once, unke({}, once, request("dog", "mew.wav")));
  EXPECT_LT(nll(twice, request("dog", "mew.wav")), nll(once, request("dog", "mew.wav")));
  EXPECT_TRUE(same_parameters(twice.without_top(), once));
  EXPECT_TRUE(same_parameters(twice.without_top().without_top(), base_));
}

TEST_F(UnkeMethod, NeedsACorpusOfWhatIsToStay) {
  try {
    edit("unke", settings(), base_, request());
    ADD_FAILURE() << "no corpus";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kUser);
    EXPECT_THAT(error.what(), testing::AllOf(HasSubstr("preserve_text is 3"), HasSubstr("no corpus"),
                                             HasSubstr("preserve_audio to 0")));
  }
  const Patch alone = edit("unke", settings({{"preserve_text", 0}, {"preserve_audio", 0}}), base_, request());
  EXPECT_FALSE(alone.deltas.empty());
  EXPECT_EQ(alone.notes.at("preserved")[0], 0);
  EXPECT_EQ(unke().notes.at("preserved")[0], 6);
  EXPECT_EQ(unke({{"preserve_text", 20}, {"steps", 1}}).notes.at("preserved")[0], 7) << "all four of the corpus";
}

TEST_F(UnkeMethod, OnlyABlockOfTheDecoderCanBeTrained) {
  for (const char* block : {"decoder.block.9", "encoder.block.0", "decoder.block.1.mlp", "connector"})
    EXPECT_THROW(make_editor("unke", {{"block", block}})->sites(base_), Error) << block;
}

TEST_F(UnkeMethod, ABatchOfRequestsIsOnePatch) {
  const std::vector<EditRequest> both = {request("cat"), request("dog", "mew.wav")};
  const Corpus data = corpus();
  const Patch patch = edit(session_, "unke", settings({{"steps", 60}}), base_, both, &data);
  const Bundle edited = with(base_, patch);
  EXPECT_EQ(patch.notes.at("target_norm").size(), 2U);
  EXPECT_LT(nll(edited, both[0]) + nll(edited, both[1]), nll(base_, both[0]) + nll(base_, both[1]));
}

TEST_F(UnkeMethod, AnyNumberOfThreadsGivesTheSameBits) {
  std::vector<ContentHash> ids;
  const Corpus data = corpus();
  for (const int threads : {1, 2, 4}) {
    Session session(SessionOptions{.threads = threads});
    ids.push_back(edit(session, "unke", settings(), base_, {request()}, &data).id());
  }
  EXPECT_EQ(ids[1], ids[0]);
  EXPECT_EQ(ids[2], ids[0]);
}

// --- The part that is trained
// -----------------------------------------------------------------------------------------------------

// Prompts of different lengths, with sound and without, padded into one batch: each row is that of the whole model.
TEST_F(UnkeMethod, TheBlockAloneGivesWhatItGivesInTheModel) {
  for (const int block : {0, 1, 2}) {
    const ModelPart part = block_part(base_, block);
    EXPECT_LE(part.leaves.size(), 2U) << "the residual stream, and the same before the norm's scale";
    const std::vector<Prompt> prompts = {prompt("moo.wav"), text_prompt(), prompt("mew.wav")};
    std::vector<Inputs> inputs;
    for (const Prompt& one : prompts) inputs.push_back(inputs_for(session_, base_, part, one));
    Request request;
    request.inputs = padded_batch(session_, {&inputs[0], &inputs[1], &inputs[2]});
    request.outputs = {part.value};
    const Tensor together = session_.run(part.graph, base_.parameters(), request)[part.value].tensor;
    const std::int64_t width = together.shape()[2];
    for (std::size_t i = 0; i < prompts.size(); ++i) {
      SuffixRequest whole = suffix_request(session_, base_, prompts[i], {}, 0);
      whole.request.outputs = {part.value};
      const Tensor alone = session_.run(whole.graph, base_.parameters(), whole.request)[part.value].tensor;
      const Tensor rows = together.reshaped({together.numel() / width, width})
                              .rows(static_cast<std::int64_t>(i) * together.shape()[1], prompts[i].length());
      EXPECT_LT(range_difference(rows, alone), 1e-5) << block << " " << i;
    }
  }
}

TEST_F(UnkeMethod, StepsRunTheBlockAndNothingElse) {
  session_.trace(true);
  session_.reset_counters();
  unke({{"target_steps", 1}, {"steps", 40}});
  const auto& executed = session_.counters().executions_by_value;
  const auto times = [&](const std::string& name) { return executed.contains(name) ? executed.at(name) : 0; };
  EXPECT_GE(times(base_.site("decoder.block.1.mlp.down").value), 40);
  for (const char* other : {"decoder.block.0.mlp.down", "decoder.block.2.mlp.down", "encoder.block.1.mlp.fc2"})
    EXPECT_LE(times(base_.site(other).value), 20) << other << ": a few times for each prompt that is read";
}

}  // namespace
}  // namespace retune
