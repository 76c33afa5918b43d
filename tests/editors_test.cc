// The editing methods on a whole model: a tiny one with random weights, built and opened like any other bundle.
// Invariants T1-T3 and T7 of the methods page, and what the engine promises about recomputation.
#include "editors/editor.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>
#include <filesystem>

#include "audio/waveform.h"
#include "editors/mechanisms/key_collector.h"
#include "editors/mechanisms/key_mapping.h"
#include "editors/mechanisms/target_optimizer.h"
#include "editors/registry.h"
#include "lalm/link.h"
#include "learning/site_weight.h"
#include "tensor/error.h"
#include "tests/tiny_bundle.h"

namespace retune {
namespace {

namespace fs = std::filesystem;

constexpr const char* kQuestion = kTinyQuestion;
constexpr const char* kTextQuestion = kTinyTextQuestion;

class Editors : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    folder_ = fs::path(testing::TempDir()) / fmt::format("retune_editors_test_{}", ::getpid());
    fs::remove_all(folder_);
    write_tiny_bundle(folder_ / "bundle");
    save_waveform(folder_ / "moo.wav", tone(180));
    save_waveform(folder_ / "mew.wav", tone(700));
  }
  static void TearDownTestSuite() { fs::remove_all(folder_); }

  static Clip clip(const std::string& name) { return Clip::below(folder_, "", name); }
  static EditRequest request(const std::string& new_label = "cat") {
    return {"Animal-1", "Animal", clip("moo.wav"), kQuestion, {"cow", "cat", "dog"}, "cow", new_label, Scope::kLabel};
  }
  static Corpus corpus() {
    std::vector<CorpusItem> items;
    for (const char* sound : {"moo.wav", "mew.wav"})
      for (const char* answer : {"cow", "cat", "dog"}) items.push_back({clip(sound), kQuestion, answer, "Animal", ""});
    items.push_back(
        {std::nullopt, kTextQuestion, "elephant", "", "", DemonstratedEdit{"cow", "cat", "text_locality", "Animal-0"}});
    return Corpus(std::move(items));
  }

  Patch edit(const std::string& method, const Settings& settings, const EditRequest& what, const Bundle& bundle,
             const Corpus* data = nullptr) {
    const auto editor = make_editor(method, settings);
    const Prepared prepared = editor->prepare(session_, bundle, data);
    return editor->edit(session_, bundle, {&what, 1}, prepared, Rng(5));
  }
  Patch edit(const std::string& method, const Settings& settings) { return edit(method, settings, request(), base_); }
  static Bundle with(const Bundle& bundle, Patch patch) {
    return bundle.with(std::make_shared<const Patch>(std::move(patch)));
  }

  double nll(const Bundle& bundle, const EditRequest& what) {
    const Prompt prompt = prompt_for(session_, bundle, what.question, load_waveform(what.clip.locate()));
    AnswerOptions options;
    options.max_new_tokens = 0;
    options.expected = what.new_label;
    return answer(session_, bundle, prompt, options).forced_nll;
  }

  static fs::path folder_;
  Session session_{SessionOptions{.threads = 2}};
  Bundle base_ = Bundle::open(folder_ / "bundle");
};
fs::path Editors::folder_;

void expect_same_parameters(const Bundle& a, const Bundle& b) {
  for (const auto& [name, feed] : a.parameters())
    EXPECT_TRUE(identical(feed.tensor, b.parameters().at(name).tensor)) << name;
}

double length(const std::vector<double>& v) {
  double sum = 0;
  for (const double item : v) sum += item * item;
  return std::sqrt(sum);
}

// W k in f64, of the weight as it is measured.
std::vector<double> product(const Bundle& bundle, const Site& site, const std::vector<double>& key) {
  const Tensor weight = site_master(bundle.view(), site);
  std::vector<double> result(static_cast<std::size_t>(site.out), 0.0);
  for (std::int64_t o = 0; o < site.out; ++o)
    for (std::int64_t i = 0; i < site.in; ++i)
      result[static_cast<std::size_t>(o)] +=
          static_cast<double>(weight.data<float>()[o * site.in + i]) * key[static_cast<std::size_t>(i)];
  return result;
}

std::vector<double> minus(std::vector<double> a, const std::vector<double>& b) {
  for (std::size_t i = 0; i < a.size(); ++i) a[i] -= b[i];
  return a;
}

