#include "adapters/hdf5_layout.h"

#include <algorithm>
#include <optional>
#include <string_view>
#include <utility>

#include "adapters/hdf5_walk.h"
#include "tensor/error.h"
#include "weights/external_data.h"

namespace retune {

namespace {

using hdf5::byte_count;
using hdf5::Bytes;
using hdf5::Cursor;
using hdf5::kMaxTreeLevel;
using hdf5::kUndefinedAddress;
using hdf5::Walk;

constexpr std::size_t kMaxName = 1u << 16;

// Header messages, section IV.A.2.
enum Message : std::uint16_t {
  kNil = 0x0000,
  kDataspace = 0x0001,
  kLinkInfo = 0x0002,
  kDatatype = 0x0003,
  kFillValueOld = 0x0004,
  kFillValue = 0x0005,
  kLink = 0x0006,
  kExternalFiles = 0x0007,
  kDataLayout = 0x0008,
  kGroupInfo = 0x000a,
  kFilterPipeline = 0x000b,
  kAttribute = 0x000c,
  kComment = 0x000d,
  kModificationTimeOld = 0x000e,
  kContinuation = 0x0010,
  kSymbolTable = 0x0011,
  kModificationTime = 0x0012,
  kAttributeInfo = 0x0015,
  kReferenceCount = 0x0016,
};

// What the messages of one object header say.
struct Header {
  std::optional<Hdf5Type> type;
  bool has_space = false;
  bool newer = false;          // holds messages of the newer layout
  std::optional<Shape> shape;  // nothing: a null dataspace
  std::optional<Bytes> layout;
  std::vector<Hdf5Filter> filters;
  std::vector<Hdf5Attribute> attributes;
  std::optional<std::pair<std::uint64_t, std::uint64_t>> symbol_table;  // B-tree, local heap
};

class Scanner {
 public:
  Scanner(Bytes file, const std::string& label) : walk_(file, label) {}

  Hdf5Objects scan() {
    object(root_address(), "", 0);
    return std::move(objects_);
  }

 private:
  // Section II.A: the superblock gives the address of the root group's object header.
  std::uint64_t root_address() {
    static constexpr std::string_view kSignature("\x89HDF\r\n\x1a\n", 8);
    if (!Cursor(walk_.file(), walk_.label()).signature(kSignature))
      throw user_error("{} is not an HDF5 file", walk_.label());
    Cursor cursor(walk_.file(), walk_.label());
    cursor.take(kSignature.size());
    const std::uint8_t version = cursor.u8();
    if (version == 2 || version == 3) throw walk_.newer();
    if (version > 3) throw walk_.damaged(fmt::format("superblock version {}", version));
    cursor.take(4);
    if (cursor.u8() != 8 || cursor.u8() != 8) throw walk_.damaged("offsets and lengths are not of 8 bytes");
    cursor.take(version == 0 ? 9 : 13);
    const std::uint64_t base = cursor.u64();
    cursor.take(8);
    const std::uint64_t end = cursor.u64();
    const std::uint64_t driver = cursor.u64();
    if (base != 0 || driver != kUndefinedAddress)
      throw walk_.damaged("its superblock asks for a file driver or an offset");
    if (end > walk_.file().size())
      throw user_error("{} is truncated: it should have {} bytes and has {}", walk_.label(), end, walk_.file().size());
    cursor.take(8);
    return cursor.u64();
  }

  std::string about(const std::string& path) const {
    return fmt::format("'{}' in {}", path.empty() ? "/" : printable(path), walk_.label());
  }

  void object(std::uint64_t address, const std::string& path, int depth) {
    walk_.visit(address, about(path));
    path_bytes_ += path.size();
    if (objects_.size() >= kMaxHdf5Objects || path_bytes_ > kMaxHdf5PathBytes || depth > kMaxHdf5Depth)
      throw user_error("{} has more or deeper groups than Retune reads (at most {} objects, {} levels)", walk_.label(),
                       kMaxHdf5Objects, kMaxHdf5Depth);
    Header header = read_header(address, about(path));
    Hdf5Object result;
    result.attributes = std::move(header.attributes);
    result.is_group = header.symbol_table.has_value();
    if (!result.is_group) describe_dataset(header, about(path), result);
    objects_.emplace(path, std::move(result));
    if (header.symbol_table) {
      const Bytes names = local_heap(header.symbol_table->second);
      group_node(header.symbol_table->first, -1, names, path, depth);
    }
  }

