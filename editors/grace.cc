#include "editors/grace.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "editors/mechanisms/aside.h"
#include "lalm/answer.h"
#include "tensor/error.h"

namespace retune {

namespace {

constexpr const char* kRadius = "grace radius";  // of Prepared::measures

std::string insert_name(const Site& site) { return "grace/" + site.name; }

// Rows of the prompt that the export will replace, for a request that evaluates them.
Placement placement_of(ReplacedRows rows, const Prompt& prompt, const Placement& last) {
  if (rows == ReplacedRows::kLast) return last;
  Placement placement;
  placement.rows.resize(static_cast<std::size_t>(prompt.length() - (rows == ReplacedRows::kPrompt ? 1 : 0)));
  std::iota(placement.rows.begin(), placement.rows.end(), 0);
  placement.positions = placement.rows;
  return placement;
}

std::vector<double> cold_value(std::int64_t width, Rng rng) {
  std::vector<double> value(static_cast<std::size_t>(width));
  for (double& item : value) item = rng.uniform();
  return value;
}

// What the model hears or reads of an item, and the label that it should not share an entry with others of.
struct Labelled {
  const CorpusItem* item;
  std::string label;
};

std::vector<Labelled> labelled_items(const Corpus& corpus, std::int64_t most) {
  std::vector<Labelled> all, sounding;
  for (const CorpusItem& item : corpus.items()) {
    const std::string& label = item.label.empty() ? item.answer : item.label;
    if (label.empty()) continue;
    all.push_back({&item, label});
    if (item.clip) sounding.push_back(all.back());
  }
  const std::vector<Labelled>& from = sounding.empty() ? all : sounding;
  const std::size_t count = std::min(from.size(), static_cast<std::size_t>(most));
  std::vector<Labelled> chosen;
  for (std::size_t i = 0; i < count; ++i) chosen.push_back(from[i * from.size() / count]);
  return chosen;
}

double distance(const std::vector<double>& a, const std::vector<double>& b) {
  double sum = 0;
  for (std::size_t i = 0; i < a.size(); ++i) sum += (a[i] - b[i]) * (a[i] - b[i]);
  return std::sqrt(sum);
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const std::size_t middle = values.size() / 2;
  return values.size() % 2 == 1 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
}

class Grace : public Editor {
 public:
  Grace(EditorInfo info, Settings settings) : info_(std::move(info)), settings_(std::move(settings)) {}
  const EditorInfo& info() const override { return info_; }
  const Settings& settings() const override { return settings_; }
  std::vector<Site> sites(const Bundle& bundle) const override { return {site_in(bundle)}; }

  Prepared prepare(Session& session, const Bundle& bundle, const Corpus* corpus,
                   const StepObserver& observer) const override {
    Prepared prepared = Editor::prepare(session, bundle, corpus, observer);
    if (settings_.at("epsilon_init").is_number()) return prepared;
    if (corpus == nullptr)
      throw user_error("grace: epsilon_init 'auto' is measured on a corpus; give the recipe one, or a number");
    prepared.measures[kRadius] =
        measured_radius(session, bundle, site_in(bundle), *corpus, settings_.at("epsilon_prompts").get<std::int64_t>());
    return prepared;
  }

  Patch edit(Session& session, const Bundle& bundle, std::span<const EditRequest> requests, const Prepared& prepared,
             Rng rng, const StepObserver& observer) const override {
    Patch patch = empty_patch(*this, bundle, requests);
    if (requests.empty()) return patch;
    const Site site = site_in(bundle);
    const std::string name = insert_name(site);
    const Bundle bare = set_aside(bundle, name, site);
    const GraceOptions options = options_of(prepared);
    const Codebook before = Codebook::of(bundle.view(), name);
    Codebook codebook = before;
    for (std::size_t i = 0; i < requests.size(); ++i) {
      const PromptView view = view_prompt(session, bare, requests[i].question, sound_of(requests[i]));
      const GraceStep step =
          learn_entry(session, bare, prepared.losses, site, view, target_ids(bundle, requests[i].new_label), options,
                      rng.fork("request", i), codebook, observer);
      note(patch, step, codebook);
    }
    patch.notes["entries"] = {static_cast<double>(codebook.entries().size())};
    patch.memory = codebook.changes_since(before, name);
    patch.inserts.push_back(codebook_insert(bundle, name, site, codebook, options.rows));
    return patch;
  }

