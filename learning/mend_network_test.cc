// MEND's network against PyTorch, against central differences, and the invariants of methods.md 5.13.
#include "learning/mend_network.h"

#include <gmock/gmock.h>

#include "learning/golden_network.h"
#include "tensor/error.h"

namespace retune {
namespace {

HyperOptions options(double rank = 5) {
  return {{"rank", rank},       {"blocks", 2},          {"normalise", 1},
          {"step", 0.5},        {"step_rate_apart", 1}, {"step_learning_rate", 1e-4},
          {"reference_sign", 0}};
}

HyperState initial(HyperOptions with) { return mend_network_kind().initial(std::move(with), kGoldenSites, {}, Rng(3)); }

// sum of g x^T over tokens, [out, in], in f64.
std::vector<double> gradient_of(const GradientFactors& factors) {
  const std::int64_t n = factors.inputs.shape()[1], m = factors.gradients.shape()[1];
  std::vector<double> sum(static_cast<std::size_t>(n * m), 0.0);
  for (std::int64_t t = 0; t < factors.inputs.shape()[0]; ++t)
    for (std::int64_t o = 0; o < m; ++o)
      for (std::int64_t i = 0; i < n; ++i)
        sum[static_cast<std::size_t>(o * n + i)] += static_cast<double>(factors.gradients.data<float>()[t * m + o]) *
                                                    static_cast<double>(factors.inputs.data<float>()[t * n + i]);
  return sum;
}

class MendNetwork : public testing::Test {
 protected:
  // With the golden parameters, having seen all three signals.
  std::unique_ptr<HyperNetwork> trained() {
    HyperState state = initial(options());
    state.parameters = golden_.parameters;
    auto network = mend_network_kind().make(std::move(state));
    for (const EditSignal& signal : golden_.signals) network->observe(signal);
    return network;
  }
  const EditSignal& edit() const { return golden_.signals.back(); }

