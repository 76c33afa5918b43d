#include "adapters/hdf5_file.h"

#include <zlib.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <span>
#include <utility>

#include "adapters/hdf5_layout.h"
#include "tensor/error.h"
#include "tensor/narrow.h"
#include "weights/external_data.h"
#include "weights/mapped_file.h"

namespace retune {

static_assert(std::endian::native == std::endian::little, "tensors are little-endian in memory");

namespace {

using Bytes = std::span<const std::byte>;

// Elements in the machine's order.
void swap_bytes(std::byte* data, std::size_t count, std::size_t size) {
  for (std::size_t i = 0; i < count; ++i) std::reverse(data + i * size, data + (i + 1) * size);
}

std::vector<std::byte> inflate_exactly(Bytes stored, std::size_t size, const std::string& label) {
  std::vector<std::byte> result(size);
  uLongf produced = size;
  uLong consumed = stored.size();
  const int status = uncompress2(reinterpret_cast<Bytef*>(result.data()), &produced,
                                 reinterpret_cast<const Bytef*>(stored.data()), &consumed);
  if (status != Z_OK || produced != size)
    throw user_error("{} is damaged: a chunk does not inflate to its size", label);
  return result;
}

// Undoes HDF5's shuffle: first bytes of all elements, then second bytes, ...; a remainder stays as it is.
std::vector<std::byte> unshuffle(Bytes data, std::size_t element) {
  std::vector<std::byte> result(data.begin(), data.end());
  const std::size_t count = data.size() / element;
  for (std::size_t b = 0; b < element; ++b)
    for (std::size_t i = 0; i < count; ++i) result[i * element + b] = data[b * count + i];
  return result;
}

// The elements of one chunk, chunk_bytes of them.
std::vector<std::byte> decode(const Hdf5Chunk& chunk, const Hdf5Object& dataset, std::size_t chunk_bytes,
                              const std::string& label) {
  std::vector<std::byte> data(chunk.stored.begin(), chunk.stored.end());
  const std::vector<Hdf5Filter>& filters = dataset.storage.filters;
  for (std::size_t i = filters.size(); i-- > 0;) {
    if ((chunk.skipped_filters >> i & 1) != 0) continue;
    // Deflate keeps the length of nothing, shuffle the length of everything: what comes out has the chunk's size.
    data = filters[i] == Hdf5Filter::kDeflate ? inflate_exactly(data, chunk_bytes, label)
                                              : unshuffle(data, dataset.type.size);
  }
  if (data.size() != chunk_bytes)
    throw user_error("{} is damaged: a chunk of {} bytes instead of {}", label, data.size(), chunk_bytes);
  return data;
}

// Copies the part of a chunk that lies inside the dataset; the last axis runs contiguously.
void place(Bytes data, const Hdf5Chunk& chunk, const Hdf5Object& dataset, std::byte* out) {
  const int rank = dataset.shape.rank();
  const std::vector<std::int64_t> strides = dataset.shape.strides();
  std::vector<std::int64_t> extent, chunk_strides(dataset.storage.chunk.size(), 1);
  for (int axis = 0; axis < rank; ++axis) {
    const auto a = static_cast<std::size_t>(axis);
    extent.push_back(std::min(dataset.storage.chunk[a], dataset.shape[axis] - chunk.offset[a]));
  }
  for (std::size_t a = chunk_strides.size(); a-- > 1;)
    chunk_strides[a - 1] = chunk_strides[a] * dataset.storage.chunk[a];
  const std::size_t size = dataset.type.size;
  std::vector<std::int64_t> at(extent.size(), 0);
  for (;;) {
    std::int64_t from = 0, to = 0;
    for (std::size_t a = 0; a < at.size(); ++a) {
      from += at[a] * chunk_strides[a];
      to += (chunk.offset[a] + at[a]) * strides[a];
    }
    std::memcpy(out + static_cast<std::size_t>(to) * size, data.data() + static_cast<std::size_t>(from) * size,
                static_cast<std::size_t>(extent.back()) * size);
    std::size_t axis = at.size() - 1;
    while (axis > 0 && ++at[axis - 1] == extent[axis - 1]) at[--axis] = 0;
    if (axis == 0) return;
  }
}

}  // namespace

struct Hdf5File::State {
  MappedFile file;
  std::string label;
  Hdf5Objects objects;
  std::vector<std::string> datasets;

