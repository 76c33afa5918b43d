// KE's network against PyTorch, against central differences, and the invariants of methods.md 5.12.
#include "learning/ke_network.h"

#include <gmock/gmock.h>

#include "learning/golden_network.h"
#include "tensor/error.h"

namespace retune {
namespace {

class KeNetwork : public testing::Test {
 protected:
  HyperState golden_state(double kappa = 1.7) const {
    return {{{"lstm_width", 5}, {"condition_width", 7}, {"hidden_width", 4}, {"kappa", kappa}},
            kGoldenSites,
            golden_.parameters,
            {}};
  }
  const EditSignal& edit() const { return golden_.signals.back(); }
  std::vector<std::vector<double>> changes(const EditSignal& signal, double kappa = 1.7) {
    std::vector<std::vector<double>> matrices;
    const auto made = ke_network_kind().make(golden_state(kappa))->changes(session_, signal);
    for (std::size_t i = 0; i < made.size(); ++i) matrices.push_back(matrix_of(made[i], kGoldenSites[i]));
    return matrices;
  }
  static EditSignal without_gradient(EditSignal signal) {
    for (GradientFactors& factors : signal.factors)
      factors.gradients = Tensor::zeros(DType::kF32, factors.gradients.shape());
    return signal;
  }
  static std::int64_t rank_of(const std::vector<double>& matrix, const HyperSite& site) {
    const std::vector<float> values(matrix.begin(), matrix.end());
    return numerical_rank({"", {site.out, site.in}, DenseDelta{Tensor::of<float>({site.out, site.in}, values)}, {}})
        .value();
  }

  Session session_{SessionOptions{.threads = 2}};
  GoldenNetwork golden_ = golden_network("ke");
};

TEST_F(KeNetwork, ChangesAndGradientsAreThoseOfPyTorch) {
  const auto network = ke_network_kind().make(golden_state());
  const auto made = network->changes(session_, edit());
  for (std::size_t i = 0; i < kGoldenSites.size(); ++i)
    expect_near(matrix_of(made[i], kGoldenSites[i]), golden_.changes[i].to_f64(), 1e-5, kGoldenSites[i].name);
  const auto gradients = network->pull_back(session_, edit(), golden_.weight_gradients);
  ASSERT_EQ(gradients.size(), golden_.gradients.size());
  for (const auto& [name, want] : golden_.gradients)
    expect_near(gradients.at(name).to_f64(), want.to_f64(), 1e-5, name);
}

TEST_F(KeNetwork, GradientsAreCentralDifferences) {
  expect_central_differences(session_, ke_network_kind(), golden_state(), edit(), golden_.weight_gradients);
}

TEST_F(KeNetwork, WithoutAGradientTheChangeHasRankOne) {
  const auto shift = changes(without_gradient(edit()));
  for (std::size_t i = 0; i < shift.size(); ++i) {
    EXPECT_EQ(rank_of(shift[i], kGoldenSites[i]), 1);
    EXPECT_EQ(shift[i].size(), static_cast<std::size_t>(kGoldenSites[i].in * kGoldenSites[i].out));
  }
}

TEST_F(KeNetwork, TheGradientIsScaledByAMatrixOfRankOneThatTheIdsAloneChoose) {
  const auto shift = changes(without_gradient(edit())), whole = changes(edit());
  EditSignal other = edit();  // another sound: other factors, the same ids
  other.factors = golden_.signals[0].factors;
  const auto elsewhere = changes(other);
  for (std::size_t i = 0; i < shift.size(); ++i) {
    const auto scale = [&](const std::vector<double>& change, const GradientFactors& factors) {
      std::vector<double> by(change.size());
      const std::int64_t n = kGoldenSites[i].in, m = kGoldenSites[i].out;
      for (std::int64_t o = 0; o < m; ++o)
        for (std::int64_t k = 0; k < n; ++k) {
          double gradient = 0;
          for (std::int64_t t = 0; t < factors.inputs.shape()[0]; ++t)
            gradient += static_cast<double>(factors.gradients.data<float>()[t * m + o]) *
                        static_cast<double>(factors.inputs.data<float>()[t * n + k]);
          const auto at = static_cast<std::size_t>(o * n + k);
          by[at] = (change[at] - shift[i][at]) / gradient;
        }
      return by;
    };
    // The gradients are some 1e-3 and the shift some 1e-1, in f32: a quotient has four digits.
    expect_near(scale(whole[i], edit().factors[i]), scale(elsewhere[i], other.factors[i]), 2e-2, kGoldenSites[i].name);
  }
}

TEST_F(KeNetwork, OtherIdsChooseAnotherChange) {
  EditSignal other = edit();
  other.ids[2] = 3;
  EXPECT_NE(changes(edit()), changes(other));
  // No id is padding, 0 neither, and the order counts.
  EditSignal with_zero = edit(), turned = edit();
  with_zero.ids.push_back(0);
  std::reverse(turned.ids.begin(), turned.ids.end());
  EXPECT_NE(changes(edit()), changes(with_zero));
  EXPECT_NE(changes(edit()), changes(turned));
}

TEST_F(KeNetwork, KappaOfZeroIsNoChange) {
  for (const std::vector<double>& change : changes(edit(), 0)) EXPECT_THAT(change, testing::Each(0.0));
}

TEST_F(KeNetwork, StartsFromTheModelsEmbeddings) {
  const Tensor table = golden_.parameters.at("embeddings");
  const HyperState state = ke_network_kind().initial(
      golden_state().options, kGoldenSites, [&] { return table; }, Rng(1));
  EXPECT_TRUE(identical(state.parameters.at("embeddings"), table));
  ASSERT_EQ(state.parameters.size(), golden_.parameters.size());
  for (const auto& [name, tensor] : golden_.parameters)
    EXPECT_EQ(state.parameters.at(name).shape(), tensor.shape()) << name;
  // A length is that of its row at first.
  const auto direction = state.parameters.at("site.2.v1.direction").to_f64();
  double squares = 0;
  for (std::size_t k = 0; k < 7; ++k) squares += direction[k] * direction[k];
  EXPECT_NEAR(state.parameters.at("site.2.v1.length").to_f64()[0], std::sqrt(squares), 1e-6);
}

TEST_F(KeNetwork, RefusesIdsThatItDoesNotKnow) {
  EditSignal foreign = edit();
  foreign.ids[0] = 11;
  EXPECT_THROW(changes(foreign), Error);
}

}  // namespace
}  // namespace retune
