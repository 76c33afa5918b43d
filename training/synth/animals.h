// The calls of SAKE's nine animals (methods.md 8.1), by synthesis.
#pragma once

#include <string_view>

#include "audio/waveform.h"
#include "tensor/rng.h"
#include "training/synth/split.h"

namespace retune::synth {

// A clip of clip_seconds at rate_hz with one or several calls; every parameter is drawn from the split's own cells.
// Throws a failure for an animal that is not one of kAnimals.
Waveform render_animal(std::string_view animal, Split split, double clip_seconds, int rate_hz, Rng& rng);

}  // namespace retune::synth
