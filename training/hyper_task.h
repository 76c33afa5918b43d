// What a hyper-network's training asks a model: the items of a fact before and after the edit, and the gradient of
// their loss.
//
//   HyperTask task(session, bundle, sites);
//   const EditSignal signal = request_signal(task, fact.request);
//   hyper_gradient(task, *network, signal, fact, {}).gradients;       // by parameter of the network
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "facts/fact_set.h"
#include "learning/hyper_network.h"

namespace retune {

// The model, and what is changed in it.
struct HyperTask {
  HyperTask(Session& session, Bundle bundle, std::vector<Site> sites);

  Session& session;
  Bundle base;
  LossGraphs losses;
  std::vector<Site> sites;
  std::vector<std::string> parameters;  // linked names that hold the sites' weights
};

// L = edit_weight sum over generality items of NLL + locality_weight sum over locality items of KL(before || after)
// (methods.md 5.13, step 5; the request itself is not in it).
struct HyperLoss {
  double edit_weight = 0.1;      // c_edit
  double locality_weight = 1.0;  // c_loc
  // Where the KL is measured: at every position of question and answer, as published, or from the last position of the
  // question on, where the answer is made.
  enum class Locality { kEverywhere, kAnswer } locality = Locality::kEverywhere;
};

struct HyperGradient {
  double edit_loss = 0;                     // the sum of NLL, nats a token
  double locality_loss = 0;                 // the sum of KL, nats a position
  std::map<std::string, Tensor> gradients;  // of L, by parameter of the network
};
// Of one fact, from the edited model through the network; the network's statistics are not touched.
HyperGradient hyper_gradient(HyperTask& task, const HyperNetwork& network, const EditSignal& signal, const Fact& fact,
                             const HyperLoss& loss);

// What the network is told about a request.
EditSignal request_signal(HyperTask& task, const EditRequest& request);
// The model with the network's change on it.
Bundle edited_by(HyperTask& task, const HyperNetwork& network, const EditSignal& signal);

// A question, with or without sound, and the answer that counts.
struct HyperItem {
  std::string id;  // for errors
  std::optional<Clip> clip;
  std::string question;
  std::string answer;
};
HyperItem item_of(const EditRequest& request);  // the new label
HyperItem item_of(const Probe& probe);
bool is_locality(const Probe& probe);

// Whether the greedy answer of `model` is the item's, token for token and to its end.
bool answers_so(HyperTask& task, const Bundle& model, const HyperItem& item);
// The same of the answer that the base gives to the item.
bool answers_as_before(HyperTask& task, const Bundle& model, const HyperItem& item);

}  // namespace retune
