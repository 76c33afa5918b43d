// GRACE and WISE against PyTorch (tests/golden/memory_editors): every decision of a codebook over a sequence of edits,
// the values that it trains, and the weight beside a layer after some steps.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>

#include "adapters/tensor_file.h"
#include "editors/grace.h"
#include "editors/mechanisms/side_memory.h"
#include "editors/mechanisms/side_training.h"
#include "graph/import.h"
#include "tests/tiny_bundle.h"

namespace retune {
namespace {

constexpr double kTolerance = 1e-3;  // relative, of some steps in f32 against float64

class MemoryEditorsGolden : public testing::TestWithParam<std::pair<const char*, CodebookRules>> {
 protected:
  static void SetUpTestSuite() { golden_ = read_tensors("tests/golden/memory_editors/golden.h5"); }
  static void TearDownTestSuite() { golden_.clear(); }

  MemoryEditorsGolden() : base_(written(scratch_ / "bundle")) {}

  // The tiny bundle with the golden decoder and embedding.
  static Bundle written(const std::filesystem::path& folder) {
    write_tiny_bundle(folder);
    LalmShape shape = tiny_shape();
    shape.vocabulary = golden_.at("weights/model.embed_tokens.weight").shape()[0];
    const WeightSource source = [](const std::string& name, const Shape& extents, double, double) {
      return golden_.at("weights/" + name).reshaped(extents);
    };
    const BuiltGraph embedding = build_token_embedding(shape, source), decoder = build_decoder(shape, source);
    export_onnx(embedding.graph, embedding.parameters, folder / "onnx" / "embed_tokens.onnx");
    export_onnx(decoder.graph, decoder.parameters, folder / "onnx" / "decoder_model_merged.onnx");
    return Bundle::open(folder);
  }

  static const Tensor& at(const std::string& name) { return golden_.at(name); }
  static double number(const std::string& name) { return at(name).cast(DType::kF64).to_f64()[0]; }
  static std::vector<std::int64_t> ids(const std::string& name) { return at(name).to_i64(); }

  // Lessons 0, 1, ... below a group.
  static std::vector<Lesson> lessons(const std::string& group, const std::vector<double>& weights) {
    std::vector<Lesson> result;
    for (std::size_t i = 0; golden_.contains(fmt::format("{}/{}/prompt", group, i)); ++i)
      result.push_back({.prompt = {ids(fmt::format("{}/{}/prompt", group, i)), {}, {}},
                        .target = ids(fmt::format("{}/{}/target", group, i)),
                        .weight = weights.empty() ? 1 : weights[i],
                        .objective = Objective::kTargetNew});
    return result;
  }

  template <class Values>
  static void expect_near(const Values& got, const Tensor& want, const std::string& what) {
    const std::vector<double> expected = want.to_f64();
    ASSERT_EQ(got.size(), expected.size()) << what;
    double largest = 0;
    for (const double value : expected) largest = std::max(largest, std::abs(value));
    for (std::size_t i = 0; i < expected.size(); ++i)
      EXPECT_NEAR(static_cast<double>(got[i]), expected[i], kTolerance * largest) << what << ", element " << i;
  }

