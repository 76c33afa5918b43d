// Hyper-networks on a whole model: the gradient of training through the edited model, training that pauses, and the
// editors that apply what was trained (methods.md 5.12, 5.13, T1, T2, T9).
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>

#include "editors/editor.h"
#include "editors/registry.h"
#include "facts/json_text.h"
#include "learning/site_weight.h"
#include "recipes/hyper_training_run.h"
#include "tensor/error.h"
#include "tests/tiny_bundle.h"
#include "training/hyper_trainer.h"

namespace retune {
namespace {

namespace fs = std::filesystem;
using testing::AllOf;
using testing::HasSubstr;

const std::vector<std::string> kKinds = {"mend", "ke"};

std::string user_error_of(const std::function<void()>& action) {
  try {
    action();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kUser);
    EXPECT_EQ(std::string(error.what()).find('\n'), std::string::npos);
    return error.what();
  }
  ADD_FAILURE() << "nothing was thrown";
  return {};
}

class HyperNetworks : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    scratch_ = std::make_unique<ScratchFolder>();
    write_tiny_bundle(root() / "bundle");
    for (const char* part : {"train", "val"}) {
      fs::create_directories(root() / "data" / part / "audio");
      for (int i = 0; i < 4; ++i)
        save_waveform(root() / "data" / part / "audio" / fmt::format("{}.wav", i),
                      tone(180 + 150 * i + (std::string(part) == "val" ? 40 : 0)));
      facts(part).save(root() / "data" / part / "facts.json");
    }
  }
  static void TearDownTestSuite() { scratch_.reset(); }
  static fs::path root() { return scratch_->path(); }

  static Probe probe(ProbeKind kind, int type, std::optional<Clip> clip, const std::string& question,
                     const std::string& answer) {
    Probe made;
    made.kind = kind;
    made.type = type;
    made.attribute = made.track = "Animal";
    made.clip = std::move(clip);
    made.question = question;
    made.options = clip ? std::vector<std::string>{"cow", "cat", "dog"} : std::vector<std::string>{"cow", "elephant"};
    made.answer = answer;
    return made;
  }

  static FactSet facts(const std::string& part) {
    const fs::path audio = root() / "data" / part / "audio";
    const auto clip = [&](int i) { return Clip::below(audio, "", fmt::format("{}.wav", i)); };
    std::vector<Fact> facts;
    for (int i = 0; i < 2; ++i) {
      Fact fact;
      fact.request = {fmt::format("{}-{}", part, i), "Animal",     clip(i), kTinyQuestion, {"cow", "cat", "dog"}, "cow",
                      i == 0 ? "cat" : "dog",        Scope::kLabel};
      const std::string& label = fact.request.new_label;
      fact.probes = {probe(ProbeKind::kGenerality, 1, clip(i), kTinyQuestion, label),
                     probe(ProbeKind::kAudioLocality, 2, clip(3), kTinyQuestion, i == 0 ? "dog" : "cat"),
                     probe(ProbeKind::kTextLocality, 0, std::nullopt, kTinyTextQuestion, "elephant")};
      for (Probe& one : fact.probes) {
        one.request_id = fact.request.id;
        one.id = fmt::format("{}/{}", fact.request.id, kind_name(one.kind));
      }
      facts.push_back(std::move(fact));
    }
    return FactSet::of(std::move(facts));
  }

  static HyperTrainingOptions options(const std::string& kind) {
    HyperTrainingOptions options;
    options.kind = kind;
    if (kind == "mend")
      options.network = {{"rank", 6},          {"blocks", 2},          {"normalise", 1},
                         {"step", 0.02},       {"step_rate_apart", 1}, {"step_learning_rate", 1e-2},
                         {"reference_sign", 0}};
    else
      options.network = {{"lstm_width", 4}, {"condition_width", 5}, {"hidden_width", 6}, {"kappa", 8}};
    options.steps = 5;
    options.learning_rate = 3e-3;
    options.validate_every = 2;
    options.checkpoint_every = 3;
    return options;
  }

  HyperTask task(Session& session) const {
    const Bundle base = Bundle::open(root() / "bundle");
    std::vector<Site> sites = base.sites_in("decoder.block.2.mlp");  // gate, up and down: two shapes
    sites.push_back(base.site("decoder.block.1.mlp.down"));
    return {session, base, std::move(sites)};
  }

  // As if trained: random where a new network has zeros.
  static std::unique_ptr<HyperNetwork> roused(HyperTask& task, const HyperTrainingOptions& with) {
    const HyperNetworkKind& kind = *find_hyper_network_kind(with.kind);
    HyperState state = kind.initial(
        with.network, hyper_sites(task.sites), [&] { return token_embeddings(task.session, task.base); }, Rng(2));
    for (auto& [name, tensor] : state.parameters)
      if (name.ends_with(".u")) {
        Rng rng = Rng(9).fork(name);
        for (std::int64_t i = 0; i < tensor.numel(); ++i)
          tensor.mutable_data<float>()[i] = static_cast<float>(0.05 * rng.normal());
      }
    auto network = kind.make(std::move(state));
    const FactSet learnt = facts("train");
    for (const Fact& fact : learnt.facts()) network->observe(request_signal(task, fact.request));
    return network;
  }

  HyperTrainingResult train(const HyperTrainingOptions& with, const fs::path& work, int threads = 2,
                            const HyperObserver& observer = {}) const {
    Session session({.threads = threads});
    HyperTask of = task(session);
    return train_hyper_network(of, facts("train"), facts("val"), with, work, observer);
  }

  // A trained network's file.
  fs::path trained(const std::string& kind) const {
    const fs::path path = root() / (kind + ".h5");
    if (!fs::exists(path)) train(options(kind), {}).file.save(path);
    return path;
  }

  static std::unique_ptr<ScratchFolder> scratch_;
};
std::unique_ptr<ScratchFolder> HyperNetworks::scratch_;

