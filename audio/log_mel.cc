#include "audio/log_mel.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <numbers>
#include <string_view>

#include "audio/fourier.h"
#include "tensor/error.h"

namespace retune {

namespace {

constexpr double kHighestHz = 8000.0;
constexpr double kPowerFloor = 1e-10;
constexpr double kDynamicRange = 8.0;  // in powers of ten below the loudest

void require_range(std::string_view field, int value, int low, int high) {
  if (value < low || value > high) {
    throw user_error("log-mel options: {}: expected {} to {}, got {}", field, low, high, value);
  }
}

double hz_to_mel(double hz) {
  return hz < 1000.0 ? hz * 3.0 / 200.0 : 15.0 + std::log(hz / 1000.0) * 27.0 / std::log(6.4);
}

double mel_to_hz(double mel) {
  return mel < 15.0 ? mel * 200.0 / 3.0 : 1000.0 * std::exp((mel - 15.0) * std::log(6.4) / 27.0);
}

// Where index i of an endless reflection of n samples lies: ... 2 1 0 1 2 ... n-2 n-1 n-2 ...
std::int64_t reflect(std::int64_t i, std::int64_t n) {
  if (n == 1) return 0;
  const std::int64_t period = 2 * (n - 1);
  i = ((i % period) + period) % period;
  return i < n ? i : period - i;
}

// The bins in which a filter is not zero: most of them are.
struct Band {
  int first = 0;
  int last = 0;  // one beyond
};

std::vector<Band> bands_of(const MelFilters& filters) {
  std::vector<Band> bands;
  for (int mel = 0; mel < filters.mels; ++mel) {
    const double* row = filters.weights.data() + std::ptrdiff_t{mel} * filters.bins;
    Band band{0, filters.bins};
    while (band.last > 0 && row[band.last - 1] == 0.0) --band.last;
    while (band.first < band.last && row[band.first] == 0.0) ++band.first;
    bands.push_back(band);
  }
  return bands;
}

// Mel energies of frames, 2 * Fourier::kLanes at a time: every transform carries one frame as its real part and another
// as its imaginary part, which the symmetry of real signals' spectra separates again.
class FrameAnalyser {
 public:
  static constexpr int kFrames = 2 * Fourier::kLanes;

  FrameAnalyser(const LogMelOptions& options, const MelFilters& filters)
      : fourier_(options.fft), filters_(filters), bands_(bands_of(filters)) {
    for (int i = 0; i < options.fft; ++i) {
      window_.push_back(0.5 - 0.5 * std::cos(2.0 * std::numbers::pi * i / options.fft));
    }
    const std::size_t size = static_cast<std::size_t>(options.fft) * Fourier::kLanes;
    for (std::vector<double>* buffer : {&re_, &im_, &out_re_, &out_im_}) buffer->assign(size, 0.0);
    power_.assign(static_cast<std::size_t>(filters.bins) * kFrames, 0.0);
  }

  // Frame f of the block starts at padded[f * hop]; count <= kFrames of them exist.
  void load(const double* padded, int hop, int count) {
    const int n = fourier_.length();
    for (int f = 0; f < kFrames; ++f) {
      double* lane = (f < Fourier::kLanes ? re_ : im_).data() + f % Fourier::kLanes;
      for (int i = 0; i < n; ++i) {
        const double sample = f < count ? padded[std::ptrdiff_t{f} * hop + i] : 0.0;
        lane[std::ptrdiff_t{i} * Fourier::kLanes] = sample * window_[static_cast<std::size_t>(i)];
      }
    }
    fourier_.transform(re_.data(), im_.data(), out_re_.data(), out_im_.data());
    separate_power();
  }

  // The energies of one mel band, a value a frame.
  std::array<double, kFrames> energies(int mel) const {
    std::array<double, kFrames> sums{};
    const Band band = bands_[static_cast<std::size_t>(mel)];
    const double* row = filters_.weights.data() + std::ptrdiff_t{mel} * filters_.bins;
    for (int bin = band.first; bin < band.last; ++bin) {
      const double* power = power_.data() + std::ptrdiff_t{bin} * kFrames;
      for (std::size_t f = 0; f < kFrames; ++f) sums[f] += row[bin] * power[f];
    }
    return sums;
  }

 private:
  void separate_power() {
    const int n = fourier_.length();
    for (int bin = 0; bin < filters_.bins; ++bin) {
      const std::ptrdiff_t at = std::ptrdiff_t{bin} * Fourier::kLanes;
      const std::ptrdiff_t mirror = std::ptrdiff_t{(n - bin) % n} * Fourier::kLanes;
      double* power = power_.data() + std::ptrdiff_t{bin} * kFrames;
      for (int lane = 0; lane < Fourier::kLanes; ++lane) {
        const double re = out_re_[static_cast<std::size_t>(at + lane)];
        const double im = out_im_[static_cast<std::size_t>(at + lane)];
        const double mirror_re = out_re_[static_cast<std::size_t>(mirror + lane)];
        const double mirror_im = out_im_[static_cast<std::size_t>(mirror + lane)];
        const double a_re = 0.5 * (re + mirror_re), a_im = 0.5 * (im - mirror_im);
        const double b_re = 0.5 * (im + mirror_im), b_im = 0.5 * (mirror_re - re);
        power[lane] = a_re * a_re + a_im * a_im;
        power[Fourier::kLanes + lane] = b_re * b_re + b_im * b_im;
      }
    }
  }

