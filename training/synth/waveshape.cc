#include "training/synth/waveshape.h"

#include <algorithm>
#include <cmath>

namespace retune::synth {

double active_rms(const std::vector<float>& samples) {
  float peak = 0;
  for (const float x : samples) peak = std::max(peak, std::abs(x));
  double sum = 0;
  double count = 0;
  for (const float x : samples) {
    if (std::abs(x) <= peak / 20) continue;
    sum += static_cast<double>(x) * x;
    count += 1;
  }
  return count > 0 ? std::sqrt(sum / count) : 0.0;
}

void set_level(std::vector<float>& samples, double level_db) {
  const double rms = active_rms(samples);
  if (rms == 0) return;
  const double gain = std::pow(10.0, level_db / 20) / rms;
  for (float& x : samples) x = static_cast<float>(std::tanh(gain * x));
}

Waveform place(const Waveform& sound, const Placement& placement, Rng& rng) {
  constexpr double kFadeSeconds = 0.03;
  Waveform clip;
  clip.rate_hz = sound.rate_hz;
  const auto samples_in = [&](double seconds) {
    return static_cast<std::size_t>(std::lround(seconds * sound.rate_hz));
  };
  clip.samples.resize(samples_in(placement.clip_seconds));
  const double noise = std::pow(10.0, placement.noise_db / 20);
  for (float& x : clip.samples) x = static_cast<float>(noise * rng.normal());

  const std::size_t offset = std::min(samples_in(placement.offset_seconds), clip.samples.size());
  const std::size_t length = std::min(sound.samples.size(), clip.samples.size() - offset);
  const std::size_t fade = std::min(samples_in(kFadeSeconds), length);
  for (std::size_t i = 0; i < length; ++i) {
    const double to_end = static_cast<double>(length - i);
    const double gain = length < sound.samples.size() && length - i <= fade ? to_end / static_cast<double>(fade) : 1.0;
    clip.samples[offset + i] += static_cast<float>(gain * sound.samples[i]);
  }
  for (float& x : clip.samples) x = std::clamp(x, -1.0f, 1.0f);
  return clip;
}

}  // namespace retune::synth