double distance(const Tensor& a, const std::vector<double>& b) {
  double difference = 0, size = 0;
  for (std::int64_t i = 0; i < a.numel(); ++i) {
    difference += std::pow(static_cast<double>(a.data<float>()[i]) - b[static_cast<std::size_t>(i)], 2);
    size += std::pow(static_cast<double>(a.data<float>()[i]), 2);
  }
  return std::sqrt(difference / size);
}

TEST_F(HyperNetworks, TheSignalsFactorsSumToTheGradientOfTheWeight) {
  Session session({.threads = 2});
  HyperTask of = task(session);
  const EditRequest request = facts("train").requests()[0];
  const EditSignal signal = request_signal(of, request);
  const Prompt prompt = prompt_for(session, of.base, request.question, load_waveform(request.clip.locate()));
  const std::vector<std::int64_t> target = target_ids(of.base, request.new_label);
  EXPECT_EQ(signal.ids.size(), prompt.ids.size() + target.size());
  SuffixRequest suffix = lesson_request(session, of.base, of.losses, {.prompt = prompt, .target = target}, 0);
  suffix.request.outputs = {kLessonLoss};
  suffix.request.loss = kLessonLoss;
  suffix.request.wrt = of.parameters;
  const Results results = session.run(suffix.graph, of.base.parameters(), suffix.request);
  EXPECT_NEAR(results[kLessonLoss].tensor.to_f64()[0], signal.loss, 1e-6);
  for (std::size_t s = 0; s < of.sites.size(); ++s) {
    const Site& site = of.sites[s];
    const auto& [x, g] = signal.factors[s];
    std::vector<double> sum(static_cast<std::size_t>(site.in * site.out), 0.0);
    for (std::int64_t t = 0; t < x.shape()[0]; ++t)
      for (std::int64_t o = 0; o < site.out; ++o)
        for (std::int64_t i = 0; i < site.in; ++i)
          sum[static_cast<std::size_t>(o * site.in + i)] += static_cast<double>(g.data<float>()[t * site.out + o]) *
                                                            static_cast<double>(x.data<float>()[t * site.in + i]);
    const DeltaTarget& where = site.targets[0];
    const Tensor gradient =
        site_part(results["grad:" + parameters_of(of.base.view(), where)[0]].tensor, site.delta_shape, where);
    EXPECT_LT(distance(gradient, sum), 1e-5) << site.name;
  }
}

