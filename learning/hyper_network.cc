#include "learning/hyper_network.h"

#include <algorithm>
#include <numeric>

#include "learning/ke_network.h"
#include "learning/mend_network.h"
#include "learning/site_weight.h"
#include "tensor/error.h"

namespace retune {

namespace {

Tensor stacked(const Tensor& above, const Tensor& below) {
  Tensor both = Tensor::empty(DType::kF32, {above.shape()[0] + below.shape()[0], above.shape()[1]});
  std::copy_n(above.data<float>(), above.numel(), both.mutable_data<float>());
  std::copy_n(below.data<float>(), below.numel(), both.mutable_data<float>() + above.numel());
  return both;
}

}  // namespace

EditSignal edit_signal(Session& session, const Bundle& bundle, const LossGraphs& losses, std::span<const Site> sites,
                       std::span<const Lesson> lessons) {
  EditSignal signal;
  for (const Lesson& lesson : lessons) {
    FactorReading reading = gradient_factors(session, bundle, losses, sites, lesson);
    signal.loss += reading.loss;
    signal.ids.insert(signal.ids.end(), lesson.prompt.ids.begin(), lesson.prompt.ids.end());
    signal.ids.insert(signal.ids.end(), lesson.target.begin(), lesson.target.end());
    if (signal.factors.empty()) {
      signal.factors = std::move(reading.factors);
      continue;
    }
    for (std::size_t i = 0; i < signal.factors.size(); ++i)
      signal.factors[i] = {stacked(signal.factors[i].inputs, reading.factors[i].inputs),
                           stacked(signal.factors[i].gradients, reading.factors[i].gradients)};
  }
  return signal;
}

double HyperNetwork::rate_of(const std::string&, double rate) const { return rate; }

void HyperNetwork::observe(const EditSignal&) {}

double HyperNetwork::option(const std::string& name) const {
  const auto found = state_.options.find(name);
  if (found == state_.options.end()) throw user_error("the hyper-network lacks its option '{}'", name);
  return found->second;
}

Parameters HyperNetwork::feeds(const std::map<std::string, Shape>& shapes) const {
  Parameters feeds;
  for (const auto& [name, shape] : shapes) {
    const auto found = state_.parameters.find(name);
    if (found == state_.parameters.end()) throw user_error("the hyper-network lacks its parameter '{}'", name);
    if (found->second.dtype() != DType::kF32 || !(found->second.shape() == shape))
      throw user_error("the hyper-network's parameter '{}' must be f32 {}, got {}", name, shape.text(),
                       found->second.text());
    feeds[name] = {found->second};
  }
  return feeds;
}

void HyperNetwork::check_signal(const EditSignal& signal) const {
  if (signal.factors.size() != state_.sites.size())
    throw user_error("the hyper-network has {} sites, the signal {}", state_.sites.size(), signal.factors.size());
  for (std::size_t i = 0; i < state_.sites.size(); ++i) {
    const auto& [inputs, gradients] = signal.factors[i];
    const HyperSite& site = state_.sites[i];
    if (inputs.shape().rank() != 2 || gradients.shape().rank() != 2 || inputs.shape()[1] != site.in ||
        gradients.shape()[1] != site.out || inputs.shape()[0] != gradients.shape()[0])
      throw user_error("site '{}': expected factors [tokens, {}] and [tokens, {}], got {} and {}", site.name, site.in,
                       site.out, inputs.text(), gradients.text());
  }
}

const std::vector<HyperNetworkKind>& hyper_network_kinds() {
  static const std::vector<HyperNetworkKind> kinds = {ke_network_kind(), mend_network_kind()};
  return kinds;
}

const HyperNetworkKind* find_hyper_network_kind(const std::string& word) {
  const auto& kinds = hyper_network_kinds();
  const auto found = std::find_if(kinds.begin(), kinds.end(), [&](const auto& kind) { return kind.word == word; });
  return found == kinds.end() ? nullptr : &*found;
}

Tensor token_embeddings(Session& session, const Bundle& bundle) {
  const std::int64_t tokens = bundle.decoder().vocabulary;
  std::vector<std::int64_t> ids(static_cast<std::size_t>(tokens));
  std::iota(ids.begin(), ids.end(), 0);
  Request request;
  request.inputs["input_ids"] = {Tensor::of<std::int64_t>({1, tokens}, ids)};
  request.outputs = {"inputs_embeds"};
  const Tensor rows = session.run(bundle.text_graph(), bundle.parameters(), request)["inputs_embeds"].tensor;
  return rows.cast(DType::kF32).reshaped({tokens, rows.numel() / tokens});
}

std::vector<HyperSite> hyper_sites(std::span<const Site> sites) {
  std::vector<HyperSite> result;
  for (const Site& site : sites) {
    if (site.kind != Site::Kind::kLinear || site.key.empty() || site.weight.empty())
      throw user_error("a hyper-network changes linear layers, and site '{}' is none; see retune inspect", site.name);
    require_editable(site);
    result.push_back({site.name, site.in, site.out});
  }
  return result;
}

std::vector<TensorDelta> deltas_of(const ModelView& view, std::span<const Site> sites,
                                   std::vector<HyperNetwork::Change> changes, double strength) {
  std::vector<TensorDelta> deltas;
  for (std::size_t i = 0; i < sites.size(); ++i) {
    TensorDelta delta{sites[i].name, sites[i].delta_shape, std::move(changes[i].values),
                      hashed_targets(view, sites[i])};
    if (strength != 1) delta = scaled(delta, strength);
    if (!is_zero(delta)) deltas.push_back(std::move(delta));
  }
  return deltas;
}

}  // namespace retune
