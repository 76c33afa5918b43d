// Networks that turn the gradient of an edit's loss into a change of weights: what KE and MEND are (methods.md 5.12,
// 5.13). What a network is, is a value; how it computes is a graph, so its own gradient is a graph too.
//
//   std::unique_ptr<HyperNetwork> network = find_hyper_network_kind("mend")->make(state);
//   const EditSignal signal = edit_signal(session, bundle, losses, sites, lessons);
//   network->changes(session, signal)[0].values;                         // of sites[0], [out, in]
//
// Training needs the gradient through the edited model into the network, but no second derivative through the model:
// with dL/dW' of the edited model and the change D(theta) that the network made,
//
//   dL/dtheta = d/dtheta sum over sites of <D(theta), dL/dW'>
//
// and the factors of the edit's gradient, which D is made from, are constants.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "adapters/tensor_delta.h"
#include "learning/gradient_factors.h"
#include "tensor/rng.h"

namespace retune {

// A linear layer that a network changes.
struct HyperSite {
  std::string name;  // canonical
  std::int64_t in = 0, out = 0;
  friend bool operator==(const HyperSite&, const HyperSite&) = default;
};

// What a network is told about an edit.
struct EditSignal {
  double loss = 0;                       // of the lessons before the edit, summed, nats
  std::vector<std::int64_t> ids;         // prompt (a placeholder an audio row) and target, of one lesson after another
  std::vector<GradientFactors> factors;  // a site each; the tokens of one lesson after another
};
// Errors as gradient_factors().
EditSignal edit_signal(Session& session, const Bundle& bundle, const LossGraphs& losses, std::span<const Site> sites,
                       std::span<const Lesson> lessons);

using HyperOptions = std::map<std::string, double>;  // truth values are 0 and 1

// A network as data.
struct HyperState {
  HyperOptions options;
  std::vector<HyperSite> sites;
  std::map<std::string, Tensor> parameters;  // f32
  std::map<std::string, Tensor> statistics;  // f64 and i64: what it keeps of the signals that it was trained on
};

class HyperNetwork {
 public:
  virtual ~HyperNetwork() = default;

  const HyperState& state() const { return state_; }
  // For an optimiser to change in place.
  std::map<std::string, Tensor>& parameters() { return state_.parameters; }
  // At which a parameter is trained where the others are at `rate`.
  virtual double rate_of(const std::string& parameter, double rate) const;

  // Training only: takes the signal into the statistics, before changes() is asked.
  virtual void observe(const EditSignal& signal);

  struct Change {
    std::variant<DenseDelta, LowRankDelta, SparseDelta> values;  // of [out, in]: what is added to the weight
    std::int64_t tokens = 0;                                     // that it was made from
  };
  // Of each site. The same signal gives the same bits. User error for a signal that does not fit the sites; failure: a
  // change that is not finite.
  virtual std::vector<Change> changes(Session& session, const EditSignal& signal) const = 0;
  // The gradient of sum over sites of <change, weight_gradients[site]> by parameter; weight_gradients f32 [out, in].
  virtual std::map<std::string, Tensor> pull_back(Session& session, const EditSignal& signal,
                                                  std::span<const Tensor> weight_gradients) const = 0;

 protected:
  explicit HyperNetwork(HyperState state) : state_(std::move(state)) {}
  double option(const std::string& name) const;
  // The parameters as a graph takes them. User error if one of `names` is missing or of another shape.
  Parameters feeds(const std::map<std::string, Shape>& shapes) const;
  void check_signal(const EditSignal& signal) const;

  HyperState state_;
};

struct HyperOption {
  enum class Type { kNumber, kInteger, kBoolean };
  std::string name;
  Type type = Type::kNumber;
  double fallback = 0;
  double least = 0, most = 0;
  std::string meaning;
};

// One of the kinds there are.
struct HyperNetworkKind {
  std::string word;  // that of the method which applies it
  std::string summary;
  std::vector<HyperOption> options;
  enum class Optimizer { kAdam, kRmsProp } optimizer = Optimizer::kAdam;
  double learning_rate = 0;  // as published
  // Before any training. `embeddings`, f32 [V, d], gives the token embeddings of the model.
  HyperState (*initial)(HyperOptions options, std::vector<HyperSite> sites, const std::function<Tensor()>& embeddings,
                        const Rng& rng) = nullptr;
  // User error for a state that is not one of this kind.
  std::unique_ptr<HyperNetwork> (*make)(HyperState state) = nullptr;
};

// An explicit table.
const std::vector<HyperNetworkKind>& hyper_network_kinds();
// Null if there is none of that word.
const HyperNetworkKind* find_hyper_network_kind(const std::string& word);

// The token embeddings of a model, f32 [V, d].
Tensor token_embeddings(Session& session, const Bundle& bundle);

// The sites of a network in a model. User error if one is not a linear layer.
std::vector<HyperSite> hyper_sites(std::span<const Site> sites);

// The changes as deltas for a patch, without those that are zero; `strength` multiplies them.
std::vector<TensorDelta> deltas_of(const ModelView& view, std::span<const Site> sites,
                                   std::vector<HyperNetwork::Change> changes, double strength = 1);

}  // namespace retune
