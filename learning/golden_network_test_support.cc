#include "learning/golden_network.h"

#include <fmt/format.h>

#include <algorithm>

namespace retune {

GoldenNetwork golden_network(const std::string& word) {
  const std::map<std::string, Tensor> all = read_tensors("tests/golden/hyper_networks/golden.h5");
  GoldenNetwork golden;
  for (int k = 0; k < 3; ++k) {
    EditSignal signal;
    const Tensor ids = all.at(fmt::format("signals/{}/ids", k));
    signal.ids.assign(ids.data<std::int64_t>(), ids.data<std::int64_t>() + ids.numel());
    for (const HyperSite& site : kGoldenSites)
      signal.factors.push_back({all.at(fmt::format("signals/{}/{}/inputs", k, site.name)),
                                all.at(fmt::format("signals/{}/{}/gradients", k, site.name))});
    golden.signals.push_back(std::move(signal));
  }
  for (const HyperSite& site : kGoldenSites) {
    golden.weight_gradients.push_back(all.at("weight_gradients/" + site.name));
    golden.changes.push_back(all.at(word + "/changes/" + site.name));
  }
  const std::string parameters = word + "/parameters/", gradients = word + "/gradients/";
  for (const auto& [name, tensor] : all) {
    if (name.starts_with(parameters)) golden.parameters[name.substr(parameters.size())] = tensor;
    if (name.starts_with(gradients)) golden.gradients[name.substr(gradients.size())] = tensor;
  }
  return golden;
}

std::vector<double> matrix_of(const HyperNetwork::Change& change, const HyperSite& site) {
  const TensorDelta delta{site.name, {site.out, site.in}, change.values, {}};
  return materialise(delta).to_f64();
}

void expect_near(const std::vector<double>& got, const std::vector<double>& want, double relative,
                 const std::string& what) {
  ASSERT_EQ(got.size(), want.size()) << what;
  double largest = 0;
  for (const double value : want) largest = std::max(largest, std::abs(value));
  for (std::size_t i = 0; i < want.size(); ++i) EXPECT_NEAR(got[i], want[i], relative * largest) << what << " " << i;
}

void expect_central_differences(Session& session, const HyperNetworkKind& kind, const HyperState& state,
                                const EditSignal& signal, const std::vector<Tensor>& weight_gradients) {
  const auto network = kind.make(state);
  const auto agreement = [&](const std::string& name, std::int64_t element, double by) {
    HyperState moved = state;
    moved.parameters[name] = moved.parameters.at(name).copy();
    moved.parameters[name].mutable_data<float>()[element] += static_cast<float>(by);
    const auto changes = kind.make(moved)->changes(session, signal);
    double sum = 0;
    for (std::size_t i = 0; i < changes.size(); ++i) {
      const std::vector<double> matrix = matrix_of(changes[i], state.sites[i]);
      for (std::size_t k = 0; k < matrix.size(); ++k)
        sum += matrix[k] * static_cast<double>(weight_gradients[i].data<float>()[k]);
    }
    return sum;
  };
  const auto gradients = network->pull_back(session, signal, weight_gradients);
  ASSERT_EQ(gradients.size(), state.parameters.size());
  constexpr double kStep = 1.0 / 256;  // exact in f32; the error of truncation is of its square
  for (const auto& [name, gradient] : gradients) {
    double largest = 0;
    for (const float value : gradient.values<float>())
      largest = std::max(largest, std::abs(static_cast<double>(value)));
    for (std::int64_t k = 0; k < gradient.numel(); k += std::max<std::int64_t>(1, gradient.numel() / 5)) {
      const double slope = (agreement(name, k, kStep) - agreement(name, k, -kStep)) / (2 * kStep);
      EXPECT_NEAR(static_cast<double>(gradient.data<float>()[k]), slope, 5e-3 * largest + 1e-4) << name << " " << k;
    }
  }
}

}  // namespace retune
