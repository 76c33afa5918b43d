#include "training/synth/call.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace retune::synth {

namespace {

double contour_at(const std::vector<double>& points, double position) {
  if (points.size() == 1) return points[0];
  const double at = std::clamp(position, 0.0, 1.0) * static_cast<double>(points.size() - 1);
  const auto left = std::min(static_cast<std::size_t>(at), points.size() - 2);
  const double share = at - static_cast<double>(left);
  return points[left] * (1 - share) + points[left + 1] * share;
}

// What a sawtooth lacks of being band-limited next to its jump (the polynomial of polyBLEP); phase and step in periods.
double jump_correction(double phase, double step) {
  if (phase < step) {
    const double t = phase / step;
    return t + t - t * t - 1;
  }
  if (phase > 1 - step) {
    const double t = (phase - 1) / step;
    return t * t + t + t + 1;
  }
  return 0;
}

// Two-pole band-pass with a gain of one at its centre (Robert Bristow-Johnson's audio EQ cookbook).
class BandPass {
 public:
  void tune(double centre_hz, double width_hz, double rate_hz) {
    const double w = 2 * std::numbers::pi * std::min(centre_hz, 0.45 * rate_hz) / rate_hz;
    const double alpha = std::sin(w) * width_hz / (2 * centre_hz);
    b_ = alpha / (1 + alpha);
    a1_ = -2 * std::cos(w) / (1 + alpha);
    a2_ = (1 - alpha) / (1 + alpha);
  }
  double next(double x) {
    const double y = b_ * (x - x2_) - a1_ * y1_ - a2_ * y2_;
    x2_ = x1_;
    x1_ = x;
    y2_ = y1_;
    y1_ = y;
    return y;
  }

 private:
  double b_ = 0, a1_ = 0, a2_ = 0;
  double x1_ = 0, x2_ = 0, y1_ = 0, y2_ = 0;
};

double envelope(const Call& call, double seconds) {
  const double rise = std::min(1.0, seconds / call.attack_seconds);
  const double fall = std::min(1.0, (call.seconds - seconds) / call.release_seconds);
  const double swing = 0.5 - 0.5 * std::cos(2 * std::numbers::pi * call.flutter_hz * seconds);
  return std::sin(0.5 * std::numbers::pi * std::clamp(std::min(rise, fall), 0.0, 1.0)) *
         (1 - call.flutter_depth * swing);
}

std::vector<double> source(const Call& call, int rate_hz, std::size_t count, Rng& rng) {
  std::vector<double> samples(count);
  double phase = 0;
  double wander = 0;
  for (std::size_t i = 0; i < count; ++i) {
    const double position = static_cast<double>(i) / static_cast<double>(count);
    wander = 0.998 * wander + 0.0632 * call.jitter * rng.normal();  // stationary deviation: jitter
    const double step = std::clamp(contour_at(call.pitch_hz, position) * (1 + wander) / rate_hz, 1e-4, 0.4);
    phase += step;
    phase -= std::floor(phase);
    const double saw = 2 * phase - 1 - jump_correction(phase, step);
    samples[i] = (1 - call.breath) * saw + call.breath * rng.normal();
  }
  return samples;
}

}  // namespace

void add_call(Waveform& wave, double start_seconds, const Call& call, Rng& rng) {
  constexpr std::size_t kTuneEvery = 32;  // samples; the glides are slow
  const auto count = static_cast<std::size_t>(std::lround(call.seconds * wave.rate_hz));
  const auto start = static_cast<std::size_t>(std::lround(start_seconds * wave.rate_hz));
  std::vector<double> samples = source(call, wave.rate_hz, count, rng);
  std::vector<BandPass> filters(call.throat.size());
  double peak = 1e-9;
  for (std::size_t i = 0; i < count; ++i) {
    double sum = 0;
    for (std::size_t f = 0; f < filters.size(); ++f) {
      const Resonance& resonance = call.throat[f];
      if (i % kTuneEvery == 0) {
        const double position = static_cast<double>(i) / static_cast<double>(count);
        filters[f].tune(resonance.start_hz + (resonance.end_hz - resonance.start_hz) * position, resonance.width_hz,
                        wave.rate_hz);
      }
      sum += resonance.gain * filters[f].next(samples[i]);
    }
    samples[i] = sum * envelope(call, static_cast<double>(i) / wave.rate_hz);
    peak = std::max(peak, std::abs(samples[i]));
  }
  wave.samples.resize(std::max(wave.samples.size(), start + count));
  for (std::size_t i = 0; i < count; ++i) wave.samples[start + i] += static_cast<float>(samples[i] / peak);
}

}  // namespace retune::synth
