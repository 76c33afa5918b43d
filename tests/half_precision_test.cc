// The straight line on models that are stored in 16 bits: with every weight cast to f32 before it is used, as some
// exporters write it, and with everything in 16 bits, inputs and outputs too.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "audio/waveform.h"
#include "lalm/answer.h"
#include "lalm/check.h"
#include "recipes/study.h"
#include "recipes/study_folder.h"
#include "tensor/error.h"
#include "tests/tiny_bundle.h"

namespace retune {
namespace {

namespace fs = std::filesystem;

constexpr const char* kFt = R"({"method": "ft", "mode": "batch", "decoding": {"max_new_tokens": 4},
    "settings": {"sites": ["decoder.block.1.mlp", "connector"], "steps": 6, "learning_rate": 0.01}})";
constexpr const char* kRome = R"({"method": "rome", "mode": "batch", "decoding": {"max_new_tokens": 4},
    "settings": {"site": "decoder.block.1.mlp.down", "target_steps": 8, "target_learning_rate": 0.3,
                 "target_clamp": 20, "target_stop_loss": 0}})";

struct Precision {
  const char* name;
  DType stored, arithmetic;
};

class HalfPrecision : public testing::TestWithParam<Precision> {
 protected:
  HalfPrecision() {
    TinyBundleOptions options;
    options.stored = GetParam().stored;
    options.arithmetic = GetParam().arithmetic;
    write_tiny_bundle(scratch_ / "base", options);
    save_waveform(scratch_ / "moo.wav", tone(180));
  }

  EditReport edit(const std::string& recipe, const std::string& out) {
    return run_edit({.recipe = Recipe::parse(recipe, "test.json"),
                     .model = scratch_ / "base",
                     .facts = fact_of(scratch_ / "moo.wav", kTinyQuestion, "dog"),
                     .out = scratch_ / out},
                    session_);
  }

  ScratchFolder scratch_;
  Session session_{SessionOptions{.threads = 2}};
};

std::vector<std::string> site_names(const Bundle& bundle) {
  std::vector<std::string> names;
  for (const Site& site : bundle.sites().sites) names.push_back(site.name);
  return names;
}

void expect_read_rightly(Session& session, const Bundle& bundle) {
  for (const CheckResult& check : check_bundle(session, bundle))
    EXPECT_TRUE(check.passed) << check.name << ": " << check.detail;
}

// Behind a Cast the scale of a decomposed norm was no parameter, so no decoder block was found.
TEST_P(HalfPrecision, TheModelIsReadRightly) {
  const Bundle base = Bundle::open(scratch_ / "base");
  write_tiny_bundle(scratch_ / "f32");
  EXPECT_EQ(site_names(base), site_names(Bundle::open(scratch_ / "f32")));
  for (const Site& site : base.sites().sites)
    for (const DeltaTarget& target : site.targets) EXPECT_EQ(target.stored, GetParam().stored) << site.name;
  expect_read_rightly(session_, base);
}

TEST_P(HalfPrecision, AnEditIsMeasuredAsItIsStoredExportedProvenAndTakenOffAgain) {
  const Bundle base = Bundle::open(scratch_ / "base");
  for (const auto& [name, recipe] : {std::pair{"ft", kFt}, {"rome", kRome}}) {
    SCOPED_TRACE(name);
    const EditReport report = edit(recipe, name);
    ASSERT_TRUE(report.proof);
    EXPECT_EQ(report.answers_proven, 1);
    const double lost = report.cells[0].notes[0].at("rounding_share").at(0);
    EXPECT_GT(lost, 0) << "16 bits cannot hold the change";
    EXPECT_LT(lost, 1);
    for (const ExportProof& file : report.proof->files)
      for (const auto& tensor : file.edited) EXPECT_NE(tensor.before, tensor.after) << tensor.name;

    const auto patch = std::make_shared<const Patch>(Patch::load(scratch_ / name / "patch.h5"));
    const Bundle edited = base.with(patch), reloaded = Bundle::open(report.bundle);
    EXPECT_TRUE(same_parameters(edited, reloaded));
    Session afresh({.threads = 1});
    const Prompt prompt = prompt_for(afresh, reloaded, kTinyQuestion, load_waveform(scratch_ / "moo.wav"));
    EXPECT_TRUE(identical(logits_of(session_, edited, prompt, {}, 0), logits_of(afresh, reloaded, prompt, {}, 0)));
    EXPECT_FALSE(identical(logits_of(session_, base, prompt, {}, 0), logits_of(afresh, reloaded, prompt, {}, 0)));

    save(edited.without_top(), scratch_ / (std::string(name) + " reverted"), Existing::kRefuse, session_,
         {.questions = {kTinyQuestion}});
    EXPECT_EQ(files_below(scratch_ / (std::string(name) + " reverted")), files_below(scratch_ / "base"));
  }
}