// The whole chain: the change, the edited model, both losses, the weights' gradient, back through the network.
TEST_F(HyperNetworks, TheGradientOfTrainingIsThatOfTheLossesOfTheEditedModel) {
  for (const std::string& kind : kKinds) {
    SCOPED_TRACE(kind);
    Session session({.threads = 2});
    HyperTask of = task(session);
    const auto network = roused(of, options(kind));
    const Fact fact = facts("train").facts()[0];
    const EditSignal signal = request_signal(of, fact.request);
    HyperLoss loss{.edit_weight = 0.7, .locality_weight = 1.3, .locality = HyperLoss::Locality::kEverywhere};
    const auto value = [&](const HyperState& state) {
      const HyperGradient at = hyper_gradient(of, *find_hyper_network_kind(kind)->make(state), signal, fact, loss);
      return loss.edit_weight * at.edit_loss + loss.locality_weight * at.locality_loss;
    };
    const HyperGradient here = hyper_gradient(of, *network, signal, fact, loss);
    EXPECT_GT(here.edit_loss, 0.1);
    EXPECT_GT(here.locality_loss, 1e-6);
    int compared = 0;
    for (const auto& [name, gradient] : here.gradients) {
      // Along the gradient itself the slope is its length; that says all elements at once.
      double length = 0;
      for (const float item : gradient.values<float>()) length += std::pow(static_cast<double>(item), 2);
      length = std::sqrt(length);
      if (length < 1e-3) continue;
      const double step = std::min(2e-2, 2e-3 / length);
      const auto moved = [&](double by) {
        HyperState state = network->state();
        Tensor tensor = state.parameters.at(name).copy();
        for (std::int64_t i = 0; i < tensor.numel(); ++i)
          tensor.mutable_data<float>()[i] +=
              static_cast<float>(by * static_cast<double>(gradient.data<float>()[i]) / length);
        state.parameters[name] = tensor;
        return value(state);
      };
      EXPECT_NEAR((moved(step) - moved(-step)) / (2 * step) / length, 1.0, 0.05) << name << " of length " << length;
      ++compared;
    }
    EXPECT_GT(compared, 8);
  }
}

TEST_F(HyperNetworks, LocalityCostsNothingWhereNothingChanges) {
  Session session({.threads = 2});
  HyperTask of = task(session);
  HyperTrainingOptions still = options("ke");
  still.network["kappa"] = 0;
  const Fact fact = facts("train").facts()[0];
  const auto network = roused(of, still);
  const HyperGradient gradient = hyper_gradient(of, *network, request_signal(of, fact.request), fact, still.loss);
  EXPECT_NEAR(gradient.locality_loss, 0, 1e-6);
  for (const auto& [name, tensor] : gradient.gradients) EXPECT_THAT(tensor.to_f64(), testing::Each(0.0)) << name;
}

TEST_F(HyperNetworks, TrainingLowersTheLossAndValidatesWhenItShould) {
  for (const std::string& kind : kKinds) {
    SCOPED_TRACE(kind);
    HyperTrainingOptions longer = options(kind);
    longer.steps = 30;
    longer.validate_every = 20;
    std::vector<double> losses;
    HyperObserver observer;
    observer.progress = [&](const HyperProgress& progress) {
      if (progress.stage == "train") losses.push_back(progress.loss);
      return true;
    };
    const HyperTrainingResult result = train(longer, {}, 2, observer);
    ASSERT_EQ(losses.size(), 30U);
    EXPECT_LT(losses.back(), losses.front());
    ASSERT_EQ(result.validations.size(), 2U);
    EXPECT_EQ(result.validations[0].step, 20);
    EXPECT_EQ(result.validations[1].step, 30);
    for (const HyperValidation& validation : result.validations)
      for (const double share :
           {validation.reliability, validation.generality, validation.audio_locality, validation.text_locality})
        EXPECT_THAT(share, AllOf(testing::Ge(0), testing::Le(1)));
    EXPECT_EQ(result.file.edits, 60);
  }
}