  static std::map<std::string, Tensor> golden_;
  ScratchFolder scratch_;
  Bundle base_;
  Session session_{{.threads = 2}};
};
std::map<std::string, Tensor> MemoryEditorsGolden::golden_;

TEST_P(MemoryEditorsGolden, AGraceSequenceDecidesAndTrainsAsPyTorchDoes) {
  const auto& [name, rules] = GetParam();
  GraceOptions options{.rules = rules, .warm = true, .steps = 6, .learning_rate = 0.05};
  options.rules.radius = number("grace/radius");
  const Site site = base_.site("decoder.block.1.mlp.down");
  const LossGraphs losses = loss_graphs(base_);
  Codebook codebook;
  const std::vector<Lesson> edits = lessons("grace/edits", {});
  ASSERT_EQ(edits.size(), 9u);
  for (std::size_t i = 0; i < edits.size(); ++i) {
    const std::string where = fmt::format("grace/{}/{}/", name, i);
    SCOPED_TRACE(where);
    const GraceStep step =
        learn_entry(session_, base_, losses, site, {edits[i].prompt, 0, 1}, edits[i].target, options, Rng(1), codebook);
    EXPECT_EQ(static_cast<std::int64_t>(step.placing.kind), at(where + "kind").to_i64()[0]);
    ASSERT_EQ(static_cast<std::int64_t>(step.placing.entry), at(where + "entry").to_i64()[0]);
    const double distance = number(where + "distance");
    if (distance < 0) {
      EXPECT_TRUE(std::isinf(step.placing.distance));
    } else {
      EXPECT_NEAR(step.placing.distance, distance, 1e-4);
    }
    std::vector<double> radii;
    for (const CodebookEntry& entry : codebook.entries()) radii.push_back(entry.radius);
    expect_near(radii, at(where + "radii"), "radii");
    const CodebookEntry& entry = codebook.entries()[step.placing.entry];
    expect_near(entry.key, at(where + "key"), "key");
    expect_near(step.training.losses, at(where + "losses"), "losses");
    expect_near(entry.value, at(where + "value"), "value");
  }
}

using Growth = CodebookRules::Growth;
INSTANTIATE_TEST_SUITE_P(
    By, MemoryEditorsGolden,
    testing::Values(std::pair{"coverage_reference", CodebookRules{1, Growth::kCoverage, false}},
                    std::pair{"coverage_capped", CodebookRules{1, Growth::kCoverage, true}},
                    std::pair{"moving_average_reference", CodebookRules{1, Growth::kMovingAverage, false}},
                    std::pair{"moving_average_capped", CodebookRules{1, Growth::kMovingAverage, true}}),
    [](const auto& variant) { return std::string(variant.param.first); });

class SideTrainingGolden : public MemoryEditorsGolden {
 protected:
  SideOptions options() const {
    const auto option = [](const char* name) { return number(fmt::format("wise/options/{}", name)); };
    return {.steps = static_cast<std::int64_t>(option("steps")),
            .learning_rate = option("learning_rate"),
            .weight_decay = option("weight_decay"),
            .bound = option("bound"),
            .alpha = option("alpha"),
            .beta = option("beta"),
            .gamma = option("gamma")};
  }

  SideProblem problem() const {
    const Site site = base_.site("decoder.block.1.mlp.down");
    const Tensor original = own_weight(base_, site);
    const Tensor& mask = at("wise/mask");
    return {.site = site,
            .insert = "wise/x",
            .inside = lessons("wise/inside", at("wise/weights").to_f64()),
            .outside = lessons("wise/outside", {}),
            .original = original,
            .start = original,
            .mask = {mask.data<std::uint8_t>(), mask.data<std::uint8_t>() + mask.numel()}};
  }

  void expect_trains_as(const std::string& name, const SideProblem& what, const SideOptions& how) {
    SCOPED_TRACE(name);
    const SideTraining training = train_side_weight(session_, base_, what, how);
    EXPECT_EQ(training.updates, how.steps);
    expect_near(training.losses, at("wise/" + name + "/losses"), "losses");
    expect_near(training.distances, at("wise/" + name + "/distances"), "distances");
    // Of what it moved, not of the weight: most of that is the model's own.
    const std::vector<double> start = what.start.to_f64(), want = at("wise/" + name + "/weight").to_f64(),
                              got = training.weight.to_f64();
    double largest = 0;
    for (std::size_t i = 0; i < want.size(); ++i) largest = std::max(largest, std::abs(want[i] - start[i]));
    EXPECT_GT(largest, 0.01);
    for (std::size_t i = 0; i < want.size(); ++i) EXPECT_NEAR(got[i], want[i], kTolerance * largest) << i;
  }
};

TEST_F(SideTrainingGolden, AWiseEditTrainsItsWeightAsPyTorchDoes) { expect_trains_as("first", problem(), options()); }

TEST_F(SideTrainingGolden, AnotherEditGoesOnFromThere) {
  SideProblem second = problem();
  second.start = at("wise/first/weight").cast(DType::kF32);
  expect_trains_as("again", second, options());
}

TEST_F(SideTrainingGolden, TheReferencesDecayActsOutsideTheMask) {
  SideOptions how = options();
  how.reference_decay = true;
  expect_trains_as("reference_decay", problem(), how);
}

}  // namespace
}  // namespace retune
