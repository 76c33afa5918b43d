#include "editors/lora.h"

#include <algorithm>
#include <cmath>

#include "editors/mechanisms/adapter_memory.h"
#include "editors/mechanisms/request_lessons.h"
#include "editors/mechanisms/site_pattern.h"
#include "learning/site_weight.h"
#include "tensor/error.h"

namespace retune {

namespace {

class Lora : public Editor {
 public:
  Lora(EditorInfo info, Settings settings) : info_(std::move(info)), settings_(std::move(settings)) {}
  const EditorInfo& info() const override { return info_; }
  const Settings& settings() const override { return settings_; }

  std::vector<Site> sites(const Bundle& bundle) const override {
    std::vector<Site> found = linear_sites(bundle, texts_of(settings_, "sites"));
    for (const Site& site : found) {
      if (!beside()) require_editable(site);
      if (const std::int64_t most = std::min(site.in, site.out); rank() > most)
        throw user_error("{}: rank {} is larger than the matrix of '{}' [{}, {}]; choose 1 to {}", info_.word, rank(),
                         site.name, site.out, site.in, most);
    }
    return found;
  }

  // The loss graphs have the paths: they depend on the sites and the settings, not on the edit.
  Prepared prepare(Session& session, const Bundle& bundle, const Corpus* corpus,
                   const StepObserver& observer) const override {
    Prepared prepared = Editor::prepare(session, bundle, corpus, observer);
    prepared.losses = paths_beside(prepared.losses, sites(bundle));
    return prepared;
  }

  Patch edit(Session& session, const Bundle& bundle, std::span<const EditRequest> requests, const Prepared& prepared,
             Rng rng, const StepObserver& observer) const override {
    Patch patch = empty_patch(*this, bundle, requests);
    if (requests.empty()) return patch;
    const bool stacks = text("adapter") == "stack";
    const auto before = stacks ? std::nullopt : adapter_beneath(bundle, info_.word);
    const Bundle model = before ? without_adapter(bundle, info_.word) : bundle;
    const std::vector<Site> targets = sites(model);
    if (before) require_same_place(*before, targets);
    const std::vector<Lesson> lessons =
        request_lessons(session, model, requests, context_options(settings_), Objective::kTargetNew, rng);
    LowRankResult result =
        tune_low_rank(session, model, losses_of(model, prepared, targets), targets, lessons,
                      start(before, targets, rng.fork("init")), options(), rng.fork("train"), observer);
    const AdapterState now{std::move(result.adapter), scale(), number("lora_scale_discount"), beside()};
    put(patch, model, targets, now, before ? &*before : nullptr, stacks);
    if (!stacks) remember(patch, now);
    patch.notes["loss"] = std::move(result.losses);
    patch.notes["updates"] = {static_cast<double>(result.updates)};
    patch.notes["scale"] = {now.factor()};
    return patch;
  }

 private:
  // The adapter in the place of what was before it.
  void put(Patch& patch, const Bundle& model, const std::vector<Site>& targets, const AdapterState& now,
           const AdapterState* before, bool stacks) const {
    for (const Site& site : targets)
      if (!beside()) {
        if (auto delta = adapter_delta(model, site, now, before)) patch.deltas.push_back(std::move(*delta));
      } else {
        // Those of a stack stand side by side: each has the number of its place.
        const std::string number = stacks ? fmt::format(".{}", patch.beneath.size()) : std::string();
        const std::string name = fmt::format("{}{}/{}", info_.word, number, site.name);
        if (auto insert = adapter_insert(model, name, site, now, before)) patch.inserts.push_back(std::move(*insert));
      }
  }

  bool beside() const { return text("place") == "beside"; }
  std::string text(const char* name) const { return settings_.at(name).get<std::string>(); }
  double number(const char* name) const { return settings_.at(name).get<double>(); }
  std::int64_t rank() const { return settings_.at("rank").get<std::int64_t>(); }

  // s: alpha / r, or alpha / sqrt(r), which keeps the path's size as r grows (Kalajdzievski 2023, arXiv 2312.03732).
  double scale() const {
    const auto r = static_cast<double>(rank());
    return number("alpha") / (settings_.at("rank_stabilised").get<bool>() ? std::sqrt(r) : r);
  }

  LowRankOptions options() const {
    return {settings_.at("steps").get<std::int64_t>(), number("learning_rate"), number("weight_decay"),
            number("stop_loss"), number("dropout")};
  }

  LossGraphs paths_beside(const LossGraphs& losses, const std::vector<Site>& targets) const {
    return with_low_rank_paths(losses, targets, scale(),
                               number("dropout") > 0 ? PathDropout::kMasked : PathDropout::kNone);
  }