 private:
  Site site_in(const Bundle& bundle) const {
    Site site = bundle.site(part_in(bundle.sites(), settings_.at("site").get<std::string>()));
    if (site.kind != Site::Kind::kLinear || !site.name.starts_with("decoder.block."))
      throw user_error("grace: site '{}' must be a linear layer of a decoder block; see retune inspect", site.name);
    if (bundle.decoder().caches.empty())
      throw user_error(
          "grace acts in the call that reads the prompt, and the decoder of {} has no cache: no call of it ends where "
          "the "
          "prompt does",
          bundle.folder().string());
    return site;
  }

  GraceOptions options_of(const Prepared& prepared) const {
    const auto text = [&](const char* name) { return settings_.at(name).get<std::string>(); };
    GraceOptions options;
    const Settings& radius = settings_.at("epsilon_init");
    options.rules.radius = radius.is_number() ? radius.get<double>() : prepared.measures.at(kRadius);
    options.rules.growth =
        text("expand") == "coverage" ? CodebookRules::Growth::kCoverage : CodebookRules::Growth::kMovingAverage;
    options.rules.capped = !settings_.at("reference").get<bool>();
    options.rows = text("replace") == "replace_last" ? ReplacedRows::kLast
                   : text("replace") == "all"        ? ReplacedRows::kAll
                                                     : ReplacedRows::kPrompt;
    options.warm = text("init") == "warm";
    options.steps = settings_.at("steps").get<std::int64_t>();
    options.learning_rate = settings_.at("learning_rate").get<double>();
    options.stop_loss = settings_.at("stop_loss").get<double>();
    return options;
  }

  static void note(Patch& patch, const GraceStep& step, const Codebook& codebook) {
    std::vector<double>& losses = patch.notes["loss"];
    losses.insert(losses.end(), step.training.losses.begin(), step.training.losses.end());
    patch.notes.try_emplace("updates", 1, 0.0).first->second[0] += static_cast<double>(step.training.updates);
    patch.notes["entry"].push_back(static_cast<double>(step.placing.entry));
    patch.notes["radius"].push_back(codebook.entries()[step.placing.entry].radius);
    patch.notes["distance"].push_back(std::isfinite(step.placing.distance) ? step.placing.distance : -1.0);
  }

