// What an edit of the demo model must satisfy whatever the method finds: the algebra of ROME, what fine-tuning of the
// connector leaves alone, exact reversal, and how little is computed again.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <optional>
#include <set>

#include "audio/waveform.h"
#include "editors/mechanisms/key_collector.h"
#include "editors/mechanisms/target_optimizer.h"
#include "editors/registry.h"
#include "eval/ask.h"
#include "facts/fact_set.h"
#include "lalm/answer.h"
#include "lalm/link.h"
#include "learning/site_weight.h"
#include "recipes/recipe.h"
#include "tests/tiny_bundle.h"

namespace retune {
namespace {

namespace fs = std::filesystem;
using Numbers = std::vector<double>;

constexpr std::uint64_t kSeed = 3;

double length(const Numbers& v) {
  double sum = 0;
  for (const double item : v) sum += item * item;
  return std::sqrt(sum);
}

Numbers difference(Numbers a, const Numbers& b) {
  for (std::size_t i = 0; i < a.size(); ++i) a[i] -= b[i];
  return a;
}

// The largest distance of a row from the line through the longest row, over the norm of the matrix: 0 for rank one.
double distance_from_rank_one(const Tensor& matrix) {
  const std::int64_t rows = matrix.shape()[0], columns = matrix.shape()[1];
  const auto row = [&](std::int64_t r) {
    return Numbers(matrix.data<float>() + r * columns, matrix.data<float>() + (r + 1) * columns);
  };
  Numbers longest(static_cast<std::size_t>(columns));
  double total = 0;
  for (std::int64_t r = 0; r < rows; ++r) {
    if (length(row(r)) > length(longest)) longest = row(r);
    total += length(row(r)) * length(row(r));
  }
  double farthest = 0;
  for (std::int64_t r = 0; r < rows; ++r) {
    Numbers rest = row(r);
    double along = 0;
    for (std::size_t i = 0; i < rest.size(); ++i) along += rest[i] * longest[i];
    along /= length(longest) * length(longest);
    for (std::size_t i = 0; i < rest.size(); ++i) rest[i] -= along * longest[i];
    farthest = std::max(farthest, length(rest));
  }
  return farthest / std::sqrt(total);
}

// Between the directions in which two patches of rank one read the key, in radians.
double angle(const Patch& a, const Patch& b) {
  const Tensor &x = std::get<LowRankDelta>(a.deltas.at(0).values).v,
               &y = std::get<LowRankDelta>(b.deltas.at(0).values).v;
  double along = 0;
  for (std::int64_t i = 0; i < x.numel(); ++i) along += static_cast<double>(x.data<float>()[i]) * y.data<float>()[i];
  return std::acos(std::min(1.0, std::abs(along)));
}

// First outputs of the nodes that a leaf can reach, by walking the linked graph.
std::set<std::string> reachable_from(const Graph& graph, const std::string& leaf) {
  std::set<ValueId> reached = {graph.require(leaf)};
  std::set<std::string> names;
  for (const Node& node : graph.nodes()) {
    const bool any =
        std::any_of(node.inputs.begin(), node.inputs.end(), [&](ValueId id) { return reached.contains(id); });
    if (!any) continue;
    for (const ValueId id : node.outputs)
      if (id != kNoValue) reached.insert(id);
    names.insert(graph.value(node.outputs[0]).name);
  }
  return names;
}

class EditAcceptance : public testing::Test {
 protected:
  void SetUp() override {
    if (!fs::exists("demo/bundle/config.json") || !fs::exists("demo/facts.json"))
      GTEST_SKIP() << "demo/bundle or demo/facts.json is not here";
    base_.emplace(Bundle::open("demo/bundle"));
    facts_ = FactSet::load("demo/facts.json", {.audio_root = "demo/audio"});
  }

  // The first request of each attribute.
  std::vector<EditRequest> a_request_an_attribute() const {
    std::vector<EditRequest> requests;
    std::set<std::string> seen;
    for (const EditRequest& request : facts_.requests())
      if (seen.insert(request.attribute).second) requests.push_back(request);
    return requests;
  }

  Patch edit(const std::string& method, const Settings& settings, const EditRequest& request,
             const Corpus* corpus = nullptr) {
    const auto editor = make_editor(method, settings);
    return editor->edit(session_, *base_, {&request, 1}, editor->prepare(session_, *base_, corpus), Rng(kSeed));
  }
  Bundle with(Patch patch) const { return base_->with(std::make_shared<const Patch>(std::move(patch))); }
  std::string late_site() const { return fmt::format("decoder.block.{}.mlp.down", base_->sites().blocks.decoder - 1); }

