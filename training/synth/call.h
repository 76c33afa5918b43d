// One call of a throat: a pulsed source of gliding pitch, mixed with noise, through gliding resonances (source and
// filter).
#pragma once

#include <vector>

#include "audio/waveform.h"
#include "tensor/rng.h"

namespace retune::synth {

struct Resonance {
  double start_hz;
  double end_hz;
  double width_hz;
  double gain;  // relative to the other resonances
};

struct Call {
  double seconds = 0.3;
  std::vector<double> pitch_hz;  // evenly spaced over the call, straight lines between
  std::vector<Resonance> throat;
  double breath = 0.1;       // share of noise in the source, 0 (a clear tone) to 1 (noise alone)
  double jitter = 0.0;       // random walk of the pitch, relative
  double flutter_hz = 0;     // amplitude flutter ...
  double flutter_depth = 0;  // ... and how deep, 0 to 1
  double attack_seconds = 0.02;
  double release_seconds = 0.05;
};

// Adds the call to `wave` from start_seconds on; the wave is lengthened as needed.
void add_call(Waveform& wave, double start_seconds, const Call& call, Rng& rng);

}  // namespace retune::synth
