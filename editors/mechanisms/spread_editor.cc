#include "editors/mechanisms/spread_editor.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <memory>
#include <optional>
#include <utility>

#include "editors/mechanisms/closed_form.h"
#include "editors/mechanisms/locate.h"
#include "editors/mechanisms/moment_source.h"
#include "learning/site_weight.h"
#include "tensor/error.h"

namespace retune {

namespace {

// "decoder.block.3.mlp.down" is block 3 of the stack "decoder.block." and the module "mlp.down".
struct Place {
  std::string stack, module;
  std::int64_t block = 0;
};

std::optional<Place> place_of(const std::string& site) {
  for (const std::string stack : {"decoder.block.", "encoder.block."}) {
    if (!site.starts_with(stack)) continue;
    Place place{stack, {}, 0};
    const char* end = site.data() + site.size();
    const auto [rest, error] = std::from_chars(site.data() + stack.size(), end, place.block);
    if (error != std::errc() || rest == end) return std::nullopt;
    place.module.assign(rest + 1, end);
    return place;
  }
  return std::nullopt;
}

// Where the layers' outputs meet: the residual stream after the last layer's block, or the layer's own output outside
// the blocks.
Site meeting_place(const Bundle& bundle, const Site& last, const std::string& method) {
  constexpr std::array kWriters = {"mlp.down", "mlp.fc2", "attn.o"};
  const std::optional<Place> place = place_of(last.name);
  if (!place) return last;
  if (std::find(kWriters.begin(), kWriters.end(), place->module) == kWriters.end())
    throw user_error(
        "{}: site '{}' does not write to the residual stream; choose mlp.down, mlp.fc2 or attn.o of a block", method,
        last.name);
  return bundle.site(fmt::format("{}{}.residual", place->stack, place->block));
}

double norm(const std::vector<double>& vector) {
  double sum = 0;
  for (const double item : vector) sum += item * item;
  return std::sqrt(sum);
}

// A request, its target z, and how far the model as it stands is from it.
struct Wanted {
  LocatedRequest located;
  std::vector<double> target;
  std::vector<double> missing;  // z - h, [out]
};

class Writing {
 public:
  Writing(Session& session, const Bundle& bundle, std::vector<Site> layers, const StepObserver& observer)
      : session_(session), at_entry_(bundle), current_(bundle), layers_(std::move(layers)), observer_(observer) {
    for (const Site& site : layers_)
      for (const DeltaTarget& target : site.targets)
        for (const std::string& name : parameters_of(bundle.view(), target)) varying_.push_back(name);
  }

  const std::vector<Site>& layers() const { return layers_; }

  // z of every request, and the keys of the first layer while the prompts' prefixes are at hand.
  void locate_all(std::span<const EditRequest> requests, const LossGraphs& losses, const Site& meeting,
                  const Settings& settings, const Rng& rng) {
    meeting_ = meeting;
    keys_ = Matrix(layers_[0].in, static_cast<std::int64_t>(requests.size()));
    for (std::size_t i = 0; i < requests.size(); ++i) {
      const StepObserver steps = [&](const StepReport& step) {
        if (observer_)
          observer_({step.stage, static_cast<std::int64_t>(i) * step.steps + step.step,
                     static_cast<std::int64_t>(requests.size()) * step.steps, step.loss});
      };
      Wanted wanted{
          locate(session_, at_entry_, losses, meeting, requests[i], settings, rng.fork(requests[i].id), steps), {}, {}};
      const TargetVector& vector = wanted.located.target;
      wanted.missing = wanted.target = vector.delta;
      for (std::size_t d = 0; d < vector.delta.size(); ++d) wanted.target[d] += vector.start[d];
      const auto readings = read_site(session_, at_entry_, layers_[0], wanted.located.selector, wanted.located.views);
      put_key(static_cast<std::int64_t>(i), mean_of(wanted.located.views, readings).key);
      wanted_.push_back(std::move(wanted));
    }
  }

  // The keys of layer j, and what the model with the layers before it edited is short of.
  void read_layer(std::size_t j) {
    if (j == 0) return;
    keys_ = Matrix(layers_[j].in, static_cast<std::int64_t>(wanted_.size()));
    for (std::size_t i = 0; i < wanted_.size(); ++i) {
      const LocatedRequest& located = wanted_[i].located;
      std::vector<SiteReading> readings;
      for (const ContextView& view : located.views)
        readings.push_back(read_changing_site(session_, current_, layers_[j], located.selector, view.view, varying_));
      put_key(static_cast<std::int64_t>(i), mean_of(located.views, readings).key);
      read_missing(wanted_[i]);
      if (observer_)
        observer_({fmt::format("keys of {}", layers_[j].name), static_cast<std::int64_t>(i) + 1,
                   static_cast<std::int64_t>(wanted_.size()), 0});
    }
  }

  void read_missing() {
    for (Wanted& wanted : wanted_) read_missing(wanted);
  }

  const Matrix& keys() const { return keys_; }

  // R, with the layers from j on to share what is missing.
  Matrix residuals(std::size_t j) const {
    Matrix r(meeting_.out, static_cast<std::int64_t>(wanted_.size()));
    for (std::size_t i = 0; i < wanted_.size(); ++i)
      for (std::int64_t d = 0; d < r.rows; ++d)
        r(d, static_cast<std::int64_t>(i)) =
            wanted_[i].missing[static_cast<std::size_t>(d)] / static_cast<double>(layers_.size() - j);
    return r;
  }

