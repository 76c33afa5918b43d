#include "adapters/hdf5_writer.h"

#include <algorithm>
#include <map>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "adapters/hdf5_layout.h"
#include "tensor/error.h"
#include "tensor/narrow.h"
#include "tensor/staged_output.h"

namespace retune {

namespace {

constexpr std::size_t kMaxAttributeBytes = 60000;
constexpr std::uint64_t kUndefinedAddress = ~std::uint64_t{0};
// B-tree sizes that the superblock declares, the library's defaults: a group node has room for 2 * kLeafK links, an
// index node for 2 * kInternalK children.
constexpr std::size_t kLeafK = 4;
constexpr std::size_t kInternalK = 16;
// Arrays start where any element type, and a cache line, may start: they can be mapped in place.
constexpr std::uint64_t kAlignment = 64;

// Little-endian bytes under construction. Positions are addresses in the file.
class Block {
 public:
  Block& number(std::uint64_t value, std::size_t size) {
    for (std::size_t i = 0; i < size; ++i) bytes_ += static_cast<char>(value >> (8 * i));
    return *this;
  }
  Block& u8(std::uint64_t value) { return number(value, 1); }
  Block& u16(std::uint64_t value) { return number(value, 2); }
  Block& u32(std::uint64_t value) { return number(value, 4); }
  Block& u64(std::uint64_t value) { return number(value, 8); }
  Block& text(std::string_view text) {
    bytes_ += text;
    return *this;
  }
  Block& zeros(std::size_t count) {
    bytes_.append(count, '\0');
    return *this;
  }
  Block& pad() { return zeros((8 - bytes_.size() % 8) % 8); }
  void put(std::size_t at, std::string_view part) { bytes_.replace(at, part.size(), part); }
  const std::string& bytes() const { return bytes_; }
  std::size_t size() const { return bytes_.size(); }

 private:
  std::string bytes_;
};

// Messages of object headers, numbered as in section IV.A.2 of the specification.
struct Message {
  std::uint16_t type = 0;
  std::string body;
};

// --- datatypes, version 1 ---

std::string integer_type(std::size_t size, bool is_signed) {
  return Block().u8(0x10).u8(is_signed ? 8 : 0).u16(0).u32(size).u16(0).u16(8 * size).bytes();
}

std::string float_type(std::size_t size, unsigned exponent_bits) {
  const std::size_t bits = 8 * size;
  const std::size_t mantissa_bits = bits - 1 - exponent_bits;
  Block type;
  type.u8(0x11).u8(0x20).u8(bits - 1).u8(0).u32(size).u16(0).u16(bits);
  return type.u8(mantissa_bits).u8(exponent_bits).u8(0).u8(mantissa_bits).u32((1u << (exponent_bits - 1)) - 1).bytes();
}

std::string text_type(std::size_t size) {
  return Block().u8(0x13).u8(0x11).u16(0).u32(size).bytes();
}  // NUL-padded UTF-8

std::string bool_type() {
  Block type;
  type.u8(0x18).u16(2).u8(0).u32(1).text(integer_type(1, true));
  return type.text({"FALSE\0\0\0", 8}).text({"TRUE\0\0\0\0", 8}).u8(0).u8(1).bytes();
}

std::string type_of(DType dtype) {
  const std::size_t size = dtype_size(dtype);
  switch (dtype) {
    case DType::kF16:
      return float_type(size, 5);
    case DType::kF32:
      return float_type(size, 8);
    case DType::kF64:
      return float_type(size, 11);
    case DType::kBool:
      return bool_type();
    case DType::kI8:
    case DType::kI16:
    case DType::kI32:
    case DType::kI64:
      return integer_type(size, true);
    case DType::kU8:
    case DType::kU16:
    case DType::kU32:
    case DType::kU64:
    case DType::kBF16:
      return integer_type(size, false);
    default:
      throw user_error("a tensor of type {} cannot be written to HDF5", dtype_name(dtype));
  }
}

// --- the other messages ---

std::string space_of(const Shape& shape) {
  Block space;
  space.u8(1).u8(static_cast<std::uint64_t>(shape.rank())).u8(0).zeros(5);
  for (const std::int64_t extent : shape) space.u64(static_cast<std::uint64_t>(extent));
  return space.bytes();
}

Message attribute_message(std::string_view name, const std::string& type, std::string_view value) {
  const std::string space = space_of(Shape{});
  Block body;
  body.u8(1).u8(0).u16(name.size() + 1).u16(type.size()).u16(space.size());
  body.text(name).u8(0).pad().text(type).pad().text(space).pad().text(value);
  return {0x000c, body.bytes()};
}

// Bytes of a fixed-length text: at least one, for HDF5 has no type of no size.
std::string text_bytes(std::string_view text, std::string_view where) {
  if (text.find('\0') != std::string_view::npos) throw user_error("the text for {} holds a NUL byte", where);
  return text.empty() ? std::string(1, '\0') : std::string(text);
}

// A group or a dataset.
struct Node {
  std::map<std::string, Node, std::less<>> children;  // of a group, in the order that HDF5's index needs
  bool is_dataset = false;
  std::string type;
  Shape shape;
  Tensor data;  // the elements' bytes
  std::map<std::string, Message, std::less<>> attributes;
};

// All that is not elements, with the addresses of the elements still to be settled.
class Metadata {
 public:
  static constexpr std::size_t kSuperblockBytes = 96;

