#include "learning/site_weight.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tensor/error.h"

namespace retune {
namespace {

Tensor counted(const Shape& shape) {
  Tensor tensor = Tensor::empty(DType::kF32, shape);
  for (std::int64_t i = 0; i < tensor.numel(); ++i) tensor.mutable_data<float>()[i] = static_cast<float>(i);
  return tensor;
}

DeltaTarget target(bool transposed, std::optional<Slice> slice) {
  return {.file = "m.onnx",
          .initializer = "w",
          .transposed = transposed,
          .slice = slice,
          .stored = DType::kF32,
          .sha256 = {}};
}

TEST(SiteWeight, AStoredTransposeIsTurnedEvenIfSquare) {
  const Tensor part = site_part(counted({2, 2}), {2, 2}, target(true, std::nullopt));
  EXPECT_THAT(part.values<float>(), testing::ElementsAre(0, 2, 1, 3));
}

TEST(SiteWeight, ASliceIsReadAlongItsOwnAxis) {
  // Stored [in = 3, gate|up = 2 + 2]; the up part, as [out, in].
  const Tensor part = site_part(counted({3, 4}), {2, 3}, target(true, Slice{1, 2, 2}));
  EXPECT_THAT(part.values<float>(), testing::ElementsAre(2, 6, 10, 3, 7, 11));
  const Tensor rows = site_part(counted({4, 3}), {2, 3}, target(false, Slice{0, 1, 2}));
  EXPECT_THAT(rows.values<float>(), testing::ElementsAre(3, 4, 5, 6, 7, 8));
}

TEST(SiteWeight, WritingIsTheInverseOfReadingAndLeavesTheRestAlone) {
  for (const DeltaTarget& where : {target(false, std::nullopt), target(true, Slice{1, 40, 35}),
                                   target(true, Slice{0, 1, 70}), target(false, Slice{1, 0, 33})}) {
    const Tensor stored = counted({80, 90});
    const std::int64_t rows = where.slice && where.slice->axis == 0 ? where.slice->count : 80;
    const std::int64_t columns = where.slice && where.slice->axis == 1 ? where.slice->count : 90;
    const Shape shape = where.transposed ? Shape{columns, rows} : Shape{rows, columns};
    const Tensor part = site_part(stored, shape, where);
    Tensor back = stored.copy();
    write_stored_part(back, where.transposed ? transposed(part) : part, where);
    EXPECT_TRUE(identical(back, stored));
    Tensor zeroed = stored.copy();
    write_stored_part(zeroed, Tensor::zeros(DType::kF32, shape), where);
    std::int64_t changed = 0;
    for (std::int64_t i = 1; i < stored.numel(); ++i) changed += zeroed.data<float>()[i] == 0.0f ? 1 : 0;
    EXPECT_NEAR(static_cast<double>(changed), static_cast<double>(part.numel()), 1);
  }
}

TEST(SiteWeight, APartOfAnotherSizeIsRefused) {
  EXPECT_THROW(site_part(counted({3, 4}), {3, 3}, target(false, std::nullopt)), Error);
}

}  // namespace
}  // namespace retune
