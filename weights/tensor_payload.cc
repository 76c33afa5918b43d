#include "weights/tensor_payload.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <limits>
#include <span>

#include "tensor/error.h"

namespace retune {

static_assert(std::endian::native == std::endian::little,
              "ONNX stores little-endian bytes, and they are mapped as they are");

namespace {

// Width in bytes of one value in a typed field; 0 for varints.
std::size_t field_width(std::uint32_t field) {
  if (field == kFloatData) return 4;
  return field == kDoubleData ? 8 : 0;
}

// Bytes of one value that is stored or mapped by itself: an element, or a byte of packed ones.
std::size_t value_width(DType dtype) { return std::max<std::size_t>(dtype_size(dtype), 1); }

std::uint32_t typed_field(DType dtype) {
  switch (dtype) {
    case DType::kF32:
      return kFloatData;
    case DType::kF64:
      return kDoubleData;
    case DType::kI64:
      return kInt64Data;
    case DType::kU32:
    case DType::kU64:
      return kUint64Data;
    default:
      return kInt32Data;
  }
}

std::uint64_t element_count(const TensorRecord& record, const std::string& file) {
  try {
    return static_cast<std::uint64_t>(Shape(record.dims).numel());
  } catch (const Error& error) {
    throw user_error("{}: {}", tensor_label(record, file), error.what());
  }
}

std::uint64_t payload_bytes(std::uint64_t count, unsigned bits, const TensorRecord& record, const std::string& file) {
  std::uint64_t total = 0;
  if (__builtin_mul_overflow(count, std::uint64_t{bits}, &total) ||
      total > std::numeric_limits<std::int64_t>::max() - 7)
    throw user_error("{}: its {} elements are more than fit in memory", tensor_label(record, file), count);
  return (total + 7) / 8;
}

// Runs over the values of a typed field in order, whatever mixture of packed and single fields holds them.
template <class PerField>
void for_each_payload_field(const TensorRecord& record, Bytes bytes, const std::string& file, PerField&& per_field) {
  FieldReader fields(bytes, record.body, file);
  for (WireField field; fields.next(field);)
    if (field.number == record.payload_field) per_field(fields, field);
}

[[noreturn]] void reject_count(const TensorRecord& record, const std::string& file, std::string_view got) {
  throw user_error("{} holds {} values, its dims ask for {}", tensor_label(record, file), got,
                   Shape(record.dims).numel());
}

// How many values a typed field holds for `count` elements: packed elements share the values, each of which is a byte.
std::uint64_t stored_values(DType dtype, std::uint64_t count) {
  return is_packed(dtype) ? storage_bytes(dtype, static_cast<std::int64_t>(count)).value_or(0) : count;
}

// Typed values lie in the field of their type, and are as many as the dims ask where their width is fixed, else at most
// as many as there are bytes.
void check_typed_field(const TensorRecord& record, DType dtype, std::uint64_t count, Bytes bytes,
                       const std::string& file) {
  if (typed_field(dtype) != record.payload_field)
    throw user_error("{}: values of type {} lie in field {}, where ONNX puts none of that type",
                     tensor_label(record, file), dtype_name(dtype), record.payload_field);
  const std::uint64_t width = std::max<std::uint64_t>(field_width(record.payload_field), 1);
  std::uint64_t stored = 0;
  for_each_payload_field(record, bytes, file, [&](const FieldReader&, const WireField& field) {
    if (field.body.size() % width != 0)
      throw user_error("{}: {} bytes of values that take {} each", tensor_label(record, file), field.body.size(),
                       width);
    stored += field.body.size() / width;
  });
  if (stored < count) reject_count(record, file, "fewer");
  if (stored > count && width > 1) reject_count(record, file, "more");
}

bool fits(DType dtype, std::uint64_t word) {
  const auto value = static_cast<std::int64_t>(word);
  switch (dtype) {
    case DType::kBool:
      return word <= 1;
    case DType::kU8:
    case DType::kF8E4M3FN:
    case DType::kF8E4M3FNUZ:
    case DType::kF8E5M2:
    case DType::kF8E5M2FNUZ:
    case DType::kF8E8M0:
      return word <= 0xff;
    case DType::kU4:
    case DType::kI4:
    case DType::kF4E2M1:
    case DType::kU2:
    case DType::kI2:
      return word <= 0xff || (value < 0 && value >= -128);  // a byte, which old writers sign-extend
    case DType::kU16:
    case DType::kF16:
    case DType::kBF16:
      return word <= 0xffff;
    case DType::kU32:
      return word <= 0xffffffffu;
    case DType::kI8:
      return value == static_cast<std::int8_t>(value);
    case DType::kI16:
      return value == static_cast<std::int16_t>(value);
    case DType::kI32:
      return value == static_cast<std::int32_t>(value);
    default:
      return true;
  }
}

// The length was checked at opening.
Tensor decode_fixed(const TensorRecord& record, DType dtype, Bytes bytes, const std::string& file) {
  Tensor result = Tensor::empty(dtype, Shape(record.dims));
  std::size_t filled = 0;
  for_each_payload_field(record, bytes, file, [&](const FieldReader&, const WireField& field) {
    std::memcpy(result.mutable_raw() + filled, bytes.data() + field.body.begin,
                static_cast<std::size_t>(field.body.size()));
    filled += static_cast<std::size_t>(field.body.size());
  });
  return result;
}

// Every varint takes a byte at least, so that the fields' length, checked at opening, bounds what is allocated here.
Tensor decode_varints(const TensorRecord& record, DType dtype, Bytes bytes, const std::string& file) {
  Tensor result = Tensor::empty(dtype, Shape(record.dims));
  const std::size_t width = value_width(dtype);
  std::size_t filled = 0;
  for_each_payload_field(record, bytes, file, [&](const FieldReader& fields, const WireField& field) {
    for (std::uint64_t at = field.body.begin; at < field.body.end; filled += width) {
      std::uint64_t word = fields.varint(at, field.body.end);
      // A negative int32 may be written as 5 bytes by old writers; protobuf takes the lower half.
      if (dtype == DType::kI32 || dtype == DType::kI16 || dtype == DType::kI8)
        word = static_cast<std::uint64_t>(static_cast<std::int64_t>(static_cast<std::int32_t>(word)));
      if (!fits(dtype, word))
        throw user_error("{}: value {} is out of range", tensor_label(record, file), static_cast<std::int64_t>(word));
      if (filled == result.bytes()) reject_count(record, file, "more");
      std::memcpy(result.mutable_raw() + filled, &word, width);
    }
  });
  if (filled != result.bytes()) reject_count(record, file, "fewer");
  return result;
}

Tensor decode_raw(const TensorRecord& record, DType dtype, Bytes raw, const std::shared_ptr<const void>& owner,
                  const std::string& file) {
  if (dtype == DType::kBool)
    for (const std::byte value : raw)
      if (value > std::byte{1})
        throw user_error("{}: a bool is {}", tensor_label(record, file), static_cast<int>(value));
  const Tensor mapped = Tensor::view(dtype, Shape(record.dims), raw.data(), owner);
  if (reinterpret_cast<std::uintptr_t>(raw.data()) % value_width(dtype) == 0) return mapped;
  return mapped.copy();
}

// The bits of element i, or of byte i of packed ones, as the varint that a typed field holds: integers sign-extended as
// protobuf does, floats as unsigned bits.
std::uint64_t varint_word(const Tensor& value, std::size_t i) {
  const std::size_t width = value_width(value.dtype());
  std::uint64_t word = 0;
  std::memcpy(&word, value.raw() + i * width, width);
  switch (value.dtype()) {
    case DType::kI8:
      return static_cast<std::uint64_t>(std::int64_t{static_cast<std::int8_t>(word)});
    case DType::kI16:
      return static_cast<std::uint64_t>(std::int64_t{static_cast<std::int16_t>(word)});
    case DType::kI32:
      return static_cast<std::uint64_t>(std::int64_t{static_cast<std::int32_t>(word)});
    default:
      return word;
  }
}

// The content of one payload field with its values replaced by those from `first` on; `first` moves behind them.
std::string replaced_field(const FieldReader& fields, const WireField& field, const Tensor& value, std::size_t& first) {
  std::string content;
  const std::size_t width = field_width(field.number);
  if (width != 0) {
    content.assign(reinterpret_cast<const char*>(value.raw()) + first * width,
                   static_cast<std::size_t>(field.body.size()));
    first += content.size() / width;
    return content;
  }
  for (std::uint64_t at = field.body.begin; at < field.body.end; fields.varint(at, field.body.end))
    append_varint(content, varint_word(value, first++));
  return content;
}

}  // namespace

StoredType stored_type(std::int32_t data_type) {
  static constexpr StoredType kTypes[] = {
      {"undefined", DType::kUndefined, 0},
      {"float", DType::kF32, 32},
      {"uint8", DType::kU8, 8},
      {"int8", DType::kI8, 8},
      {"uint16", DType::kU16, 16},
      {"int16", DType::kI16, 16},
      {"int32", DType::kI32, 32},
      {"int64", DType::kI64, 64},
      {"string", DType::kUndefined, 0},
      {"bool", DType::kBool, 8},
      {"float16", DType::kF16, 16},
      {"double", DType::kF64, 64},
      {"uint32", DType::kU32, 32},
      {"uint64", DType::kU64, 64},
      {"complex64", DType::kUndefined, 64},
      {"complex128", DType::kUndefined, 128},
      {"bfloat16", DType::kBF16, 16},
      {"float8e4m3fn", DType::kF8E4M3FN, 8},
      {"float8e4m3fnuz", DType::kF8E4M3FNUZ, 8},
      {"float8e5m2", DType::kF8E5M2, 8},
      {"float8e5m2fnuz", DType::kF8E5M2FNUZ, 8},
      {"uint4", DType::kU4, 4},
      {"int4", DType::kI4, 4},
      {"float4e2m1", DType::kF4E2M1, 4},
      {"float8e8m0", DType::kF8E8M0, 8},
      {"uint2", DType::kU2, 2},
      {"int2", DType::kI2, 2},
  };
  if (data_type < 0 || data_type >= static_cast<std::int32_t>(std::size(kTypes)))
    return {"of unknown type", DType::kUndefined, 0};
  return kTypes[data_type];
}

std::string tensor_label(const TensorRecord& record, const std::string& file) {
  if (record.name.empty()) return fmt::format("unnamed tensor at byte {} in {}", record.body.begin, file);
  return fmt::format("tensor '{}' in {}", printable(record.name), file);
}

Span external_span(const TensorRecord& record, Bytes external) {
  const std::uint64_t begin = record.external->offset;
  return {begin, record.external->length ? begin + *record.external->length : external.size()};
}

void check_payload(const TensorRecord& record, Bytes bytes, const std::string& file) {
  const StoredType type = stored_type(record.data_type);
  const std::uint64_t count = element_count(record, file);
  std::uint64_t have = record.raw.size();
  if (record.external != nullptr) {
    const ExternalRef& ref = *record.external;
    if (ref.offset > bytes.size() || ref.length.value_or(0) > bytes.size() - ref.offset)
      throw user_error("{}: bytes {} to {} lie beyond the end of external data '{}' ({} bytes)",
                       tensor_label(record, file), ref.offset, ref.offset + ref.length.value_or(0),
                       printable(ref.location), bytes.size());
    have = external_span(record, bytes).size();
  }
  const bool as_bytes = record.external != nullptr || record.payload_field == kRawData;
  if (type.bits == 0) return;  // strings, or a type of a later ONNX: kept as it is
  const std::uint64_t want = payload_bytes(count, type.bits, record, file);
  if (as_bytes || record.payload_field == 0) {
    if (have != want && !record.segmented)
      throw user_error("{}: {} {} takes {} bytes, got {}", tensor_label(record, file), type.name,
                       Shape(record.dims).text(), want, have);
  } else if (type.dtype != DType::kUndefined) {
    check_typed_field(record, type.dtype, stored_values(type.dtype, count), bytes, file);
  }
}

Tensor decode_payload(const TensorRecord& record, Bytes bytes, const std::shared_ptr<const void>& owner,
                      const std::string& file) {
  const StoredType type = stored_type(record.data_type);
  if (type.dtype == DType::kUndefined)
    throw user_error("{}: data of type {} ({}) is kept but cannot be computed with", tensor_label(record, file),
                     record.data_type, type.name);
  if (record.segmented) throw user_error("{}: segmented tensors are not supported", tensor_label(record, file));
  if (record.external != nullptr) {
    const Span span = external_span(record, bytes);
    return decode_raw(record, type.dtype, bytes.subspan(span.begin, span.size()), owner, file);
  }
  if (record.payload_field == 0)
    return Tensor::empty(type.dtype, Shape(record.dims));  // no element, checked at opening
  if (record.payload_field == kRawData)
    return decode_raw(record, type.dtype, bytes.subspan(record.raw.begin, record.raw.size()), owner, file);
  return field_width(record.payload_field) != 0 ? decode_fixed(record, type.dtype, bytes, file)
                                                : decode_varints(record, type.dtype, bytes, file);
}

Bytes stored_payload(const TensorRecord& record, Bytes bytes, std::deque<std::string>& copies) {
  if (record.external != nullptr) {
    const Span span = external_span(record, bytes);
    return bytes.subspan(span.begin, span.size());
  }
  if (record.payload_field == kRawData) return bytes.subspan(record.raw.begin, record.raw.size());
  std::string all;
  for_each_payload_field(record, bytes, record.name, [&](const FieldReader&, const WireField& field) {
    all.append(reinterpret_cast<const char*>(bytes.data()) + field.whole.begin,
               static_cast<std::size_t>(field.whole.size()));
  });
  copies.push_back(std::move(all));
  return as_bytes(copies.back());
}

std::vector<Splice> replace_payload(const TensorRecord& record, Bytes bytes, const Tensor& value,
                                    std::deque<std::string>& copies, const std::string& file) {
  if (value.bytes() == 0) return {};
  if (record.payload_field == kRawData)
    return {{record.raw.begin, record.raw.size(), {{value.raw(), value.bytes()}}, record.frame}};
  std::vector<Splice> splices;
  std::size_t first = 0;
  for_each_payload_field(record, bytes, file, [&](const FieldReader& fields, const WireField& field) {
    std::string content = replaced_field(fields, field, value, first);
    if (field.type == WireType::kLength && content.size() != field.body.size()) {
      std::string tagged;
      append_varint(tagged, (std::uint64_t{field.number} << 3) | static_cast<std::uint64_t>(WireType::kLength));
      append_varint(tagged, content.size());
      copies.push_back(tagged + content);
      splices.push_back({field.whole.begin, field.whole.size(), {as_bytes(copies.back())}, record.frame});
    } else {
      copies.push_back(std::move(content));
      splices.push_back({field.body.begin, field.body.size(), {as_bytes(copies.back())}, record.frame});
    }
  });
  return splices;
}

}  // namespace retune
