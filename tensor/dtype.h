// Element types, with ONNX's own numbers (TensorProto.DataType), and the two 16-bit floats.
//
// What is narrower than a byte is packed as in ONNX files, so that mapped weights stay mapped: element i of the
// row-major order takes bits [i * bits % 8, ...) of byte i * bits / 8 (the first in the low bits), and the last byte is
// filled up with zeros. A Tensor counts its elements in numel() and its bytes in bytes(); narrow.h has the values.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

namespace retune {

enum class DType : std::uint8_t {
  kUndefined = 0,
  kF32 = 1,
  kU8 = 2,
  kI8 = 3,
  kU16 = 4,
  kI16 = 5,
  kI32 = 6,
  kI64 = 7,
  kString = 8,
  kBool = 9,
  kF16 = 10,
  kF64 = 11,
  kU32 = 12,
  kU64 = 13,
  kBF16 = 16,
  kF8E4M3FN = 17,
  kF8E4M3FNUZ = 18,
  kF8E5M2 = 19,
  kF8E5M2FNUZ = 20,
  kU4 = 21,
  kI4 = 22,
  kF4E2M1 = 23,
  kF8E8M0 = 24,
  kU2 = 25,
  kI2 = 26,
};

// Bits of one element; 0 for kUndefined, kString and numbers that are no type, which no Tensor holds.
unsigned dtype_bits(DType dtype);
// Bytes of one element; 0 where dtype_bits is 0 and for packed types, whose elements have no address.
std::size_t dtype_size(DType dtype);
// Bytes that `count` elements take; nothing where that is more than memory can have.
std::optional<std::size_t> storage_bytes(DType dtype, std::int64_t count);
// "f32", "i64", "bool", ...; "type 22" style numbers are the caller's business.
std::string_view dtype_name(DType dtype);
// The inverse of dtype_name; kUndefined for an unknown name.
DType dtype_from_name(std::string_view name);
// f32, f64, f16 or bf16: what has arithmetic and gradients. Narrow floats are codes, which only casts and quantisation
// read.
bool is_float(DType dtype);
bool is_half(DType dtype);          // f16 or bf16
bool is_packed(DType dtype);        // 2 or 4 bits an element
bool is_narrow_float(DType dtype);  // the floats of 8 and 4 bits
bool is_narrow(DType dtype);        // packed, or a narrow float

// IEEE binary16, stored. Conversions round to nearest even; overflow gives infinity.
struct F16 {
  std::uint16_t bits;
  static F16 from(float value);
  float to_float() const;
  explicit operator float() const { return to_float(); }
};

// bfloat16, stored: the upper half of an f32. Conversions round to nearest even; NaN stays NaN.
struct BF16 {
  std::uint16_t bits;
  static BF16 from(float value) {
    const auto word = std::bit_cast<std::uint32_t>(value);
    if ((word & 0x7fffffffu) > 0x7f800000u) return {static_cast<std::uint16_t>((word >> 16) | 0x40u)};
    return {static_cast<std::uint16_t>((word + 0x7fffu + ((word >> 16) & 1u)) >> 16)};
  }
  float to_float() const { return std::bit_cast<float>(static_cast<std::uint32_t>(bits) << 16); }
  explicit operator float() const { return to_float(); }
};

template <class T>
struct DTypeOf;
template <>
struct DTypeOf<float> {
  static constexpr DType value = DType::kF32;
};
template <>
struct DTypeOf<double> {
  static constexpr DType value = DType::kF64;
};
template <>
struct DTypeOf<std::uint8_t> {
  static constexpr DType value = DType::kU8;
};
template <>
struct DTypeOf<std::int8_t> {
  static constexpr DType value = DType::kI8;
};
template <>
struct DTypeOf<std::uint16_t> {
  static constexpr DType value = DType::kU16;
};
template <>
struct DTypeOf<std::int16_t> {
  static constexpr DType value = DType::kI16;
};
template <>
struct DTypeOf<std::int32_t> {
  static constexpr DType value = DType::kI32;
};
template <>
struct DTypeOf<std::uint32_t> {
  static constexpr DType value = DType::kU32;
};
template <>
struct DTypeOf<std::int64_t> {
  static constexpr DType value = DType::kI64;
};
template <>
struct DTypeOf<std::uint64_t> {
  static constexpr DType value = DType::kU64;
};
template <>
struct DTypeOf<bool> {
  static constexpr DType value = DType::kBool;
};
template <>
struct DTypeOf<F16> {
  static constexpr DType value = DType::kF16;
};
template <>
struct DTypeOf<BF16> {
  static constexpr DType value = DType::kBF16;
};

// Calls f with a value of the C++ type of `dtype`; returns false uncalled for kUndefined, kString and the narrow types,
// which have none.
//   visit_dtype(t.dtype(), [&]<class T>(T) { ... });
template <class F>
bool visit_dtype(DType dtype, F&& f) {
  switch (dtype) {
    case DType::kF32:
      f(float{});
      return true;
    case DType::kF64:
      f(double{});
      return true;
    case DType::kU8:
      f(std::uint8_t{});
      return true;
    case DType::kI8:
      f(std::int8_t{});
      return true;
    case DType::kU16:
      f(std::uint16_t{});
      return true;
    case DType::kI16:
      f(std::int16_t{});
      return true;
    case DType::kI32:
      f(std::int32_t{});
      return true;
    case DType::kU32:
      f(std::uint32_t{});
      return true;
    case DType::kI64:
      f(std::int64_t{});
      return true;
    case DType::kU64:
      f(std::uint64_t{});
      return true;
    case DType::kBool:
      f(bool{});
      return true;
    case DType::kF16:
      f(F16{});
      return true;
    case DType::kBF16:
      f(BF16{});
      return true;
    default:
      return false;
  }
}

}  // namespace retune
