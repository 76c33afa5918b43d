#include "editors/wise.h"

#include <algorithm>
#include <numeric>

#include "editors/mechanisms/context_views.h"
#include "editors/mechanisms/side_routing.h"
#include "editors/mechanisms/side_training.h"
#include "lalm/activation.h"
#include "lalm/answer.h"
#include "tensor/error.h"

namespace retune {

namespace {

// Corpus items that a request does not mean: with or without sound, never those that the new answer is to reach.
std::vector<const CorpusItem*> outside_items(const Corpus& corpus, const EditRequest& request, bool sound) {
  std::vector<const CorpusItem*> items;
  for (const CorpusItem& item : corpus.items()) {
    const std::string& label = item.label.empty() ? item.answer : item.label;
    const bool meant = !item.attribute.empty() && item.attribute == request.attribute && label == request.old_label;
    if (item.clip.has_value() == sound && !meant) items.push_back(&item);
  }
  return items;
}

double mean(const std::vector<double>& values) {
  return std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
}

class Wise : public Editor {
 public:
  Wise(EditorInfo info, Settings settings) : info_(std::move(info)), settings_(std::move(settings)) {}
  const EditorInfo& info() const override { return info_; }
  const Settings& settings() const override { return settings_; }
  std::vector<Site> sites(const Bundle& bundle) const override { return {site_in(bundle)}; }

  Prepared prepare(Session& session, const Bundle& bundle, const Corpus* corpus,
                   const StepObserver& observer) const override {
    if (corpus == nullptr && integer("outside_text") + integer("outside_audio") > 0)
      throw user_error(
          "wise: the prompts that must keep their answers come from a corpus; give the recipe one, or set outside_text "
          "and outside_audio to 0");
    return Editor::prepare(session, bundle, corpus, observer);
  }

  Patch edit(Session& session, const Bundle& bundle, std::span<const EditRequest> requests, const Prepared& prepared,
             Rng rng, const StepObserver& observer) const override {
    Patch patch = empty_patch(*this, bundle, requests);
    if (requests.empty()) return patch;
    const Site site = site_in(bundle);
    const std::string name = "wise/" + site.name;
    const Tensor original = own_weight(bundle, site);
    const SideMemory before = SideMemory::of(bundle, name, original);
    SideMemory memory = before;
    for (std::size_t i = 0; i < requests.size(); ++i) {
      const Rng own = rng.fork("request", i);
      if (!memory.open) open_slot(memory, original, own.fork("mask", static_cast<std::uint64_t>(memory.edits)));
      SideProblem problem{.site = site,
                          .insert = name,
                          .inside = inside_lessons(session, bundle, requests[i], own),
                          .outside = outside_lessons(session, bundle, requests[i], prepared, own),
                          .original = original,
                          .start = memory.slots.back().weight,
                          .mask = draw_mask(memory.mask_seed, original.numel(), real("mask_ratio"))};
      take(patch, memory, train_side_weight(session, bundle, problem, side_options(), observer), original);
    }
    patch.notes["slots"] = {static_cast<double>(memory.slots.size())};
    const auto moved = [&](const SideWeight& slot) { return !identical(slot.weight, original); };
    if (std::none_of(memory.slots.begin(), memory.slots.end(), moved)) return patch;
    patch.memory = memory.changes_since(before, original, name);
    patch.inserts.push_back(
        routing_insert(bundle, name, site, find_activation(*bundle.graph(), site), memory, routing()));
    return patch;
  }

 private:
  std::string text(const char* name) const { return settings_.at(name).get<std::string>(); }
  double real(const char* name) const { return settings_.at(name).get<double>(); }
  std::int64_t integer(const char* name) const { return settings_.at(name).get<std::int64_t>(); }

  Site site_in(const Bundle& bundle) const {
    Site site = bundle.site(part_in(bundle.sites(), text("site")));
    if (!site.name.starts_with("decoder.block.") || !site.name.ends_with(".mlp.down"))
      throw user_error("wise: site '{}' must be the down-projection of a decoder block's MLP, decoder.block.N.mlp.down",
                       site.name);
    return site;
  }

  static void open_slot(SideMemory& memory, const Tensor& original, Rng rng) {
    memory.open = true;
    memory.mask_seed = (static_cast<std::uint64_t>(rng.bits()) << 32) | rng.bits();
    memory.slots.push_back({.weight = original});
  }

  // The request and its contexts, each to be answered with the new label.
  std::vector<Lesson> inside_lessons(Session& session, const Bundle& bundle, const EditRequest& request,
                                     const Rng& rng) const {
    std::vector<Lesson> lessons;
    for (ContextView& context : context_views(session, bundle, request, context_options(settings_), rng.fork("views")))
      lessons.push_back({std::move(context.view.prompt), target_ids(bundle, request.new_label), context.weight,
                         Objective::kTargetNew});
    return lessons;
  }

  std::vector<Lesson> outside_lessons(Session& session, const Bundle& bundle, const EditRequest& request,
                                      const Prepared& prepared, const Rng& rng) const {
    std::vector<Lesson> lessons;
    for (const bool sound : {false, true}) {
      const std::int64_t wanted = integer(sound ? "outside_audio" : "outside_text");
      if (wanted == 0) continue;
      if (!prepared.corpus) throw user_error("wise: the prompts that must keep their answers come from a corpus");
      std::vector<const CorpusItem*> items = outside_items(*prepared.corpus, request, sound);
      Rng draw = rng.fork(sound ? "outside audio" : "outside text");
      draw.shuffle(items);
      items.resize(std::min(items.size(), static_cast<std::size_t>(wanted)));
      for (const CorpusItem* item : items) {
        const auto clip = item->clip ? std::optional(load_waveform(item->clip->locate())) : std::nullopt;
        Lesson lesson{prompt_for(session, bundle, item->question, clip), {}, 1, Objective::kTargetNew};
        if (!item->answer.empty()) lesson.target = target_ids(bundle, item->answer);
        lessons.push_back(std::move(lesson));
      }
    }
    return lessons;
  }

