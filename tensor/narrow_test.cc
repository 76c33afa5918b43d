#include "tensor/narrow.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "tensor/error.h"

namespace retune {
namespace {

constexpr double kInf = std::numeric_limits<double>::infinity();
const double kNaN = std::nan("");

struct Format {
  DType dtype;
  int exponent_bits, mantissa_bits, bias;
  double largest;
  int finite;  // codes from 0 on that are finite and not negative
};

const Format kFormats[] = {{DType::kF8E4M3FN, 4, 3, 7, 448, 0x7f},
                           {DType::kF8E4M3FNUZ, 4, 3, 8, 240, 0x80},
                           {DType::kF8E5M2, 5, 2, 15, 57344, 0x7c},
                           {DType::kF8E5M2FNUZ, 5, 2, 16, 57344, 0x80},
                           {DType::kF4E2M1, 2, 1, 1, 6, 0x08}};

// The value of a code with a sign, from the definition of a binary float.
double value_of(const Format& f, int code) {
  const int exponent = (code >> f.mantissa_bits) & ((1 << f.exponent_bits) - 1);
  const int mantissa = code & ((1 << f.mantissa_bits) - 1);
  const double fraction = mantissa / std::pow(2.0, f.mantissa_bits);
  return exponent == 0 ? fraction * std::pow(2.0, 1 - f.bias) : (1 + fraction) * std::pow(2.0, exponent - f.bias);
}

TEST(Narrow, EveryFiniteCodeHasItsValueAndSurvivesTheRoundTrip) {
  for (const Format& f : kFormats) {
    const int sign = 1 << (f.exponent_bits + f.mantissa_bits);
    for (int code = 0; code < f.finite; ++code) {
      const auto plus = static_cast<std::uint8_t>(code), minus = static_cast<std::uint8_t>(code | sign);
      ASSERT_EQ(narrow_value(f.dtype, plus), value_of(f, code)) << dtype_name(f.dtype) << " " << code;
      ASSERT_EQ(narrow_code(f.dtype, value_of(f, code)), plus);
      if (code == 0) continue;
      ASSERT_EQ(narrow_value(f.dtype, minus), -value_of(f, code));
      ASSERT_EQ(narrow_code(f.dtype, -value_of(f, code)), minus);
    }
    EXPECT_EQ(narrow_value(f.dtype, static_cast<std::uint8_t>(f.finite - 1)), f.largest);
  }
}

TEST(Narrow, RoundsToNearestEvenBetweenAllNeighbours) {
  for (const Format& f : kFormats)
    for (int code = 0; code + 1 < f.finite; ++code) {
      const double low = value_of(f, code), high = value_of(f, code + 1), middle = (low + high) / 2;
      ASSERT_EQ(narrow_code(f.dtype, middle), code % 2 == 0 ? code : code + 1) << dtype_name(f.dtype) << " " << middle;
      ASSERT_EQ(narrow_code(f.dtype, std::nextafter(middle, 0)), code) << dtype_name(f.dtype) << " " << middle;
      ASSERT_EQ(narrow_code(f.dtype, std::nextafter(middle, kInf)), code + 1) << dtype_name(f.dtype) << " " << middle;
    }
}

// The two tables of ONNX's Cast.
TEST(Narrow, SaturatesOrOverflowsAsOnnxSays) {
  const NarrowRounding keep{.saturate = false};
  for (const Format& f : kFormats) {
    const auto largest = static_cast<std::uint8_t>(f.finite - 1);
    for (const double beyond : {f.largest * 1.5, 1e30, kInf}) {
      EXPECT_EQ(narrow_code(f.dtype, beyond), largest) << dtype_name(f.dtype);
      EXPECT_EQ(narrow_value(f.dtype, narrow_code(f.dtype, -beyond)), -f.largest) << dtype_name(f.dtype);
      const double kept = narrow_value(f.dtype, narrow_code(f.dtype, -beyond, keep));
      const bool as_said = f.dtype == DType::kF8E5M2   ? kept == -kInf
                           : f.dtype == DType::kF4E2M1 ? kept == -6
                                                       : std::isnan(kept);
      EXPECT_TRUE(as_said) << dtype_name(f.dtype) << " " << kept;
    }
    const double nothing = narrow_value(f.dtype, narrow_code(f.dtype, kNaN));
    EXPECT_TRUE(f.dtype == DType::kF4E2M1 ? nothing == 0 : std::isnan(nothing)) << dtype_name(f.dtype);
  }
  EXPECT_EQ(narrow_code(DType::kF8E4M3FN, -0.0), 0x80);
  EXPECT_EQ(narrow_code(DType::kF8E4M3FNUZ, -0.0), 0);
  EXPECT_EQ(narrow_code(DType::kF8E5M2FNUZ, -1e-30), 0);
}

TEST(Narrow, PowersOfTwoRoundUpDownOrToTheNearest) {
  const auto code = [](double value, NarrowRounding::Power power) {
    return narrow_code(DType::kF8E8M0, value, {.saturate = true, .power = power});
  };
  using Power = NarrowRounding::Power;
  for (int i = 0; i < 255; ++i) {
    EXPECT_EQ(narrow_value(DType::kF8E8M0, static_cast<std::uint8_t>(i)), std::ldexp(1.0, i - 127));
    for (const Power power : {Power::kUp, Power::kDown, Power::kNearest})
      EXPECT_EQ(code(std::ldexp(1.0, i - 127), power), i);
  }
  EXPECT_EQ(code(1.25, Power::kUp), 128);
  EXPECT_EQ(code(1.25, Power::kDown), 127);
  EXPECT_EQ(code(1.25, Power::kNearest), 127);
  EXPECT_EQ(code(1.5, Power::kNearest), 128);
  EXPECT_EQ(code(-3, Power::kUp), 129);
  EXPECT_EQ(code(0, Power::kNearest), 0);
  EXPECT_EQ(code(1e300, Power::kUp), 254);
  EXPECT_EQ(narrow_code(DType::kF8E8M0, 1e300, {.saturate = false}), 255);
  EXPECT_EQ(code(kInf, Power::kUp), 255);
  EXPECT_TRUE(std::isnan(narrow_value(DType::kF8E8M0, code(kNaN, Power::kUp))));
}

TEST(Narrow, IntegersTakeTheLowBits) {
  EXPECT_EQ(narrow_value(DType::kI4, 0x0d), -3);
  EXPECT_EQ(narrow_value(DType::kU4, 0xfd), 13);
  EXPECT_EQ(narrow_value(DType::kI2, 2), -2);
  EXPECT_EQ(narrow_code(DType::kI4, -9), 7);
  EXPECT_EQ(narrow_code(DType::kU4, 15.9), 15);
  EXPECT_EQ(narrow_code(DType::kU2, -1), 3);
  EXPECT_EQ(narrow_code(DType::kI4, kNaN), 0);
}

Tensor counting(DType dtype, Shape shape) {
  Tensor codes = Tensor::empty(DType::kU8, std::move(shape));
  for (std::int64_t i = 0; i < codes.numel(); ++i)
    codes.mutable_data<std::uint8_t>()[i] = static_cast<std::uint8_t>((i * 7 + 3) % (1 << dtype_bits(dtype)));
  return codes;
}

TEST(Narrow, PackedElementsShareBytesTheFirstInTheLowBits) {
  const Tensor nibbles = pack(DType::kU4, Tensor::of<std::uint8_t>({3}, {1, 2, 3}));
  EXPECT_EQ(nibbles.numel(), 3);
  EXPECT_EQ(nibbles.bytes(), 2u);
  EXPECT_EQ(nibbles.raw()[0], std::byte{0x21});
  EXPECT_EQ(nibbles.raw()[1], std::byte{0x03});
  EXPECT_EQ(pack(DType::kI2, Tensor::of<std::uint8_t>({4}, {3, 2, 1, 0})).raw()[0], std::byte{0x1b});
  for (const DType dtype : {DType::kU4, DType::kI4, DType::kF4E2M1, DType::kU2, DType::kI2, DType::kF8E5M2})
    for (const Shape& shape : {Shape{}, Shape{0, 4}, Shape{7}, Shape{3, 5}}) {
      const Tensor codes = counting(dtype, shape);
      EXPECT_TRUE(identical(unpack(pack(dtype, codes)), codes)) << dtype_name(dtype) << shape.text();
    }
}

TEST(Narrow, RowsThatBeginWithinAByteAreThoseOfTheCodes) {
  const Tensor codes = counting(DType::kU4, {4, 3});
  const Tensor nibbles = pack(DType::kU4, codes);
  for (std::int64_t begin = 0; begin < 4; ++begin)
    EXPECT_TRUE(identical(unpack(nibbles.rows(begin, 4 - begin)), codes.rows(begin, 4 - begin))) << begin;
}

TEST(Narrow, TensorsConvertBetweenAllTypes) {
  const Tensor small = Tensor::of<float>({5}, {-2, -1, 0, 1, 1});
  for (const DType dtype : {DType::kF8E4M3FN, DType::kF8E4M3FNUZ, DType::kF8E5M2, DType::kF8E5M2FNUZ, DType::kF4E2M1,
                            DType::kI4, DType::kI2})
    for (const DType from : {DType::kF32, DType::kF64, DType::kF16, DType::kI8, DType::kI64, DType::kI4}) {
      EXPECT_TRUE(identical(small.cast(from).cast(dtype).cast(DType::kF32), small)) << dtype_name(dtype);
      EXPECT_EQ(small.cast(from).cast(dtype).to_f64(), small.to_f64()) << dtype_name(dtype);
    }
  EXPECT_THROW(small.cast(DType::kF8E5M2).to_i64(), Error);
}

}  // namespace
}  // namespace retune
