#include "editors/mechanisms/hyper_editor.h"

#include "editors/mechanisms/context_views.h"
#include "learning/hyper_network_file.h"
#include "tensor/error.h"

namespace retune {

namespace {

class HyperEditor : public Editor {
 public:
  HyperEditor(EditorInfo info, Settings settings) : info_(std::move(info)), settings_(std::move(settings)) {}
  const EditorInfo& info() const override { return info_; }
  const Settings& settings() const override { return settings_; }

  std::vector<Site> sites(const Bundle& bundle) const override { return sites_of(load(bundle).state, bundle); }

  Prepared prepare(Session& session, const Bundle& bundle, const Corpus* corpus,
                   const StepObserver& observer) const override {
    Prepared prepared = Editor::prepare(session, bundle, corpus, observer);
    if (path().empty()) return prepared;
    HyperNetworkFile file = load(bundle);
    sites_of(file.state, bundle);
    prepared.network = find_hyper_network_kind(file.kind)->make(std::move(file.state));
    return prepared;
  }

  Patch edit(Session& session, const Bundle& bundle, std::span<const EditRequest> requests, const Prepared& prepared,
             Rng, const StepObserver&) const override {
    Patch patch = empty_patch(*this, bundle, requests);
    if (requests.empty()) return patch;
    if (requests.size() > 1 && !info_.batch)
      throw user_error("{} edits one fact at a time, got {}; use the sequential mode", info_.word, requests.size());
    if (!prepared.network) throw missing_network();
    std::vector<Lesson> lessons;
    for (const EditRequest& request : requests)
      lessons.push_back({.prompt = view_prompt(session, bundle, request.question, sound_of(request)).prompt,
                         .target = target_ids(bundle, request.new_label)});
    const std::vector<Site> sites = sites_of(prepared.network->state(), bundle);
    const EditSignal signal = edit_signal(session, bundle, prepared.losses, sites, lessons);
    std::vector<HyperNetwork::Change> changes = prepared.network->changes(session, signal);
    patch.notes["loss"] = {signal.loss / static_cast<double>(requests.size())};
    patch.notes["updates"] = {1};
    for (const HyperNetwork::Change& change : changes)
      patch.notes["tokens"].push_back(static_cast<double>(change.tokens));
    patch.deltas = deltas_of(bundle.view(), sites, std::move(changes), settings_.at("strength").get<double>());
    return patch;
  }

 private:
  std::string path() const { return settings_.at("network").get<std::string>(); }

  Error missing_network() const {
    return user_error("{}: setting 'network' is missing; train one for this model with retune train and name its file",
                      info_.word);
  }

  HyperNetworkFile load(const Bundle& bundle) const {
    if (path().empty()) throw missing_network();
    HyperNetworkFile file = HyperNetworkFile::load(path());
    check_belongs(file, path(), info_.word, bundle);
    return file;
  }

  // The model is the one that the network was trained for, so it has them.
  static std::vector<Site> sites_of(const HyperState& state, const Bundle& bundle) {
    std::vector<Site> sites;
    for (const HyperSite& site : state.sites) sites.push_back(bundle.site(site.name));
    if (hyper_sites(sites) != state.sites)
      throw user_error("the hyper-network's sites have other sizes than the model's; train one for this model");
    return sites;
  }

  EditorInfo info_;
  Settings settings_;
};

}  // namespace

std::vector<Setting> hyper_settings() {
  return {{"network",
           Setting::Type::kText,
           "",
           {},
           {},
           {},
           "the file of the trained network; retune train makes it, for one model"},
          {"strength", Setting::Type::kNumber, 1.0, 0, 1e6, {}, "what the network's change is multiplied by"}};
}

std::unique_ptr<const Editor> make_hyper_editor(const EditorInfo& info, Settings settings) {
  return std::make_unique<HyperEditor>(info, std::move(settings));
}

}  // namespace retune