TEST_P(HalfPrecision, RomeReachesItsTargetToThePrecisionOfTheModel) {
  const EditReport report = edit(kRome, "rome");
  const double error = report.cells[0].notes[0].at("key_error").at(0);
  EXPECT_LE(error, GetParam().arithmetic == DType::kF32 ? 1e-5 : 1e-2);
}

TEST_P(HalfPrecision, FineTuningMakesTheTargetLikelier) {
  const auto losses = edit(kFt, "ft").cells[0].notes[0].at("loss");
  EXPECT_LT(losses.back(), losses.front());
}

TEST_P(HalfPrecision, AChangeThatRoundsAwayEntirelyIsAProofErrorAndLeavesNoBundle) {
  const Bundle base = Bundle::open(scratch_ / "base");
  const Bundle edited = with_random_change(base, "decoder.block.1.mlp.down", 1e-9);
  ASSERT_FALSE(edited.view().edited().empty());
  EXPECT_TRUE(same_parameters(base, edited));
  EXPECT_NEAR(edited.view().rounding_share(base.site("decoder.block.1.mlp.down").weight), 1, 1e-6);
  try {
    save(edited, scratch_ / "out", Existing::kRefuse, session_, {});
    ADD_FAILURE() << "nothing was changed";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kProof);
    EXPECT_THAT(error.what(), testing::HasSubstr("rounds away entirely"));
  }
  EXPECT_FALSE(fs::exists(scratch_ / "out"));
}

// transformers.js picks each file's type by itself.
TEST(MixedPrecision, FilesOfOneBundleMayDifferInTheirType) {
  ScratchFolder scratch;
  Session session({.threads = 2});
  TinyBundleOptions half;
  half.stored = half.arithmetic = DType::kF16;
  write_tiny_bundle(scratch / "f16", half);
  for (const char* file : {"audio_encoder.onnx", "embed_tokens.onnx", "decoder_model_merged.onnx"}) {
    SCOPED_TRACE(file);
    write_tiny_bundle(scratch / file);
    fs::copy_file(scratch / "f16" / "onnx" / file, scratch / file / "onnx" / file,
                  fs::copy_options::overwrite_existing);
    const Bundle bundle = Bundle::open(scratch / file);
    expect_read_rightly(session, bundle);
    const Bundle edited = with_random_change(bundle, "connector.1");
    EXPECT_NO_THROW(save(edited, scratch / (std::string(file) + " edited"), Existing::kRefuse, session,
                         {.questions = {kTinyQuestion}}));
  }
}

INSTANTIATE_TEST_SUITE_P(, HalfPrecision,
                         testing::Values(Precision{"F16CastToF32", DType::kF16, DType::kF32},
                                         Precision{"BF16CastToF32", DType::kBF16, DType::kF32},
                                         Precision{"F16Throughout", DType::kF16, DType::kF16},
                                         Precision{"BF16Throughout", DType::kBF16, DType::kBF16}),
                         [](const auto& precision) { return precision.param.name; });

}  // namespace
}  // namespace retune
