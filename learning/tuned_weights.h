// Weights in training: an f32 master of each site, and the parameters of the whole model as it would be with them. The
// forward pass sees the masters rounded to the stored type, as the edited model will be.
//
//   TunedWeights weights(bundle, sites);
//   Results r = session.run(graph, weights.parameters(), request);     // request.wrt = weights.names()
//   weights.add_gradients(r, gradients);
//   adam.step(weights.masters(), gradients, session.pool());
//   weights.publish(session);
//   patch.deltas = weights.deltas();
#pragma once

#include <map>
#include <string>
#include <vector>

#include "adapters/tensor_delta.h"
#include "graph/session.h"
#include "lalm/bundle.h"
#include "learning/gradient_sum.h"
#include "tensor/tensor.h"

namespace retune {

class TunedWeights {
 public:
  // The model as it stands. Sites may share a stored tensor (packed gate|up), not elements of it. User errors: no site,
  // two sites of one name, a site without a weight.
  TunedWeights(const Bundle& bundle, const std::vector<Site>& sites);

  // The linked parameters that hold the weights, in order.
  const std::vector<std::string>& names() const { return names_; }
  const Parameters& parameters() const { return parameters_; }
  // By site name: f32, lying as the site's first target stores it (learning/site_weight.h).
  std::map<std::string, Tensor>& masters() { return masters_; }

  // Adds the gradient of each site's master to `sums`, by site name: every place that holds the weight adds its own.
  // The results are of a request with names() in its wrt.
  void add_gradients(const Results& results, GradientSums& sums) const;

  // After the masters moved: parameters() holds them, under versions that nothing had before.
  void publish(Session& session);

  // What the masters moved by, dense, a site each, in the order of the sites; sites that did not change have none.
  std::vector<TensorDelta> deltas() const;

 private:
  struct Place {
    Site site;
    std::vector<DeltaTarget> targets;
    std::vector<std::vector<std::string>> parameters;  // linked names that hold each target
    Tensor start;                                      // the master when it was opened
  };

  std::vector<Place> places_;
  Parameters parameters_;
  std::map<std::string, Tensor> masters_;
  std::map<std::string, Tensor> stored_;  // f32, by linked name, in stored orientation
  std::vector<std::string> names_;
};

// The master copy of the site's weight, f32, as its first target stores it.
Tensor stored_master(const ModelView& view, const Site& site);

}  // namespace retune