  Metadata() { out_.zeros(kSuperblockBytes); }

  void write(const Node& root) {
    const std::uint64_t root_address = object(root);
    const std::uint64_t data_begin = aligned(out_.size());
    for (const auto& [position, offset] : data_addresses_) out_.put(position, Block().u64(data_begin + offset).bytes());
    const std::uint64_t end = data_.empty() ? out_.size() : data_begin + data_bytes_;
    Block superblock;
    superblock.text({"\x89HDF\r\n\x1a\n", 8}).zeros(5).u8(8).u8(8).u8(0).u16(kLeafK).u16(kInternalK).u32(0);
    superblock.u64(0).u64(kUndefinedAddress).u64(end).u64(kUndefinedAddress);
    superblock.u64(0).u64(root_address).zeros(24);
    out_.put(0, superblock.bytes());
  }

  // The file is these bytes, then data() one after the other, each preceded by zeros up to a multiple of kAlignment.
  const std::string& bytes() const { return out_.bytes(); }
  const std::vector<Tensor>& data() const { return data_; }

  static std::uint64_t aligned(std::uint64_t address) { return (address + kAlignment - 1) / kAlignment * kAlignment; }

 private:
  // Writes what the object consists of, then its header; returns the header's address.
  std::uint64_t object(const Node& node) { return node.is_dataset ? dataset(node) : group(node); }

  std::uint64_t dataset(const Node& node) {
    std::vector<Message> messages{{0x0001, space_of(node.shape)},
                                  {0x0003, node.type},
                                  {0x0005, Block().u8(2).u8(2).u8(2).u8(1).u32(0).bytes()},  // no fill value of its own
                                  {0x0008, Block().u8(3).u8(1).u64(kUndefinedAddress).u64(node.data.bytes()).bytes()}};
    const std::uint64_t address = header(messages, node);
    if (node.data.bytes() == 0) return address;
    // The layout is the fourth message; its address field follows the headers and bodies before it, and two bytes of
    // its own.
    std::size_t position = address + 16 + 8 + 2;
    for (std::size_t i = 0; i + 1 < messages.size(); ++i) position += 8 + padded(messages[i].body.size());
    const std::uint64_t offset = aligned(data_bytes_);
    data_addresses_.emplace_back(position, offset);
    data_.push_back(node.data);
    data_bytes_ = offset + node.data.bytes();
    return address;
  }