  EditorInfo info_;
  Settings settings_;
};

std::unique_ptr<const Editor> make(const EditorInfo& info, Settings settings) {
  return std::make_unique<Grace>(info, std::move(settings));
}

std::vector<Setting> grace_settings() {
  const auto number = Setting::Type::kNumber;
  const auto text = Setting::Type::kText;
  const auto integer = Setting::Type::kInteger;
  return {
      {"site",
       text,
       "decoder.block.65%.mlp.down",
       {},
       {},
       {},
       "the linear layer of a decoder block whose output is replaced; the block may be a number, 'last', or a share "
       "of the depth"},
      {"epsilon_init",
       number,
       "auto",
       0,
       1e9,
       {"auto"},
       "radius of a new entry, in units of the layer's input; auto: half the median distance between prompts of "
       "different labels and their nearest, on the recipe's corpus"},
      {"epsilon_prompts", integer, 64, 2, 10000, {}, "prompts of the corpus that epsilon_init 'auto' looks at"},
      {"expand",
       text,
       "coverage",
       {},
       {},
       {"coverage", "moving_average"},
       "how an entry takes in a prompt of its own label: its radius grows, or its key moves halfway too"},
      {"reference",
       Setting::Type::kBoolean,
       false,
       {},
       {},
       {},
       "let entries come to cover keys of other labels, as the reference does"},
      {"replace",
       text,
       "replace_last",
       {},
       {},
       {"replace_last", "all", "prompt"},
       "rows of the prompt whose output is replaced: the last, all, or all but the last"},
      {"init",
       text,
       "cold",
       {},
       {},
       {"cold", "warm"},
       "what a new value begins as: uniformly random, or the layer's present output"},
      {"steps", integer, 50, 0, 100000, {}, "updates of a value at most"},
      {"learning_rate", number, 1.0, 0, 1e6, {}, "Adam's rate for a value"},
      {"stop_loss", number, 0.0, 0, 1e6, {}, "loss in nats a token below which a value is good enough"}};
}

}  // namespace

double measured_radius(Session& session, const Bundle& bundle, const Site& site, const Corpus& corpus,
                       std::int64_t prompts) {
  const std::vector<Labelled> chosen = labelled_items(corpus, prompts);
  std::vector<std::vector<double>> keys;
  for (const Labelled& one : chosen) {
    const auto sound = one.item->clip ? std::optional(load_waveform(one.item->clip->locate())) : std::nullopt;
    const PromptView view = view_prompt(session, bundle, one.item->question, sound);
    keys.push_back(read_site(session, bundle, site, parse_selector("last_prompt"), view).key);
  }
  std::vector<double> gaps;
  for (std::size_t i = 0; i < keys.size(); ++i) {
    double least = std::numeric_limits<double>::infinity();
    for (std::size_t j = 0; j < keys.size(); ++j)
      if (chosen[i].label != chosen[j].label) least = std::min(least, distance(keys[i], keys[j]));
    if (std::isfinite(least)) gaps.push_back(least);
  }
  if (gaps.empty())
    throw user_error(
        "grace: epsilon_init 'auto' needs prompts of two labels, and the corpus has {} labelled items of one; give a "
        "number",
        chosen.size());
  return median(std::move(gaps)) / 2;
}

GraceStep learn_entry(Session& session, const Bundle& bundle, const LossGraphs& losses, const Site& site,
                      const PromptView& view, const std::vector<std::int64_t>& target, const GraceOptions& options,
                      Rng rng, Codebook& codebook, const StepObserver& observer) {
  const ContextView context{view, 1, "bare"};
  SiteReading reading = read_site(session, bundle, site, parse_selector("last_prompt"), view);
  GraceStep step{.placing = codebook.place(reading.key, target, options.rules), .training = {}};
  const std::vector<float>& known = codebook.entries()[step.placing.entry].value;
  std::vector<double> initial(known.begin(), known.end());
  if (initial.empty()) initial = options.warm ? reading.value : cold_value(site.out, rng.fork("value"));
  reading.placement = placement_of(options.rows, view.prompt, reading.placement);
  const TargetProblem problem{.site = site,
                              .views = {&context, 1},
                              .readings = {&reading, 1},
                              .target = target,
                              .kl_prompt = std::nullopt,
                              .kl_reading = std::nullopt,
                              .kind = Intervention::Kind::kReplace,
                              .initial = std::move(initial)};
  // The last step of the loop makes no update.
  const TargetOptions training{.steps = options.steps + 1,
                               .learning_rate = options.learning_rate,
                               .decay = 0,
                               .clamp = std::numeric_limits<double>::infinity(),
                               .kl_weight = 0,
                               .stop_loss = options.stop_loss};
  step.training = optimize_target(session, bundle, losses, problem, training, observer);
  codebook.set_value(step.placing.entry, step.training.delta);
  return step;
}

EditingMethod grace_method() {
  return {{"grace", "replaces a module's output near the prompts that it was taught, by a codebook beside it",
           "arXiv 2211.11031", "a corpus, or a radius", true, true},
          grace_settings(),
          make};
}

}  // namespace retune