  // Section IV.A.1.a, version 1.
  Header read_header(std::uint64_t address, const std::string& label) {
    if (walk_.at(address, 4).signature("OHDR")) throw walk_.newer();
    Cursor prefix = walk_.at(address, 16);
    if (prefix.u8() != 1) throw walk_.damaged(fmt::format("no object header at byte {}", address));
    prefix.take(1);
    std::uint16_t messages = prefix.u16();
    prefix.take(4);
    std::vector<std::pair<std::uint64_t, std::uint64_t>> blocks{{address + 16, prefix.u32()}};
    Header header;
    for (std::size_t i = 0; i < blocks.size(); ++i) {
      Cursor block = walk_.at(blocks[i].first, blocks[i].second);
      while (messages > 0 && block.rest().size() >= 8) {
        const std::uint16_t type = block.u16();
        const std::uint16_t size = block.u16();
        const std::uint8_t flags = block.u8();
        block.take(3);
        Cursor body(block.take(size), label);
        --messages;
        if ((flags & 2) != 0 && type != kNil) throw user_error("{} uses a committed type or a shared message", label);
        if (type == kContinuation) {
          const std::uint64_t where = body.u64();
          walk_.visit(where, "a header block of " + label);
          blocks.emplace_back(where, body.u64());
        } else {
          message(type, body, label, header);
        }
      }
    }
    if (header.newer) throw walk_.newer();
    return header;
  }

  // Section IV.A.2.g: says soft or external where it is so; a group with such links is in the newer layout.
  static void refuse_link(Cursor body, const std::string& label) {
    body.take(1);
    if ((body.u8() & 8) != 0 && body.u8() != 0)
      throw user_error("{} holds a soft or external link; Retune refuses links", label);
  }

  void message(std::uint16_t type, Cursor body, const std::string& label, Header& header) {
    switch (type) {
      case kDataspace:
        header.has_space = true;
        header.shape = hdf5::parse_space(body, label);
        return;
      case kDatatype:
        header.type = hdf5::parse_type(body, label);
        return;
      case kDataLayout:
        header.layout = body.rest();
        return;
      case kFilterPipeline:
        header.filters = hdf5::parse_filters(body, label);
        return;
      case kAttribute:
        header.attributes.push_back(hdf5::parse_attribute(body, label));
        return;
      case kSymbolTable: {
        const std::uint64_t tree = body.u64();
        header.symbol_table = {tree, body.u64()};
        return;
      }
      case kExternalFiles:
        throw user_error("{} keeps its data in other files; Retune refuses external storage", label);
      case kLink:
        refuse_link(body, label);
        [[fallthrough]];
      case kLinkInfo:
      case kAttributeInfo:
        header.newer = true;
        return;
      case kNil:
      case kFillValueOld:
      case kFillValue:
      case kGroupInfo:
      case kComment:
      case kModificationTimeOld:
      case kModificationTime:
      case kReferenceCount:
        return;
      default:
        throw walk_.damaged(fmt::format("header message {} in {}", type, label));
    }
  }

  void describe_dataset(const Header& header, const std::string& label, Hdf5Object& result) {
    if (!header.type || !header.layout || !header.has_space)
      throw user_error("{} is neither a group nor a dataset", label);
    result.type = *header.type;
    if (result.type.kind == Hdf5Type::Kind::kUnsupported)
      throw user_error("{} holds {}; Retune reads integers, floats, h5py's bool and fixed-length text", label,
                       result.type.words);
    if (!header.shape) throw user_error("{} has a null dataspace: no shape and no values", label);
    result.shape = *header.shape;
    const auto bytes = byte_count(result.shape, result.type.size);
    if (!bytes) throw user_error("{} declares the extents {}, which no memory holds", label, result.shape.text());
    result.storage = parse_layout(Cursor(*header.layout, label), result, *bytes, label);
    result.storage.filters = header.filters;
    if (!header.filters.empty() && result.storage.form != Hdf5Storage::Form::kChunked)
      throw walk_.damaged(label + " has filters but no chunks");
    if (!header.filters.empty() && (inflated_ += *bytes) > kMaxHdf5InflatedBytes)
      throw user_error("{}: compressed datasets of more than {} bytes in one file; write it without compression",
                       walk_.label(), kMaxHdf5InflatedBytes);
  }

