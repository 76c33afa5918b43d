// GRACE and WISE on a whole model with random weights: what an edit reaches, what it leaves to the last bit, sequences,
// undoing and exports (methods.md 5.15 and 5.16, item 8; T1, T2, T11).
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "editors/grace.h"
#include "editors/mechanisms/side_routing.h"
#include "editors/mechanisms/side_training.h"
#include "editors/registry.h"
#include "lalm/activation.h"
#include "lalm/answer.h"
#include "learning/site_weight.h"
#include "tensor/error.h"
#include "tests/tiny_bundle.h"

namespace retune {
namespace {

constexpr const char* kSite = "decoder.block.1.mlp.down";

class MemoryEditors : public testing::Test {
 protected:
  MemoryEditors() {
    for (const auto& [name, hertz] : {std::pair{"moo", 180.0}, {"mew", 700.0}, {"bark", 350.0}})
      save_waveform(scratch_ / (std::string(name) + ".wav"), tone(hertz));
    write_tiny_bundle(scratch_ / "bundle");
    base_.emplace(Bundle::open(scratch_ / "bundle"));
    const auto item = [&](const char* name, const char* label) {
      return CorpusItem{clip(name), kTinyQuestion, label, "Animal", label};
    };
    items_ = {item("moo", "cow"), item("mew", "cat"), item("bark", "dog"),
              CorpusItem{std::nullopt, kTinyTextQuestion, "elephant", "", ""}};
  }

  Clip clip(const std::string& name) const { return Clip::below(scratch_.path(), "", name + ".wav"); }
  EditRequest request(const std::string& name, const std::string& label) const {
    return {name, "Animal", clip(name), kTinyQuestion, {"cow", "cat", "dog"}, "cow", label, Scope::kLabel};
  }

  Patch edit(const std::string& method, const Settings& settings, const std::vector<EditRequest>& requests,
             const Bundle& bundle, Session& session, Rng rng = Rng(5)) {
    const auto editor = make_editor(method, settings);
    const Corpus corpus(items_);
    return editor->edit(session, bundle, requests, editor->prepare(session, *base_, &corpus), rng);
  }
  Patch edit(const std::string& method, const Settings& settings, const std::vector<EditRequest>& requests,
             const Bundle& bundle) {
    return edit(method, settings, requests, bundle, session_);
  }
  static Bundle with(const Bundle& bundle, Patch patch) {
    return bundle.with(std::make_shared<const Patch>(std::move(patch)));
  }

  Prompt prompt(const std::string& name) {
    return prompt_for(session_, *base_, kTinyQuestion, load_waveform(scratch_ / (name + ".wav")));
  }
  Prompt text_prompt() { return prompt_for(session_, *base_, kTinyTextQuestion, std::nullopt); }
  // Of the whole prompt in one call.
  Tensor logits(const Bundle& bundle, const Prompt& of) { return logits_of(session_, bundle, of, {}, 0); }
  double nll(const Bundle& bundle, const std::string& name, const std::string& label) {
    AnswerOptions options;
    options.max_new_tokens = 0;
    options.expected = label;
    const Prompt asked = prompt_for(session_, bundle, kTinyQuestion, load_waveform(scratch_ / (name + ".wav")));
    return answer(session_, bundle, asked, options).forced_nll;
  }
  std::vector<double> key(const std::string& name) {
    const PromptView view = view_prompt(session_, *base_, kTinyQuestion, load_waveform(scratch_ / (name + ".wav")));
    return read_site(session_, *base_, base_->site(kSite), parse_selector("last_prompt"), view).key;
  }