  // The next layers see the model with this change.
  void write(const Patch& whole, const TensorDelta& delta) {
    Patch part;
    part.method = whole.method;
    part.graph_hash = whole.graph_hash;
    part.files = whole.files;
    part.beneath = current_.view().patch_ids();
    part.deltas = {delta};
    current_ = current_.with(std::make_shared<const Patch>(std::move(part)));
  }

  double mean_missing() const {
    double sum = 0;
    for (const Wanted& wanted : wanted_) sum += norm(wanted.missing);
    return sum / static_cast<double>(wanted_.size());
  }

  void note_targets(Patch& patch) const {
    std::vector<double>& losses = patch.notes["loss"];
    for (const Wanted& wanted : wanted_) {
      const TargetVector& vector = wanted.located.target;
      losses.resize(std::max(losses.size(), vector.losses.size()), 0.0);
      patch.notes["updates"].push_back(static_cast<double>(vector.updates));
      patch.notes["target_norm"].push_back(norm(vector.delta));
      patch.notes["start_norm"].push_back(norm(vector.start));
    }
    for (std::size_t step = 0; step < losses.size(); ++step)
      for (const Wanted& wanted : wanted_) {
        const std::vector<double>& own = wanted.located.target.losses;  // one that has stopped stays where it is
        losses[step] += own[std::min(step, own.size() - 1)] / static_cast<double>(wanted_.size());
      }
  }

 private:
  void put_key(std::int64_t column, const std::vector<double>& key) {
    for (std::int64_t i = 0; i < keys_.rows; ++i) keys_(i, column) = key[static_cast<std::size_t>(i)];
  }

  // Before anything was written, what is missing is the target vector itself, to the last bit.
  void read_missing(Wanted& wanted) {
    if (current_.view().patches().size() == at_entry_.view().patches().size()) return;
    const SiteReading now = read_changing_site(session_, current_, meeting_, wanted.located.selector,
                                               wanted.located.views[0].view, varying_);
    for (std::size_t d = 0; d < now.value.size(); ++d) wanted.missing[d] = wanted.target[d] - now.value[d];
  }

  Session& session_;
  Bundle at_entry_, current_;
  std::vector<Site> layers_;
  const StepObserver& observer_;
  std::vector<std::string> varying_;
  Site meeting_;
  std::vector<Wanted> wanted_;
  Matrix keys_;
};

}  // namespace

std::vector<Site> SpreadEditor::sites(const Bundle& bundle) const {
  const Site last = linear_site(bundle, part_in(bundle.sites(), text("site")), info_.word);
  meeting_place(bundle, last, info_.word);
  const std::optional<Place> place = place_of(last.name);
  std::vector<Site> layers;
  for (std::int64_t back = settings_.at("layers").get<std::int64_t>() - 1; place && back > 0; --back)
    if (place->block >= back)
      layers.push_back(
          linear_site(bundle, fmt::format("{}{}.{}", place->stack, place->block - back, place->module), info_.word));
  layers.push_back(last);
  return layers;
}

Prepared SpreadEditor::prepare(Session& session, const Bundle& bundle, const Corpus* corpus,
                               const StepObserver& observer) const {
  Prepared prepared = Editor::prepare(session, bundle, corpus, observer);
  prepared.second_moments = prepare_moments(session, bundle, sites(bundle), corpus, info_.word, settings_, observer);
  return prepared;
}

Patch SpreadEditor::edit(Session& session, const Bundle& bundle, std::span<const EditRequest> requests,
                         const Prepared& prepared, Rng rng, const StepObserver& observer) const {
  Patch patch = empty_patch(*this, bundle, requests);
  if (requests.empty()) return patch;
  Writing writing(session, bundle, sites(bundle), observer);
  const std::vector<Site>& layers = writing.layers();
  writing.locate_all(requests, prepared.losses, meeting_place(bundle, layers.back(), info_.word), settings_,
                     rng.fork("views"));
  writing.note_targets(patch);
  for (std::size_t j = 0; j < layers.size(); ++j) {
    writing.read_layer(j);
    patch.notes["missing"].push_back(writing.mean_missing());
    TensorDelta delta =
        thin_delta(bundle, layers[j], writing.residuals(j), solve(bundle, prepared, layers[j], writing.keys(), patch));
    remember(layers[j], writing.keys(), patch);
    patch.notes["update_norm"].push_back(norm(delta));
    if (is_zero(delta)) continue;
    writing.write(patch, delta);
    patch.deltas.push_back(std::move(delta));
  }
  writing.read_missing();
  patch.notes["missing"].push_back(writing.mean_missing());
  return patch;
}

void SpreadEditor::remember(const Site&, const Matrix&, Patch&) const {}

std::vector<Setting> spread_settings(std::int64_t layers, std::vector<Setting> own) {
  std::vector<Setting> settings =
      locate_settings("decoder.block.55%.mlp.down",
                      "the last linear layer to edit; the block may be a number, 'last', or a share of the depth");
  settings.push_back({"layers",
                      Setting::Type::kInteger,
                      layers,
                      1,
                      1000,
                      {},
                      "in how many consecutive blocks, up to that of 'site', the same layer is edited; fewer where the "
                      "model begins"});
  for (const std::vector<Setting>& more :
       {std::move(own), moment_settings("corpus"), target_settings(), context_settings("audio_aug")})
    settings.insert(settings.end(), more.begin(), more.end());
  return settings;
}

double mean_square(const Matrix& keys) {
  double total = 0;
  for (const double item : keys.values) total += item * item;
  return total / static_cast<double>(keys.values.size());
}

}  // namespace retune