// What every test of a target vector asks: a step that is taken, in a few steps, whatever the loss.
Settings rome_settings(const std::string& site, const std::string& context) {
  return {{"site", site},         {"context_mode", context}, {"target_steps", 5}, {"target_learning_rate", 0.05},
          {"target_clamp", 50.0}, {"target_stop_loss", 0.0}};
}

TEST_F(Editors, ZeroStrengthIsTheIdentity) {
  Settings one_step = rome_settings("decoder.block.1.mlp.down", "none"), no_rate = one_step;
  one_step["target_steps"] = 1;
  no_rate["target_learning_rate"] = 0.0;
  for (const auto& [method, settings] :
       std::vector<std::pair<std::string, Settings>>{{"ft", {{"learning_rate", 0.0}}},
                                                     {"ft", {{"steps", 0}}},
                                                     {"ft", {{"constraint", "linf"}, {"linf_bound", 0.0}}},
                                                     {"rome", one_step},
                                                     {"rome", no_rate},
                                                     {"r-rome", no_rate}}) {
    const Patch patch = edit(method, settings);
    EXPECT_TRUE(patch.deltas.empty()) << method << " " << settings;
    expect_same_parameters(base_, with(base_, patch));
  }
}

TEST_F(Editors, NoRequestsAreNoChange) {
  const Corpus data = corpus();
  for (const EditingMethod& method : editing_methods()) {
    const auto editor = make_editor(method.info.word, Settings::object());
    const Patch patch = editor->edit(session_, base_, {}, editor->prepare(session_, base_, &data), Rng(1));
    EXPECT_TRUE(patch.deltas.empty() && patch.inserts.empty() && !patch.context) << method.info.word;
  }
}

TEST_F(Editors, EditsOnEditsComeOffInReverse) {
  Bundle first = with(base_, edit("rome", rome_settings("decoder.block.1.mlp.down", "none")));
  Bundle second = with(first, edit("ft", {{"steps", 3}}, request("dog"), first));
  Bundle third =
      with(second, edit("r-rome", rome_settings("decoder.block.1.mlp.down", "none"), request("dog"), second));
  EXPECT_EQ(third.view().patches().size(), 3U);
  EXPECT_NE(third.hash(), second.hash());
  expect_same_parameters(third.without_top(), second);
  expect_same_parameters(third.without_top().without_top(), first);
  expect_same_parameters(third.without_top().without_top().without_top(), base_);
}

TEST_F(Editors, RomeMapsTheBareKeyToTheTargetAtEveryKindOfSite) {
  for (const std::string name :
       {"decoder.block.1.mlp.down", "decoder.block.2.mlp.up", "connector.1", "encoder.block.1.mlp.fc2"}) {
    SCOPED_TRACE(name);
    const Site site = base_.site(name);
    const Patch patch = edit("rome", rome_settings(name, "audio_aug"));
    ASSERT_EQ(patch.deltas.size(), 1U);
    EXPECT_EQ(numerical_rank(patch.deltas[0]), 1);
    const bool hears = !name.starts_with("decoder");
    const PromptView view = view_prompt(session_, base_, kQuestion, load_waveform(folder_ / "moo.wav"));
    const SiteReading before =
        read_site(session_, base_, site, parse_selector(hears ? "mean_audio" : "last_prompt"), view);
    const Bundle edited = with(base_, patch);
    const std::vector<double> change = minus(product(edited, site, before.key), product(base_, site, before.key));
    EXPECT_NEAR(length(change) / patch.notes.at("target_norm")[0], 1.0, 1e-4);
    // And the model as it runs gives that value: nothing before the site moved.
    const SiteReading after =
        read_site(session_, edited, site, parse_selector(hears ? "mean_audio" : "last_prompt"), view);
    EXPECT_LT(length(minus(minus(after.value, before.value), change)), 1e-4 * length(change));
  }
}

