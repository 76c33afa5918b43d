#include "editors/unke.h"

#include <algorithm>
#include <cmath>

#include "editors/mechanisms/key_collector.h"
#include "editors/mechanisms/target_optimizer.h"
#include "learning/part_fitting.h"
#include "learning/site_weight.h"
#include "tensor/error.h"

namespace retune {

namespace {

// A prompt, and what follows it, as the block is to read it.
struct Read {
  Prompt prompt;
  std::vector<std::int64_t> continuation;
};

class Unke : public Editor {
 public:
  Unke(EditorInfo info, Settings settings) : info_(std::move(info)), settings_(std::move(settings)) {}
  const EditorInfo& info() const override { return info_; }
  const Settings& settings() const override { return settings_; }

  // All weights that belong to the block alone: attention, MLP, norms.
  std::vector<Site> sites(const Bundle& bundle) const override {
    const Site end = residual(bundle);
    std::string before;
    if (const std::int64_t block = number_of(end.name); block > 0)
      before = bundle.site(fmt::format("decoder.block.{}.residual", block - 1)).value;
    return sites_acting_through(*bundle.text_graph(), bundle.sites_in(block_in(bundle)), end.value, before);
  }

  Prepared prepare(Session& session, const Bundle& bundle, const Corpus* corpus,
                   const StepObserver& observer) const override {
    Prepared prepared = Editor::prepare(session, bundle, corpus, observer);
    prepared.part = part_of(bundle);
    return prepared;
  }

  Patch edit(Session& session, const Bundle& bundle, std::span<const EditRequest> requests, const Prepared& prepared,
             Rng rng, const StepObserver& observer) const override {
    Patch patch = empty_patch(*this, bundle, requests);
    if (requests.empty()) return patch;
    const bool plain = bundle.graph() == without_patches(bundle).graph();
    const ModelPart part = plain && prepared.part ? *prepared.part : part_of(bundle);
    std::vector<PartExample> examples;
    double rows = 0;
    for (const EditRequest& request : requests) {
      examples.push_back(example_of(session, bundle, request, prepared.losses, part, patch, observer));
      rows += static_cast<double>(examples.back().rows);
    }
    const double width = static_cast<double>(residual(bundle).out);
    for (PartExample& example : examples) example.weight = 1 / (rows * width);
    for (PartExample& example : kept(session, bundle, prepared, part, rng.fork("preserve"), width, patch))
      examples.push_back(std::move(example));
    PartFitResult result = fit_part(session, bundle, part, sites(bundle), examples, fit_options(), observer);
    patch.deltas = std::move(result.deltas);
    patch.notes["block_loss"] = std::move(result.losses);
    return patch;
  }

 private:
  std::string block_in(const Bundle& bundle) const {
    const std::string block = part_in(bundle.sites(), settings_.at("block").get<std::string>());
    if (!block.starts_with("decoder.block.") || block.find('.', 14) != std::string::npos)
      throw user_error("{}: '{}' is no block of the decoder; choose one such as decoder.block.3", info_.word, block);
    return block;
  }
  Site residual(const Bundle& bundle) const { return bundle.site(block_in(bundle) + ".residual"); }
  static std::int64_t number_of(const std::string& residual) { return std::stoll(residual.substr(14)); }

  ModelPart part_of(const Bundle& bundle) const {
    std::vector<std::string> weights;
    for (const Site& site : sites(bundle)) weights.push_back(site.weight);
    return cut_part(*bundle.text_graph(), residual(bundle).value, weights);
  }

  PartFitOptions fit_options() const {
    return {settings_.at("steps").get<std::int64_t>(), settings_.at("learning_rate").get<double>(),
            settings_.at("weight_decay").get<double>()};
  }

  // What the block reads of a prompt in the model as it stands.
  PartExample read(Session& session, const Bundle& bundle, const ModelPart& part, const Read& what) const {
    SuffixRequest suffix = suffix_request(session, bundle, what.prompt, what.continuation, 0);
    suffix.request.outputs = part.leaves;
    const Results results = session.run(suffix.graph, bundle.parameters(), suffix.request);
    PartExample example;
    example.rows = what.prompt.length() + static_cast<std::int64_t>(what.continuation.size());
    for (const auto& [name, feed] : suffix.request.inputs)
      if (part.graph->find(name) != kNoValue) example.inputs[name] = feed;
    for (const std::string& leaf : part.leaves) {
      const Tensor& tensor = results[leaf].tensor;
      if (tensor.shape().rank() < 2 || tensor.shape()[0] != 1 || tensor.shape()[1] != example.rows)
        throw user_error("{}: the block reads '{}' {}, which has no row a token; it cannot be trained alone",
                         info_.word, leaf, tensor.text());
      example.inputs[leaf] = results[leaf];
    }
    return example;
  }