  // Key and value at the last position of the prompt, of one evaluation of the whole prompt.
  SiteReading last_row(const Bundle& bundle, const Site& site, const Prompt& prompt) {
    SuffixRequest whole = suffix_request(session_, bundle, prompt, {}, 0);
    whole.request.outputs = {site.key, site.value};
    const Results results = session_.run(whole.graph, bundle.parameters(), whole.request);
    const auto row = [&](const std::string& name, std::int64_t width) {
      const Tensor& tensor = results[name].tensor;
      const float* end = tensor.data<float>() + tensor.numel();
      return Numbers(end - width, end);
    };
    return {{}, row(site.key, site.in), row(site.value, site.out)};
  }

  // The target vector that ROME aims at, found again beside the editor with the settings it resolved.
  TargetVector target_of(const EditRequest& request, const Site& site, const Settings& settings) {
    const Selector selector = parse_selector("last_prompt");
    const auto views = context_views(session_, *base_, request, context_options(settings), Rng(kSeed).fork("views"));
    const auto readings = read_site(session_, *base_, site, selector, views);
    TargetProblem problem{site, views, readings, target_ids(*base_, request.new_label), std::nullopt, std::nullopt};
    problem.kl_prompt = view_prompt(session_, *base_, settings.at("kl_question").get<std::string>(), sound_of(request));
    problem.kl_reading = read_site(session_, *base_, site, selector, *problem.kl_prompt);
    return optimize_target(session_, *base_, loss_graphs(*base_), problem, target_options(settings));
  }

  // What the algebra promises of a patch of ROME, with the target vector found again. False if there was nothing to
  // change: the model gives the new label already.
  bool expect_key_mapped(const Patch& patch, const EditRequest& request, const Settings& settings) {
    if (patch.deltas.empty()) {
      EXPECT_EQ(patch.notes.at("target_norm")[0], 0.0);
      return false;
    }
    const Site site = base_->site(patch.deltas[0].site);
    EXPECT_EQ(patch.deltas.size(), 1U);
    EXPECT_EQ(numerical_rank(patch.deltas[0]), 1);
    const Bundle edited = with(patch);
    Tensor change = site_master(edited.view(), site).copy();
    const Tensor before = site_master(base_->view(), site);
    for (std::int64_t i = 0; i < change.numel(); ++i) change.mutable_data<float>()[i] -= before.data<float>()[i];
    EXPECT_LT(distance_from_rank_one(change), 1e-5);

    const Prompt prompt = prompt_for(session_, *base_, request.question, load_waveform(request.clip.locate()));
    const SiteReading old = last_row(*base_, site, prompt), now = last_row(edited, site, prompt);
    EXPECT_EQ(old.key, now.key) << "nothing before the site moved";
    const TargetVector target = target_of(request, site, settings);
    Numbers wanted = old.value;
    for (std::size_t i = 0; i < wanted.size(); ++i) wanted[i] += target.delta[i];
    EXPECT_LT(length(difference(now.value, wanted)), 1e-4 * length(wanted));
    EXPECT_LT(length(difference(now.value, wanted)), 1e-4 * length(target.delta));
    EXPECT_NEAR(length(target.delta) / patch.notes.at("target_norm")[0], 1, 1e-6);
    EXPECT_LE(patch.notes.at("key_error").at(0), 1e-4);
    return true;
  }

