#include "tensor/dtype.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace retune {
namespace {

// The value of a binary float with the given layout, from the definition.
double value_of(std::uint32_t bits, int exponent_bits, int mantissa_bits) {
  const int bias = (1 << (exponent_bits - 1)) - 1;
  const int exponent = static_cast<int>(bits >> mantissa_bits) & ((1 << exponent_bits) - 1);
  const int mantissa = static_cast<int>(bits) & ((1 << mantissa_bits) - 1);
  const double sign = (bits >> (exponent_bits + mantissa_bits)) != 0 ? -1 : 1;
  if (exponent == 0) return sign * std::ldexp(mantissa, 1 - bias - mantissa_bits);
  return sign * std::ldexp(mantissa + (1 << mantissa_bits), exponent - bias - mantissa_bits);
}

// Walks all neighbours a < b of a 16-bit type: their midpoint goes to the even one, anything nearer to one goes there.
template <class Half>
void expect_nearest_even(std::uint16_t largest) {
  for (std::uint16_t bits = 0; bits < largest; ++bits) {
    const float low = Half{bits}.to_float();
    const float high = Half{static_cast<std::uint16_t>(bits + 1)}.to_float();
    const float middle = static_cast<float>((static_cast<double>(low) + static_cast<double>(high)) / 2);
    const std::uint16_t even = (bits & 1) == 0 ? bits : static_cast<std::uint16_t>(bits + 1);
    ASSERT_EQ(Half::from(low).bits, bits);
    ASSERT_EQ(Half::from(middle).bits, even) << bits;
    ASSERT_EQ(Half::from(std::nextafter(middle, 0.0f)).bits, bits) << bits;
    ASSERT_EQ(Half::from(std::nextafter(middle, high)).bits, bits + 1) << bits;
    ASSERT_EQ(Half::from(-middle).bits, even | 0x8000) << bits;
  }
}

TEST(F16, EveryFinitePatternHasItsIeeeValueAndSurvivesTheRoundTrip) {
  for (std::uint32_t bits = 0; bits < 0x10000; ++bits) {
    const F16 half{static_cast<std::uint16_t>(bits)};
    if ((bits & 0x7c00) == 0x7c00) continue;
    ASSERT_EQ(half.to_float(), value_of(bits, 5, 10)) << bits;
    ASSERT_EQ(F16::from(half.to_float()).bits, bits);
  }
}

TEST(F16, RoundsToNearestEvenBetweenAllNeighboursSubnormalsIncluded) { expect_nearest_even<F16>(0x7bff); }

TEST(F16, OverflowsToInfinityAtTheMidpointBeyondTheLargest) {
  EXPECT_EQ(F16::from(65519.996f).bits, 0x7bff);
  EXPECT_EQ(F16::from(65520.0f).bits, 0x7c00);
  EXPECT_EQ(F16::from(-1e30f).bits, 0xfc00);
  EXPECT_EQ(F16::from(std::numeric_limits<float>::infinity()).bits, 0x7c00);
  EXPECT_TRUE(std::isinf(F16{0x7c00}.to_float()));
}

TEST(F16, KeepsNanAndTheSignOfZeroAndFlushesWhatIsBelowHalfTheSmallest) {
  EXPECT_TRUE(std::isnan(F16::from(std::nanf("")).to_float()));
  EXPECT_TRUE(std::isnan(F16{0x7c01}.to_float()));
  EXPECT_EQ(F16::from(-0.0f).bits, 0x8000);
  EXPECT_EQ(F16::from(std::ldexp(1.0f, -25)).bits, 0);  // a tie between zero and the smallest: zero is even
  EXPECT_EQ(F16::from(std::ldexp(1.5f, -25)).bits, 1);
}

TEST(BF16, EveryFinitePatternHasItsValueAndSurvivesTheRoundTrip) {
  for (std::uint32_t bits = 0; bits < 0x10000; ++bits) {
    const BF16 half{static_cast<std::uint16_t>(bits)};
    if ((bits & 0x7f80) == 0x7f80) continue;
    ASSERT_EQ(half.to_float(), value_of(bits, 8, 7)) << bits;
    ASSERT_EQ(BF16::from(half.to_float()).bits, bits);
  }
}

TEST(BF16, RoundsToNearestEvenBetweenAllNeighboursSubnormalsIncluded) { expect_nearest_even<BF16>(0x7f7f); }

TEST(BF16, OverflowsToInfinityAndKeepsNan) {
  EXPECT_EQ(BF16::from(std::numeric_limits<float>::max()).bits, 0x7f80);
  EXPECT_EQ(BF16::from(-std::numeric_limits<float>::infinity()).bits, 0xff80);
  // A NaN whose payload lies in the bits that are cut off must not become infinity.
  EXPECT_TRUE(std::isnan(BF16::from(std::bit_cast<float>(0x7f800001u)).to_float()));
  EXPECT_TRUE(std::isnan(BF16::from(std::bit_cast<float>(0xffffffffu)).to_float()));
}

TEST(DType, NamesAreUniqueAndReadBack) {
  for (const DType dtype : {DType::kF32, DType::kF64, DType::kF16, DType::kBF16, DType::kI8, DType::kI16, DType::kI32,
                            DType::kI64, DType::kU8, DType::kU16, DType::kU32, DType::kU64, DType::kBool}) {
    EXPECT_EQ(dtype_from_name(dtype_name(dtype)), dtype);
    std::size_t size = 0;
    EXPECT_TRUE(visit_dtype(dtype, [&]<class T>(T) { size = sizeof(T); }));
    EXPECT_EQ(dtype_size(dtype), size);
  }
  EXPECT_EQ(dtype_from_name("float33"), DType::kUndefined);
  EXPECT_EQ(dtype_size(DType::kString), 0u);
  EXPECT_FALSE(visit_dtype(DType::kString, [](auto) { FAIL(); }));
}

}  // namespace
}  // namespace retune
