// Sound as samples: reading, resampling and writing files.
//
//   Waveform clip = load_waveform("meow.flac");          // any rate, mixed to mono
//   if (clip.rate_hz != 16000) clip = resample(clip, 16000);
//
// To turn sound into what an audio encoder reads, see audio/front_end.h, which also says when it resampled.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "tensor/staged_output.h"

namespace retune {

struct Waveform {
  std::vector<float> samples;  // one channel, nominally in [-1, 1]
  int rate_hz = 0;

  double seconds() const { return rate_hz > 0 ? static_cast<double>(samples.size()) / rate_hz : 0.0; }
};

// Rates that a Waveform can have, in Hz, and the longest sound that is read, in samples of one channel (6 hours at 48
// kHz).
inline constexpr int kMinRateHz = 1000;
inline constexpr int kMaxRateHz = 768000;
inline constexpr std::int64_t kMaxSamples = std::int64_t{48000} * 6 * 3600;

// Reads any file that libsndfile reads (WAV, FLAC, OGG, MP3, AIFF, ...); channels are averaged. Integer samples are
// scaled by their full range, float samples are taken as they are. User error, naming the file, if it cannot be opened,
// is not audio, holds no samples, ends before the length its header states, has a sample that is not finite, or is
// longer than kMaxSamples.
Waveform load_waveform(const std::filesystem::path& path);

// load_waveform of a file that lies in memory; `name` is for messages.
Waveform decode_waveform(std::span<const std::byte> bytes, const std::string& name);

// True if no sample's magnitude exceeds `threshold` (the default: digital silence). Silence loads without complaint:
// whether it makes sense is for the caller to say.
bool is_silent(const Waveform& waveform, float threshold = 0.0f);

// load_waveform for a clip that is asked about: one in which every sample is zero is a user error that names the file,
// as a question about it has no answer.
Waveform load_audible(const std::filesystem::path& path);

// Band-limited resampling by libsoxr, quality "HQ" (20 bits, linear phase, passband to 0.913 of the lower Nyquist
// frequency; the same recipe as librosa's default "soxr_hq"), on the calling thread, the same bits each time. The
// result has ceil(samples * rate_hz / waveform.rate_hz) samples; an equal rate returns the samples untouched. User
// error if either rate is outside [kMinRateHz, kMaxRateHz].
Waveform resample(const Waveform& waveform, int rate_hz);

// Writes 16-bit FLAC or WAV, chosen by the extension (.flac, .wav). Samples are clipped to [-1, 1] and rounded to the
// nearest of 65,536 steps without dither. The same samples give the same bytes: no time stamp, no name. Staged
// (tensor/staged_output.h), so that an interruption leaves no half file. User error for another extension, a rate out
// of range (FLAC: above 655,350 Hz), no samples, a sample that is not finite, or a place that cannot be written to;
// failure if the disk refuses.
void save_waveform(const std::filesystem::path& path, const Waveform& waveform, Flush flush = Flush::kNow);

}  // namespace retune
