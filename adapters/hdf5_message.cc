// Messages of HDF5 object headers, section IV.A.2 of the specification.
#include <algorithm>
#include <array>
#include <utility>

#include "adapters/hdf5_walk.h"

namespace retune::hdf5 {

namespace {

std::uint64_t padded(std::uint64_t size) { return (size + 7) / 8 * 8; }

Hdf5Type unsupported(std::string words, std::uint32_t size) {
  return {Hdf5Type::Kind::kUnsupported, DType::kUndefined, false, size, std::move(words)};
}

Hdf5Type integer_type(Cursor& cursor, std::uint32_t bits, std::uint32_t size) {
  const std::uint16_t offset = cursor.u16();
  const std::uint16_t precision = cursor.u16();
  const bool is_signed = (bits & 8) != 0;
  Hdf5Type type{Hdf5Type::Kind::kNumber, DType::kUndefined, (bits & 1) != 0, size, "an integer"};
  if (offset == 0 && precision == 8 * size) {
    if (size == 1) type.dtype = is_signed ? DType::kI8 : DType::kU8;
    if (size == 2) type.dtype = is_signed ? DType::kI16 : DType::kU16;
    if (size == 4) type.dtype = is_signed ? DType::kI32 : DType::kU32;
    if (size == 8) type.dtype = is_signed ? DType::kI64 : DType::kU64;
  }
  if (type.dtype == DType::kUndefined) return unsupported("an integer of unusual width", size);
  return type;
}

Hdf5Type float_type(Cursor& cursor, std::uint32_t bits, std::uint32_t size) {
  struct Format {
    DType dtype;
    std::uint32_t size, sign, exponent_at, exponent, mantissa, bias;
  };
  static constexpr std::array<Format, 4> kFormats{{{DType::kF16, 2, 15, 10, 5, 10, 15},
                                                   {DType::kBF16, 2, 15, 7, 8, 7, 127},
                                                   {DType::kF32, 4, 31, 23, 8, 23, 127},
                                                   {DType::kF64, 8, 63, 52, 11, 52, 1023}}};
  const std::uint16_t offset = cursor.u16();
  const std::uint16_t precision = cursor.u16();
  const std::uint8_t exponent_at = cursor.u8();
  const std::uint8_t exponent = cursor.u8();
  const std::uint8_t mantissa_at = cursor.u8();
  const std::uint8_t mantissa = cursor.u8();
  const std::uint32_t bias = cursor.u32();
  const std::uint32_t sign = bits >> 8 & 0xff;
  const bool vax = (bits & 0x40) != 0;
  const bool implied_leading_one = (bits >> 4 & 3) == 2;
  for (const Format& f : kFormats)
    if (!vax && implied_leading_one && offset == 0 && precision == 8 * size && mantissa_at == 0 && f.size == size &&
        f.sign == sign && f.exponent_at == exponent_at && f.exponent == exponent && f.mantissa == mantissa &&
        f.bias == bias)
      return {Hdf5Type::Kind::kNumber, f.dtype, (bits & 1) != 0, size, "a float"};
  return unsupported("a float of unusual format", size);
}

// h5py's bool is an enumeration of int8: FALSE = 0, TRUE = 1.
Hdf5Type enum_type(Cursor& cursor, std::uint8_t version, std::uint32_t bits, std::uint32_t size) {
  const Hdf5Type other = unsupported("an enumeration other than h5py's bool", size);
  if ((bits & 0xffff) != 2 || size != 1) return other;
  const std::uint32_t base = cursor.u32();
  if ((base & 0xf) != 0 || cursor.u32() != 1) return other;
  cursor.take(4);  // bit offset and precision of the integer
  std::array<std::string, 2> names;
  for (std::string& name : names) {
    name = cursor.text();
    if (version < 3) cursor.take(padded(name.size() + 1) - name.size() - 1);
  }
  const std::uint8_t first = cursor.u8();
  const std::uint8_t second = cursor.u8();
  if (names != std::array<std::string, 2>{"FALSE", "TRUE"} || first != 0 || second != 1) return other;
  return {Hdf5Type::Kind::kNumber, DType::kBool, false, 1, "a bool"};
}

}  // namespace

std::optional<std::uint64_t> byte_count(const Shape& shape, std::uint64_t element) {
  std::int64_t result = 0;
  if (__builtin_mul_overflow(shape.numel(), static_cast<std::int64_t>(element), &result)) return std::nullopt;
  return static_cast<std::uint64_t>(result);
}

Hdf5Type parse_type(Cursor& cursor, const std::string& label) {
  const std::uint32_t word = cursor.u32();
  const std::uint32_t size = cursor.u32();
  const std::uint8_t type_class = word & 0xf;
  const std::uint8_t version = word >> 4 & 0xf;
  const std::uint32_t bits = word >> 8;
  if (size == 0) throw user_error("{} is damaged: a type of no size", label);
  switch (type_class) {
    case 0:
      return integer_type(cursor, bits, size);
    case 1:
      return float_type(cursor, bits, size);
    case 3:
      return {Hdf5Type::Kind::kText, DType::kUndefined, false, size, "a fixed-length string"};
    case 6:
      return unsupported("a compound", size);
    case 7:
      return unsupported("a reference", size);
    case 8:
      return enum_type(cursor, version, bits, size);
    case 9:
      return unsupported((bits & 0xf) == 1 ? "a variable-length string" : "a variable-length sequence", size);
    case 10:
      return unsupported("an array", size);
    default:
      return unsupported(fmt::format("type class {}", type_class), size);
  }
}

std::optional<Shape> parse_space(Cursor& cursor, const std::string& label) {
  const std::uint8_t version = cursor.u8();
  const std::uint8_t rank = cursor.u8();
  const std::uint8_t flags = cursor.u8();
  if (version == 1) {
    cursor.take(5);
  } else if (version == 2) {
    if (cursor.u8() == 2) return std::nullopt;
  } else {
    throw user_error("{} is damaged: dataspace version {}", label, version);
  }
  if (rank > kMaxHdf5Rank || (flags & 2) != 0) throw user_error("{} is damaged: a dataspace of rank {}", label, rank);
  std::vector<std::int64_t> extents;
  for (int i = 0; i < rank; ++i) {
    const std::uint64_t extent = cursor.u64();
    if (extent > static_cast<std::uint64_t>(INT64_MAX))
      throw user_error("{}: an extent of {} is too large", label, extent);
    extents.push_back(static_cast<std::int64_t>(extent));
  }
  return Shape(std::move(extents));
}

Hdf5Attribute parse_attribute(Cursor cursor, const std::string& label) {
  const std::uint8_t version = cursor.u8();
  const std::uint8_t flags = cursor.u8();
  if (version < 1 || version > 3) throw user_error("{} is damaged: attribute version {}", label, version);
  const std::uint16_t name_size = cursor.u16();
  const std::uint16_t type_size = cursor.u16();
  const std::uint16_t space_size = cursor.u16();
  if (version == 3) cursor.take(1);  // character set of the name
  const auto field = [&](std::uint16_t size) { return Cursor(cursor.take(version == 1 ? padded(size) : size), label); };
  Hdf5Attribute attribute;
  attribute.name = field(name_size).text();
  Cursor type = field(type_size);
  Cursor space = field(space_size);
  if (version > 1 && (flags & 3) != 0) {
    attribute.type = unsupported("a committed type", 0);
    return attribute;
  }
  attribute.type = parse_type(type, label);
  const std::optional<Shape> shape = parse_space(space, label);
  if (!shape) return attribute;
  attribute.shape = *shape;
  const auto size = byte_count(*shape, attribute.type.size);
  if (!size) throw user_error("{} is damaged: an attribute is larger than the file", label);
  attribute.value = cursor.take(*size);
  return attribute;
}

std::vector<Hdf5Filter> parse_filters(Cursor cursor, const std::string& label) {
  const std::uint8_t version = cursor.u8();
  const std::uint8_t count = cursor.u8();
  if (version != 1 && version != 2) throw user_error("{} is damaged: filter pipeline version {}", label, version);
  if (version == 1) cursor.take(6);
  std::vector<Hdf5Filter> filters;
  for (int i = 0; i < count; ++i) {
    const std::uint16_t id = cursor.u16();
    const std::uint16_t name_size = version == 1 || id >= 256 ? cursor.u16() : std::uint16_t{0};
    cursor.take(2);  // flags
    const std::uint16_t values = cursor.u16();
    cursor.take(version == 1 ? padded(name_size) : name_size);
    cursor.take(4u * values + (version == 1 && values % 2 != 0 ? 4u : 0u));
    if (id != static_cast<std::uint16_t>(Hdf5Filter::kDeflate) &&
        id != static_cast<std::uint16_t>(Hdf5Filter::kShuffle))
      throw user_error("{} uses HDF5 filter {}; Retune reads deflate (gzip) and shuffle only", label, id);
    if (std::find(filters.begin(), filters.end(), Hdf5Filter{id}) != filters.end())
      throw user_error("{} is damaged: the same filter twice", label);
    filters.push_back(Hdf5Filter{id});
  }
  return filters;
}

}  // namespace retune::hdf5
