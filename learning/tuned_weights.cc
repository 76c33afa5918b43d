#include "learning/tuned_weights.h"

#include <set>

#include "learning/site_weight.h"
#include "tensor/error.h"

namespace retune {

namespace {

// `part`, which lies as `from` stores it, as `to` does.
Tensor relaid(const Tensor& part, const DeltaTarget& from, const DeltaTarget& to) {
  return from.transposed == to.transposed ? part : transposed(part);
}

}  // namespace

Tensor stored_master(const ModelView& view, const Site& site) {
  const DeltaTarget& first = site.targets.at(0);
  return stored_part(view.master(parameters_of(view, first)[0]), site.delta_shape, first);
}

TunedWeights::TunedWeights(const Bundle& bundle, const std::vector<Site>& sites) : parameters_(bundle.parameters()) {
  if (sites.empty()) throw user_error("there is no site whose weight could be trained");
  std::set<std::string> known;
  for (const Site& site : sites) {
    if (!known.insert(site.name).second) throw user_error("site '{}' is to be trained twice", site.name);
    Place place{site, hashed_targets(bundle.view(), site), {}, stored_master(bundle.view(), site)};
    masters_[site.name] = place.start.copy();
    for (const DeltaTarget& target : place.targets) {
      place.parameters.push_back(parameters_of(bundle.view(), target));
      for (const std::string& name : place.parameters.back())
        if (!stored_.contains(name)) stored_[name] = bundle.view().master(name);
    }
    places_.push_back(std::move(place));
  }
  for (const auto& [name, tensor] : stored_) names_.push_back(name);
}

void TunedWeights::add_gradients(const Results& results, GradientSums& sums) const {
  for (const Place& place : places_)
    for (std::size_t t = 0; t < place.targets.size(); ++t)
      for (const std::string& name : place.parameters[t]) {
        const DeltaTarget& target = place.targets[t];
        const Tensor gradient =
            relaid(stored_part(results["grad:" + name].tensor.cast(DType::kF32), place.site.delta_shape, target),
                   target, place.targets[0]);
        add_gradient(sums, place.site.name, gradient);
      }
}

void TunedWeights::publish(Session& session) {
  std::set<std::string> copied;  // packed weights hold several sites
  for (const Place& place : places_)
    for (std::size_t t = 0; t < place.targets.size(); ++t)
      for (const std::string& name : place.parameters[t]) {
        const DeltaTarget& target = place.targets[t];
        const Tensor part = relaid(masters_[place.site.name], place.targets[0], target);
        Tensor& stored = stored_[name];
        if (!target.slice) {
          // The master itself where it lies as the file has it: its new version tells the Session that it moved.
          stored = part.reshaped(stored.shape());
          continue;
        }
        if (copied.insert(name).second) stored = stored.copy();
        write_stored_part(stored, part, target);
      }
  for (const auto& [name, tensor] : stored_) {
    Feed& feed = parameters_.find(name)->second;
    feed = {tensor.cast(feed.tensor.dtype()), session.fresh_version()};
  }
}

std::vector<TensorDelta> TunedWeights::deltas() const {
  std::vector<TensorDelta> deltas;
  for (const Place& place : places_) {
    const Tensor& master = masters_.at(place.site.name);
    Tensor difference = Tensor::empty(DType::kF32, master.shape());
    float* to = difference.mutable_data<float>();
    for (std::int64_t i = 0; i < difference.numel(); ++i)
      to[i] = master.data<float>()[i] - place.start.data<float>()[i];
    if (place.targets[0].transposed) difference = transposed(difference);
    TensorDelta delta{place.site.name, place.site.delta_shape, DenseDelta{std::move(difference)}, place.targets};
    if (!is_zero(delta)) deltas.push_back(std::move(delta));
  }
  return deltas;
}

}  // namespace retune