  SideOptions side_options() const {
    return {.steps = integer("steps"),
            .learning_rate = real("learning_rate"),
            .weight_decay = real("weight_decay"),
            .reference_decay = settings_.at("reference_decay").get<bool>(),
            .bound = real("norm_bound"),
            .alpha = real("alpha"),
            .beta = real("beta"),
            .gamma = real("gamma")};
  }

  Routing routing() const {
    const std::string distance = text("wise_infer_distance");
    return {.distance = distance == "mean"  ? RoutingDistance::kMean
                        : distance == "max" ? RoutingDistance::kMax
                                            : RoutingDistance::kReference,
            .unit = text("wise_route") == "per_call" ? RoutingUnit::kCall : RoutingUnit::kToken,
            .rule = text("mode") == "retrieve" ? RoutingRule::kRetrieve : RoutingRule::kMerge,
            .act_ratio = real("act_ratio")};
  }

  // What an edit leaves in the memory, and the slot's end where it is due.
  void take(Patch& patch, SideMemory& memory, SideTraining training, const Tensor& original) const {
    SideWeight& slot = memory.slots.back();
    slot.weight = std::move(training.weight);
    if (!training.distances.empty()) {
      slot.least_distance = std::min(slot.least_distance, mean(training.distances));
      patch.notes["distance"].push_back(mean(training.distances));
    }
    ++slot.edits;
    ++memory.edits;
    std::vector<double>& losses = patch.notes["loss"];
    losses.insert(losses.end(), training.losses.begin(), training.losses.end());
    patch.notes.try_emplace("updates", 1, 0.0).first->second[0] += static_cast<double>(training.updates);
    if (slot.edits == integer("save_every")) memory.open = false;
    if (memory.edits % integer("merge_every") == 0) memory.merge_closed(original, real("merge_density"));
  }

  EditorInfo info_;
  Settings settings_;
};

std::unique_ptr<const Editor> make(const EditorInfo& info, Settings settings) {
  return std::make_unique<Wise>(info, std::move(settings));
}

std::vector<Setting> training_settings() {
  const auto number = Setting::Type::kNumber;
  const auto integer = Setting::Type::kInteger;
  return {
      {"site",
       Setting::Type::kText,
       "decoder.block.80%.mlp.down",
       {},
       {},
       {},
       "the down-projection beside which the memory lies; the block may be a number, 'last', or a share of the depth"},
      {"steps", integer, 50, 0, 100000, {}, "steps at most"},
      {"learning_rate", number, 1.0, 0, 1e6, {}, "rate of the gradient descent"},
      {"weight_decay", number, 1e-5, 0, 1, {}, "decay of the side weight"},
      {"reference_decay",
       Setting::Type::kBoolean,
       false,
       {},
       {},
       {},
       "let the decay act outside the mask too, as the reference does, which drifts there"},
      {"mask_ratio", number, 0.2, 0, 1, {}, "share of the weight's elements that a slot may move"},
      {"norm_bound", number, 1.0, 0, 1e6, {}, "how far an element may move from the model's own"},
      {"alpha", number, 5.0, 0, 1e9, {}, "distance that other prompts should stay below"},
      {"beta", number, 20.0, 0, 1e9, {}, "distance that the request should go beyond"},
      {"gamma", number, 10.0, 0, 1e9, {}, "distance that should lie between the request and other prompts"},
      {"outside_text", integer, 10, 0, 10000, {}, "prompts without sound of the corpus that should stay near"},
      {"outside_audio", integer, 10, 0, 10000, {}, "prompts with sound of the corpus that should stay near"}};
}

std::vector<Setting> memory_settings() {
  const auto number = Setting::Type::kNumber;
  const auto text = Setting::Type::kText;
  const auto integer = Setting::Type::kInteger;
  return {{"act_ratio", number, 0.88, 0, 1e30, {}, "threshold of the routing, as a share of the edits' least distance"},
          {"save_every", integer, 500, 1, 1000000, {}, "edits after which a slot is closed and another begins"},
          {"merge_every", integer, 1000, 1, 1000000, {}, "edits after which the closed slots become one"},
          {"merge_density", number, 0.53, 0, 1, {}, "share of each change that TIES keeps"},
          {"mode",
           text,
           "retrieve",
           {},
           {},
           {"retrieve", "merge"},
           "retrieve: each slot has its own threshold, the open one is asked first; merge: the farthest slot answers"},
          {"wise_infer_distance",
           text,
           "mean",
           {},
           {},
           {"mean", "max", "ref"},
           "distance of a call: the mean over its rows, the maximum, or the reference's maximum above 100 rows"},
          {"wise_route",
           text,
           "per_call",
           {},
           {},
           {"per_call", "per_token"},
           "one decision for all rows of a call (the prompt, then each continuation), or one a row"}};
}

}  // namespace

EditingMethod wise_method() {
  EditingMethod method;
  method.info = {"wise",
                 "trains a weight beside an MLP's own, and routes by activation which of them answers",
                 "arXiv 2405.14768",
                 "a corpus",
                 true,
                 true};
  method.settings = training_settings();
  for (Setting& setting : memory_settings()) method.settings.push_back(std::move(setting));
  for (Setting& setting : context_settings("audio_aug")) method.settings.push_back(std::move(setting));
  method.make = make;
  return method;
}

}  // namespace retune