  Session session_{SessionOptions{.threads = 2}};
  GoldenNetwork golden_ = golden_network("mend");
};

TEST_F(MendNetwork, ChangesAndGradientsAreThoseOfPyTorch) {
  const auto network = trained();
  const auto changes = network->changes(session_, edit());
  for (std::size_t i = 0; i < kGoldenSites.size(); ++i) {
    expect_near(matrix_of(changes[i], kGoldenSites[i]), golden_.changes[i].to_f64(), 1e-5, kGoldenSites[i].name);
    EXPECT_EQ(changes[i].tokens, 6) << "of 8 tokens, one has no input and one no gradient";
  }
  const auto gradients = network->pull_back(session_, edit(), golden_.weight_gradients);
  ASSERT_EQ(gradients.size(), golden_.gradients.size());
  for (const auto& [name, want] : golden_.gradients)
    expect_near(gradients.at(name).to_f64(), want.to_f64(), 1e-5, name);
}

TEST_F(MendNetwork, GradientsAreCentralDifferences) {
  expect_central_differences(session_, mend_network_kind(), trained()->state(), edit(), golden_.weight_gradients);
}

// rank(D) is at most the number of tokens; with few tokens the factors show it.
TEST_F(MendNetwork, TheRankIsAtMostTheNumberOfTokens) {
  EditSignal few = edit();
  for (GradientFactors& factors : few.factors) factors = {factors.inputs.rows(4, 2), factors.gradients.rows(4, 2)};
  const auto changes = trained()->changes(session_, few);
  for (std::size_t i = 0; i < kGoldenSites.size(); ++i) {
    EXPECT_EQ(changes[i].tokens, 2);
    const TensorDelta delta{"", {kGoldenSites[i].out, kGoldenSites[i].in}, changes[i].values, {}};
    EXPECT_LE(numerical_rank(delta).value(), 2);
  }
}

TEST_F(MendNetwork, AtFirstWithoutNormalisationItIsAGradientStep) {
  for (const double sign : {0.0, 1.0}) {
    HyperOptions plain = options();
    plain["normalise"] = 0;
    plain["reference_sign"] = sign;
    const auto changes = mend_network_kind().make(initial(plain))->changes(session_, edit());
    for (std::size_t i = 0; i < kGoldenSites.size(); ++i) {
      std::vector<double> want = gradient_of(edit().factors[i]);
      for (double& value : want) value *= sign != 0 ? 0.5 : -0.5;
      expect_near(matrix_of(changes[i], kGoldenSites[i]), want, 1e-6, kGoldenSites[i].name);
    }
  }
}

TEST_F(MendNetwork, AtFirstTheFactorsAreOnlyNormalised) {
  auto network = mend_network_kind().make(initial(options()));
  for (const EditSignal& signal : golden_.signals) network->observe(signal);
  const auto changes = network->changes(session_, edit());
  // Mean and deviation of the group by their definition, over the tokens that say something.
  const auto normalised = [&](bool inputs, std::int64_t width, const Tensor& rows) {
    std::vector<std::vector<double>> seen(static_cast<std::size_t>(width));
    for (const EditSignal& signal : golden_.signals)
      for (std::size_t site : {0, 1})
        for (std::int64_t t = 0; t < signal.factors[site].inputs.shape()[0]; ++t)
          if (t != 1 && t != 3)
            for (std::int64_t d = 0; d < width; ++d) {
              const Tensor& of = inputs ? signal.factors[site].inputs : signal.factors[site].gradients;
              seen[static_cast<std::size_t>(d)].push_back(static_cast<double>(of.data<float>()[t * width + d]));
            }
    Tensor result = rows.copy();
    for (std::int64_t d = 0; d < width; ++d) {
      double mean = 0, squares = 0;
      for (const double value : seen[static_cast<std::size_t>(d)]) mean += value;
      mean /= static_cast<double>(seen[static_cast<std::size_t>(d)].size());
      for (const double value : seen[static_cast<std::size_t>(d)]) squares += (value - mean) * (value - mean);
      const double deviation = std::sqrt(squares / static_cast<double>(seen[static_cast<std::size_t>(d)].size() - 1));
      for (std::int64_t t = 0; t < rows.shape()[0]; ++t) {
        float& value = result.mutable_data<float>()[t * width + d];
        value = static_cast<float>((static_cast<double>(value) - mean) / (deviation + 1e-7));
        if (t == 1 || t == 3) value = 0;
      }
    }
    return result;
  };
  const GradientFactors factors{normalised(true, 4, edit().factors[0].inputs),
                                normalised(false, 6, edit().factors[0].gradients)};
  std::vector<double> want = gradient_of(factors);
  for (double& value : want) value *= -0.5;
  expect_near(matrix_of(changes[0], kGoldenSites[0]), want, 1e-5, "a");
}

// With a slope of 0 at 0 every pre-activation of a new network would have none, and it would never learn.
TEST_F(MendNetwork, ANewNetworkHasAGradient) {
  auto network = mend_network_kind().make(initial(options()));
  for (const EditSignal& signal : golden_.signals) network->observe(signal);
  const auto gradients = network->pull_back(session_, edit(), golden_.weight_gradients);
  for (const auto& [name, gradient] : gradients) {
    const bool learns_later = name.ends_with(".v") || name.ends_with(".scale");  // behind U = 0, and times zero
    const bool any = std::any_of(gradient.values<float>().begin(), gradient.values<float>().end(),
                                 [](float value) { return value != 0; });
    EXPECT_EQ(any, !learns_later) << name;
  }
}

TEST_F(MendNetwork, TokensThatSayNothingContributeNothing) {
  const auto network = trained();
  EditSignal padded = edit();
  for (GradientFactors& factors : padded.factors) {
    const auto with_zeros = [](const Tensor& rows) {
      Tensor more = Tensor::zeros(DType::kF32, {rows.shape()[0] + 3, rows.shape()[1]});
      std::copy_n(rows.data<float>(), rows.numel(), more.mutable_data<float>());
      return more;
    };
    factors = {with_zeros(factors.inputs), with_zeros(factors.gradients)};
  }
  const auto changes = network->changes(session_, edit()), same = network->changes(session_, padded);
  for (std::size_t i = 0; i < changes.size(); ++i)
    EXPECT_EQ(matrix_of(changes[i], kGoldenSites[i]), matrix_of(same[i], kGoldenSites[i]));
  const HyperState before = network->state();
  auto other = mend_network_kind().make(before);
  network->observe(edit());
  other->observe(padded);
  for (const auto& [name, tensor] : network->state().statistics)
    EXPECT_TRUE(identical(tensor, other->state().statistics.at(name))) << name;
}

TEST_F(MendNetwork, ASiteWithoutTokensIsNotChanged) {
  const auto network = trained();
  EditSignal silent = edit();
  silent.factors[1].gradients = Tensor::zeros(DType::kF32, silent.factors[1].gradients.shape());
  const auto changes = network->changes(session_, silent);
  EXPECT_THAT(matrix_of(changes[1], kGoldenSites[1]), testing::Each(0.0));
  EXPECT_EQ(changes[1].tokens, 0);
  EXPECT_EQ(matrix_of(changes[0], kGoldenSites[0]), matrix_of(network->changes(session_, edit())[0], kGoldenSites[0]));
  const auto gradients = network->pull_back(session_, silent, golden_.weight_gradients);
  EXPECT_THAT(gradients.at("site.1.step").to_f64(), testing::Each(0.0));
  EXPECT_THAT(gradients.at("site.1.block0.shift").to_f64(), testing::Each(0.0));
}

TEST_F(MendNetwork, EditingLeavesTheStatisticsAlone) {
  const auto network = trained();
  const std::map<std::string, Tensor> before = network->state().statistics;
  network->changes(session_, edit());
  network->pull_back(session_, edit(), golden_.weight_gradients);
  for (const auto& [name, tensor] : network->state().statistics) EXPECT_TRUE(identical(tensor, before.at(name)));
}

TEST_F(MendNetwork, OneThatHasSeenNothingSaysSo) {
  const auto network = mend_network_kind().make(initial(options()));
  try {
    network->changes(session_, edit());
    FAIL() << "nothing was thrown";
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), testing::HasSubstr("must be trained"));
  }
}