TEST_F(Editors, RomeMovesAlongTheKeyInTheMetricOfTheSecondMoment) {
  const Corpus data = corpus();
  Settings settings = rome_settings("decoder.block.1.mlp.down", "audio_aug");
  settings["second_moment"] = "corpus";
  settings["ridge"] = 1e-3;
  const Patch patch = edit("rome", settings, request(), base_, &data);
  const Site site = base_.site("decoder.block.1.mlp.down");
  const SecondMoment moment = measure_second_moment(session_, base_, site, data, {});
  // C u must be parallel to the mean key: then a direction q with q^T C^-1 k = 0 has q . u = 0, and W' q = W q.
  const auto views =
      context_views(session_, base_, request(), {ContextMode::kAudioAugmentation, {}, {}}, Rng(5).fork("views"));
  const KeyValue mean = mean_of(views, read_site(session_, base_, site, parse_selector("last_prompt"), views));
  const std::vector<double> c = moment.matrix();
  double trace = 0;
  for (std::int64_t i = 0; i < site.in; ++i) trace += c[static_cast<std::size_t>(i * site.in + i)];
  const Tensor u = std::get<LowRankDelta>(patch.deltas[0].values).v;
  std::vector<double> cu(static_cast<std::size_t>(site.in), 0.0);
  for (std::int64_t i = 0; i < site.in; ++i)
    for (std::int64_t j = 0; j < site.in; ++j)
      cu[static_cast<std::size_t>(i)] += (c[static_cast<std::size_t>(i * site.in + j)] +
                                          (i == j ? 1e-3 * trace / static_cast<double>(site.in) : 0.0)) *
                                         static_cast<double>(u.data<float>()[j]);
  double along = 0;
  for (std::size_t i = 0; i < cu.size(); ++i) along += cu[i] * mean.key[i];
  EXPECT_NEAR(along / (length(cu) * length(mean.key)), 1.0, 1e-5);
}

TEST_F(Editors, VariantsOfRomeCoincideOnOneBareContext) {
  Settings prompt = rome_settings("decoder.block.1.mlp.down", "none");
  const Tensor rome = materialise(edit("rome", prompt).deltas.at(0));
  const Tensor prefix = materialise(edit("r-rome", prompt).deltas.at(0));
  prompt["variant"] = "prompt";
  const Tensor bare = materialise(edit("r-rome", prompt).deltas.at(0));
  for (std::int64_t i = 0; i < rome.numel(); ++i) {
    EXPECT_NEAR(prefix.data<float>()[i], rome.data<float>()[i], 1e-6);
    EXPECT_NEAR(bare.data<float>()[i], rome.data<float>()[i], 1e-6);
  }
}

TEST_F(Editors, RRomeMapsTheMeanKeyToTheBareValuePlusTheTarget) {
  const Site site = base_.site("decoder.block.1.mlp.down");
  const Patch patch = edit("r-rome", rome_settings(site.name, "audio_aug"));
  const auto views =
      context_views(session_, base_, request(), {ContextMode::kAudioAugmentation, {}, {}}, Rng(5).fork("views"));
  ASSERT_EQ(views.size(), 5U);
  const auto readings = read_site(session_, base_, site, parse_selector("last_prompt"), views);
  const std::vector<double> reached = product(with(base_, patch), site, mean_of(views, readings).key);
  EXPECT_NEAR(length(minus(reached, readings[0].value)) / patch.notes.at("target_norm")[0], 1.0, 1e-3);
}

TEST_F(Editors, RomeNotesHowFarItsKeyIsFromTheTarget) {
  for (const auto& [method, variant] : {std::pair{"rome", "rome"}, {"r-rome", "prefix"}, {"r-rome", "prompt"}}) {
    Settings settings = rome_settings("encoder.block.1.mlp.fc2", "audio_aug");  // a layer with a bias
    settings["variant"] = variant;
    const double error = edit(method, settings).notes.at("key_error").at(0);
    EXPECT_GT(error, 0) << "of f32 arithmetic against f64";
    EXPECT_LE(error, 1e-5);
  }
}

TEST_F(Editors, AChangeThatMissesItsTargetIsAFailureThatSaysSo) {
  const Site site = base_.site("decoder.block.1.mlp.down");
  const PromptView view = view_prompt(session_, base_, kQuestion, load_waveform(folder_ / "moo.wav"));
  const SiteReading bare = read_site(session_, base_, site, parse_selector("last_prompt"), view);
  const Tensor none = Tensor::zeros(DType::kF32, {site.out, 1});
  const Tensor key = Tensor::of<float>({site.in, 1}, std::vector<float>(bare.key.begin(), bare.key.end()));
  EXPECT_LE(prove_key_mapping(base_, site, {none, key}, {bare.key, bare.value}), 1e-5) << "no change is none";
  std::vector<double> elsewhere = bare.value;
  for (double& item : elsewhere) item *= 1 + 2e-4;
  try {
    prove_key_mapping(base_, site, {none, key}, {bare.key, elsewhere});
    ADD_FAILURE() << "2e-4 past the target";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kFailure);
    EXPECT_THAT(error.what(), testing::AllOf(testing::HasSubstr(site.name), testing::HasSubstr("past the target")));
  }
  EXPECT_EQ(key_tolerance(DType::kF32), 1e-4);
  EXPECT_EQ(key_tolerance(DType::kF16), 0x1p-10);
  EXPECT_EQ(key_tolerance(DType::kBF16), 0x1p-7);
}

