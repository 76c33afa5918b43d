// What the scanners of hdf5_layout.h share: a cursor over bytes of a file, the accounts of a walk over it, and the
// messages of object headers decoded. Only hdf5_*.cc includes this.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "adapters/hdf5_layout.h"
#include "tensor/error.h"

namespace retune::hdf5 {

using Bytes = std::span<const std::byte>;

inline constexpr std::uint64_t kUndefinedAddress = ~std::uint64_t{0};
inline constexpr int kMaxTreeLevel = 16;

// Reads little-endian numbers one after the other; every step is checked against the end.
class Cursor {
 public:
  Cursor(Bytes bytes, const std::string& label) : rest_(bytes), label_(label) {}

  Bytes take(std::uint64_t count) {
    if (count > rest_.size()) throw user_error("{} is damaged: a structure runs over its end", label_);
    const Bytes taken = rest_.first(count);
    rest_ = rest_.subspan(count);
    return taken;
  }
  std::uint64_t number(std::size_t size) {
    std::uint64_t value = 0;
    const Bytes bytes = take(size);
    for (std::size_t i = size; i-- > 0;) value = value << 8 | std::to_integer<std::uint64_t>(bytes[i]);
    return value;
  }
  std::uint8_t u8() { return static_cast<std::uint8_t>(number(1)); }
  std::uint16_t u16() { return static_cast<std::uint16_t>(number(2)); }
  std::uint32_t u32() { return static_cast<std::uint32_t>(number(4)); }
  std::uint64_t u64() { return number(8); }
  bool signature(std::string_view word) {
    return word.size() <= rest_.size() && std::memcmp(take(word.size()).data(), word.data(), word.size()) == 0;
  }
  // Text up to a NUL, which must come.
  std::string text() {
    const auto nul = std::find(rest_.begin(), rest_.end(), std::byte{0});
    if (nul == rest_.end()) throw user_error("{} is damaged: a name has no end", label_);
    const Bytes taken = take(static_cast<std::uint64_t>(nul - rest_.begin()));
    take(1);
    return std::string(reinterpret_cast<const char*>(taken.data()), taken.size());
  }
  Bytes rest() const { return rest_; }

 private:
  Bytes rest_;
  const std::string& label_;
};

// What every walk over a file shares: the bytes, and the accounts that keep its work in proportion to them.
class Walk {
 public:
  Walk(Bytes file, const std::string& label)
      : file_(file), label_(label), budget_(2 * file.size()), payload_(file.size()) {}

  // The bytes [address, address + size), to be decoded now.
  Cursor at(std::uint64_t address, std::uint64_t size) {
    const Bytes bytes = slice(address, size);
    if (size > budget_) throw damaged("its structures overlap");
    budget_ -= size;
    return Cursor(bytes, label_);
  }
  // The bytes of a dataset or chunk.
  Bytes payload(std::uint64_t address, std::uint64_t size) {
    const Bytes bytes = slice(address, size);
    if (size > payload_) throw damaged("its datasets overlap");
    payload_ -= size;
    return bytes;
  }
  // An address may be decoded once: structures are a tree.
  void visit(std::uint64_t address, std::string_view what) {
    if (!visited_.insert(address).second)
      throw user_error("{}: {} is linked twice; Retune reads trees only", label_, what);
  }
  Error damaged(std::string_view why) const { return user_error("{} is damaged or hostile: {}", label_, why); }
  Error newer() const {
    return user_error(
        "{} is written in HDF5's newer layout, which Retune does not read; write it with libver='earliest', which is "
        "h5py's default",
        label_);
  }
  const std::string& label() const { return label_; }
  Bytes file() const { return file_; }

 private:
  Bytes slice(std::uint64_t address, std::uint64_t size) const {
    if (address > file_.size() || size > file_.size() - address)
      throw damaged(fmt::format("{} bytes at byte {} lie beyond the end", size, address));
    return file_.subspan(address, size);
  }

  Bytes file_;
  const std::string& label_;
  std::uint64_t budget_;
  std::uint64_t payload_;
  std::set<std::uint64_t> visited_;
};

// Section IV.A.2.d. A class that no Tensor has gives Kind::kUnsupported with words for it.
Hdf5Type parse_type(Cursor& cursor, const std::string& label);
// Section IV.A.2.b; nothing for a null dataspace.
std::optional<Shape> parse_space(Cursor& cursor, const std::string& label);
// Section IV.A.2.m.
Hdf5Attribute parse_attribute(Cursor cursor, const std::string& label);
// Section IV.A.2.l; user error for filters other than deflate and shuffle.
std::vector<Hdf5Filter> parse_filters(Cursor cursor, const std::string& label);
// Bytes of the elements; nothing if they do not fit in 63 bits.
std::optional<std::uint64_t> byte_count(const Shape& shape, std::uint64_t element);

}  // namespace retune::hdf5