  // Section IV.A.2.i, version 3 (what libhdf5 has written since 1.6.3 unless told otherwise).
  Hdf5Storage parse_layout(Cursor cursor, const Hdf5Object& dataset, std::uint64_t bytes, const std::string& label) {
    const std::uint8_t version = cursor.u8();
    if (version == 4) {
      if (cursor.u8() == 3) throw user_error("{} is virtual: its values lie in other files; Retune refuses it", label);
      throw walk_.newer();
    }
    if (version != 3) throw user_error("{} has data layout version {}; Retune reads version 3", label, version);
    Hdf5Storage storage;
    const std::uint8_t form = cursor.u8();
    if (form == 0) {
      storage.form = Hdf5Storage::Form::kInPlace;
      storage.bytes = cursor.take(cursor.u16());
    } else if (form == 1) {
      storage.form = Hdf5Storage::Form::kInPlace;
      const std::uint64_t address = cursor.u64();
      const std::uint64_t size = cursor.u64();
      if (address != kUndefinedAddress) storage.bytes = walk_.payload(address, size);
    } else if (form == 2) {
      storage.form = Hdf5Storage::Form::kChunked;
      if (cursor.u8() != dataset.shape.rank() + 1 || dataset.shape.rank() == 0)
        throw walk_.damaged(label + " has chunks of another rank");
      storage.chunk_index = cursor.u64();
      for (int axis = 0; axis < dataset.shape.rank(); ++axis) storage.chunk.push_back(cursor.u32());
      if (cursor.u32() != dataset.type.size) throw walk_.damaged(label + " has chunks of another type");
    } else {
      throw walk_.damaged(fmt::format("storage class {} of {}", form, label));
    }
    if (storage.form == Hdf5Storage::Form::kInPlace && storage.bytes.size() != bytes)
      throw user_error("{} declares {} bytes of values but stores {}", label, bytes, storage.bytes.size());
    return storage;
  }

  // Section III.D: the memory that holds the names of a group's links.
  Bytes local_heap(std::uint64_t address) {
    walk_.visit(address, "a name heap");
    Cursor heap = walk_.at(address, 32);
    if (!heap.signature("HEAP")) throw walk_.damaged(fmt::format("no name heap at byte {}", address));
    heap.take(4);
    const std::uint64_t size = heap.u64();
    heap.take(8);
    return walk_.at(heap.u64(), size).rest();
  }

  // Section III.A.1: a node of the B-tree over a group's links. `level` is what the parent expects, -1 for the root.
  void group_node(std::uint64_t address, int level, Bytes names, const std::string& path, int depth) {
    walk_.visit(address, "a group index");
    Cursor prefix = walk_.at(address, 24);
    if (!prefix.signature("TREE") || prefix.u8() != 0)
      throw walk_.damaged(fmt::format("no group index at byte {}", address));
    const int own_level = prefix.u8();
    const std::uint16_t entries = prefix.u16();
    if ((level >= 0 && own_level != level) || own_level > kMaxTreeLevel)
      throw walk_.damaged("a group index of wrong depth");
    Cursor body = walk_.at(address + 24, 16u * entries);
    for (int i = 0; i < entries; ++i) {
      body.take(8);  // key: a name that the library searches with
      const std::uint64_t child = body.u64();
      if (own_level == 0)
        symbols(child, names, path, depth);
      else
        group_node(child, own_level - 1, names, path, depth);
    }
  }

  // Section III.B and III.C: a symbol table node and its entries, each a link.
  void symbols(std::uint64_t address, Bytes names, const std::string& path, int depth) {
    walk_.visit(address, "a group node");
    Cursor prefix = walk_.at(address, 8);
    if (!prefix.signature("SNOD")) throw walk_.damaged(fmt::format("no group node at byte {}", address));
    prefix.take(2);
    const std::uint16_t count = prefix.u16();
    Cursor entries = walk_.at(address + 8, 40u * count);
    for (int i = 0; i < count; ++i) {
      const std::uint64_t name_at = entries.u64();
      const std::uint64_t target = entries.u64();
      const std::uint32_t cache = entries.u32();
      entries.take(20);
      if (name_at > names.size()) throw walk_.damaged("a link's name lies beyond the names");
      const std::string name =
          Cursor(names.subspan(name_at, std::min(names.size() - name_at, kMaxName)), walk_.label()).text();
      const std::string child = path.empty() ? name : path + "/" + name;
      if (name.empty() || name == "." || name.find('/') != std::string::npos)
        throw walk_.damaged("a link with an impossible name");
      if (cache == 2) throw user_error("{} is a soft link; Retune refuses links", about(child));
      if (objects_.count(child) != 0) throw walk_.damaged("two links of one name");
      object(target, child, depth + 1);
    }
  }

  Walk walk_;
  Hdf5Objects objects_;
  std::size_t path_bytes_ = 0;
  std::uint64_t inflated_ = 0;
};

}  // namespace

Hdf5Objects scan_hdf5(std::span<const std::byte> file, const std::string& label) { return Scanner(file, label).scan(); }

}  // namespace retune