TEST_F(Editors, RomeTakesOneRequest) {
  const auto editor = make_editor("rome", Settings::object());
  const std::vector<EditRequest> two = {request("cat"), request("dog")};
  EXPECT_THROW(editor->edit(session_, base_, two, editor->prepare(session_, base_, nullptr), Rng(1)), Error);
}

// --- Target vectors
// ---------------------------------------------------------------------------------------------------------------

class TargetVectors : public Editors {
 protected:
  TargetVectors() {
    const Selector selector = parse_selector("last_prompt");
    views_ = context_views(session_, base_, request(), {ContextMode::kAudioAugmentation, {}, {}}, Rng(3));
    problem_ = {base_.site("decoder.block.1.mlp.down"),
                views_,
                {},
                target_ids(base_, "cat"),
                view_prompt(session_, base_, "Is it loud?", load_waveform(folder_ / "moo.wav")),
                {}};
    readings_ = read_site(session_, base_, problem_.site, selector, views_);
    problem_.readings = readings_;
    problem_.kl_reading = read_site(session_, base_, problem_.site, selector, *problem_.kl_prompt);
    options_.stop_loss = 0;
    options_.steps = 6;
    options_.clamp = 50;
  }
  TargetVector run() { return optimize_target(session_, base_, losses_, problem_, options_); }

  LossGraphs losses_ = loss_graphs(base_);
  std::vector<ContextView> views_;
  std::vector<SiteReading> readings_;
  TargetProblem problem_;
  TargetOptions options_;
};

TEST_F(TargetVectors, TheLastStepMakesNoUpdate) {
  const TargetVector six = run();
  EXPECT_EQ(six.updates, 5);
  EXPECT_EQ(six.losses.size(), 6U);
  EXPECT_LT(six.losses.back(), six.losses.front());
  options_.steps = 1;
  EXPECT_EQ(length(run().delta), 0.0);
}

TEST_F(TargetVectors, StopsBelowTheThresholdWithoutAnUpdate) {
  options_.stop_loss = 1e3;
  const TargetVector none = run();
  EXPECT_EQ(none.updates, 0);
  EXPECT_EQ(none.losses.size(), 1U);
}

TEST_F(TargetVectors, StaysInsideTheClamp) {
  options_.clamp = 0.02;
  const TargetVector held = run();
  EXPECT_LE(length(held.delta), 0.02 * length(held.start) * (1 + 1e-6));
  EXPECT_GT(length(held.delta), 0.0199 * length(held.start));
}

TEST_F(TargetVectors, GradientAgreesWithCentralDifferences) {
  options_.kl_weight = 0.7;
  options_.decay = 0.05;
  TargetObjective objective(session_, base_, losses_, problem_, options_);
  Rng rng(11);
  std::vector<float> at(static_cast<std::size_t>(problem_.site.out));
  for (float& item : at) item = static_cast<float>(0.3 * rng.normal());
  const auto gradient = objective.at(Tensor::vector<float>(at)).gradient;
  for (int trial = 0; trial < 3; ++trial) {
    std::vector<float> up = at, down = at;
    double expected = 0;
    constexpr double kStep = 5e-3;
    for (std::size_t i = 0; i < at.size(); ++i) {
      const double direction = trial == 0 ? gradient[i] / length(gradient) : rng.normal();
      up[i] = static_cast<float>(at[i] + kStep * direction);
      down[i] = static_cast<float>(at[i] - kStep * direction);
      expected += gradient[i] * (static_cast<double>(up[i]) - static_cast<double>(down[i])) / (2 * kStep);
    }
    const double measured =
        (objective.at(Tensor::vector<float>(up)).loss - objective.at(Tensor::vector<float>(down)).loss) / (2 * kStep);
    EXPECT_NEAR(measured, expected,
                1e-3 * length(gradient) * (trial == 0 ? 1.0 : std::sqrt(static_cast<double>(at.size()))));
  }
}

