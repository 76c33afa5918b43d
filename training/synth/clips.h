// Which clips a data set has, what is true of each, and their sound.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "audio/waveform.h"
#include "facts/clip.h"
#include "tensor/rng.h"
#include "training/synth.h"
#include "training/synth/labels.h"
#include "training/synth/speech.h"
#include "training/synth/split.h"

namespace retune::synth {

struct ClipPlan {
  Split split = Split::kTrain;
  std::uint64_t number = 0;  // within its split
  std::string track;         // the folder: an attribute, or a sound task
  std::string file;          // "german_female_sad_test_00012.flac"
  Labels labels;
  std::optional<SpeechPlan> speech;
};

// Labels are spread evenly over the clips of every folder. Depends on the options only.
std::vector<ClipPlan> plan_clips(const SynthOptions& options);

// The sound. Errors as for speak().
Waveform render_clip(const ClipPlan& plan, const SynthOptions& options);

// Where a clip lies below the data folder, and the clip as facts name it.
std::filesystem::path audio_root(const std::filesystem::path& folder, Split split);
Clip clip_below(const std::filesystem::path& root, const ClipPlan& plan);

// The clips of one split by folder and label. The plans must outlive it.
class ClipPool {
 public:
  ClipPool(std::span<const ClipPlan> plans, Split split);
  // At most `limit` clips of every label: a pool small enough to ship.
  ClipPool limited(std::size_t limit) const;

  Split split() const { return split_; }
  std::span<const ClipPlan* const> with_label(std::string_view track, std::string_view label) const;
  // A drawn clip of this label that is not `other` (may be null). A failure if there is none.
  const ClipPlan& draw(std::string_view track, std::string_view label, const ClipPlan* other, Rng& rng) const;

 private:
  ClipPool() = default;
  Split split_ = Split::kTrain;
  std::map<std::pair<std::string, std::string>, std::vector<const ClipPlan*>, std::less<>> clips_;
};

}  // namespace retune::synth
