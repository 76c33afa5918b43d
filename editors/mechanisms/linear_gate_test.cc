#include "editors/mechanisms/linear_gate.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "adapters/hdf5_file.h"
#include "tensor/error.h"
#include "tensor/rng.h"

namespace retune {
namespace {

using testing::HasSubstr;
using States = std::vector<std::vector<double>>;

States rows_of(const Tensor& matrix) {
  const std::int64_t width = matrix.shape()[1];
  States rows;
  for (std::int64_t r = 0; r < matrix.shape()[0]; ++r)
    rows.emplace_back(matrix.data<double>() + r * width, matrix.data<double>() + (r + 1) * width);
  return rows;
}

States drawn(int count, int width, double shift, std::uint64_t seed) {
  Rng rng(seed);
  States states(static_cast<std::size_t>(count), std::vector<double>(static_cast<std::size_t>(width)));
  for (auto& state : states)
    for (double& item : state) item = shift + rng.normal();
  return states;
}

class GoldenGate : public testing::TestWithParam<const char*> {};

// Another algorithm on another form of the problem, in PyTorch (tests/golden/linear_gate).
TEST_P(GoldenGate, IsPyTorchs) {
  const Hdf5File file = Hdf5File::open("tests/golden/linear_gate/golden.h5");
  const auto read = [&](const char* name) { return file.read(std::string(GetParam()) + "/" + name); };
  const LinearGate gate = train_gate(rows_of(read("inside")), rows_of(read("outside")), read("ridge").to_f64().front());
  const std::vector<double> weight = read("weight").to_f64();
  double scale = 0;
  for (const double item : weight) scale = std::max(scale, std::abs(item));
  ASSERT_EQ(gate.weight.size(), weight.size());
  for (std::size_t d = 0; d < weight.size(); ++d) EXPECT_NEAR(gate.weight[d], weight[d], 1e-7 * scale);
  EXPECT_NEAR(gate.bias, read("bias").to_f64().front(), 1e-7 * std::max(1.0, std::abs(gate.bias)));
}

INSTANTIATE_TEST_SUITE_P(Of, GoldenGate, testing::Values("overlapping", "separable", "uneven"));

TEST(LinearGate, TellsItsOwnStatesApart) {
  const States inside = drawn(8, 32, 1, 1), outside = drawn(24, 32, -1, 2);
  const LinearGate gate = train_gate(inside, outside, 1e-2);
  for (const auto& state : inside) EXPECT_GT(gate.score(state), 0);
  for (const auto& state : outside) EXPECT_LT(gate.score(state), 0);
}

TEST(LinearGate, TurnsRoundWithItsSides) {
  const States inside = drawn(6, 5, 0.3, 3), outside = drawn(9, 5, -0.3, 4);
  const LinearGate gate = train_gate(inside, outside, 1e-2), turned = train_gate(outside, inside, 1e-2);
  for (std::size_t d = 0; d < 5; ++d) EXPECT_NEAR(gate.weight[d], -turned.weight[d], 1e-9);
  EXPECT_NEAR(gate.bias, -turned.bias, 1e-9);
}

TEST(LinearGate, StatesThatAreAllAlikeGiveNoSide) {
  const States same(3, std::vector<double>(4, 2.0));
  EXPECT_NEAR(train_gate(same, same, 1e-2).score(same[0]), 0, 1e-12);
}

TEST(LinearGate, RefusesWhatItCannotSeparate) {
  const States some = drawn(2, 3, 0, 5);
  const auto refused = [](auto&& action) {
    try {
      action();
    } catch (const Error& error) {
      return std::string(error.what());
    }
    return std::string();
  };
  EXPECT_THAT(refused([&] { train_gate({}, some, 1e-2); }), HasSubstr("both sides"));
  EXPECT_THAT(refused([&] { train_gate(some, some, 0); }), HasSubstr("ridge"));
  EXPECT_THAT(refused([&] { train_gate(States{{NAN, 0, 0}}, some, 1e-2); }), HasSubstr("not finite"));
}

}  // namespace
}  // namespace retune