  ScratchFolder scratch_;
  Session session_{{.threads = 2}};
  std::optional<Bundle> base_;
  std::vector<CorpusItem> items_;
};

double apart(const std::vector<double>& a, const std::vector<double>& b) {
  double sum = 0;
  for (std::size_t i = 0; i < a.size(); ++i) sum += (a[i] - b[i]) * (a[i] - b[i]);
  return std::sqrt(sum);
}

double largest_difference(const Tensor& a, const Tensor& b) {
  double largest = 0;
  for (std::int64_t i = 0; i < a.numel(); ++i)
    largest =
        std::max(largest, std::abs(static_cast<double>(a.data<float>()[i]) - static_cast<double>(b.data<float>()[i])));
  return largest;
}

// --- GRACE ---

class Grace : public MemoryEditors {
 protected:
  // Radii that reach no other clip.
  Settings settings(double radius) const {
    return {{"site", kSite}, {"epsilon_init", radius}, {"init", "warm"}, {"steps", 100}, {"learning_rate", 0.2}};
  }
  double small() {
    return 0.2 *
           std::min({apart(key("moo"), key("mew")), apart(key("moo"), key("bark")), apart(key("mew"), key("bark"))});
  }
  Codebook codebook(const Bundle& bundle) const { return Codebook::of(bundle.view(), std::string("grace/") + kSite); }
};

TEST_F(Grace, AnswersItsOwnPromptAndLeavesFarOnesToTheLastBit) {
  const Patch patch = edit("grace", settings(small()), {request("moo", "cat")}, *base_);
  EXPECT_TRUE(patch.deltas.empty());
  const Bundle edited = with(*base_, patch);
  EXPECT_TRUE(same_parameters(*base_, edited.without_top()));
  EXPECT_LT(nll(edited, "moo", "cat"), 0.65 * nll(*base_, "moo", "cat"));
  // What was trained is what answers.
  EXPECT_NEAR(nll(edited, "moo", "cat"), patch.notes.at("loss").back(), 1e-3);
  EXPECT_NEAR(patch.notes.at("loss").front(), nll(*base_, "moo", "cat"), 1e-3) << "a warm value is the layer's own";
  for (const Prompt& far : {prompt("mew"), prompt("bark"), text_prompt()})
    EXPECT_TRUE(identical(logits(*base_, far), logits(edited, far)));
  EXPECT_FALSE(identical(logits(*base_, prompt("moo")), logits(edited, prompt("moo"))));
}

TEST_F(Grace, ActsInTheFirstCallAndAtItsLastRowOnly) {
  const Bundle edited = with(*base_, edit("grace", settings(small()), {request("moo", "cat")}, *base_));
  const Prompt own = prompt("moo");
  const Tensor before = logits(*base_, own), after = logits(edited, own);
  const std::int64_t rows = before.shape()[0];
  EXPECT_TRUE(identical(before.rows(0, rows - 1), after.rows(0, rows - 1)));
  EXPECT_FALSE(identical(before.rows(rows - 1, 1), after.rows(rows - 1, 1)));
  // The same token as a call of its own behind the rest of the prompt, as a continuation is: no entry may answer it.
  Prompt shorter = own;
  const std::int64_t last = shorter.ids.back();
  shorter.ids.pop_back();
  const Tensor alone = logits_of(session_, *base_, shorter, {last}, shorter.length());
  EXPECT_LT(largest_difference(alone, logits_of(session_, edited, shorter, {last}, shorter.length())), 1e-4);
  EXPECT_GT(largest_difference(alone, after.rows(rows - 1, 1)), 0.1);
}

TEST_F(Grace, OtherRowsCanBeReplacedInstead) {
  for (const char* rows : {"all", "prompt"}) {
    SCOPED_TRACE(rows);
    Settings how = settings(small());
    how["replace"] = rows;
    const Patch patch = edit("grace", how, {request("moo", "cat")}, *base_);
    const Bundle edited = with(*base_, patch);
    EXPECT_NEAR(nll(edited, "moo", "cat"), patch.notes.at("loss").back(), 1e-3);
    EXPECT_LT(nll(edited, "moo", "cat"), nll(*base_, "moo", "cat"));
    EXPECT_TRUE(identical(logits(*base_, prompt("mew")), logits(edited, prompt("mew"))));
  }
}

TEST_F(Grace, NoStepsFromTheLayersOwnOutputChangeNothingThatCanBeSeen) {
  Settings how = settings(small());
  how["steps"] = 0;
  const Bundle edited = with(*base_, edit("grace", how, {request("moo", "cat")}, *base_));
  const Tensor before = logits(*base_, prompt("moo"));
  EXPECT_LT(largest_difference(before, logits(edited, prompt("moo"))), 1e-4);
}

TEST_F(Grace, ASequenceGrowsOneCodebookAndComesOffInReverse) {
  const Settings how = settings(small());
  const Bundle first = with(*base_, edit("grace", how, {request("moo", "cat")}, *base_));
  const Bundle second = with(first, edit("grace", how, {request("mew", "dog")}, first));
  ASSERT_EQ(codebook(second).entries().size(), 2u);
  for (const auto& [name, label] : {std::pair{"moo", "cat"}, {"mew", "dog"}})
    EXPECT_LT(nll(second, name, label), 0.65 * nll(*base_, name, label)) << name;
  EXPECT_NEAR(nll(second, "moo", "cat"), nll(first, "moo", "cat"), 1e-5);
  EXPECT_TRUE(identical(logits(*base_, prompt("bark")), logits(second, prompt("bark"))));
  const Bundle undone = second.without_top();
  EXPECT_EQ(codebook(undone).entries(), codebook(first).entries());
  for (const char* name : {"moo", "mew", "bark"})
    EXPECT_TRUE(identical(logits(first, prompt(name)), logits(undone, prompt(name)))) << name;
  EXPECT_TRUE(identical(logits(*base_, prompt("moo")), logits(undone.without_top(), prompt("moo"))));
}

TEST_F(Grace, TheSamePromptWithAnotherAnswerReplacesItsEntry) {
  const Settings how = settings(small());
  const Bundle first = with(*base_, edit("grace", how, {request("moo", "cat")}, *base_));
  const Patch again = edit("grace", how, {request("moo", "dog")}, first);
  EXPECT_EQ(again.notes.at("distance"), std::vector<double>{0});
  const Bundle second = with(first, again);
  EXPECT_EQ(codebook(second).entries().size(), 1u);
  EXPECT_LT(nll(second, "moo", "dog"), 0.65 * nll(*base_, "moo", "dog"));
}

TEST_F(Grace, NearbyPromptsOfOneAnswerShareAnEntryAndOfTwoSplit) {
  const double gap = apart(key("moo"), key("mew"));
  const Settings how = settings(0.8 * gap);  // each within the radii of the other
  const Bundle first = with(*base_, edit("grace", how, {request("moo", "cat")}, *base_));
  const Bundle shared = with(first, edit("grace", how, {request("mew", "cat")}, first));
  EXPECT_EQ(codebook(shared).entries().size(), 1u);
  EXPECT_NEAR(codebook(shared).entries()[0].radius, gap, 1e-3 * gap);
  EXPECT_LT(nll(shared, "mew", "cat"), nll(*base_, "mew", "cat"));
  const Bundle split = with(first, edit("grace", how, {request("mew", "dog")}, first));
  EXPECT_EQ(codebook(split).entries().size(), 2u);
  EXPECT_NEAR(codebook(split).entries()[0].radius, gap / 2, 1e-3 * gap);
  EXPECT_LT(nll(split, "moo", "cat"), 0.65 * nll(*base_, "moo", "cat"));
  EXPECT_LT(nll(split, "mew", "dog"), 0.65 * nll(*base_, "mew", "dog"));
}

TEST_F(Grace, ABatchIsASequenceInOnePatch) {
  const Settings how = settings(small());
  const Bundle batch = with(*base_, edit("grace", how, {request("moo", "cat"), request("mew", "dog")}, *base_));
  const Bundle first = with(*base_, edit("grace", how, {request("moo", "cat")}, *base_));
  const Bundle second = with(first, edit("grace", how, {request("mew", "dog")}, first));
  EXPECT_EQ(codebook(batch).entries(), codebook(second).entries());
}

TEST_F(Grace, WithoutAnEntryItsPromptIsAnsweredAsBefore) {
  const Bundle both =
      with(*base_, edit("grace", settings(small()), {request("moo", "cat"), request("mew", "dog")}, *base_));
  const Site site = base_->site(kSite);
  Patch rest = edit("grace", settings(small()), {}, *base_);
  rest.inserts = {
      codebook_insert(*base_, std::string("grace/") + kSite, site, codebook(both).without(1), ReplacedRows::kLast)};
  const Bundle one = with(*base_, rest);
  EXPECT_TRUE(identical(logits(*base_, prompt("mew")), logits(one, prompt("mew"))));
  EXPECT_TRUE(identical(logits(both, prompt("moo")), logits(one, prompt("moo"))));
}

TEST_F(Grace, ARadiusIsMeasuredBetweenPromptsOfDifferentLabels) {
  // Each clip's nearest of another label; bark is given moo's label, so that their gap does not count.
  items_[2].label = "cow";
  const double measured = measured_radius(session_, *base_, base_->site(kSite), Corpus(items_), 64);
  const double moo = apart(key("moo"), key("mew")), bark = apart(key("bark"), key("mew"));
  std::vector<double> gaps{moo, bark, std::min(moo, bark)};
  std::sort(gaps.begin(), gaps.end());
  EXPECT_NEAR(measured, gaps[1] / 2, 1e-6 * measured);
  Settings how = settings(1);
  how["epsilon_init"] = "auto";
  EXPECT_EQ(edit("grace", how, {request("moo", "cat")}, *base_).notes.at("radius"), std::vector<double>{measured});
  for (CorpusItem& item : items_) item.label = "cow";
  EXPECT_THROW(measured_radius(session_, *base_, base_->site(kSite), Corpus(items_), 64), Error);
}

TEST_F(Grace, SaysWhatItNeeds) {
  const auto editor = make_editor("grace", {{"site", kSite}});
  EXPECT_THROW(editor->prepare(session_, *base_, nullptr), Error) << "a radius or a corpus";
  EXPECT_THROW(make_editor("grace", {{"site", "connector.1"}})->sites(*base_), Error);
  EXPECT_THROW(make_editor("grace", {{"epsilon_init", "wide"}}), Error);
  // A codebook whose memory was lost must not be begun again in its place.
  Patch forgetful = edit("grace", settings(small()), {request("moo", "cat")}, *base_);
  forgetful.memory.clear();
  const Bundle bundle = with(*base_, forgetful);
  EXPECT_THROW(edit("grace", settings(small()), {request("mew", "dog")}, bundle), Error);
}

TEST_F(Grace, APatchIsTheSameAfterAFileAndWithAnyNumberOfThreads) {
  std::vector<ContentHash> ids;
  for (const int threads : {1, 2, 4}) {
    Session session({.threads = threads});
    const Patch patch = edit("grace", settings(small()), {request("moo", "cat")}, *base_, session);
    patch.save(scratch_ / "patch.h5");
    ids.push_back(patch.id());
    EXPECT_EQ(Patch::load(scratch_ / "patch.h5").id(), ids[0]);
  }
  EXPECT_EQ(ids[1], ids[0]);
  EXPECT_EQ(ids[2], ids[0]);
}

// --- WISE ---

class Wise : public MemoryEditors {
 protected:
  // Distances and rates of a model of this size.
  static Settings settings() {
    return {
        {"site", kSite},     {"steps", 30},       {"learning_rate", 0.3}, {"mask_ratio", 0.4}, {"norm_bound", 0.5},
        {"alpha", 0.3},      {"beta", 2.0},       {"gamma", 1.0},         {"act_ratio", 0.85}, {"context_mode", "none"},
        {"outside_text", 1}, {"outside_audio", 2}};
  }
  Settings settings(const Settings& more) const {
    Settings all = settings();
    all.update(more);
    return all;
  }
  Tensor original() const { return own_weight(*base_, base_->site(kSite)); }
  SideMemory memory(const Bundle& bundle) const {
    return SideMemory::of(bundle, std::string("wise/") + kSite, original());
  }
  std::vector<std::int64_t> moved(const SideWeight& slot) const {
    std::vector<std::int64_t> elements;
    const Tensor own = original();
    for (std::int64_t i = 0; i < own.numel(); ++i)
      if (slot.weight.data<float>()[i] != own.data<float>()[i]) elements.push_back(i);
    return elements;
  }
};

TEST_F(Wise, AnswersTheRequestAndLeavesOtherPromptsToTheLastBit) {
  const Patch patch = edit("wise", settings(), {request("moo", "cat")}, *base_);
  EXPECT_TRUE(patch.deltas.empty());
  const Bundle edited = with(*base_, patch);
  EXPECT_LT(nll(edited, "moo", "cat"), 0.7 * nll(*base_, "moo", "cat"));
  EXPECT_TRUE(identical(logits(*base_, text_prompt()), logits(edited, text_prompt())));
  EXPECT_FALSE(identical(logits(*base_, prompt("moo")), logits(edited, prompt("moo"))));
  EXPECT_TRUE(identical(logits(*base_, prompt("moo")), logits(edited.without_top(), prompt("moo"))));
}

TEST_F(Wise, MovesWeightsWithinItsMaskAndBoundOnly) {
  const Settings how = settings({{"norm_bound", 0.05}});
  const Bundle edited = with(*base_, edit("wise", how, {request("moo", "cat")}, *base_));
  const SideMemory side = memory(edited);
  ASSERT_EQ(side.slots.size(), 1u);
  ASSERT_TRUE(side.open);
  const Tensor own = original();
  const std::vector<std::uint8_t> mask = draw_mask(side.mask_seed, own.numel(), 0.4);
  EXPECT_FALSE(moved(side.slots[0]).empty());
  for (const std::int64_t i : moved(side.slots[0])) {
    EXPECT_EQ(mask[static_cast<std::size_t>(i)], 1) << i;
    const float before = own.data<float>()[i];
    const float ulp =
        std::nextafter(std::abs(before) + 0.05F, std::numeric_limits<float>::infinity()) - (std::abs(before) + 0.05F);
    EXPECT_LE(std::abs(side.slots[0].weight.data<float>()[i] - before), 0.05F + ulp) << i;
  }
}

TEST_F(Wise, ARoutingThatIsNeverReachedIsTheModelItself) {
  const Bundle edited = with(*base_, edit("wise", settings({{"act_ratio", 1e30}}), {request("moo", "cat")}, *base_));
  for (const Prompt& any : {prompt("moo"), prompt("mew"), text_prompt()})
    EXPECT_TRUE(identical(logits(*base_, any), logits(edited, any)));
}

TEST_F(Wise, NoStepsAndNoRateAreNoChange) {
  for (const Settings& none :
       {Settings{{"steps", 0}}, Settings{{"learning_rate", 0.0}}, Settings{{"mask_ratio", 0.0}}}) {
    const Patch patch = edit("wise", settings(none), {request("moo", "cat")}, *base_);
    EXPECT_TRUE(patch.deltas.empty() && patch.inserts.empty() && patch.memory.empty()) << none;
  }
}

// Slots of random weights and thresholds: the nodes choose what the rule chooses, by distances that are measured beside
// them, and the answer is that of the model with the chosen weight in the layer's place.
TEST_F(Wise, TheNodesChooseAsTheRuleDoes) {
  const Site site = base_->site(kSite);
  const Graph activation = find_activation(*base_->graph(), site);
  const SideDistance distance(session_, *base_, site, original());
  const Prompt asked = prompt("moo");
  const SideDistance::Rows rows = distance.rows_of({asked, {}, 1, Objective::kTargetNew});
  std::map<std::optional<std::size_t>, int> met;
  for (std::uint64_t trial = 0; trial < 24; ++trial) {
    SCOPED_TRACE(trial);
    Rng rng = Rng(trial).fork("slots");
    SideMemory side;
    std::vector<double> distances;
    for (int slot = 0; slot < 3; ++slot) {
      Tensor weight = original().copy();
      for (std::int64_t i = 0; i < weight.numel(); ++i)
        weight.mutable_data<float>()[i] += static_cast<float>(0.2 * rng.normal());
      distances.push_back(distance.at(rows, weight));
      side.slots.push_back({weight, distances.back() * rng.uniform(0.6, 1.5), 1});
    }
    side.open = trial % 4 != 0;
    const Routing routing{.rule = trial % 3 == 0 ? RoutingRule::kMerge : RoutingRule::kRetrieve, .act_ratio = 1};
    const std::optional<std::size_t> chosen = route(side, routing, distances);
    ++met[chosen];
    Patch patch = edit("wise", settings(), {}, *base_);
    patch.inserts = {routing_insert(*base_, "wise/x", site, activation, side, routing)};
    const Tensor got = logits(with(*base_, patch), asked);
    if (!chosen) {
      EXPECT_TRUE(identical(got, logits(*base_, asked)));
      continue;
    }
    patch.inserts = {side_path_insert(*base_, "wise/x", site, side.slots[*chosen].weight)};
    EXPECT_LT(largest_difference(got, logits(with(*base_, patch), asked)), 1e-4);
    EXPECT_GT(largest_difference(got, logits(*base_, asked)), 1e-2);
  }
  EXPECT_EQ(met.size(), 4u) << "each slot and none";
}

TEST_F(Wise, EveryWayToMeasureACallAgreesWithItsRows) {
  const Site site = base_->site(kSite);
  const Graph activation = find_activation(*base_->graph(), site);
  SideMemory side;
  Tensor weight = original().copy();
  Rng rng(3);
  for (std::int64_t i = 0; i < weight.numel(); ++i)
    weight.mutable_data<float>()[i] += static_cast<float>(0.2 * rng.normal());
  const SideDistance distance(session_, *base_, site, original());
  const Prompt asked = prompt("moo");
  const SideDistance::Rows rows = distance.rows_of({asked, {}, 1, Objective::kTargetNew});
  double most = 0, mean = distance.at(rows, weight);
  for (std::int64_t row = 0; row < rows.keys.shape()[0]; ++row)
    most = std::max(most, distance.at({rows.keys.rows(row, 1), rows.base.rows(row, 1)}, weight));
  ASSERT_GT(most, 1.1 * mean);
  ASSERT_LE(asked.length(), 100);  // of the reference's rule
  side.open = true;
  for (const auto& [by, border] :
       {std::pair{RoutingDistance::kMean, mean}, {RoutingDistance::kMax, most}, {RoutingDistance::kReference, mean}})
    for (const double share : {0.999, 1.001}) {
      side.slots = {{weight, border * share, 1}};
      Patch patch = edit("wise", settings(), {}, *base_);
      patch.inserts = {routing_insert(*base_, "wise/x", site, activation, side, {.distance = by, .act_ratio = 1})};
      EXPECT_EQ(identical(logits(with(*base_, patch), asked), logits(*base_, asked)), share > 1);
    }
  // A row at a time: at a threshold between mean and maximum some rows change, and the first, which only reads itself,
  // changes if it is far itself.
  side.slots = {{weight, 0.999 * most, 1}};
  Patch patch = edit("wise", settings(), {}, *base_);
  patch.inserts = {
      routing_insert(*base_, "wise/x", site, activation, side, {.unit = RoutingUnit::kToken, .act_ratio = 1})};
  EXPECT_FALSE(patch.inserts[0].per_call);
  EXPECT_FALSE(identical(logits(with(*base_, patch), asked), logits(*base_, asked)));
}

TEST_F(Wise, EditsOfOneSlotGoOnWithinItsMaskAndComeOffInReverse) {
  const Bundle first = with(*base_, edit("wise", settings(), {request("moo", "cat")}, *base_));
  const Bundle second = with(first, edit("wise", settings(), {request("mew", "dog")}, first, session_, Rng(77)));
  const SideMemory before = memory(first), after = memory(second);
  ASSERT_EQ(after.slots.size(), 1u);
  EXPECT_EQ(after.mask_seed, before.mask_seed);
  EXPECT_EQ(after.slots[0].edits, 2);
  EXPECT_LE(after.slots[0].least_distance, before.slots[0].least_distance);
  const std::vector<std::uint8_t> mask = draw_mask(before.mask_seed, original().numel(), 0.4);
  for (const std::int64_t i : moved(after.slots[0])) EXPECT_EQ(mask[static_cast<std::size_t>(i)], 1);
  EXPECT_LT(nll(second, "mew", "dog"), nll(first, "mew", "dog"));
  EXPECT_TRUE(identical(memory(second.without_top()).slots[0].weight, before.slots[0].weight));
  EXPECT_TRUE(identical(logits(second.without_top(), prompt("moo")), logits(first, prompt("moo"))));
  EXPECT_TRUE(identical(logits(second.without_top().without_top(), prompt("moo")), logits(*base_, prompt("moo"))));
}

TEST_F(Wise, SlotsAreClosedAndMergedWhenTheyAreDue) {
  const Settings how = settings({{"save_every", 1}, {"merge_every", 3}, {"merge_density", 1.0}});
  Bundle bundle = *base_;
  std::vector<SideMemory> seen;
  for (const auto& [name, label] : {std::pair{"moo", "cat"}, {"mew", "dog"}, {"bark", "cow"}}) {
    bundle = with(bundle, edit("wise", how, {request(name, label)}, bundle));
    seen.push_back(memory(bundle));
    EXPECT_FALSE(seen.back().open);
  }
  ASSERT_EQ(seen[0].slots.size(), 1u);
  ASSERT_EQ(seen[1].slots.size(), 2u);
  EXPECT_TRUE(identical(seen[1].slots[0].weight, seen[0].slots[0].weight)) << "a closed slot stays";
  EXPECT_NE(moved(seen[1].slots[0]), moved(seen[1].slots[1])) << "each slot has a mask of its own";
  ASSERT_EQ(seen[2].slots.size(), 1u) << "the third edit merged three";
  EXPECT_EQ(seen[2].slots[0].edits, 3);
  EXPECT_TRUE(identical(memory(bundle.without_top()).slots[1].weight, seen[1].slots[1].weight));
}

TEST_F(Wise, ABatchIsASequenceInOnePatch) {
  const Settings how = settings();
  const Bundle batch = with(*base_, edit("wise", how, {request("moo", "cat"), request("mew", "dog")}, *base_));
  EXPECT_EQ(memory(batch).slots.size(), 1u);
  EXPECT_EQ(memory(batch).edits, 2);
  EXPECT_LT(nll(batch, "mew", "dog"), nll(*base_, "mew", "dog"));
}

TEST_F(Wise, SaysWhatItNeeds) {
  const auto editor = make_editor("wise", {{"site", kSite}});
  EXPECT_THROW(editor->prepare(session_, *base_, nullptr), Error);
  EXPECT_NO_THROW(make_editor("wise", {{"outside_text", 0}, {"outside_audio", 0}})->prepare(session_, *base_, nullptr));
  EXPECT_THROW(make_editor("wise", {{"site", "decoder.block.1.attn.o"}})->sites(*base_), Error);
  EXPECT_THROW(make_editor("wise", {{"wise_route", "per_sequence"}}), Error);
  Patch forgetful = edit("wise", settings(), {request("moo", "cat")}, *base_);
  forgetful.memory.clear();
  EXPECT_THROW(edit("wise", settings(), {request("mew", "dog")}, with(*base_, forgetful)), Error);
}

TEST_F(Wise, APatchIsTheSameAfterAFileAndWithAnyNumberOfThreads) {
  std::vector<ContentHash> ids;
  for (const int threads : {1, 2, 4}) {
    Session session({.threads = threads});
    const Patch patch =
        edit("wise", settings({{"context_mode", "audio_aug"}, {"steps", 5}}), {request("moo", "cat")}, *base_, session);
    patch.save(scratch_ / "patch.h5");
    ids.push_back(patch.id());
    EXPECT_EQ(Patch::load(scratch_ / "patch.h5").id(), ids[0]);
  }
  EXPECT_EQ(ids[1], ids[0]);
  EXPECT_EQ(ids[2], ids[0]);
}

// --- 16 bits ---

TEST_F(MemoryEditors, ModelsIn16BitsAreEditedToo) {
  for (const DType type : {DType::kF16, DType::kBF16}) {
    SCOPED_TRACE(dtype_name(type));
    const std::filesystem::path folder = scratch_ / std::string(dtype_name(type));
    write_tiny_bundle(folder, {.stored = type, .arithmetic = type});
    const Bundle half = Bundle::open(folder);
    const std::vector<EditRequest> what = {request("moo", "cat")};
    for (const auto& [method, settings] :
         std::vector<std::pair<std::string, Settings>>{{"grace",
                                                        {{"site", kSite},
                                                         {"epsilon_init", 0.2 * apart(key("moo"), key("mew"))},
                                                         {"init", "warm"},
                                                         {"steps", 60},
                                                         {"learning_rate", 0.2}}},
                                                       {"wise",
                                                        {{"site", kSite},
                                                         {"steps", 20},
                                                         {"learning_rate", 0.3},
                                                         {"mask_ratio", 0.4},
                                                         {"alpha", 0.3},
                                                         {"beta", 2.0},
                                                         {"gamma", 1.0},
                                                         {"context_mode", "none"}}}}) {
      SCOPED_TRACE(method);
      const Bundle edited = with(half, edit(method, settings, what, half));
      EXPECT_LT(nll(edited, "moo", "cat"), 0.8 * nll(half, "moo", "cat"));
      const Prompt text = text_prompt();
      EXPECT_TRUE(identical(logits(half, text), logits(edited, text)));
    }
  }
}

}  // namespace
}  // namespace retune