TEST_F(HyperNetworks, APauseAnywhereAndAnyNumberOfThreadsChangeNoByte) {
  for (const std::string& kind : kKinds) {
    SCOPED_TRACE(kind);
    train(options(kind), root() / (kind + ".straight"), 1).file.save(root() / "straight.h5");
    const std::string expected = bytes_of(root() / "straight.h5");
    const std::string curve = bytes_of(root() / (kind + ".straight") / "loss.jsonl");
    // In training on and off a checkpoint's beat, within a validation, after the last step.
    for (const int pause : {1, 3, 5, 10}) {
      const fs::path work = root() / fmt::format("{}.paused{}", kind, pause);
      int seen = 0;
      HyperObserver observer;
      observer.progress = [&](const HyperProgress&) { return ++seen < pause; };
      try {
        train(options(kind), work, 2, observer);
        FAIL() << "the observer asked to stop";
      } catch (const Error& error) {
        EXPECT_EQ(error.code(), ErrorCode::kInterrupted);
      }
      train(options(kind), work, 2).file.save(root() / "paused.h5");
      EXPECT_EQ(bytes_of(root() / "paused.h5"), expected) << "paused at " << pause;
      EXPECT_EQ(bytes_of(work / "loss.jsonl"), curve);
    }
  }
}

TEST_F(HyperNetworks, RefusesACheckpointOfOtherOptions) {
  HyperTrainingOptions other = options("mend");
  other.steps = 1;
  train(other, root() / "taken");
  other.loss.edit_weight = 0.5;
  EXPECT_THAT(user_error_of([&] { train(other, root() / "taken"); }), HasSubstr("checkpoint.h5"));
}

TEST_F(HyperNetworks, RefusesWhatMakesNoSense) {
  HyperTrainingOptions bad = options("mend");
  bad.network.erase("rank");
  EXPECT_THAT(user_error_of([&] { train(bad, {}); }), HasSubstr("'rank'"));
  bad = options("mend");
  bad.accumulate = 0;
  EXPECT_THAT(user_error_of([&] { train(bad, {}); }), HasSubstr("accumulate"));
  Session session({.threads = 1});
  HyperTask of = task(session);
  std::vector<Fact> bare = facts("train").facts();
  for (Fact& fact : bare) fact.probes.clear();
  EXPECT_THAT(user_error_of([&] { train_hyper_network(of, FactSet::of(bare), facts("val"), options("mend"), {}, {}); }),
              HasSubstr("generality"));
}

class HyperEditors : public HyperNetworks {
 protected:
  Patch edit(const std::string& kind, std::span<const EditRequest> requests, const Bundle& bundle,
             double strength = 1) {
    const auto editor = make_editor(kind, {{"network", trained(kind).string()}, {"strength", strength}});
    return editor->edit(session_, bundle, requests, editor->prepare(session_, bundle, nullptr), Rng(1));
  }

  Session session_{SessionOptions{.threads = 2}};
  Bundle base_ = Bundle::open(root() / "bundle");
};

TEST_F(HyperEditors, ChangeTheSitesOfTheirNetworkAndComeOffAgain) {
  for (const std::string& kind : kKinds) {
    SCOPED_TRACE(kind);
    const std::vector<EditRequest> requests = facts("val").requests();
    const Patch patch = edit(kind, {requests.data(), 1}, base_);
    std::vector<std::string> names, wanted;
    for (const TensorDelta& delta : patch.deltas) {
      names.push_back(delta.site);
      EXPECT_EQ(form_name(delta), kind == "mend" ? "low-rank" : "dense");
    }
    HyperTask of = task(session_);
    for (const Site& site : of.sites) wanted.push_back(site.name);
    EXPECT_EQ(names, wanted);
    EXPECT_EQ(patch.method, kind);
    EXPECT_GT(patch.notes.at("loss")[0], 0);
    const Bundle edited = base_.with(std::make_shared<const Patch>(patch));
    for (const auto& [name, feed] : base_.parameters()) {
      const bool touched = std::find(of.parameters.begin(), of.parameters.end(), name) != of.parameters.end();
      EXPECT_EQ(identical(feed.tensor, edited.parameters().at(name).tensor), !touched) << name;
    }
    const Bundle twice = edited.with(std::make_shared<const Patch>(edit(kind, {&requests[1], 1}, edited)));
    EXPECT_TRUE(same_parameters(twice.without_top(), edited));
    EXPECT_TRUE(same_parameters(twice.without_top().without_top(), base_));
    EXPECT_EQ(edit(kind, {requests.data(), 1}, base_).id(), patch.id());
  }
}

