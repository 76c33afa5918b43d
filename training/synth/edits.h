// Edit requests with all of SAKE's probe kinds and types (methods.md 8.1), from clips whose labels are known.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "facts/fact_set.h"
#include "tensor/rng.h"
#include "training/synth/clips.h"

namespace retune::synth {

enum class Portability { kAsked, kLeftOut };  // SAKE's training files leave it out

struct EditSource {
  const ClipPool& clips;
  std::vector<std::string> attributes;  // that may be edited
  std::filesystem::path audio_root;     // of the split's clips
};

// `count` edits of every attribute, one attribute after another, ordered pairs of labels in turn. Each has reliability,
// generality 1 to 3, audio locality 1 (if there is another attribute), 2 (not for gender), 3 and 4, text locality, and
// portability.
FactSet single_edits(const EditSource& source, std::int64_t count, Portability portability, Rng rng);

// `count` sequences of at most ten edits: within one, all labels used as old or new are distinct, and no audio locality
// question has an old label of its sequence as its answer (methods.md 8.7).
FactSet sequential_edits(const EditSource& source, std::int64_t count, Rng rng);

}  // namespace retune::synth