TEST_F(TargetVectors, AtTheLastPromptTokenOnlyRowsFromThereOnAreExecuted) {
  for (std::size_t i = 0; i < views_.size(); ++i)
    EXPECT_EQ(readings_[i].placement.cut, views_[i].view.prompt.length() - 1);
  const Lesson lesson{views_[0].view.prompt, problem_.target, 1, Objective::kTargetNew};
  const SuffixRequest suffix = lesson_request(session_, base_, losses_, lesson, readings_[0].placement.cut);
  EXPECT_EQ(suffix.request.inputs.at("input_ids").tensor.numel(), static_cast<std::int64_t>(problem_.target.size()));
  session_.trace(true);
  session_.reset_counters();
  run();
  const auto terms = static_cast<std::int64_t>(views_.size()) + 1;
  const std::string key = problem_.site.key, early = base_.site("decoder.block.0.mlp.down").value,
                    late = base_.site("decoder.block.2.mlp.down").value;
  const auto& executed = session_.counters().executions_by_value;
  for (const auto& [name, times] : executed) EXPECT_FALSE(name.starts_with(kEncoderPrefix)) << name << " " << times;
  const auto times = [&](const std::string& name) { return executed.contains(name) ? executed.at(name) : 0; };
  EXPECT_LE(times(early), 2 * terms);  // once to learn what the kl prompt's answer is, once for the frontier
  EXPECT_LE(times(key), 2 * terms);
  EXPECT_GE(times(late), terms * options_.steps);
}

// --- Fine-tuning
// ------------------------------------------------------------------------------------------------------------------

TEST_F(Editors, FineTuningMovesOnlyTheTensorsItWasGiven) {
  const Patch patch = edit("ft", {{"sites", "decoder.block.1.mlp.down"}, {"steps", 8}, {"learning_rate", 1e-2}});
  const Bundle edited = with(base_, patch);
  const Site site = base_.site("decoder.block.1.mlp.down");
  EXPECT_THAT(edited.view().edited(), testing::ElementsAre(site.weight));
  for (const auto& [name, feed] : base_.parameters())
    EXPECT_EQ(identical(feed.tensor, edited.parameters().at(name).tensor), name != site.weight) << name;
  EXPECT_LT(nll(edited, request()), nll(base_, request()));
  EXPECT_NEAR(patch.notes.at("loss")[0], nll(base_, request()), 1e-4);
}

TEST_F(Editors, FineTuningStopsWithoutAnUpdateWhenTheTargetIsAlreadyLikely) {
  const Patch patch = edit("ft", {{"stop_loss", 1e3}});
  EXPECT_THAT(patch.notes.at("updates"), testing::ElementsAre(0.0));
  EXPECT_EQ(patch.notes.at("loss").size(), 1U);
  EXPECT_TRUE(patch.deltas.empty());
}

TEST_F(Editors, ConstraintsHold) {
  const Patch box = edit("ft", {{"steps", 6}, {"learning_rate", 1e-2}, {"constraint", "linf"}, {"linf_bound", 2e-3}});
  EXPECT_EQ(box.deltas.size(), 3U);
  for (const TensorDelta& delta : box.deltas) {
    const Tensor values = materialise(delta);
    float largest = 0;
    for (const float value : values.values<float>()) largest = std::max(largest, std::abs(value));
    EXPECT_LE(largest, 2e-3f + 1e-6f) << delta.site;
    EXPECT_GT(largest, 1.9e-3f) << delta.site;
  }
  for (const TensorDelta& delta :
       edit("ft", {{"steps", 6}, {"learning_rate", 1e-2}, {"constraint", "l2"}, {"l2_bound", 1e-3}}).deltas) {
    const Tensor start = site_master(base_.view(), base_.site(delta.site));
    double size = 0;
    for (const float value : start.values<float>()) size += static_cast<double>(value) * static_cast<double>(value);
    EXPECT_LE(norm(delta), 1e-3 * std::sqrt(size) * (1 + 1e-3)) << delta.site;
  }
}