TEST_F(HyperEditors, NoStrengthIsNoChange) {
  const std::vector<EditRequest> requests = facts("val").requests();
  for (const std::string& kind : kKinds) EXPECT_TRUE(edit(kind, {requests.data(), 1}, base_, 0).deltas.empty());
}

TEST_F(HyperEditors, ManyRequestsAreTheSumOfEachWhereTheMethodTakesThem) {
  const std::vector<EditRequest> requests = facts("val").requests();
  const Patch both = edit("mend", requests, base_);
  const Patch first = edit("mend", {&requests[0], 1}, base_), second = edit("mend", {&requests[1], 1}, base_);
  for (std::size_t i = 0; i < both.deltas.size(); ++i) {
    std::vector<double> sum = materialise(first.deltas[i]).to_f64();
    const std::vector<double> more = materialise(second.deltas[i]).to_f64();
    for (std::size_t k = 0; k < sum.size(); ++k) sum[k] += more[k];
    EXPECT_LT(distance(materialise(both.deltas[i]), sum), 1e-5);
  }
  EXPECT_THAT(user_error_of([&] { edit("ke", requests, base_); }), HasSubstr("one fact at a time"));
}

TEST_F(HyperEditors, RefuseANetworkOfAnotherModelOrAnotherKindAndNone) {
  TinyBundleOptions other;
  other.seed = 8;
  write_tiny_bundle(root() / "other", other);
  const std::vector<EditRequest> requests = facts("val").requests();
  const Bundle foreign = Bundle::open(root() / "other");
  for (const std::string& kind : kKinds) {
    EXPECT_THAT(user_error_of([&] {
                  edit(kind, {requests.data(), 1}, foreign);
                }),
                AllOf(HasSubstr(kind + ".h5"), HasSubstr("a hyper-network trained for another model")));
    const auto none = make_editor(kind, Settings::object());
    EXPECT_THAT(user_error_of([&] { none->sites(base_); }), HasSubstr("'network'"));
    EXPECT_THAT(user_error_of([&] {
                  none->edit(session_, base_, {requests.data(), 1}, none->prepare(session_, base_, nullptr), Rng(1));
                }),
                HasSubstr("'network'"));
  }
  const auto wrong = make_editor("ke", {{"network", trained("mend").string()}});
  EXPECT_THAT(user_error_of([&] { wrong->prepare(session_, base_, nullptr); }),
              HasSubstr("of method 'mend', not 'ke'"));
}

TEST_F(HyperEditors, ATrainedNetworkIsForItsModelWhateverPatchesLieOnIt) {
  const std::vector<EditRequest> requests = facts("val").requests();
  const Bundle patched = with_random_change(base_, "decoder.block.0.mlp.down");
  EXPECT_FALSE(edit("mend", {requests.data(), 1}, patched).deltas.empty());
}

class HyperRecipes : public HyperNetworks {
 protected:
  static HyperRecipe recipe(const std::string& kind) {
    const char* network =
        kind == "mend" ? R"({"rank": 6})" : R"({"lstm_width": 4, "condition_width": 5, "hidden_width": 6})";
    return HyperRecipe::parse(fmt::format(R"({{"train": "{}", "steps": 2, "validate_every": 1, "network": {},
                                              "sites": ["decoder.block.last.mlp.down", "decoder.block.last-1.mlp"]}})",
                                          kind, network),
                              "my.json");
  }
  static HyperRun run(const std::string& kind, const std::string& name) {
    return {.recipe = recipe(kind),
            .model = root() / "bundle",
            .data = root() / "data",
            .work = root() / (name + ".work"),
            .out = root() / name};
  }
};

