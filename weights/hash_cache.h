// SHA-256 of ranges of large files, remembered between runs: naming a model of 15 GB by its content takes half a minute
// the first time and nothing afterwards.
//
// A file of the cache belongs to a model file by device, inode, size and times, so whatever writes the model leaves its
// old entries unused. The folder is $XDG_CACHE_HOME/retune/hashes, else ~/.cache/retune/hashes; removing it costs time
// only. Where it cannot be read or written, nothing is remembered.
#pragma once

#include <cstdint>
#include <optional>

#include "tensor/content_hash.h"
#include "weights/mapped_file.h"

namespace retune {

// Files below are hashed in a moment and not remembered.
inline constexpr std::uint64_t kRememberedFileBytes = std::uint64_t{64} << 20;

// Of bytes [offset, offset + count), if it was remembered for the file as it was when it was mapped.
std::optional<ContentHash> known_hash(const MappedFile& file, std::uint64_t offset, std::uint64_t count);

// Nothing is remembered of a file that was written since it was mapped, or within the last two seconds: a later write
// might leave its times as they are.
void remember_hash(const MappedFile& file, std::uint64_t offset, std::uint64_t count, const ContentHash& hash);

}  // namespace retune
