// The log-mel spectrogram of Whisper (Radford et al. 2022, "Robust Speech Recognition via Large-Scale Weak
// Supervision", section 2.2), as its authors' audio.py and Hugging Face's WhisperFeatureExtractor compute it.
// Qwen2-Audio, DeSTA, Ultravox, Voxtral and Audio Flamingo 3 read the same features.
//
//   Tensor features = log_mel(clip, {.mels = 128, .padding = Padding::kToChunk});   // f32 [128, 3000]
//
// Bundles declare their own settings: read them with audio/front_end.h rather than writing them down.
#pragma once

#include <vector>

#include "audio/waveform.h"
#include "tensor/tensor.h"

namespace retune {

enum class Padding {
  kNone,     // as long as the clip: floor(samples / hop) frames (transformers.js for Ultravox)
  kToChunk,  // zeros up to chunk_seconds before the transform (Whisper, Qwen2-Audio): chunk_seconds * rate_hz / hop
             // frames
};

struct LogMelOptions {
  int mels = 80;  // [1, 1024]; 128 since Whisper large-v3
  int fft = 400;  // samples of a frame, and of its periodic Hann window; even, [2, 16384], no prime factor above 31
  int hop = 160;  // samples from frame to frame; [1, fft]
  int rate_hz = 16000;     // [1000, 192000]
  int chunk_seconds = 30;  // sound beyond is cut off, with either padding; [1, 300]
  Padding padding = Padding::kNone;

  // User error naming the field that is out of range.
  void validate() const;
};

// A mel filter bank: row-major [mels, bins] with bins = fft / 2 + 1, bin b at b * rate_hz / fft Hz.
struct MelFilters {
  int mels = 0;
  int bins = 0;
  std::vector<double> weights;
};

// Slaney's filters from 0 Hz to the Nyquist frequency, each of area 2 / (width in Hz): linear below 1000 Hz (3f/200
// mel), logarithmic above (15 + 27 ln(f/1000) / ln 6.4), as librosa.filters.mel makes them by default.
MelFilters slaney_mel_filters(const LogMelOptions& options);

// f32 [mels, frames]. Frames are centred on multiples of hop, the ends padded by reflection, the last frame dropped;
// with P the power spectrum and x = log10(max(filters * P, 1e-10)), the result is (max(x, max over all x - 8) + 4) / 4.
// Transforms and sums are f64. User error if the waveform's rate is not options.rate_hz, if it is shorter than one hop,
// if a sample is not finite, or if the filters do not have the options' shape.
Tensor log_mel(const Waveform& waveform, const LogMelOptions& options, const MelFilters& filters);
// With slaney_mel_filters(options).
Tensor log_mel(const Waveform& waveform, const LogMelOptions& options);

}  // namespace retune