TEST_F(HyperRecipes, WriteANetworkThatTheEditorTakes) {
  for (const std::string& kind : kKinds) {
    SCOPED_TRACE(kind);
    HyperRun what = run(kind, kind + "-by-recipe.h5");
    std::vector<std::int64_t> told;
    what.validated = [&](const HyperValidation& validation) { told.push_back(validation.step); };
    const HyperPlan plan = plan_hyper_training(what, 2);
    EXPECT_FALSE(fs::exists(what.out));
    EXPECT_FALSE(fs::exists(what.work));
    Session session({.threads = 2});
    EXPECT_EQ(run_hyper_training(what, session).size(), 2U);
    EXPECT_EQ(told, (std::vector<std::int64_t>{1, 2}));
    const HyperNetworkFile file = HyperNetworkFile::load(what.out);
    EXPECT_EQ(file.edits, 4);
    ASSERT_EQ(file.state.sites.size(), 4U);
    EXPECT_EQ(file.state.sites[0].name, "decoder.block.2.mlp.down");
    EXPECT_THAT(file.state.sites[1].name, HasSubstr("decoder.block.1.mlp"));
    std::int64_t parameters = 0;
    for (const auto& [name, tensor] : file.state.parameters) parameters += tensor.numel();
    EXPECT_EQ(plan.parameters, parameters);
    EXPECT_EQ(plan.edits, 4);
    const Bundle base = Bundle::open(root() / "bundle");
    EXPECT_EQ(make_editor(kind, {{"network", what.out.string()}})->sites(base).size(), 4U);
    EXPECT_THAT(user_error_of([&] { run_hyper_training(what, session); }), HasSubstr("by-recipe.h5"));
  }
}

TEST_F(HyperRecipes, RefuseDataThatAreMissingOrShared) {
  Session session({.threads = 2});
  HyperRun what = run("mend", "refused.h5");
  what.data = root() / "nowhere";
  EXPECT_THAT(user_error_of([&] { run_hyper_training(what, session); }), HasSubstr("retune synth"));
  what.data = root() / "shared";
  fs::copy(root() / "data", what.data, fs::copy_options::recursive);
  fs::copy_file(root() / "data/val/audio/3.wav", what.data / "train/audio/3.wav", fs::copy_options::overwrite_existing);
  EXPECT_THAT(user_error_of([&] { run_hyper_training(what, session); }), HasSubstr(".wav"));
  what.data = root() / "data";
  what.recipe = what.recipe.with("sites", "decoder.block.last-9.mlp");
  EXPECT_THAT(user_error_of([&] { run_hyper_training(what, session); }), HasSubstr("last-9"));
  EXPECT_FALSE(fs::exists(what.out));
}

TEST_F(HyperRecipes, FillInThePublishedSettingsAndRefuseOthers) {
  const HyperTrainingOptions mend = HyperRecipe::parse(R"({"train": "mend"})", "my.json").training();
  EXPECT_EQ(mend.network.at("rank"), 1920);
  EXPECT_DOUBLE_EQ(mend.learning_rate, 1e-6);
  EXPECT_EQ(mend.steps * mend.accumulate, 3600);
  EXPECT_DOUBLE_EQ(mend.loss.edit_weight, 0.1);
  const HyperTrainingOptions ke = HyperRecipe::parse(R"({"train": "ke"})", "my.json").training();
  EXPECT_EQ(ke.network.at("lstm_width"), 512);
  EXPECT_DOUBLE_EQ(ke.learning_rate, 3e-4);
  EXPECT_EQ(HyperRecipe::parse(R"({"train": "ke"})", "my.json").sites().size(), 6U);
  const HyperRecipe again = HyperRecipe::parse(recipe("mend").resolved().dump(), "again");
  EXPECT_EQ(again.resolved(), recipe("mend").resolved());
  EXPECT_THAT(user_error_of([] { HyperRecipe::parse(R"({"train": "mend", "network": {"kappa": 1}})", "my.json"); }),
              AllOf(HasSubstr("my.json"), HasSubstr("'kappa'")));
  EXPECT_THAT(user_error_of([] { HyperRecipe::parse(R"({"train": "lalm"})", "my.json"); }), HasSubstr("'train'"));
  EXPECT_TRUE(is_hyper_recipe("recipes/train-mend.json"));
  EXPECT_TRUE(is_hyper_recipe("recipes/train-ke.json"));
  EXPECT_FALSE(is_hyper_recipe("recipes/demo-lalm.json"));
  EXPECT_FALSE(is_hyper_recipe("recipes/mend.json"));
  for (const char* path : {"recipes/train-mend.json", "recipes/train-ke.json"})
    EXPECT_NO_THROW(HyperRecipe::load(path)) << path;
}

}  // namespace
}  // namespace retune
