// The structures of an HDF5 file, read without the HDF5 library: what hdf5_file.h stands on.
//
// Patches and tensor files come from strangers. Debian's libhdf5 1.10 trusts the numbers that it decodes (malformed
// object headers, heaps and filter messages overrun its buffers), and it reads any file of the machine that external
// storage, links or virtual datasets name. This scanner knows HDF5's classic layout only (superblock 0 or 1, version 1
// object headers, symbol tables: what every program writes unless it is told otherwise), looks at nothing outside the
// file's bytes, follows no address twice, and does work in proportion to the file's length.
//
// Reference: "HDF5 File Format Specification Version 3.0", sections II, III.A-D, IV.A.1-2.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "tensor/tensor.h"

namespace retune {

// Limits on files from strangers; a file beyond them is a user error.
inline constexpr std::size_t kMaxHdf5Objects = 1u << 18;  // groups and datasets
inline constexpr int kMaxHdf5Rank = 32;                   // HDF5's own
inline constexpr int kMaxHdf5Depth = 16;                  // of groups in each other
inline constexpr std::size_t kMaxHdf5PathBytes = 64u << 20;
inline constexpr std::uint64_t kMaxHdf5InflatedBytes = std::uint64_t{4} << 30;  // of all compressed datasets of a file
// Deflate cannot shrink by more than this factor (zlib's technical details: 1032:1).
inline constexpr std::uint64_t kMaxDeflateRatio = 1032;

struct Hdf5Type {
  enum class Kind : std::uint8_t { kNumber, kText, kUnsupported };
  Kind kind = Kind::kUnsupported;
  DType dtype = DType::kUndefined;  // kNumber
  bool big_endian = false;
  std::uint32_t size = 0;  // bytes of an element, of a fixed-length text
  std::string words;       // "a variable-length string": for messages
};

struct Hdf5Attribute {
  std::string name;
  Hdf5Type type;
  Shape shape;
  std::span<const std::byte> value;  // in the file; empty for a null dataspace
};

enum class Hdf5Filter : std::uint16_t { kDeflate = 1, kShuffle = 2 };

struct Hdf5Storage {
  enum class Form : std::uint8_t { kNone, kInPlace, kChunked };
  Form form = Form::kNone;
  std::span<const std::byte> bytes;  // kInPlace: all elements, row-major, in the file's byte order
  std::uint64_t chunk_index = 0;     // kChunked: address of the B-tree
  std::vector<std::int64_t> chunk;   // kChunked: extents of a chunk
  std::vector<Hdf5Filter> filters;   // kChunked: as applied when writing
};

struct Hdf5Object {
  bool is_group = false;
  Hdf5Type type;  // what follows is of datasets only
  Shape shape;
  Hdf5Storage storage;
  std::vector<Hdf5Attribute> attributes;
};

// By path without a leading slash ("deltas/000000/u"); the root group is "".
using Hdf5Objects = std::map<std::string, Hdf5Object, std::less<>>;

// Walks the whole file but for the elements of datasets. User errors naming `label`: not HDF5, truncated, the newer
// layout, contradictory or overlapping structures, beyond the limits above, and what Retune refuses on principle: soft
// and external links, objects linked twice, external and virtual storage, committed types, datasets of variable length,
// of references or of other types that no Tensor has, filters but deflate and shuffle, extents beyond the stored bytes.
Hdf5Objects scan_hdf5(std::span<const std::byte> file, const std::string& label);

struct Hdf5Chunk {
  std::vector<std::int64_t> offset;   // of its first element
  std::uint32_t skipped_filters = 0;  // bit i: filter i was not applied
  std::span<const std::byte> stored;
};

// The chunks of a dataset, each exactly once. User errors as above, and if one is missing.
std::vector<Hdf5Chunk> scan_hdf5_chunks(std::span<const std::byte> file, const Hdf5Object& dataset,
                                        const std::string& label);

}  // namespace retune
