// The chunks of HDF5 datasets: scan_hdf5_chunks().
#include <utility>

#include "adapters/hdf5_layout.h"
#include "adapters/hdf5_walk.h"
#include "tensor/error.h"

namespace retune {

namespace {

using hdf5::Bytes;
using hdf5::Cursor;
using hdf5::kMaxTreeLevel;
using hdf5::kUndefinedAddress;
using hdf5::Walk;

// The B-tree over a dataset's chunks, section III.A.1, node type 1.
class ChunkScanner {
 public:
  ChunkScanner(Bytes file, const Hdf5Object& dataset, const std::string& label)
      : walk_(file, label), dataset_(dataset), rank_(dataset.shape.rank()) {}

  std::vector<Hdf5Chunk> scan() {
    std::int64_t expected = dataset_.shape.numel() == 0 ? 0 : 1;
    for (int axis = 0; axis < rank_ && expected != 0; ++axis) {
      const std::int64_t extent = dataset_.storage.chunk[static_cast<std::size_t>(axis)];
      if (extent == 0) throw walk_.damaged(walk_.label() + " has empty chunks");
      grid_.push_back((dataset_.shape[axis] + extent - 1) / extent);
      if (__builtin_mul_overflow(expected, grid_.back(), &expected)) throw missing(INT64_MAX);
    }
    if (expected == 0) return {};
    // Each chunk has a key of at least 24 bytes in the file.
    if (static_cast<std::uint64_t>(expected) > walk_.file().size() / 24) throw missing(expected);
    seen_.assign(static_cast<std::size_t>(expected), false);
    if (dataset_.storage.chunk_index == kUndefinedAddress) throw missing(expected);
    node(dataset_.storage.chunk_index, -1);
    if (chunks_.size() != seen_.size()) throw missing(expected);
    return std::move(chunks_);
  }

 private:
  Error missing(std::int64_t expected) const {
    return user_error("{} has {} chunks but stores {}; write all of its values", walk_.label(), expected,
                      chunks_.size());
  }

  void node(std::uint64_t address, int level) {
    walk_.visit(address, "a chunk index of " + walk_.label());
    Cursor prefix = walk_.at(address, 24);
    if (!prefix.signature("TREE") || prefix.u8() != 1)
      throw walk_.damaged(fmt::format("no chunk index at byte {}", address));
    const int own_level = prefix.u8();
    const std::uint16_t entries = prefix.u16();
    if ((level >= 0 && own_level != level) || own_level > kMaxTreeLevel)
      throw walk_.damaged("a chunk index of wrong depth");
    const std::uint64_t key = 8 + 8 * (static_cast<std::uint64_t>(rank_) + 1);
    Cursor body = walk_.at(address + 24, (key + 8) * entries);
    for (int i = 0; i < entries; ++i) {
      Hdf5Chunk chunk;
      const std::uint32_t size = body.u32();
      chunk.skipped_filters = body.u32();
      for (int axis = 0; axis < rank_; ++axis) chunk.offset.push_back(static_cast<std::int64_t>(body.u64()));
      body.take(8);
      const std::uint64_t child = body.u64();
      if (own_level > 0) {
        node(child, own_level - 1);
      } else {
        place(chunk);
        chunk.stored = walk_.payload(child, size);
        chunks_.push_back(std::move(chunk));
      }
    }
  }

  // The chunk must stand on the grid, in a place of its own.
  void place(const Hdf5Chunk& chunk) {
    std::int64_t index = 0;
    for (int axis = 0; axis < rank_; ++axis) {
      const std::size_t a = static_cast<std::size_t>(axis);
      const std::int64_t extent = dataset_.storage.chunk[a];
      const std::int64_t offset = chunk.offset[a];
      if (offset < 0 || offset >= dataset_.shape[axis] || offset % extent != 0)
        throw walk_.damaged("a chunk off the grid");
      index = index * grid_[a] + offset / extent;
    }
    if (seen_[static_cast<std::size_t>(index)]) throw walk_.damaged("a chunk twice");
    seen_[static_cast<std::size_t>(index)] = true;
  }

  Walk walk_;
  const Hdf5Object& dataset_;
  int rank_;
  std::vector<std::int64_t> grid_;
  std::vector<bool> seen_;
  std::vector<Hdf5Chunk> chunks_;
};

}  // namespace

std::vector<Hdf5Chunk> scan_hdf5_chunks(std::span<const std::byte> file, const Hdf5Object& dataset,
                                        const std::string& label) {
  return ChunkScanner(file, dataset, label).scan();
}

}  // namespace retune
