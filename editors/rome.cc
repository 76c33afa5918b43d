#include "editors/rome.h"

#include <cmath>

#include "editors/mechanisms/key_mapping.h"
#include "editors/mechanisms/locate.h"
#include "editors/mechanisms/moment_source.h"
#include "learning/site_weight.h"
#include "tensor/error.h"

namespace retune {

namespace {

constexpr double kSmallestShare = 1e-4;  // of ||k|| in the direction u: below it the update explodes

double dot(const std::vector<double>& a, const std::vector<double>& b) {
  double sum = 0;
  for (std::size_t i = 0; i < a.size(); ++i) sum += a[i] * b[i];
  return sum;
}
double norm(const std::vector<double>& a) { return std::sqrt(dot(a, a)); }

Tensor column(const std::vector<double>& values) {
  return Tensor::of<float>({static_cast<std::int64_t>(values.size()), 1},
                           std::vector<float>(values.begin(), values.end()));
}

class Rome : public Editor {
 public:
  Rome(EditorInfo info, Settings settings) : info_(std::move(info)), settings_(std::move(settings)) {}
  const EditorInfo& info() const override { return info_; }
  const Settings& settings() const override { return settings_; }
  std::vector<Site> sites(const Bundle& bundle) const override { return {site_in(bundle)}; }

  Prepared prepare(Session& session, const Bundle& bundle, const Corpus* corpus,
                   const StepObserver& observer) const override {
    Prepared prepared = Editor::prepare(session, bundle, corpus, observer);
    prepared.second_moments = prepare_moments(session, bundle, sites(bundle), corpus, info_.word, settings_, observer);
    return prepared;
  }

  Patch edit(Session& session, const Bundle& bundle, std::span<const EditRequest> requests, const Prepared& prepared,
             Rng rng, const StepObserver& observer) const override {
    Patch patch = empty_patch(*this, bundle, requests);
    if (requests.empty()) return patch;
    if (requests.size() > 1)
      throw user_error("{} edits one fact at a time, got {}; use the sequential mode", info_.word, requests.size());
    const Site site = site_in(bundle);
    const LocatedRequest located =
        locate(session, bundle, prepared.losses, site, requests[0], settings_, rng.fork("views"), observer);
    const TargetVector& target = located.target;
    patch.notes["loss"] = target.losses;
    patch.notes["updates"] = {static_cast<double>(target.updates)};
    patch.notes["target_norm"] = {norm(target.delta)};
    patch.notes["start_norm"] = {norm(target.start)};
    if (norm(target.delta) > 0)
      insert(patch, bundle, site, prepared, located.readings[0], mean_of(located.views, located.readings), target);
    return patch;
  }

 private:
  Site site_in(const Bundle& bundle) const {
    return linear_site(bundle, part_in(bundle.sites(), settings_.at("site").get<std::string>()), info_.word);
  }

  // u, of length 1.
  std::vector<double> direction(const Site& site, const Prepared& prepared, const std::vector<double>& key) const {
    const PreservedKeys preserved = PreservedKeys::of(prepared.second_moments, site, info_.word, settings_);
    std::vector<double> u = preserved.solve({site.in, 1, key}).values;
    const double length = norm(u);
    if (!(length > 0) || !std::isfinite(length))
      throw failure("{}: the key at '{}' has no direction (length {})", info_.word, site.name, length);
    for (double& item : u) item /= length;
    return u;
  }

  void insert(Patch& patch, const Bundle& bundle, const Site& site, const Prepared& prepared, const SiteReading& bare,
              const KeyValue& mean, const TargetVector& target) const {
    const std::string variant = settings_.at("variant").get<std::string>();
    const std::vector<double> u = direction(site, prepared, variant == "prompt" ? bare.key : mean.key);
    const std::vector<double>& key = variant == "prefix" ? mean.key : bare.key;
    const std::vector<double>& now = variant == "prefix" ? mean.value : bare.value;
    const double along = dot(key, u);
    if (std::abs(along) < kSmallestShare * norm(key))
      throw failure(
          "{}: the key at '{}' is nearly orthogonal to the update's direction ({:.1e} of its length); the update would "
          "explode, use r-rome",
          info_.word, site.name, std::abs(along) / norm(key));
    KeyValue wanted{key, target.start};
    std::vector<double> lambda(target.delta.size());
    for (std::size_t i = 0; i < lambda.size(); ++i) {
      wanted.value[i] += target.delta[i];
      lambda[i] = (wanted.value[i] - now[i]) / along;
    }
    LowRankDelta change{column(lambda), column(u)};
    patch.notes["key_error"] = {prove_key_mapping(bundle, site, change, wanted)};
    patch.notes["key_norm"] = {norm(key)};
    patch.notes["key_along_update"] = {along};
    patch.notes["update_norm"] = {norm(lambda)};
    patch.deltas.push_back({site.name, site.delta_shape, std::move(change), hashed_targets(bundle.view(), site)});
  }

  EditorInfo info_;
  Settings settings_;
};

std::unique_ptr<const Editor> make(const EditorInfo& info, Settings settings) {
  return std::make_unique<Rome>(info, std::move(settings));
}

EditingMethod method_of(EditorInfo info, std::vector<std::string> variants, const std::string& meaning) {
  EditingMethod method;
  method.info = std::move(info);
  method.settings =
      locate_settings("decoder.block.55%.mlp.down",
                      "the linear layer to edit; the block may be a number, 'last', or a share of the depth");
  method.settings.push_back({"variant", Setting::Type::kText, variants[0], {}, {}, variants, meaning});
  for (Setting& setting : moment_settings("identity")) method.settings.push_back(std::move(setting));
  for (Setting& setting : target_settings()) method.settings.push_back(std::move(setting));
  for (Setting& setting : context_settings("audio_aug")) method.settings.push_back(std::move(setting));
  method.make = make;
  return method;
}

}  // namespace

EditingMethod rome_method() {
  return method_of({"rome", "maps one key to one value by a rank-one update", "arXiv 2202.05262",
                    "nothing, or a corpus or its second moment", false, true},
                   {"rome"}, "which key the update is normalised by");
}

EditingMethod r_rome_method() {
  return method_of({"r-rome", "ROME with one key throughout, which stays stable over many edits", "arXiv 2403.07175",
                    "nothing, or a corpus or its second moment", false, true},
                   {"prefix", "prompt"}, "prefix: the mean key over the contexts; prompt: the bare request's key");
}

}  // namespace retune
