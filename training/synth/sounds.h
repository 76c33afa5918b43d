// Sounds that are neither speech nor animal, for audio locality type 4 (methods.md 8.1, "Dynamic-SUPERB task").
#pragma once

#include <string_view>

#include "audio/waveform.h"
#include "tensor/rng.h"
#include "training/synth/split.h"

namespace retune::synth {

// A clip of clip_seconds at rate_hz for a task of kSoundTasks: a high or low tone, one to four beeps, or a kind of
// sound. Every parameter is drawn from the split's own cells. Throws a failure for another task or label.
Waveform render_sound(std::string_view task, std::string_view label, Split split, double clip_seconds, int rate_hz,
                      Rng& rng);

}  // namespace retune::synth
