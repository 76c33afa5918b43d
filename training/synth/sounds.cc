#include "training/synth/sounds.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "tensor/error.h"
#include "training/synth/labels.h"
#include "training/synth/waveshape.h"

namespace retune::synth {

namespace {

constexpr double kFadeSeconds = 0.01;

// A sine from one pitch to another (evenly in the logarithm), with short fades.
void add_tone(Waveform& wave, double start_seconds, double seconds, double from_hz, double to_hz) {
  const auto start = static_cast<std::size_t>(std::lround(start_seconds * wave.rate_hz));
  const auto count = static_cast<std::size_t>(std::lround(seconds * wave.rate_hz));
  wave.samples.resize(std::max(wave.samples.size(), start + count));
  double phase = 0;
  for (std::size_t i = 0; i < count; ++i) {
    const double at = static_cast<double>(i) / wave.rate_hz;
    const double fade = std::clamp(std::min(at, seconds - at) / kFadeSeconds, 0.0, 1.0);
    phase += 2 * std::numbers::pi * from_hz * std::pow(to_hz / from_hz, at / seconds) / wave.rate_hz;
    wave.samples[start + i] += static_cast<float>(0.5 * fade * std::sin(phase));
  }
}

void tone_height(Waveform& wave, std::string_view label, Split split, Rng& rng) {
  const double hz = label == "low" ? draw({140, 380}, split, rng) : draw({1300, 3000}, split, rng);
  add_tone(wave, 0, draw({0.7, 1.6}, split, rng), hz, hz);
}

void beep_count(Waveform& wave, std::string_view label, Split split, Rng& rng) {
  const double hz = draw({550, 1000}, split, rng);
  const double seconds = draw({0.1, 0.16}, split, rng);
  const double period = seconds + draw({0.15, 0.28}, split, rng);
  const auto count = std::find(kBeepCounts.begin(), kBeepCounts.end(), label) - kBeepCounts.begin() + 1;
  for (int i = 0; i < count; ++i) add_tone(wave, i * period, seconds, hz, hz);
}

void sound_kind(Waveform& wave, std::string_view label, Split split, Rng& rng) {
  const double seconds = draw({0.9, 1.7}, split, rng);
  if (label == "tone") {
    const double hz = draw({450, 1100}, split, rng);
    add_tone(wave, 0, seconds, hz, hz);
  } else if (label == "sweep") {
    const double low = draw({200, 400}, split, rng);
    const double high = draw({2000, 3500}, split, rng);
    const bool rising = rng.below(2) == 1;
    add_tone(wave, 0, seconds, rising ? low : high, rising ? high : low);
  } else if (label == "noise") {
    wave.samples.resize(static_cast<std::size_t>(std::lround(seconds * wave.rate_hz)));
    const double colour = draw({0.0, 0.6}, split, rng);
    double previous = 0;
    for (float& x : wave.samples) x = static_cast<float>(previous = colour * previous + rng.normal());
  } else {
    const double period = 1 / draw({8, 20}, split, rng);
    const double hz = draw({1500, 3500}, split, rng);
    for (double at = 0; at < seconds; at += period) add_tone(wave, at, 2.2 * kFadeSeconds / 2, hz, hz);
  }
}

}  // namespace

Waveform render_sound(std::string_view task, std::string_view label, Split split, double clip_seconds, int rate_hz,
                      Rng& rng) {
  const std::span<const std::string_view> labels = labels_of(task);
  if (std::find(labels.begin(), labels.end(), label) == labels.end())
    throw failure("{} has no label '{}'", task, label);
  Waveform wave;
  wave.rate_hz = rate_hz;
  if (task == kToneHeight) {
    tone_height(wave, label, split, rng);
  } else if (task == kBeepCount) {
    beep_count(wave, label, split, rng);
  } else if (task == kSoundKind) {
    sound_kind(wave, label, split, rng);
  } else {
    throw failure("'{}' is no task on other sounds", task);
  }
  set_level(wave.samples, draw({-30, -20}, split, rng));
  return place(wave, {clip_seconds, draw({0.0, 0.2}, split, rng), draw({-68, -52}, split, rng)}, rng);
}

}  // namespace retune::synth