  std::uint64_t group(const Node& node) {
    std::vector<std::uint64_t> targets;
    for (const auto& [name, child] : node.children) targets.push_back(object(child));

    // The names, each at a multiple of 8; the empty name stands first.
    Block names;
    names.u64(0);
    std::vector<std::uint64_t> name_offsets;
    for (const auto& [name, child] : node.children) {
      name_offsets.push_back(names.size());
      names.text(name).u8(0).pad();
    }
    const std::uint64_t heap = out_.pad().size();
    out_.text("HEAP").u32(0).u64(names.size()).u64(1).u64(heap + 32).text(names.bytes());  // 1: nothing is free

    const std::uint64_t tree = index(name_offsets, targets);
    return header({{0x0011, Block().u64(tree).u64(heap).bytes()}}, node);
  }

  // A node of the index, or a group node: its address, and the name that comes last below it.
  struct Branch {
    std::uint64_t address;
    std::uint64_t last_name;
  };

  // The B-tree over a group's links; returns the root's address.
  std::uint64_t index(const std::vector<std::uint64_t>& names, const std::vector<std::uint64_t>& targets) {
    std::vector<Branch> level;
    for (std::size_t first = 0; first < names.size(); first += 2 * kLeafK) {
      const std::size_t count = std::min(2 * kLeafK, names.size() - first);
      level.push_back({out_.pad().size(), names[first + count - 1]});
      out_.text("SNOD").u8(1).u8(0).u16(count);
      for (std::size_t i = first; i < first + count; ++i) out_.u64(names[i]).u64(targets[i]).zeros(24);
      out_.zeros(40 * (2 * kLeafK - count));
    }
    for (std::uint64_t depth = 0;; ++depth) {
      level = index_level(level, depth);
      if (level.size() == 1) return level.front().address;
    }
  }

  std::vector<Branch> index_level(const std::vector<Branch>& below, std::uint64_t depth) {
    constexpr std::size_t kWidth = 2 * kInternalK;
    constexpr std::size_t kNodeBytes = 24 + 8 * (2 * kWidth + 1);
    const std::size_t nodes = std::max<std::size_t>(1, (below.size() + kWidth - 1) / kWidth);
    const std::uint64_t begin = out_.pad().size();
    std::vector<Branch> level;
    for (std::size_t n = 0; n < nodes; ++n) {
      const std::size_t first = n * kWidth;
      const std::size_t count = std::min(kWidth, below.size() - first);
      level.push_back({begin + n * kNodeBytes, count == 0 ? 0 : below[first + count - 1].last_name});
      out_.text("TREE").u8(0).u8(depth).u16(count);
      out_.u64(n == 0 ? kUndefinedAddress : level.back().address - kNodeBytes);
      out_.u64(n + 1 == nodes ? kUndefinedAddress : level.back().address + kNodeBytes);
      // The names below child i lie above key i and up to key i + 1.
      out_.u64(n == 0 ? 0 : below[first - 1].last_name);
      for (std::size_t i = first; i < first + count; ++i) out_.u64(below[i].address).u64(below[i].last_name);
      out_.zeros(16 * (kWidth - count));
    }
    return level;
  }

  static std::size_t padded(std::size_t size) { return (size + 7) / 8 * 8; }

  // A version 1 object header of these messages and the node's attributes.
  std::uint64_t header(std::vector<Message> messages, const Node& node) {
    for (const auto& [name, message] : node.attributes) messages.push_back(message);
    Block body;
    for (const Message& message : messages)
      body.u16(message.type).u16(padded(message.body.size())).u32(0).text(message.body).pad();
    const std::uint64_t address = out_.pad().size();
    out_.u8(1).u8(0).u16(messages.size()).u32(1).u32(body.size()).u32(0).text(body.bytes());
    return address;
  }

  Block out_;
  std::vector<Tensor> data_;
  std::uint64_t data_bytes_ = 0;  // so far, with the zeros between
  std::vector<std::pair<std::size_t, std::uint64_t>>
      data_addresses_;  // where an address stands, and which: relative to the first array
};

}  // namespace

struct Hdf5Writer::State {
  StagedFile staged;
  Node root;

  explicit State(const std::filesystem::path& path) : staged(path) {}

