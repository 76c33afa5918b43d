// One spoken clip: a sentence, a voice of a gender, and an emotion told by prosody (pitch, pitch range, rate, loudness,
// tremor).
#pragma once

#include "audio/waveform.h"
#include "tensor/rng.h"
#include "training/synth/espeak.h"
#include "training/synth/labels.h"
#include "training/synth/split.h"
#include "training/synth/waveshape.h"

namespace retune::synth {

// All that decides a spoken clip but its noise. Everything is drawn from the split's own sentences, voices and cells.
struct SpeechPlan {
  Utterance utterance;
  double level_db = -24;      // active level, dB relative to full scale
  double tremor_hz = 0;       // amplitude tremor of a frightened voice; 0 for none
  double tremor_depth = 0;    // share of the amplitude, 0 to 1
  double offset_seconds = 0;  // before the first word
  double noise_db = -60;
};

// labels holds Gender, Emotion and Language.
SpeechPlan plan_speech(const Labels& labels, Split split, Rng& rng);

// A clip of clip_seconds at rate_hz. Errors as for speak().
Waveform render_speech(const SpeechPlan& plan, double clip_seconds, int rate_hz, Rng& rng);

}  // namespace retune::synth