  Fourier fourier_;
  const MelFilters& filters_;
  std::vector<Band> bands_;
  std::vector<double> window_;
  std::vector<double> re_, im_, out_re_, out_im_;
  std::vector<double> power_;  // [bins, kFrames]
};

void check_input(const Waveform& waveform, const LogMelOptions& options, const MelFilters& filters) {
  options.validate();
  if (waveform.rate_hz != options.rate_hz) {
    throw user_error("log-mel: expected sound at {} Hz, got {} Hz; resample it first", options.rate_hz,
                     waveform.rate_hz);
  }
  if (static_cast<std::int64_t>(waveform.samples.size()) < options.hop) {
    throw user_error("log-mel: the sound is too short: expected at least {} samples, got {}", options.hop,
                     waveform.samples.size());
  }
  for (std::size_t i = 0; i < waveform.samples.size(); ++i) {
    if (!std::isfinite(waveform.samples[i])) throw user_error("log-mel: sample {} is not finite", i);
  }
  if (filters.mels != options.mels || filters.bins != options.fft / 2 + 1 ||
      filters.weights.size() != static_cast<std::size_t>(filters.mels) * static_cast<std::size_t>(filters.bins)) {
    throw user_error("log-mel: expected filters of [{}, {}], got [{}, {}]", options.mels, options.fft / 2 + 1,
                     filters.mels, filters.bins);
  }
}

// The sound as f64 with `pad` reflected samples at either end, zeros in between up to `length`.
std::vector<double> padded_sound(const Waveform& waveform, std::int64_t length, std::int64_t pad) {
  const std::int64_t sound = std::min(length, static_cast<std::int64_t>(waveform.samples.size()));
  std::vector<double> padded(static_cast<std::size_t>(length + 2 * pad), 0.0);
  std::copy_n(waveform.samples.begin(), sound, padded.begin() + pad);
  for (std::int64_t i = 1; i <= pad; ++i) {
    padded[static_cast<std::size_t>(pad - i)] = padded[static_cast<std::size_t>(pad + reflect(-i, length))];
    padded[static_cast<std::size_t>(pad + length - 1 + i)] =
        padded[static_cast<std::size_t>(pad + reflect(length - 1 + i, length))];
  }
  return padded;
}

}  // namespace

void LogMelOptions::validate() const {
  require_range("mels", mels, 1, 1024);
  require_range("fft", fft, 2, 16384);
  require_range("hop", hop, 1, fft);
  require_range("rate_hz", rate_hz, kMinRateHz, 192000);
  require_range("chunk_seconds", chunk_seconds, 1, 300);
  if (fft % 2 != 0 || !Fourier::supports(fft)) {
    throw user_error("log-mel options: fft: expected an even number without a prime factor above {}, got {}",
                     Fourier::kMaxPrime, fft);
  }
}

MelFilters slaney_mel_filters(const LogMelOptions& options) {
  options.validate();
  MelFilters filters{options.mels, options.fft / 2 + 1, {}};
  filters.weights.assign(static_cast<std::size_t>(filters.mels) * static_cast<std::size_t>(filters.bins), 0.0);
  const auto edge_hz = [&](int i) { return mel_to_hz(hz_to_mel(kHighestHz) * i / (options.mels + 1)); };
  for (int mel = 0; mel < options.mels; ++mel) {
    const double low = edge_hz(mel), middle = edge_hz(mel + 1), high = edge_hz(mel + 2);
    double* row = filters.weights.data() + std::ptrdiff_t{mel} * filters.bins;
    for (int bin = 0; bin < filters.bins; ++bin) {
      const double hz = static_cast<double>(bin) * options.rate_hz / options.fft;
      const double triangle = std::min((hz - low) / (middle - low), (high - hz) / (high - middle));
      row[bin] = std::max(0.0, triangle) * 2.0 / (high - low);
    }
  }
  return filters;
}

Tensor log_mel(const Waveform& waveform, const LogMelOptions& options, const MelFilters& filters) {
  check_input(waveform, options, filters);
  const std::int64_t chunk = std::int64_t{options.chunk_seconds} * options.rate_hz;
  const std::int64_t sound = std::min(chunk, static_cast<std::int64_t>(waveform.samples.size()));
  const std::int64_t length = options.padding == Padding::kToChunk ? chunk : sound;
  const std::int64_t frames = length / options.hop;
  const std::int64_t pad = options.fft / 2;
  // Frames that begin after the sound (and after its reflection at the right end, if that holds any) are silent.
  const std::int64_t heard = std::min(frames, (sound + pad) / options.hop + 2);
  const std::vector<double> padded = padded_sound(waveform, length, pad);

  double loudest = std::log10(kPowerFloor);
  std::vector<double> logs(static_cast<std::size_t>(options.mels * frames), loudest);
  FrameAnalyser analyser(options, filters);
  for (std::int64_t begin = 0; begin < heard; begin += FrameAnalyser::kFrames) {
    const int count = static_cast<int>(std::min<std::int64_t>(FrameAnalyser::kFrames, heard - begin));
    analyser.load(padded.data() + begin * options.hop, options.hop, count);
    for (int mel = 0; mel < options.mels; ++mel) {
      const auto energies = analyser.energies(mel);
      for (int f = 0; f < count; ++f) {
        const double value = std::log10(std::max(energies[static_cast<std::size_t>(f)], kPowerFloor));
        logs[static_cast<std::size_t>(mel * frames + begin + f)] = value;
        loudest = std::max(loudest, value);
      }
    }
  }

  Tensor features = Tensor::empty(DType::kF32, {options.mels, frames});
  std::transform(logs.begin(), logs.end(), features.mutable_data<float>(),
                 [&](double x) { return static_cast<float>((std::max(x, loudest - kDynamicRange) + 4.0) / 4.0); });
  return features;
}

Tensor log_mel(const Waveform& waveform, const LogMelOptions& options) {
  return log_mel(waveform, options, slaney_mel_filters(options));
}

}  // namespace retune
