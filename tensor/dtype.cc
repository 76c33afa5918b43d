#include "tensor/dtype.h"

#include <array>
#include <utility>

namespace retune {

namespace {
constexpr std::array<std::pair<DType, std::string_view>, 24> kNames{{
    {DType::kF32, "f32"},
    {DType::kU8, "u8"},
    {DType::kI8, "i8"},
    {DType::kU16, "u16"},
    {DType::kI16, "i16"},
    {DType::kI32, "i32"},
    {DType::kI64, "i64"},
    {DType::kString, "string"},
    {DType::kBool, "bool"},
    {DType::kF16, "f16"},
    {DType::kF64, "f64"},
    {DType::kU32, "u32"},
    {DType::kU64, "u64"},
    {DType::kBF16, "bf16"},
    {DType::kF8E4M3FN, "f8e4m3fn"},
    {DType::kF8E4M3FNUZ, "f8e4m3fnuz"},
    {DType::kF8E5M2, "f8e5m2"},
    {DType::kF8E5M2FNUZ, "f8e5m2fnuz"},
    {DType::kU4, "u4"},
    {DType::kI4, "i4"},
    {DType::kF4E2M1, "f4e2m1"},
    {DType::kF8E8M0, "f8e8m0"},
    {DType::kU2, "u2"},
    {DType::kI2, "i2"},
}};
}  // namespace

unsigned dtype_bits(DType dtype) {
  switch (dtype) {
    case DType::kU2:
    case DType::kI2:
      return 2;
    case DType::kU4:
    case DType::kI4:
    case DType::kF4E2M1:
      return 4;
    case DType::kU8:
    case DType::kI8:
    case DType::kBool:
    case DType::kF8E4M3FN:
    case DType::kF8E4M3FNUZ:
    case DType::kF8E5M2:
    case DType::kF8E5M2FNUZ:
    case DType::kF8E8M0:
      return 8;
    case DType::kU16:
    case DType::kI16:
    case DType::kF16:
    case DType::kBF16:
      return 16;
    case DType::kF32:
    case DType::kI32:
    case DType::kU32:
      return 32;
    case DType::kF64:
    case DType::kI64:
    case DType::kU64:
      return 64;
    default:
      return 0;
  }
}

std::size_t dtype_size(DType dtype) { return dtype_bits(dtype) / 8; }

std::optional<std::size_t> storage_bytes(DType dtype, std::int64_t count) {
  const auto elements = static_cast<std::size_t>(count);
  if (is_packed(dtype)) {
    const std::size_t per_byte = 8 / dtype_bits(dtype);
    return elements / per_byte + (elements % per_byte != 0 ? 1 : 0);
  }
  std::size_t bytes = 0;
  if (__builtin_mul_overflow(elements, dtype_size(dtype), &bytes)) return std::nullopt;
  return bytes;
}

std::string_view dtype_name(DType dtype) {
  for (const auto& [d, name] : kNames)
    if (d == dtype) return name;
  return "undefined";
}

DType dtype_from_name(std::string_view name) {
  for (const auto& [d, n] : kNames)
    if (n == name) return d;
  return DType::kUndefined;
}

bool is_float(DType dtype) { return dtype == DType::kF32 || dtype == DType::kF64 || is_half(dtype); }

bool is_half(DType dtype) { return dtype == DType::kF16 || dtype == DType::kBF16; }

bool is_packed(DType dtype) {
  const unsigned bits = dtype_bits(dtype);
  return bits == 2 || bits == 4;
}

bool is_narrow_float(DType dtype) {
  return (dtype >= DType::kF8E4M3FN && dtype <= DType::kF8E5M2FNUZ) || dtype == DType::kF4E2M1 ||
         dtype == DType::kF8E8M0;
}

bool is_narrow(DType dtype) { return is_packed(dtype) || is_narrow_float(dtype); }

F16 F16::from(float value) {
  const auto word = std::bit_cast<std::uint32_t>(value);
  const std::uint16_t sign = static_cast<std::uint16_t>((word >> 16) & 0x8000u);
  const std::uint32_t magnitude = word & 0x7fffffffu;
  if (magnitude > 0x7f800000u) return {static_cast<std::uint16_t>(sign | 0x7e00u)};
  if (magnitude >= 0x477ff000u) return {static_cast<std::uint16_t>(sign | 0x7c00u)};
  if (magnitude < 0x38800000u) {
    // Subnormal: adding 0.5 puts the result's units into the low bits of the sum, rounded to nearest even.
    const float shifted = std::bit_cast<float>(magnitude) + 0.5f;
    return {static_cast<std::uint16_t>(sign | (std::bit_cast<std::uint32_t>(shifted) - 0x3f000000u))};
  }
  const std::uint32_t rounded = magnitude - 0x38000000u + 0xfffu + ((magnitude >> 13) & 1u);
  return {static_cast<std::uint16_t>(sign | (rounded >> 13))};
}

float F16::to_float() const {
  const std::uint32_t sign = static_cast<std::uint32_t>(bits & 0x8000u) << 16;
  const std::uint32_t exponent = (bits >> 10) & 0x1fu;
  const std::uint32_t mantissa = bits & 0x3ffu;
  if (exponent == 31) return std::bit_cast<float>(sign | 0x7f800000u | (mantissa << 13));
  if (exponent != 0) return std::bit_cast<float>(sign | ((exponent + 112) << 23) | (mantissa << 13));
  const float value = static_cast<float>(mantissa) * 0x1p-24f;
  return sign ? -value : value;
}

}  // namespace retune