  // What was prepared is of the model's own graph; nodes that a patch beneath has added need another.
  LossGraphs losses_of(const Bundle& model, const Prepared& prepared, const std::vector<Site>& targets) const {
    if (model.graph() == without_patches(model).graph()) return prepared.losses;
    return paths_beside(loss_graphs(model), targets);
  }

  void require_same_place(const AdapterState& before, const std::vector<Site>& targets) const {
    if (before.beside != beside())
      throw user_error(
          "{}: the adapter in a patch beneath is {} the weights, these settings put one {} them; edit with its place, "
          "or "
          "with adapter 'stack'",
          info_.word, before.beside ? "beside" : "merged into", beside() ? "beside" : "into");
    const bool same = before.adapter.size() == targets.size() &&
                      std::all_of(targets.begin(), targets.end(),
                                  [&](const Site& site) { return before.adapter.contains(site.name); });
    if (!same)
      throw user_error(
          "{}: the adapter in a patch beneath stands at {} sites, these settings name {} that are not the same; edit "
          "with its sites, or with adapter 'stack'",
          info_.word, before.adapter.size(), targets.size());
  }

  LowRankAdapter start(const std::optional<AdapterState>& before, const std::vector<Site>& targets,
                       const Rng& rng) const {
    LowRankAdapter adapter;
    if (!before || text("adapter") == "reset") {
      for (const Site& site : targets) adapter[site.name] = fresh_factors(site, rank(), rng);
      return adapter;
    }
    for (const auto& [site, factors] : before->adapter)
      if (factors.a.shape()[0] != rank() || before->scale != scale())
        throw user_error(
            "{}: the adapter in a patch beneath has rank {} and scale {:g}, these settings give rank {} and scale "
            "{:g}; "
            "go on with its rank, alpha and rank_stabilised, or set adapter to 'stack' or 'reset'",
            info_.word, factors.a.shape()[0], before->scale, rank(), scale());
    return before->adapter;
  }

  EditorInfo info_;
  Settings settings_;
};

std::unique_ptr<const Editor> make(const EditorInfo& info, Settings settings) {
  return std::make_unique<Lora>(info, std::move(settings));
}

}  // namespace

EditingMethod lora_method() {
  const auto number = Setting::Type::kNumber;
  const auto integer = Setting::Type::kInteger;
  const auto text = Setting::Type::kText;
  EditingMethod method;
  method.info = {
      "lora", "a low-rank adapter beside linear layers learns the answer", "arXiv 2106.09685", "nothing", true, true};
  method.settings = {
      {"sites",
       Setting::Type::kTexts,
       Settings::array({"decoder.block.*.attn.q", "decoder.block.*.attn.v"}),
       {},
       {},
       {},
       "linear layers that get an adapter: sites or parts of the model, '*' for every block; any layer of decoder, "
       "connector and encoder"},
      {"rank", integer, 8, 1, 65536, {}, "inner width r of the adapter"},
      {"alpha", number, 32, 0, 1e6, {}, "the adapter's scale is alpha / rank"},
      {"rank_stabilised", Setting::Type::kBoolean, false, {}, {}, {}, "make the scale alpha / sqrt(rank) instead"},
      {"dropout", number, 0.1, 0, 0.99, {}, "share of the adapter's input that is dropped at each training step"},
      {"steps", integer, 60, 0, 100000, {}, "steps at most"},
      {"learning_rate", number, 5e-3, 0, 1e3, {}, "Adam's rate"},
      {"weight_decay", number, 0, 0, 1e3, {}, "decoupled decay of the adapter's factors"},
      {"stop_loss", number, 0, 0, 1e6, {}, "loss in nats a token below which to stop; 0: never"},
      {"lora_scale_discount",
       number,
       1,
       0,
       1,
       {},
       "what the adapter's scale is multiplied by in the edited model, after training without it: less of the new for "
       "more of the old"},
      {"place",
       text,
       "merged",
       {},
       {},
       {"merged", "beside"},
       "merged into the weights, or beside them as nodes of their own: MatMul, MatMul, Mul and Add at each layer"},
      {"adapter",
       text,
       "accumulate",
       {},
       {},
       {"accumulate", "stack", "reset"},
       "over several edits: go on with the adapter of the edits before, put another upon it, or begin anew without "
       "it"}};
  for (Setting& setting : context_settings("none")) method.settings.push_back(std::move(setting));
  method.make = make;
  return method;
}

}  // namespace retune
