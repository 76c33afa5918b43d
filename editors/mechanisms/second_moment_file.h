// Second moments on disk: finished ones, and the state of one in the making. The format is
// docs/formats/second-moment.md.
#pragma once

#include <cstdint>
#include <filesystem>

#include "editors/mechanisms/second_moment.h"

namespace retune {

// What a run must know to go on where it was.
struct MomentCheckpoint {
  MomentIdentity identity;
  std::int64_t width = 0;
  std::int64_t items = 0;  // of the corpus, done
  MomentAccumulator::State state;
};

// Whole or not at all; same content, same bytes.
void save_checkpoint(const MomentCheckpoint& checkpoint, const std::filesystem::path& path);
// User errors as SecondMoment::load.
MomentCheckpoint load_checkpoint(const std::filesystem::path& path);

}  // namespace retune