  std::string about(std::string_view dataset) const { return fmt::format("'{}' in {}", printable(dataset), label); }

  const Hdf5Object& dataset(std::string_view path) const {
    const auto it = objects.find(path);
    if (it == objects.end() || it->second.is_group) throw user_error("{} has no dataset '{}'", label, path);
    return it->second;
  }

  const Hdf5Attribute* attribute(std::string_view object, std::string_view name) const {
    const auto it = objects.find(object);
    if (it == objects.end()) throw user_error("{} has nothing called '{}'", label, object);
    for (const Hdf5Attribute& attribute : it->second.attributes)
      if (attribute.name == name) return &attribute;
    return nullptr;
  }

  Tensor read_chunks(const Hdf5Object& dataset, std::string_view path) const {
    const std::string words = about(path);
    const std::vector<Hdf5Chunk> chunks = scan_hdf5_chunks(file.bytes(), dataset, words);
    if (chunks.empty()) return Tensor::empty(dataset.type.dtype, dataset.shape);
    const Shape extents(dataset.storage.chunk);
    std::int64_t chunk_bytes = 0;
    if (__builtin_mul_overflow(extents.numel(), static_cast<std::int64_t>(dataset.type.size), &chunk_bytes))
      throw user_error("{} is damaged: chunks of the extents {}", words, extents.text());
    // Before memory is asked for, the file must account for it.
    for (const Hdf5Chunk& chunk : chunks)
      if (static_cast<std::uint64_t>(chunk_bytes) / kMaxDeflateRatio > chunk.stored.size() ||
          (dataset.storage.filters.empty() && static_cast<std::uint64_t>(chunk_bytes) != chunk.stored.size()))
        throw user_error("{} is damaged: a chunk is too short to hold its values", words);
    Tensor result = Tensor::empty(dataset.type.dtype, dataset.shape);
    for (const Hdf5Chunk& chunk : chunks)
      place(decode(chunk, dataset, static_cast<std::size_t>(chunk_bytes), words), chunk, dataset, result.mutable_raw());
    return result;
  }
};

Hdf5File Hdf5File::open(const std::filesystem::path& path) {
  auto state = std::make_shared<State>();
  state->file = MappedFile::open(path);
  state->label = path.string();
  state->objects = scan_hdf5(state->file.bytes(), state->label);
  for (const auto& [name, object] : state->objects)
    if (!object.is_group) state->datasets.push_back(name);
  return Hdf5File(std::move(state));
}

const std::vector<std::string>& Hdf5File::datasets() const { return state_->datasets; }

bool Hdf5File::has(std::string_view dataset) const {
  const auto it = state_->objects.find(dataset);
  return it != state_->objects.end() && !it->second.is_group;
}

Tensor Hdf5File::read(std::string_view path) const {
  const Hdf5Object& dataset = state_->dataset(path);
  const Hdf5Type& type = dataset.type;
  if (type.kind != Hdf5Type::Kind::kNumber)
    throw user_error("{} holds {}; expected numbers or bools", state_->about(path), type.words);
  const auto count = static_cast<std::size_t>(dataset.shape.numel());
  const bool as_stored = !type.big_endian && type.dtype != DType::kBool;
  Tensor result;
  if (dataset.storage.form == Hdf5Storage::Form::kChunked) {
    result = state_->read_chunks(dataset, path);
  } else if (as_stored && reinterpret_cast<std::uintptr_t>(dataset.storage.bytes.data()) % type.size == 0 &&
             count != 0) {
    result = Tensor::view(type.dtype, dataset.shape, dataset.storage.bytes.data(), state_->file.owner());
  } else {
    result = Tensor::empty(type.dtype, dataset.shape);
    if (count != 0) std::memcpy(result.mutable_raw(), dataset.storage.bytes.data(), result.bytes());
  }
  if (type.big_endian) swap_bytes(result.mutable_raw(), count, type.size);
  // A C++ bool may hold nothing but 0 and 1.
  if (type.dtype == DType::kBool)
    for (std::size_t i = 0; i < count; ++i)
      result.mutable_raw()[i] = std::byte{result.raw()[i] != std::byte{0} ? std::uint8_t{1} : std::uint8_t{0}};

  const std::optional<std::string> word = text_attribute(path, "dtype");
  if (!word || *word == dtype_name(type.dtype)) return result;
  if ((*word == "bfloat16" || *word == "bf16") && type.dtype == DType::kU16) {
    const auto owner = std::make_shared<const Tensor>(result);
    return Tensor::view(DType::kBF16, dataset.shape, result.raw(), owner);
  }
  if (const DType narrow = dtype_from_name(*word); is_narrow(narrow) && type.dtype == DType::kU8)
    return pack(narrow, result);
  throw user_error(
      "{} is stored as {} but its attribute dtype says '{}'; Retune knows bfloat16 in u16, i4 and the like in u8",
      state_->about(path), dtype_name(type.dtype), printable(*word));
}

namespace {

std::string unpadded(Bytes bytes) {
  std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  text = text.substr(0, text.find('\0'));
  return std::string(text);
}

}  // namespace

std::string Hdf5File::read_text(std::string_view path) const {
  const Hdf5Object& dataset = state_->dataset(path);
  if (dataset.type.kind != Hdf5Type::Kind::kText || dataset.shape.numel() != 1 ||
      dataset.storage.form != Hdf5Storage::Form::kInPlace)
    throw user_error("{} is not one fixed-length text", state_->about(path));
  return unpadded(dataset.storage.bytes);
}

std::optional<std::string> Hdf5File::text_attribute(std::string_view object, std::string_view name) const {
  const Hdf5Attribute* attribute = state_->attribute(object, name);
  if (attribute == nullptr) return std::nullopt;
  if (attribute->type.kind != Hdf5Type::Kind::kText || attribute->value.size() != attribute->type.size)
    throw user_error("attribute '{}' of {} is {}; expected one fixed-length string, in Python numpy.bytes_(...)", name,
                     state_->about(object), attribute->type.words);
  return unpadded(attribute->value);
}

std::optional<std::int64_t> Hdf5File::integer_attribute(std::string_view object, std::string_view name) const {
  const Hdf5Attribute* attribute = state_->attribute(object, name);
  if (attribute == nullptr) return std::nullopt;
  const Hdf5Type& type = attribute->type;
  const bool integer = type.kind == Hdf5Type::Kind::kNumber && !is_float(type.dtype) && type.dtype != DType::kBool;
  if (!integer || attribute->value.size() != type.size)
    throw user_error("attribute '{}' of {} is not one integer", name, state_->about(object));
  std::array<std::byte, 8> bytes{};
  std::copy(attribute->value.begin(), attribute->value.end(), bytes.begin());
  if (type.big_endian) std::reverse(bytes.begin(), bytes.begin() + type.size);
  Tensor value = Tensor::empty(type.dtype, Shape{});
  std::memcpy(value.mutable_raw(), bytes.data(), type.size);
  if (type.dtype == DType::kU64 && (bytes[7] & std::byte{0x80}) != std::byte{0})
    throw user_error("attribute '{}' of {} is larger than 2^63 - 1", name, state_->about(object));
  return value.to_i64()[0];
}

}  // namespace retune
