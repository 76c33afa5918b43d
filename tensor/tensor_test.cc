#include "tensor/tensor.h"

#include <gtest/gtest.h>

#include <stdexcept>

#include "tensor/error.h"

namespace retune {
namespace {

TEST(Tensor, CopiesOfTheHandleShareAndCopyDoesNot) {
  Tensor a = Tensor::zeros(DType::kF32, {2, 3});
  const Tensor shared = a;
  const Tensor copied = a.copy();
  a.mutable_data<float>()[4] = 5;
  EXPECT_EQ(shared.data<float>()[4], 5);
  EXPECT_EQ(copied.data<float>()[4], 0);
}

TEST(Tensor, RowsAndReshapedAreViewsOfTheSameMemory) {
  const Tensor a = Tensor::of<float>({3, 2}, {0, 1, 2, 3, 4, 5});
  const Tensor row = a.rows(1, 2);
  EXPECT_EQ(row.shape(), Shape({2, 2}));
  EXPECT_EQ(row.raw(), a.raw() + 8);
  EXPECT_EQ(a.reshaped({6}).raw(), a.raw());
  EXPECT_THROW(a.reshaped({5}), Error);
  EXPECT_THROW(a.rows(2, 2), Error);
  EXPECT_THROW(a.rows(-1, 1), Error);
  EXPECT_THROW(Tensor::scalar(1.0f).rows(0, 1), Error);
}

TEST(Tensor, AViewOfForeignMemoryIsNeverWritten) {
  const auto memory = std::make_shared<std::vector<float>>(4, 1.0f);
  Tensor view = Tensor::view(DType::kF32, {4}, memory->data(), memory);
  EXPECT_EQ(memory.use_count(), 2);
  EXPECT_THROW(view.mutable_data<float>(), std::logic_error);
}

TEST(Tensor, TypedAccessNamesBothTypesWhenTheyDiffer) {
  const Tensor a = Tensor::of<std::int64_t>({1}, {7});
  try {
    a.data<float>();
    FAIL();
  } catch (const Error& error) {
    EXPECT_STREQ(error.what(), "expected a tensor of type f32, got i64 [1]");
  }
}

TEST(Tensor, CastRoundsIntoHalvesAndTruncatesIntoIntegers) {
  const Tensor a = Tensor::of<float>({4}, {1.0009765625f, -2.75f, 0.0f, 65520.0f});
  EXPECT_EQ(a.cast(DType::kF16).data<F16>()[0].bits, 0x3c01);
  EXPECT_EQ(a.cast(DType::kF16).data<F16>()[3].bits, 0x7c00);
  EXPECT_EQ(a.cast(DType::kBF16).data<BF16>()[0].bits, 0x3f80);
  EXPECT_EQ(a.cast(DType::kI32).data<std::int32_t>()[1], -2);
  EXPECT_FALSE(a.cast(DType::kBool).data<bool>()[2]);
  EXPECT_TRUE(a.cast(DType::kBool).data<bool>()[1]);
  EXPECT_EQ(a.cast(DType::kF32).raw(), a.raw());
}

TEST(Tensor, IdenticalComparesTypeShapeAndBytes) {
  const Tensor a = Tensor::of<float>({2}, {0.0f, 1.0f});
  EXPECT_TRUE(identical(a, a.copy()));
  EXPECT_FALSE(identical(a, a.reshaped({2, 1})));
  EXPECT_FALSE(identical(a, Tensor::of<float>({2}, {-0.0f, 1.0f})));
  EXPECT_FALSE(identical(a, Tensor::of<std::int32_t>({2}, {0, 0x3f800000})));
}

TEST(Tensor, RefusesTypesWithoutStorageAndCountsThatDoNotFit) {
  EXPECT_THROW(Tensor::empty(DType::kString, {1}), Error);
  EXPECT_THROW(Tensor::empty(DType::kF64, {INT64_MAX / 4}), Error);
  EXPECT_THROW(Tensor::of<float>({3}, {1.0f}), Error);
  EXPECT_EQ(Tensor::zeros(DType::kF32, {0, 5}).bytes(), 0u);
  EXPECT_FALSE(Tensor().defined());
}

}  // namespace
}  // namespace retune