TEST_F(Editors, ABatchOfRequestsIsOnePatch) {
  const auto editor = make_editor(
      "ft", {{"steps", 12}, {"learning_rate", 1e-2}, {"sites", {"decoder.block.1.mlp", "decoder.block.2.mlp"}}});
  EditRequest second = request("dog");
  second.clip = clip("mew.wav");
  const std::vector<EditRequest> both = {request("cat"), second};
  const Patch patch = editor->edit(session_, base_, both, editor->prepare(session_, base_, nullptr), Rng(1));
  const Bundle edited = with(base_, patch);
  EXPECT_LT(nll(edited, both[0]) + nll(edited, both[1]), nll(base_, both[0]) + nll(base_, both[1]));
}

TEST_F(Editors, FineTuningTheConnectorLeavesTextBitIdentical) {
  const Bundle edited = with(base_, edit("ft", {{"sites", "connector"}, {"steps", 4}, {"learning_rate", 1e-2}}));
  EXPECT_FALSE(edited.view().edited().empty());
  const Prompt text = prompt_for(session_, base_, kTextQuestion, std::nullopt);
  Session fresh(SessionOptions{.threads = 1});
  EXPECT_TRUE(identical(logits_of(session_, base_, text, {}, 0), logits_of(fresh, edited, text, {}, 0)));
  const Prompt sound = prompt_for(session_, base_, kQuestion, load_waveform(folder_ / "moo.wav"));
  EXPECT_FALSE(identical(logits_of(session_, base_, sound, {}, 0), logits_of(session_, edited, sound, {}, 0)));
}

TEST_F(Editors, AnyNumberOfThreadsGivesTheSameBits) {
  const Corpus data = corpus();
  Settings rome = rome_settings("decoder.block.1.mlp.down", "audio_aug");
  rome["second_moment"] = "corpus";
  std::vector<ContentHash> ids;
  for (const int threads : {1, 2, 4}) {
    Session session(SessionOptions{.threads = threads});
    for (const auto& [method, settings] :
         std::vector<std::pair<std::string, Settings>>{{"ft", {{"steps", 3}}}, {"rome", rome}}) {
      const auto editor = make_editor(method, settings);
      const EditRequest what = request();
      ids.push_back(editor->edit(session, base_, {&what, 1}, editor->prepare(session, base_, &data), Rng(5)).id());
    }
  }
  for (std::size_t i = 2; i < ids.size(); ++i) EXPECT_EQ(ids[i], ids[i % 2]);
}

// --- Statistics
// -------------------------------------------------------------------------------------------------------------------

TEST_F(Editors, SecondMomentsCountEveryTokenOnceAndResumeToTheSameBytes) {
  const Site site = base_.site("decoder.block.1.mlp.down");
  const Corpus data = corpus();
  const SecondMoment whole = measure_second_moment(session_, base_, site, data, {});
  std::int64_t expected = 0, slots = 0;
  for (const CorpusItem& item : data.items()) {
    const std::optional<Waveform> sound = item.clip ? std::optional(load_waveform(item.clip->locate())) : std::nullopt;
    const Prompt prompt = prompt_for(session_, base_, item.question, sound);
    expected += prompt.length() + static_cast<std::int64_t>(target_ids(base_, item.answer).size());
    slots += static_cast<std::int64_t>(prompt.audio_rows.size());
  }
  EXPECT_EQ(whole.tokens(), expected);
  EXPECT_EQ(whole.classes[static_cast<std::size_t>(TokenClass::kAudioSlot)].tokens, slots);
  EXPECT_GT(whole.classes[static_cast<std::size_t>(TokenClass::kTemplate)].tokens, 0);

  int asked = 0;
  MomentOptions options{{folder_ / "moment.checkpoint"}, 2, [&] { return ++asked < 3; }};
  EXPECT_THROW(measure_second_moment(session_, base_, site, data, options), Error);
  EXPECT_TRUE(fs::exists(options.checkpoints[0]));
  options.go_on = nullptr;
  const SecondMoment resumed = measure_second_moment(session_, base_, site, data, options);
  EXPECT_FALSE(fs::exists(options.checkpoints[0]));
  for (std::size_t c = 0; c < kTokenClasses; ++c) EXPECT_EQ(resumed.classes[c].sum, whole.classes[c].sum);
  EXPECT_NO_THROW(check_belongs(whole, with(base_, edit("ft", {{"steps", 2}})), site));
  EXPECT_THROW(check_belongs(whole, base_, base_.site("decoder.block.2.mlp.down")), Error);
}

}  // namespace
}  // namespace retune
