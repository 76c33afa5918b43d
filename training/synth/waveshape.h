// From raw sound to a clip: level, place in time, background.
#pragma once

#include <cstddef>
#include <vector>

#include "audio/waveform.h"
#include "tensor/rng.h"

namespace retune::synth {

// Root mean square over the samples that are not near silence (above a twentieth of the peak); 0 for silence.
double active_rms(const std::vector<float>& samples);

// Scales so that active_rms is level_db (dB relative to full scale) and bends peaks smoothly below full scale (tanh),
// so that a loud sound stays louder than a quiet one instead of being normalised away.
void set_level(std::vector<float>& samples, double level_db);

struct Placement {
  double clip_seconds = 2.0;
  double offset_seconds = 0.0;  // silence before the sound
  double noise_db = -60.0;      // of the white background, dB relative to full scale
};

// A clip of exactly round(clip_seconds * rate) samples: the sound after its offset, cut with a 30 ms fade if it is too
// long, on a background of white noise.
Waveform place(const Waveform& sound, const Placement& placement, Rng& rng);

}  // namespace retune::synth
