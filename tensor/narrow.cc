#include "tensor/narrow.h"

#include <array>
#include <cmath>
#include <limits>

#include "tensor/error.h"

namespace retune {

namespace {

struct FloatFormat {
  int exponent_bits;
  int mantissa_bits;
  int bias;
  std::uint8_t largest;   // code of the largest finite value
  std::uint8_t overflow;  // code, without the sign, of what is larger
  std::uint8_t nan;
  bool is_fnuz;  // -0 is the NaN
};

FloatFormat format_of(DType dtype) {
  switch (dtype) {
    case DType::kF8E4M3FN:
      return {4, 3, 7, 0x7e, 0x7f, 0x7f, false};
    case DType::kF8E4M3FNUZ:
      return {4, 3, 8, 0x7f, 0x80, 0x80, true};
    case DType::kF8E5M2:
      return {5, 2, 15, 0x7b, 0x7c, 0x7e, false};
    case DType::kF8E5M2FNUZ:
      return {5, 2, 16, 0x7f, 0x80, 0x80, true};
    default:  // E2M1
      return {2, 1, 1, 0x07, 0x07, 0x08, false};
  }
}

double finite_value(const FloatFormat& f, int magnitude) {
  const int exponent = magnitude >> f.mantissa_bits, mantissa = magnitude & ((1 << f.mantissa_bits) - 1);
  const int significand = exponent == 0 ? mantissa : mantissa + (1 << f.mantissa_bits);
  return std::ldexp(significand, std::max(exponent, 1) - f.bias - f.mantissa_bits);
}

double float_value(DType dtype, std::uint8_t code) {
  constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();
  const FloatFormat f = format_of(dtype);
  const int sign = 1 << (f.exponent_bits + f.mantissa_bits);
  const int magnitude = code & (sign - 1);
  const bool negative = (code & sign) != 0;
  if (f.is_fnuz && magnitude == 0 && negative) return kNaN;
  if (magnitude > f.largest) {
    const bool infinite = dtype == DType::kF8E5M2 && magnitude == f.overflow;
    if (!infinite) return kNaN;
    return negative ? -std::numeric_limits<double>::infinity() : std::numeric_limits<double>::infinity();
  }
  const double value = finite_value(f, magnitude);
  return negative ? -value : value;
}

std::uint8_t float_code(DType dtype, double value, bool saturate) {
  const FloatFormat f = format_of(dtype);
  const int sign = std::signbit(value) ? 1 << (f.exponent_bits + f.mantissa_bits) : 0;
  if (std::isnan(value)) return static_cast<std::uint8_t>(f.nan | (dtype == DType::kF4E2M1 ? 0 : sign));
  const double magnitude = std::fabs(value);
  if ((saturate || dtype == DType::kF4E2M1) && magnitude > finite_value(f, f.largest))
    return static_cast<std::uint8_t>(sign | f.largest);
  if (std::isinf(magnitude)) return static_cast<std::uint8_t>(sign | f.overflow);
  // In units of the spacing at this magnitude, rounded to nearest even; a carry into the next binade is the next code.
  const int exponent = magnitude == 0 ? 1 - f.bias : std::max(std::ilogb(magnitude), 1 - f.bias);
  if (exponent + f.bias > (1 << f.exponent_bits)) return static_cast<std::uint8_t>(sign | f.overflow);
  const int units = static_cast<int>(std::rint(std::ldexp(magnitude, f.mantissa_bits - exponent)));
  const int code = units + ((exponent + f.bias - 1) << f.mantissa_bits);
  if (code == 0) return static_cast<std::uint8_t>(f.is_fnuz ? 0 : sign);
  return static_cast<std::uint8_t>(sign | (code > f.largest ? f.overflow : code));
}

constexpr int kPowerBias = 127;
constexpr int kLargestPower = 0xfe;
constexpr std::uint8_t kPowerNaN = 0xff;

std::uint8_t power_code(double value, const NarrowRounding& rounding) {
  if (!std::isfinite(value)) return kPowerNaN;
  const double magnitude = std::fabs(value);
  if (magnitude <= 0x1p-127) return 0;
  int exponent = std::ilogb(magnitude);
  const double fraction = std::ldexp(magnitude, -exponent);  // in [1, 2)
  using Power = NarrowRounding::Power;
  if ((rounding.power == Power::kUp && fraction > 1) || (rounding.power == Power::kNearest && fraction >= 1.5))
    ++exponent;
  const int code = exponent + kPowerBias;
  if (code <= kLargestPower) return static_cast<std::uint8_t>(code);
  return rounding.saturate ? static_cast<std::uint8_t>(kLargestPower) : kPowerNaN;
}

std::uint8_t integer_code(double value, unsigned bits) {
  // Beyond 64 bits there are no low bits to take: the nearest integer of 64 bits stands in.
  std::int64_t whole = 0;
  if (value >= 0x1p63)
    whole = std::numeric_limits<std::int64_t>::max();
  else if (value < -0x1p63)
    whole = std::numeric_limits<std::int64_t>::min();
  else if (value == value)
    whole = static_cast<std::int64_t>(value);
  return static_cast<std::uint8_t>(static_cast<std::uint64_t>(whole) & ((1u << bits) - 1u));
}

std::array<double, 256> values_of(DType dtype) {
  std::array<double, 256> values{};
  for (std::size_t code = 0; code < values.size(); ++code)
    values[code] = narrow_value(dtype, static_cast<std::uint8_t>(code));
  return values;
}

}  // namespace

double narrow_value(DType dtype, std::uint8_t code) {
  switch (dtype) {
    case DType::kU4:
    case DType::kU2:
      return code & ((1u << dtype_bits(dtype)) - 1u);
    case DType::kI4:
    case DType::kI2: {
      const int half = 1 << (dtype_bits(dtype) - 1);
      const int low = code & (2 * half - 1);
      return low < half ? low : low - 2 * half;
    }
    case DType::kF8E8M0:
      return code == kPowerNaN ? std::numeric_limits<double>::quiet_NaN() : std::ldexp(1.0, code - kPowerBias);
    default:
      return float_value(dtype, code);
  }
}

std::uint8_t narrow_code(DType dtype, double value, const NarrowRounding& rounding) {
  if (dtype == DType::kF8E8M0) return power_code(value, rounding);
  if (is_narrow_float(dtype)) return float_code(dtype, value, rounding.saturate);
  return integer_code(value, dtype_bits(dtype));
}

Tensor unpack(const Tensor& tensor) {
  const unsigned bits = dtype_bits(tensor.dtype());
  if (bits == 8) {
    const auto owner = std::make_shared<const Tensor>(tensor);
    return Tensor::view(DType::kU8, tensor.shape(), tensor.raw(), owner);
  }
  if (!is_packed(tensor.dtype())) throw std::logic_error("unpack of " + tensor.text());
  Tensor result = Tensor::empty(DType::kU8, tensor.shape());
  const auto* from = reinterpret_cast<const std::uint8_t*>(tensor.raw());
  auto* to = result.mutable_data<std::uint8_t>();
  const std::int64_t per_byte = 8 / bits, count = tensor.numel();
  for (std::int64_t i = 0; i < count; ++i)
    to[i] = static_cast<std::uint8_t>((from[i / per_byte] >> (i % per_byte * bits)) & ((1u << bits) - 1u));
  return result;
}

Tensor pack(DType dtype, const Tensor& codes) {
  const unsigned bits = dtype_bits(dtype);
  const std::uint8_t* from = codes.data<std::uint8_t>();
  if (bits == 8) return Tensor::view(dtype, codes.shape(), from, std::make_shared<const Tensor>(codes));
  if (!is_packed(dtype)) throw std::logic_error("pack into " + std::string(dtype_name(dtype)));
  Tensor result = Tensor::zeros(dtype, codes.shape());
  auto* to = reinterpret_cast<std::uint8_t*>(result.mutable_raw());
  const std::int64_t per_byte = 8 / bits, count = codes.numel();
  for (std::int64_t i = 0; i < count; ++i)
    to[i / per_byte] =
        static_cast<std::uint8_t>(to[i / per_byte] | ((from[i] & ((1u << bits) - 1u)) << (i % per_byte * bits)));
  return result;
}

Tensor cast_narrow(const Tensor& tensor, DType dtype, const NarrowRounding& rounding) {
  const std::int64_t count = tensor.numel();
  if (is_narrow(tensor.dtype())) {
    const Tensor codes = unpack(tensor);
    const std::array<double, 256> values = values_of(tensor.dtype());
    Tensor wide = Tensor::empty(DType::kF64, tensor.shape());
    const std::uint8_t* from = codes.data<std::uint8_t>();
    for (std::int64_t i = 0; i < count; ++i) wide.mutable_data<double>()[i] = values[from[i]];
    return is_narrow(dtype) ? cast_narrow(wide, dtype, rounding) : wide.cast(dtype);
  }
  Tensor codes = Tensor::empty(DType::kU8, tensor.shape());
  std::uint8_t* to = codes.mutable_data<std::uint8_t>();
  const bool from_integer = !is_float(tensor.dtype());
  if (from_integer && !is_narrow_float(dtype)) {
    const Tensor whole = tensor.cast(DType::kU64);  // keeps the low bits
    for (std::int64_t i = 0; i < count; ++i) to[i] = static_cast<std::uint8_t>(whole.data<std::uint64_t>()[i]);
  } else {
    const Tensor wide = tensor.cast(DType::kF64);
    for (std::int64_t i = 0; i < count; ++i) to[i] = narrow_code(dtype, wide.data<double>()[i], rounding);
  }
  return pack(dtype, codes);
}

}  // namespace retune