  // The request's prompt, whose last row is to be what it is now plus the vector that makes the answer likely.
  PartExample example_of(Session& session, const Bundle& bundle, const EditRequest& request, const LossGraphs& losses,
                         const ModelPart& part, Patch& patch, const StepObserver& observer) const {
    const Site site = residual(bundle);
    const std::vector<ContextView> views =
        context_views(session, bundle, request, {ContextMode::kNone, {}, {}}, Rng(0));
    const std::vector<SiteReading> readings = read_site(session, bundle, site, parse_selector("last_prompt"), views);
    Settings target_settings = settings_;
    target_settings["kl_weight"] = 0.0;
    const TargetProblem problem{site,         views,       readings, target_ids(bundle, request.new_label),
                                std::nullopt, std::nullopt};
    const TargetVector target =
        optimize_target(session, bundle, losses, problem, target_options(target_settings), observer);
    PartExample example = read(session, bundle, part, {views[0].view.prompt, {}});
    example.shifted_row = views[0].view.prompt.length() - 1;
    example.shift = target.delta;
    auto& notes = patch.notes;
    notes["loss"].insert(notes["loss"].end(), target.losses.begin(), target.losses.end());
    notes["updates"].push_back(static_cast<double>(target.updates));
    notes["target_norm"].push_back(length(target.delta));
    notes["start_norm"].push_back(length(target.start));
    return example;
  }

  static double length(const std::vector<double>& vector) {
    double sum = 0;
    for (const double item : vector) sum += item * item;
    return std::sqrt(sum);
  }

  // Items of the corpus, drawn anew for each edit, at which the block is to give what it gives now.
  std::vector<PartExample> kept(Session& session, const Bundle& bundle, const Prepared& prepared, const ModelPart& part,
                                Rng rng, double width, Patch& patch) const {
    std::vector<PartExample> examples;
    double rows = 0;
    for (const char* kind : {"text", "audio"})
      for (const CorpusItem& item : draw(prepared.corpus, kind, rng.fork(kind))) {
        const std::optional<Waveform> sound =
            item.clip ? std::optional(load_waveform(item.clip->locate())) : std::nullopt;
        const std::vector<std::int64_t> answer =
            item.answer.empty() ? std::vector<std::int64_t>{} : target_ids(bundle, item.answer);
        examples.push_back(read(session, bundle, part, {prompt_for(session, bundle, item.question, sound), answer}));
        rows += static_cast<double>(examples.back().rows);
      }
    for (PartExample& example : examples) example.weight = 1 / (rows * width);
    patch.notes["preserved"] = {static_cast<double>(examples.size())};
    return examples;
  }

  // All there are where there are fewer than asked for.
  std::vector<CorpusItem> draw(const std::optional<Corpus>& corpus, const std::string& kind, Rng rng) const {
    const auto count = settings_.at("preserve_" + kind).get<std::size_t>();
    if (count == 0) return {};
    if (!corpus)
      throw user_error(
          "{}: preserve_{} is {}, but there is no corpus to draw from; name one in the recipe (\"corpus\"), or set "
          "preserve_text and preserve_audio to 0",
          info_.word, kind, count);
    std::vector<CorpusItem> items;
    for (const CorpusItem& item : corpus->items())
      if (item.clip.has_value() == (kind == "audio")) items.push_back(item);
    rng.shuffle(items);
    items.resize(std::min(items.size(), count));
    return items;
  }

  EditorInfo info_;
  Settings settings_;
};

std::unique_ptr<const Editor> make(const EditorInfo& info, Settings settings) {
  return std::make_unique<Unke>(info, std::move(settings));
}

// Those of the shared target vector that one bare prompt has, with the method's own defaults.
std::vector<Setting> own_target_settings() {
  std::vector<Setting> own;
  for (Setting& setting : target_settings()) {
    if (setting.name.starts_with("kl_")) continue;
    if (setting.name == "target_learning_rate") setting.fallback = 0.5;
    if (setting.name == "target_clamp") setting.fallback = 4.0;
    if (setting.name == "target_stop_loss") setting.fallback = 0.0;
    own.push_back(std::move(setting));
  }
  return own;
}

}  // namespace

EditingMethod unke_method() {
  const auto number = Setting::Type::kNumber;
  const auto integer = Setting::Type::kInteger;
  EditingMethod method;
  method.info = {"unke",
                 "a whole block learns to give one vector at the last prompt token and the same elsewhere",
                 "arXiv 2405.15349",
                 "a corpus of what is to stay, unless preserve_text and preserve_audio are 0",
                 true,
                 true};
  method.settings = {
      {"block",
       Setting::Type::kText,
       "decoder.block.55%",
       {},
       {},
       {},
       "the block whose weights are trained: decoder.block.N, N a number, 'last' or a share of the depth"},
      {"steps", integer, 50, 0, 100000, {}, "steps of the block's training"},
      {"learning_rate", number, 2e-4, 0, 1e3, {}, "AdamW's rate for the block"},
      {"weight_decay", number, 0.01, 0, 1e3, {}, "AdamW's decay of the block's matrices"},
      {"preserve_text", integer, 20, 0, 100000, {}, "items of text drawn from the corpus whose outputs are to stay"},
      {"preserve_audio",
       integer,
       5,
       0,
       100000,
       {},
       "items with sound drawn from the corpus whose outputs are to stay"}};
  for (Setting& setting : own_target_settings()) method.settings.push_back(std::move(setting));
  method.make = make;
  return method;
}

}  // namespace retune
