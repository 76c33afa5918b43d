#include "adapters/tensor_delta.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "tensor/error.h"
#include "tensor/rng.h"

namespace retune {
namespace {

Tensor random_tensor(Shape shape, std::uint64_t seed) {
  Rng rng(seed);
  Tensor result = Tensor::empty(DType::kF32, std::move(shape));
  for (std::int64_t i = 0; i < result.numel(); ++i) result.mutable_data<float>()[i] = static_cast<float>(rng.normal());
  return result;
}

DeltaTarget target(bool transposed = false) { return {.file = "m.onnx", .initializer = "w", .transposed = transposed}; }

TensorDelta low_rank(std::int64_t out, std::int64_t in, std::int64_t rank, std::uint64_t seed = 1) {
  return {"site",
          {out, in},
          LowRankDelta{random_tensor({out, rank}, seed), random_tensor({in, rank}, seed + 1)},
          {target()}};
}

TensorDelta as_dense(const TensorDelta& delta) {
  TensorDelta result = delta;
  result.values = DenseDelta{materialise(delta)};
  return result;
}

TensorDelta as_sparse(const TensorDelta& delta) {
  const Tensor values = materialise(delta);
  std::vector<std::int64_t> indices;
  std::vector<float> entries;
  for (std::int64_t i = 0; i < values.numel(); ++i) {
    if (values.data<float>()[i] == 0) continue;
    indices.push_back(i);
    entries.push_back(values.data<float>()[i]);
  }
  TensorDelta result = delta;
  result.values = SparseDelta{Tensor::vector(indices), Tensor::vector(entries)};
  return result;
}

TEST(TensorDelta, LowRankIsTheProductSummedInDouble) {
  const TensorDelta delta = low_rank(130, 7, 3);
  const auto& [u, v] = std::get<LowRankDelta>(delta.values);
  const Tensor dense = materialise(delta);
  for (int i = 0; i < 130; ++i)
    for (int j = 0; j < 7; ++j) {
      double sum = 0;
      for (int k = 0; k < 3; ++k) sum += static_cast<double>(u.data<float>()[i * 3 + k]) * v.data<float>()[j * 3 + k];
      EXPECT_EQ(dense.data<float>()[i * 7 + j], static_cast<float>(sum));
    }
}

TEST(TensorDelta, EveryFormAddsTheSameBits) {
  const TensorDelta factors = low_rank(130, 9, 2);
  for (const bool transposed : {false, true}) {
    const Shape stored = transposed ? Shape{9, 130} : Shape{130, 9};
    const Tensor base = random_tensor(stored, 9);
    std::vector<Tensor> results;
    for (const TensorDelta& delta : {factors, as_dense(factors), as_sparse(factors)}) {
      Tensor master = base.copy();
      add_to(master, delta, target(transposed));
      results.push_back(master);
    }
    EXPECT_TRUE(identical(results[0], results[1]));
    EXPECT_TRUE(identical(results[0], results[2]));
    EXPECT_FALSE(identical(results[0], base));
  }
}

TEST(TensorDelta, OrientationIsTheTargetsEvenOfASquareMatrix) {
  // W is 2 x 2; the difference goes to row 0, column 1 of W. Stored as W^T it must land in row 1, column 0.
  const TensorDelta delta{"site", {2, 2}, DenseDelta{Tensor::of<float>({2, 2}, {0, 5, 0, 0})}, {target()}};
  Tensor plain = Tensor::zeros(DType::kF32, {2, 2}), flipped = plain.copy();
  add_to(plain, delta, target(false));
  add_to(flipped, delta, target(true));
  EXPECT_TRUE(identical(plain, Tensor::of<float>({2, 2}, {0, 5, 0, 0})));
  EXPECT_TRUE(identical(flipped, Tensor::of<float>({2, 2}, {0, 0, 5, 0})));
}

TEST(TensorDelta, SlicesReachTheirPartOfAPackedMatrixOnly) {
  // gate|up packed as [in = 2, 2F = 6]; the delta is of `up`, [F = 3, in = 2], stored transposed in columns 3..6.
  const TensorDelta delta{"up", {3, 2}, DenseDelta{Tensor::of<float>({3, 2}, {1, 2, 3, 4, 5, 6})}, {target()}};
  DeltaTarget packed = target(true);
  packed.slice = Slice{1, 3, 3};
  ASSERT_TRUE(fits(delta, packed, {2, 6}));
  Tensor columns = Tensor::zeros(DType::kF32, {2, 6});
  add_to(columns, delta, packed);
  EXPECT_TRUE(identical(columns, Tensor::of<float>({2, 6}, {0, 0, 0, 1, 3, 5, 0, 0, 0, 2, 4, 6})));

  packed = target(false);
  packed.slice = Slice{0, 1, 3};
  ASSERT_TRUE(fits(delta, packed, {5, 2}));
  Tensor rows = Tensor::zeros(DType::kF32, {5, 2});
  add_to(rows, delta, packed);
  EXPECT_TRUE(identical(rows, Tensor::of<float>({5, 2}, {0, 0, 1, 2, 3, 4, 5, 6, 0, 0})));
  EXPECT_FALSE(fits(delta, packed, {3, 2}));
  EXPECT_FALSE(fits(delta, packed, {5, 3}));
  EXPECT_FALSE(fits(delta, packed, {5, 2, 1}));
}

TEST(TensorDelta, OtherTensorsKeepTheirShape) {
  const TensorDelta bias{"bias", {3}, DenseDelta{Tensor::of<float>({3}, {1, 2, 3})}, {target()}};
  DeltaTarget packed = target();
  packed.slice = Slice{0, 2, 3};
  Tensor stored = Tensor::zeros(DType::kF32, {6});
  add_to(stored, bias, packed);
  EXPECT_TRUE(identical(stored, Tensor::of<float>({6}, {0, 0, 1, 2, 3, 0})));

  // The middle axis of a convolution kernel [2, 3, 2], entries 1 and 2 of it.
  const TensorDelta kernel{
      "conv", {2, 2, 2}, DenseDelta{Tensor::of<float>({2, 2, 2}, {1, 2, 3, 4, 5, 6, 7, 8})}, {target()}};
  DeltaTarget middle = target();
  middle.slice = Slice{1, 1, 2};
  check({kernel.site, kernel.shape, kernel.values, {middle}});
  Tensor conv = Tensor::zeros(DType::kF32, {2, 3, 2});
  add_to(conv, kernel, middle);
  EXPECT_TRUE(identical(conv, Tensor::of<float>({2, 3, 2}, {0, 0, 1, 2, 3, 4, 0, 0, 5, 6, 7, 8})));
}

TEST(TensorDelta, ZeroDifferencesLeaveBitsAlone) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const Tensor base = Tensor::of<float>({4}, {-0.0f, nan, 1, 2});
  for (const float zero : {0.0f, -0.0f}) {
    Tensor master = base.copy();
    const TensorDelta delta{"site", {4}, DenseDelta{Tensor::of<float>({4}, {zero, zero, zero, 1})}, {target()}};
    add_to(master, delta, target());
    EXPECT_TRUE(identical(master.rows(0, 3), base.rows(0, 3)));
    EXPECT_EQ(master.data<float>()[3], 3);
    EXPECT_FALSE(is_zero(delta));
  }
  EXPECT_TRUE(is_zero({"site", {2}, DenseDelta{Tensor::of<float>({2}, {0.0f, -0.0f})}, {target()}}));
  EXPECT_TRUE(is_zero(
      {"site", {2, 3}, LowRankDelta{Tensor::zeros(DType::kF32, {2, 1}), random_tensor({3, 1}, 1)}, {target()}}));
}

TEST(TensorDelta, NormAndRank) {
  const TensorDelta factors = low_rank(20, 30, 4);
  double squares = 0;
  for (const double value : materialise(factors).to_f64()) squares += value * value;
  for (const TensorDelta& delta : {factors, as_dense(factors), as_sparse(factors)}) {
    EXPECT_NEAR(norm(delta), std::sqrt(squares), 1e-12 * std::sqrt(squares));
    EXPECT_EQ(numerical_rank(delta), 4);
  }
  EXPECT_EQ(numerical_rank(as_dense(low_rank(30, 20, 1))), 1);

  // Two columns that say the same: u v^T has rank 1 although r is 2.
  TensorDelta doubled = low_rank(8, 8, 2);
  auto& values = std::get<LowRankDelta>(doubled.values);
  for (int i = 0; i < 8; ++i) values.u.mutable_data<float>()[2 * i + 1] = 3 * values.u.data<float>()[2 * i];
  EXPECT_EQ(numerical_rank(doubled), 1);
  EXPECT_EQ(numerical_rank({"site", {4, 4}, DenseDelta{Tensor::zeros(DType::kF32, {4, 4})}, {target()}}), 0);
  EXPECT_EQ(numerical_rank({"bias", {4}, DenseDelta{random_tensor({4}, 1)}, {target()}}), std::nullopt);
}

TEST(TensorDelta, CompressesWhatIsMostlyZero) {
  Tensor few = Tensor::zeros(DType::kF32, {10, 10});
  few.mutable_data<float>()[37] = 2;
  few.mutable_data<float>()[99] = -1;
  const TensorDelta delta{"site", {10, 10}, DenseDelta{few}, {target()}};
  const TensorDelta small = compressed(delta);
  EXPECT_EQ(form_name(small), "sparse");
  EXPECT_EQ(stored_bytes(small), 24);
  EXPECT_TRUE(identical(materialise(small), few));
  const TensorDelta full = as_dense(low_rank(10, 10, 1));
  EXPECT_EQ(form_name(compressed(full)), "dense");
}

TEST(TensorDelta, UnsoundDeltasAreRefused) {
  const auto refused = [](TensorDelta delta) {
    try {
      check(delta);
    } catch (const Error& error) {
      return error.code() == ErrorCode::kUser;
    }
    return false;
  };
  const TensorDelta good = low_rank(4, 6, 2);
  EXPECT_FALSE(refused(good));
  TensorDelta bad = good;
  bad.shape = {6, 4};
  EXPECT_TRUE(refused(bad));
  bad = good;
  bad.targets.clear();
  EXPECT_TRUE(refused(bad));
  bad = good;
  bad.targets.push_back(bad.targets[0]);
  EXPECT_TRUE(refused(bad)) << "one target twice would be added twice";
  bad = good;
  bad.targets[0].slice = Slice{0, 0, 3};
  EXPECT_TRUE(refused(bad));
  bad = good;
  bad.targets[0].stored = DType::kI32;
  EXPECT_TRUE(refused(bad));
  bad = as_dense(good);
  std::get<DenseDelta>(bad.values).values.mutable_data<float>()[3] = std::numeric_limits<float>::infinity();
  EXPECT_TRUE(refused(bad));
  const auto sparse = [](std::vector<std::int64_t> indices) {
    const std::vector<float> values(indices.size(), 1.0f);
    return TensorDelta{"s", {2, 3}, SparseDelta{Tensor::vector(indices), Tensor::vector(values)}, {target()}};
  };
  EXPECT_FALSE(refused(sparse({0, 5})));
  EXPECT_TRUE(refused(sparse({5, 0})));
  EXPECT_TRUE(refused(sparse({1, 1})));
  EXPECT_TRUE(refused(sparse({6})));
  EXPECT_TRUE(refused(sparse({-1})));
}

}  // namespace
}  // namespace retune
