// Signals for tests of hyper-networks: those of tests/golden/hyper_networks.
#pragma once

#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <string>
#include <vector>

#include "adapters/tensor_file.h"
#include "learning/hyper_network.h"

namespace retune {

inline const std::vector<HyperSite> kGoldenSites = {{"a", 4, 6}, {"b", 4, 6}, {"c", 3, 5}};

// Of tests/golden/hyper_networks/golden.h5, one network.
struct GoldenNetwork {
  std::vector<EditSignal> signals;  // the last is the edit
  std::vector<Tensor> weight_gradients;
  std::map<std::string, Tensor> parameters, gradients;
  std::vector<Tensor> changes;
};
GoldenNetwork golden_network(const std::string& word);

// A change as a matrix, in f64.
std::vector<double> matrix_of(const HyperNetwork::Change& change, const HyperSite& site);

// Within `relative` of the largest magnitude of `want`.
void expect_near(const std::vector<double>& got, const std::vector<double>& want, double relative,
                 const std::string& what);

// That pull_back is the derivative of the agreement of the changes by central differences, some elements of each
// parameter.
void expect_central_differences(Session& session, const HyperNetworkKind& kind, const HyperState& state,
                                const EditSignal& signal, const std::vector<Tensor>& weight_gradients);

}  // namespace retune