  std::optional<Bundle> base_;
  FactSet facts_;
  Session session_{SessionOptions{.threads = 2}};
};

TEST_F(EditAcceptance, RomeHasRankOneAndMapsTheKeyToTheTarget) {
  const Settings settings = Recipe::load("recipes/rome.json").settings();
  std::size_t edits = 0;
  for (const EditRequest& request : facts_.requests()) {
    SCOPED_TRACE(request.id);
    if (expect_key_mapped(edit("rome", settings, request), request, make_editor("rome", settings)->settings())) ++edits;
  }
  EXPECT_GT(2 * edits, facts_.requests().size()) << "most facts are not what the model says already";
}

TEST_F(EditAcceptance, RomeWithAMeasuredSecondMomentMapsTheKeyToTheTarget) {
  Settings settings = Recipe::load("recipes/rome.json").settings();
  settings["second_moment"] = "corpus";
  std::vector<CorpusItem> items;
  for (const EditRequest& request : facts_.requests())
    if (items.size() < 12) items.push_back({request.clip, request.question, request.old_label, request.attribute, ""});
  const Corpus corpus(std::move(items));
  const EditRequest request = facts_.requests().back();
  const Patch measured = edit("rome", settings, request, &corpus);
  ASSERT_TRUE(expect_key_mapped(measured, request, make_editor("rome", settings)->settings()));
  settings["second_moment"] = "identity";
  EXPECT_GT(angle(measured, edit("rome", settings, request)), 0.1) << "the second moment turns the update";
}

TEST_F(EditAcceptance, FineTuningTheConnectorLeavesTextBitIdentical) {
  std::set<std::string> questions;
  for (const Probe& probe : facts_.probes())
    if (!probe.clip && questions.size() < 8) questions.insert(probe.question);
  ASSERT_FALSE(questions.empty());
  for (const EditRequest& request : a_request_an_attribute()) {
    SCOPED_TRACE(request.id);
    const Bundle edited = with(edit("ft", {{"sites", "connector"}, {"steps", 4}, {"learning_rate", 1e-3}}, request));
    ASSERT_FALSE(edited.view().edited().empty());
    Session fresh({.threads = 1});
    for (const std::string& question : questions) {
      const Prompt prompt = prompt_for(session_, *base_, question, std::nullopt);
      EXPECT_TRUE(identical(logits_of(session_, *base_, prompt, {}, 0), logits_of(fresh, edited, prompt, {}, 0)))
          << question;
    }
    const Prompt sound = prompt_for(session_, *base_, request.question, load_waveform(request.clip.locate()));
    EXPECT_FALSE(identical(logits_of(session_, *base_, sound, {}, sound.prefix_length()),
                           logits_of(session_, edited, sound, {}, sound.prefix_length())));
  }
}

TEST_F(EditAcceptance, RevertRestoresTheBaseAndApplyingAgainGivesTheSameBytes) {
  const EditRequest request = facts_.requests().front();
  const auto source = files_below("demo/bundle");
  ScratchFolder scratch;
  for (const auto& [method, settings] : std::vector<std::pair<std::string, Settings>>{
           {"rome", Settings::object()}, {"ft", {{"sites", {"decoder.block.last.mlp", "connector"}}, {"steps", 3}}}}) {
    SCOPED_TRACE(method);
    const Patch patch = edit(method, settings, request);
    const Bundle edited = with(patch), reverted = edited.without_top();
    EXPECT_FALSE(same_parameters(edited, *base_));
    EXPECT_TRUE(same_parameters(reverted, *base_));
    EXPECT_EQ(reverted.hash(), base_->hash());

    patch.save(scratch / (method + ".h5"));
    const Patch read = Patch::load(scratch / (method + ".h5"));
    read.save(scratch / (method + " again.h5"));
    EXPECT_EQ(bytes_of(scratch / (method + ".h5")), bytes_of(scratch / (method + " again.h5")));
    const Bundle again = reverted.with(std::make_shared<const Patch>(read));
    EXPECT_TRUE(same_parameters(again, edited));
    EXPECT_EQ(again.hash(), edited.hash());

    save(edited, scratch / method, Existing::kRefuse, session_, {.questions = {"What has a trunk?"}});
    save(again, scratch / (method + " again"), Existing::kRefuse, session_, {});
    const auto files = files_below(scratch / method);
    EXPECT_EQ(files, files_below(scratch / (method + " again")));
    std::set<std::string> touched;
    for (const TensorEdit& item : edited.view().edits()) touched.insert(item.file);
    ASSERT_EQ(files.size(), source.size());
    for (const auto& [name, bytes] : source) EXPECT_EQ(files.at(name) == bytes, !touched.contains(name)) << name;
    EXPECT_TRUE(same_parameters(Bundle::open(scratch / method), edited));
  }
  EXPECT_EQ(files_below("demo/bundle"), source) << "the base was never written";
}

// The value of the graph of which the engine computed some rows.
std::string whole_of(const std::string& name) {
  if (name.starts_with("rows of ")) return name.substr(8);
  return name.ends_with(" rows") ? name.substr(0, name.size() - 5) : name;
}

// Options and answers are only scored: what a model generates it reads again, and another answer is other input.
TEST_F(EditAcceptance, AskingAgainExecutesOnlyWhatTheEditCanReach) {
  const Site site = base_->site(late_site());
  std::vector<Probe> probes;
  std::set<std::string> questions;
  for (const Probe& probe : facts_.probes())
    if (probes.size() < 12 && questions.insert(probe.question + (probe.clip ? probe.clip->name() : "")).second)
      probes.push_back(probe);
  ASSERT_EQ(probes.size(), 12U);
  const AskSettings settings{.max_new_tokens = 0, .varying = {site.weight}};
  const std::vector<Asked> before = ask(session_, *base_, probes, settings);
  Session elsewhere({.threads = 2});
  const auto editor = make_editor("ft", {{"sites", site.name}, {"steps", 3}, {"learning_rate", 1e-3}});
  const EditRequest request = facts_.requests().front();
  const Bundle edited =
      with(editor->edit(elsewhere, *base_, {&request, 1}, editor->prepare(elsewhere, *base_, nullptr), Rng(kSeed)));

  const std::set<std::string> reachable = reachable_from(*base_->graph(), site.weight);
  session_.trace(true);
  for (std::size_t i = 0; i < probes.size(); ++i) {
    SCOPED_TRACE(probes[i].id);
    session_.reset_counters();
    const Asked after = ask(session_, edited, {&probes[i], 1}, settings)[0];
    const auto& executed = session_.counters().executions_by_value;
    EXPECT_TRUE(executed.contains("logits"));
    for (const auto& [name, times] : executed) EXPECT_TRUE(reachable.contains(whole_of(name))) << name;
    EXPECT_NE(after.first_token_logprobs, before[i].first_token_logprobs) << "the edited weight was not read";
    EXPECT_EQ(after.answer.option_scores.size(), probes[i].options.size());
  }
}

TEST_F(EditAcceptance, AClipIsEncodedOnceForTenQuestions) {
  const EditRequest request = facts_.requests().front();
  std::vector<Probe> probes;
  std::set<std::string> questions;
  for (const Probe& probe : facts_.probes()) {
    if (!probe.clip || probes.size() == 10 || !questions.insert(probe.question).second) continue;
    probes.push_back(probe);
    probes.back().clip = request.clip;
  }
  ASSERT_EQ(probes.size(), 10U);
  const std::string late = base_->site(late_site()).weight;
  for (const auto& varying : {std::vector<std::string>{}, {late}}) {
    Session session({.threads = 2});
    session.trace(true);
    ask(session, *base_, probes, {.max_new_tokens = 2, .varying = varying});
    int encoded = 0;
    for (const auto& [name, times] : session.counters().executions_by_value)
      if (name.starts_with(kEncoderPrefix)) {
        EXPECT_EQ(times, 1) << name;
        ++encoded;
      }
    EXPECT_GT(encoded, 0);
    EXPECT_EQ(session.counters().executions_by_value.at("audio_features"), 1);
  }
}

TEST_F(EditAcceptance, ATargetVectorAtTheLastPromptTokenRunsOnlyTheRowsFromThereOn) {
  const EditRequest request = facts_.requests().front();
  const Site site = base_->site("decoder.block.3.mlp.down");
  const LossGraphs losses = loss_graphs(*base_);
  const std::vector<ContextView> views = {
      {view_prompt(session_, *base_, request.question, sound_of(request)), 1.0, "bare"}};
  const auto readings = read_site(session_, *base_, site, parse_selector("last_prompt"), views);
  const Prompt& prompt = views[0].view.prompt;
  const std::vector<std::int64_t> target = target_ids(*base_, request.new_label);
  EXPECT_EQ(readings[0].placement.cut, prompt.length() - 1);

  // The rows of that suffix are the answer's: one a target token.
  SuffixRequest suffix = lesson_request(session_, *base_, losses, {prompt, target}, readings[0].placement.cut);
  const auto rows = static_cast<std::int64_t>(target.size());
  ASSERT_LT(4 * rows, prompt.length());
  std::vector<std::string> values;
  for (const Site& other : base_->sites().sites)
    if (other.name.starts_with("decoder.block") && other.kind == Site::Kind::kResidual) values.push_back(other.value);
  suffix.request.outputs = values;
  const Results captured = session_.run(suffix.graph, base_->parameters(), suffix.request);
  for (const std::string& value : values)
    EXPECT_EQ(captured[value].tensor.shape(), (Shape{1, rows, site.out})) << value;

  // Optimising at that cut: one evaluation of what lies before the site, then every step only what the vector reaches.
  const TargetOptions options{.steps = 6, .kl_weight = 0, .stop_loss = 0};
  const TargetProblem problem{site, views, readings, target, std::nullopt, std::nullopt};
  session_.trace(true);
  session_.reset_counters();
  optimize_target(session_, *base_, losses, problem, options);
  const auto counts = session_.counters().executions_by_value;
  const std::set<std::string> behind = reachable_from(*base_->graph(), site.weight);
  for (const auto& [name, times] : counts) {
    EXPECT_FALSE(name.starts_with(kEncoderPrefix)) << name;
    const bool before_the_site = base_->graph()->find(name) != kNoValue && !behind.contains(name);
    EXPECT_TRUE(!before_the_site || times <= 1) << name << " " << times;
  }
  EXPECT_EQ(counts.at("logits"), options.steps);
  EXPECT_EQ(counts.at(base_->site(late_site()).value), options.steps);
}

}  // namespace
}  // namespace retune