TEST_F(MendNetwork, TheRankIsHeldToTheWidthAndTheStepHasItsOwnRate) {
  const HyperState state = initial(options(1920));
  EXPECT_EQ(state.parameters.at("group.6x4.block0.v").shape(), (Shape{10, 10}));
  EXPECT_EQ(state.parameters.at("group.5x3.block1.u").shape(), (Shape{8, 8}));
  EXPECT_DOUBLE_EQ(mend_network_kind().make(state)->rate_of("site.0.step", 1e-6), 1e-4);
  EXPECT_DOUBLE_EQ(mend_network_kind().make(state)->rate_of("group.6x4.block0.v", 1e-6), 1e-6);
  HyperOptions together = options();
  together["step_rate_apart"] = 0;
  EXPECT_DOUBLE_EQ(mend_network_kind().make(initial(together))->rate_of("site.0.step", 1e-6), 1e-6);
}

TEST_F(MendNetwork, RefusesAStateOrASignalThatDoesNotFit) {
  HyperState state = initial(options());
  state.parameters.erase("site.0.step");
  EXPECT_THROW(mend_network_kind().make(state), Error);
  state = initial(options());
  state.parameters["site.0.step"] = Tensor::zeros(DType::kF32, {2});
  EXPECT_THROW(mend_network_kind().make(state), Error);
  state = initial(options());
  state.statistics.erase("group.6x4.tokens");
  EXPECT_THROW(mend_network_kind().make(state), Error);
  EditSignal short_one = edit();
  short_one.factors.pop_back();
  EXPECT_THROW(trained()->changes(session_, short_one), Error);
  EditSignal wide = edit();
  std::swap(wide.factors[0], wide.factors[2]);
  EXPECT_THROW(trained()->changes(session_, wide), Error);
}

}  // namespace
}  // namespace retune