  Node& make(std::string_view path) {
    Node* node = &root;
    for (std::size_t begin = 0; begin <= path.size();) {
      const std::size_t end = std::min(path.find('/', begin), path.size());
      const std::string_view name = path.substr(begin, end - begin);
      if (name.empty() || name == "." || name.find('\0') != std::string_view::npos)
        throw user_error("'{}' cannot be the path of a dataset in {}", path, staged.final_path().string());
      const auto [child, is_new] = node->children.try_emplace(std::string(name));
      if (child->second.is_dataset || (!is_new && end == path.size()))
        throw user_error("cannot write {}: '{}' is there already", staged.final_path().string(), path);
      node = &child->second;
      begin = end + 1;
    }
    return *node;
  }

  Node& find(std::string_view path) {
    Node* node = &root;
    for (std::size_t begin = 0; !path.empty() && begin <= path.size();) {
      const std::size_t end = std::min(path.find('/', begin), path.size());
      const auto child = node->children.find(path.substr(begin, end - begin));
      if (child == node->children.end())
        throw user_error("cannot write {}: there is no '{}' to describe", staged.final_path().string(), path);
      node = &child->second;
      begin = end + 1;
    }
    return *node;
  }
};

Hdf5Writer::Hdf5Writer(const std::filesystem::path& path) : state_(std::make_unique<State>(path)) {}

Hdf5Writer::~Hdf5Writer() = default;

void Hdf5Writer::write(std::string_view dataset, const Tensor& tensor) {
  const bool narrow = is_narrow(tensor.dtype());  // as codes, one a byte
  const std::string type = type_of(narrow ? DType::kU8 : tensor.dtype());
  if (tensor.shape().rank() > kMaxHdf5Rank)
    throw user_error("'{}' has rank {}; HDF5 holds at most {}", dataset, tensor.shape().rank(), kMaxHdf5Rank);
  Node& node = state_->make(dataset);
  node.is_dataset = true;
  node.type = type;
  node.shape = tensor.shape();
  node.data = narrow ? unpack(tensor) : tensor;
  if (tensor.dtype() == DType::kBF16) attribute(dataset, "dtype", "bfloat16");
  if (narrow) attribute(dataset, "dtype", dtype_name(tensor.dtype()));
}

void Hdf5Writer::write_text(std::string_view dataset, std::string_view text) {
  const std::string bytes = text_bytes(text, dataset);
  if (bytes.size() > 0xffffffffu) throw user_error("the text for {} is longer than HDF5 holds", dataset);
  Node& node = state_->make(dataset);
  node.is_dataset = true;
  node.type = text_type(bytes.size());
  node.data = Tensor::vector(std::vector<std::uint8_t>(bytes.begin(), bytes.end()));
}

void Hdf5Writer::attribute(std::string_view object, std::string_view name, std::string_view text) {
  const std::string bytes = text_bytes(text, name);
  if (bytes.size() > kMaxAttributeBytes)
    throw user_error("attribute '{}' has {} bytes; HDF5 holds at most {}", name, bytes.size(), kMaxAttributeBytes);
  state_->find(object).attributes[std::string(name)] = attribute_message(name, text_type(bytes.size()), bytes);
}

void Hdf5Writer::attribute(std::string_view object, std::string_view name, std::int64_t value) {
  const std::string bytes = Block().u64(static_cast<std::uint64_t>(value)).bytes();
  state_->find(object).attributes[std::string(name)] = attribute_message(name, integer_type(8, true), bytes);
}

void Hdf5Writer::commit() {
  Metadata metadata;
  metadata.write(state_->root);
  StagedFile& out = state_->staged;
  out.write(metadata.bytes());
  std::uint64_t at = metadata.bytes().size();
  for (const Tensor& tensor : metadata.data()) {
    const std::uint64_t begin = Metadata::aligned(at);
    out.write(std::string(begin - at, '\0'));
    out.write(std::span(tensor.raw(), tensor.bytes()));
    at = begin + tensor.bytes();
  }
  out.commit();
}

}  // namespace retune
