#include "editors/fine_tuning.h"

#include <set>

#include "editors/mechanisms/request_lessons.h"
#include "learning/fine_tuning.h"

namespace retune {

namespace {

FineTuningOptions options_of(const Settings& settings) {
  FineTuningOptions options;
  options.steps = settings.at("steps").get<std::int64_t>();
  options.learning_rate = settings.at("learning_rate").get<double>();
  options.stop_loss = settings.at("stop_loss").get<double>();
  const std::string constraint = settings.at("constraint").get<std::string>();
  if (constraint != "none") {
    options.constraint = constraint == "linf" ? Constraint::kLinf : Constraint::kL2;
    options.bound = settings.at(constraint + "_bound").get<double>();
  }
  options.anchor = settings.at("anchor").get<std::string>() == "original" ? Anchor::kOriginal : Anchor::kStart;
  return options;
}

class FineTuning : public Editor {
 public:
  FineTuning(EditorInfo info, Settings settings) : info_(std::move(info)), settings_(std::move(settings)) {}
  const EditorInfo& info() const override { return info_; }
  const Settings& settings() const override { return settings_; }

  std::vector<Site> sites(const Bundle& bundle) const override {
    std::vector<Site> found;
    std::set<std::string> names;
    for (const std::string& part : texts_of(settings_, "sites"))
      for (Site& site : bundle.sites_in(part_in(bundle.sites(), part)))
        if (names.insert(site.name).second) found.push_back(std::move(site));
    return found;
  }

  Patch edit(Session& session, const Bundle& bundle, std::span<const EditRequest> requests, const Prepared& prepared,
             Rng rng, const StepObserver& observer) const override {
    Patch patch = empty_patch(*this, bundle, requests);
    if (requests.empty()) return patch;
    const std::vector<Lesson> lessons =
        request_lessons(session, bundle, requests, context_options(settings_), objective(), rng);
    FineTuningResult result =
        fine_tune(session, bundle, prepared.losses, sites(bundle), lessons, options_of(settings_), observer);
    patch.deltas = std::move(result.deltas);
    patch.notes["loss"] = std::move(result.losses);
    patch.notes["updates"] = {static_cast<double>(result.updates)};
    return patch;
  }

 private:
  Objective objective() const {
    return settings_.at("objective").get<std::string>() == "prompt_last" ? Objective::kPromptLast
                                                                         : Objective::kTargetNew;
  }

  EditorInfo info_;
  Settings settings_;
};

std::unique_ptr<const Editor> make(const EditorInfo& info, Settings settings) {
  return std::make_unique<FineTuning>(info, std::move(settings));
}

}  // namespace

EditingMethod fine_tuning_method() {
  const auto number = Setting::Type::kNumber;
  const auto text = Setting::Type::kText;
  EditingMethod method;
  method.info = {"ft",
                 "gradient descent on the target, restricted to chosen weights",
                 "arXiv 2012.00363 (constraints)",
                 "nothing",
                 true,
                 true};
  method.settings = {{"sites",
                      Setting::Type::kTexts,
                      "decoder.block.last.mlp",
                      {},
                      {},
                      {},
                      "parts of the model whose weights move: decoder.block.N.mlp, decoder.block.N, connector, "
                      "encoder.block.N.mlp, a site, init:NAME; N may be 'last' or a share of the depth such as 55%"},
                     {"steps", Setting::Type::kInteger, 15, 0, 100000, {}, "steps at most"},
                     {"learning_rate", number, 1e-4, 0, 1e3, {}, "Adam's rate"},
                     {"stop_loss", number, 1e-2, 0, 1e6, {}, "loss in nats a token below which to stop"},
                     {"constraint", text, "none", {}, {}, {"none", "linf", "l2"}, "how far a weight may move"},
                     {"linf_bound", number, 5e-4, 0, 1e6, {}, "constraint linf: largest change of an element"},
                     {"l2_bound",
                      number,
                      0.01,
                      0,
                      1e6,
                      {},
                      "constraint l2: largest change of a weight matrix, as a share of its Frobenius norm"},
                     {"anchor",
                      text,
                      "start",
                      {},
                      {},
                      {"start", "original"},
                      "what the constraint holds to: the weight before this edit, or before any"},
                     {"objective",
                      text,
                      "target_new",
                      {},
                      {},
                      {"target_new", "prompt_last"},
                      "score each target token after those before it, or all from the last prompt position"}};
  for (Setting& setting : context_settings("none")) method.settings.push_back(std::move(setting));
  method.make = make;
  return method;
}

}  // namespace retune
