#include "audio/waveform.h"

#include <sndfile.h>
#include <soxr.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <fstream>
#include <memory>
#include <span>
#include <sstream>
#include <string>
#include <string_view>
#include <system_error>

#include "tensor/error.h"

namespace retune {

namespace fs = std::filesystem;

namespace {

struct CloseSound {
  void operator()(SNDFILE* file) const { sf_close(file); }
};
using SoundFile = std::unique_ptr<SNDFILE, CloseSound>;

std::uint32_t read_u32(const char* bytes, bool big_endian) {
  std::array<unsigned char, 4> b;
  std::memcpy(b.data(), bytes, 4);
  if (big_endian) std::reverse(b.begin(), b.end());
  return b[0] | std::uint32_t{b[1]} << 8 | std::uint32_t{b[2]} << 16 | std::uint32_t{b[3]} << 24;
}

// How many bytes of sound a WAV or AIFF file promises beyond its end; 0 for a whole file and for other formats.
// libsndfile shortens such files without a word, but a clip that lost its end is not the clip that the facts are about.
std::int64_t missing_bytes(std::istream& file, std::int64_t file_size) {
  std::array<char, 12> head;
  if (!file.read(head.data(), head.size())) return 0;
  const std::string_view magic(head.data(), 4), form(head.data() + 8, 4);
  const bool wav = magic == "RIFF" && form == "WAVE";
  const bool aiff = magic == "FORM" && (form == "AIFF" || form == "AIFC");
  if (!wav && !aiff) return 0;

  std::int64_t at = 12;
  while (at + 8 <= file_size && file.seekg(at) && file.read(head.data(), 8)) {
    const std::int64_t size = read_u32(head.data() + 4, aiff);
    at += 8;
    if (std::string_view(head.data(), 4) == (wav ? "data" : "SSND")) {
      const bool streamed = size == 0 || size == 0xffffffff;  // the writer did not know the length
      return streamed ? 0 : std::max<std::int64_t>(0, at + size - file_size);
    }
    at += size + size % 2;
  }
  return 0;
}

void require_finite(const std::string& name, std::span<const float> samples) {
  for (std::size_t i = 0; i < samples.size(); ++i) {
    if (!std::isfinite(samples[i])) {
      throw user_error("{}: sample {} is not finite ({}); expected numbers", name, i, samples[i]);
    }
  }
}

// Every frame of the file, channels averaged. Memory grows with what is really there: headers lie.
std::vector<float> read_mono(SNDFILE* file, const SF_INFO& info, const std::string& name) {
  constexpr sf_count_t kBlockFrames = 4096;
  const auto channels = static_cast<std::size_t>(info.channels);
  std::vector<float> block(static_cast<std::size_t>(kBlockFrames) * channels);
  std::vector<float> samples;
  while (const sf_count_t frames = sf_readf_float(file, block.data(), kBlockFrames)) {
    if (static_cast<std::int64_t>(samples.size()) + frames > kMaxSamples) {
      throw user_error("{}: the sound is too long: expected at most {} samples a channel; cut it", name, kMaxSamples);
    }
    for (std::size_t frame = 0; frame < static_cast<std::size_t>(frames); ++frame) {
      double sum = 0;
      for (std::size_t channel = 0; channel < channels; ++channel) sum += block[frame * channels + channel];
      samples.push_back(static_cast<float>(sum / static_cast<double>(channels)));
    }
  }
  if (sf_error(file) != SF_ERR_NO_ERROR) {
    throw user_error("{}: damaged after {} samples: {}; expected a whole sound file", name, samples.size(),
                     sf_strerror(file));
  }
  return samples;
}

// All of an opened sound; `bytes` are the file's, from its beginning.
Waveform read_sound(SNDFILE* file, const SF_INFO& info, std::istream& bytes, std::int64_t size,
                    const std::string& name) {
  if (!file) throw user_error("{}: not a sound file that can be read: {}", name, sf_strerror(nullptr));
  if (info.samplerate < kMinRateHz || info.samplerate > kMaxRateHz) {
    throw user_error("{}: sampling rate {} Hz: expected {} to {}", name, info.samplerate, kMinRateHz, kMaxRateHz);
  }
  if (const std::int64_t missing = missing_bytes(bytes, size)) {
    throw user_error("{}: truncated: {} bytes of sound are missing at its end; get the whole file", name, missing);
  }
  // Before reading: samples take twice the bytes that they have in most files.
  if (info.frames != SF_COUNT_MAX && info.frames > kMaxSamples) {
    throw user_error("{}: the sound is too long: {} samples a channel, expected at most {}; cut it", name, info.frames,
                     kMaxSamples);
  }
  Waveform waveform{read_mono(file, info, name), info.samplerate};
  const auto count = static_cast<sf_count_t>(waveform.samples.size());
  if (info.frames != SF_COUNT_MAX && count < info.frames) {
    throw user_error("{}: truncated: its header states {} samples, it holds {}; get the whole file", name, info.frames,
                     count);
  }
  if (count == 0) throw user_error("{}: holds no samples; expected sound", name);
  require_finite(name, waveform.samples);
  return waveform;
}

// libsndfile's view of a file in memory.
struct SoundBytes {
  std::span<const std::byte> bytes;
  sf_count_t at = 0;
};

SF_VIRTUAL_IO sound_bytes_io() {
  SF_VIRTUAL_IO io{};
  io.get_filelen = [](void* source) { return static_cast<sf_count_t>(static_cast<SoundBytes*>(source)->bytes.size()); };
  io.seek = [](sf_count_t offset, int whence, void* source) {
    auto& sound = *static_cast<SoundBytes*>(source);
    const auto size = static_cast<sf_count_t>(sound.bytes.size());
    const sf_count_t from = whence == SEEK_SET ? 0 : whence == SEEK_CUR ? sound.at : size;
    sound.at = std::clamp<sf_count_t>(from + offset, 0, size);
    return sound.at;
  };
  io.read = [](void* into, sf_count_t count, void* source) {
    auto& sound = *static_cast<SoundBytes*>(source);
    const sf_count_t read = std::clamp<sf_count_t>(static_cast<sf_count_t>(sound.bytes.size()) - sound.at, 0, count);
    std::memcpy(into, sound.bytes.data() + sound.at, static_cast<std::size_t>(read));
    sound.at += read;
    return read;
  };
  io.write = [](const void*, sf_count_t, void*) { return sf_count_t{0}; };
  io.tell = [](void* source) { return static_cast<SoundBytes*>(source)->at; };
  return io;
}

int format_of(const fs::path& path) {
  std::string extension = path.extension().string();
  std::transform(extension.begin(), extension.end(), extension.begin(),
                 [](unsigned char c) { return std::tolower(c); });
  if (extension == ".flac") return SF_FORMAT_FLAC | SF_FORMAT_PCM_16;
  if (extension == ".wav") return SF_FORMAT_WAV | SF_FORMAT_PCM_16;
  throw user_error("{}: cannot write sound with extension '{}': expected .flac or .wav", path.string(), extension);
}

std::vector<short> to_pcm16(const Waveform& waveform) {
  std::vector<short> pcm(waveform.samples.size());
  std::transform(waveform.samples.begin(), waveform.samples.end(), pcm.begin(), [](float sample) {
    return static_cast<short>(std::clamp(std::nearbyint(static_cast<double>(sample) * 32768.0), -32768.0, 32767.0));
  });
  return pcm;
}

}  // namespace

Waveform load_waveform(const fs::path& path) {
  std::error_code ignored;
  if (!fs::is_regular_file(path, ignored)) {
    throw user_error("{}: {}; expected a sound file", path.string(),
                     fs::exists(path, ignored) ? "not a regular file" : "no such file");
  }
  if (fs::file_size(path, ignored) == 0)
    throw user_error("{}: the file is empty; expected a sound file", path.string());
  SF_INFO info{};
  const SoundFile file(sf_open(path.c_str(), SFM_READ, &info));
  std::ifstream bytes(path, std::ios::binary);
  return read_sound(file.get(), info, bytes, static_cast<std::int64_t>(fs::file_size(path)), path.string());
}

Waveform decode_waveform(std::span<const std::byte> bytes, const std::string& name) {
  if (bytes.empty()) throw user_error("{}: the file is empty; expected a sound file", name);
  SoundBytes source{bytes};
  SF_VIRTUAL_IO io = sound_bytes_io();
  SF_INFO info{};
  const SoundFile file(sf_open_virtual(&io, SFM_READ, &info, &source));
  std::istringstream stream(std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size()));
  return read_sound(file.get(), info, stream, static_cast<std::int64_t>(bytes.size()), name);
}

bool is_silent(const Waveform& waveform, float threshold) {
  return std::all_of(waveform.samples.begin(), waveform.samples.end(),
                     [&](float sample) { return std::abs(sample) <= threshold; });
}

Waveform load_audible(const std::filesystem::path& path) {
  Waveform clip = load_waveform(path);
  if (is_silent(clip)) throw user_error("{} is silent: every sample is zero", path.string());
  return clip;
}

Waveform resample(const Waveform& waveform, int rate_hz) {
  for (int rate : {waveform.rate_hz, rate_hz}) {
    if (rate < kMinRateHz || rate > kMaxRateHz) {
      throw user_error("resample: rate {} Hz: expected {} to {}", rate, kMinRateHz, kMaxRateHz);
    }
  }
  if (rate_hz == waveform.rate_hz || waveform.samples.empty()) return {waveform.samples, rate_hz};

  const auto from = static_cast<std::size_t>(waveform.rate_hz), to = static_cast<std::size_t>(rate_hz);
  // soxr may stop one sample short of the exact length; what it leaves is zero.
  Waveform result{std::vector<float>((waveform.samples.size() * to + from - 1) / from, 0.0f), rate_hz};
  const soxr_io_spec_t io = soxr_io_spec(SOXR_FLOAT32_I, SOXR_FLOAT32_I);
  const soxr_quality_spec_t quality = soxr_quality_spec(SOXR_HQ, 0);
  const soxr_runtime_spec_t runtime = soxr_runtime_spec(1);
  std::size_t done = 0;
  const soxr_error_t error =
      soxr_oneshot(waveform.rate_hz, rate_hz, 1, waveform.samples.data(), waveform.samples.size(), nullptr,
                   result.samples.data(), result.samples.size(), &done, &io, &quality, &runtime);
  if (error != nullptr) throw failure("resample from {} Hz to {} Hz: soxr: {}", waveform.rate_hz, rate_hz, error);
  return result;
}

void save_waveform(const fs::path& path, const Waveform& waveform, Flush flush) {
  SF_INFO info{};
  info.samplerate = waveform.rate_hz;
  info.channels = 1;
  info.format = format_of(path);
  if (waveform.samples.empty()) throw user_error("{}: no samples to write", path.string());
  if (waveform.rate_hz < kMinRateHz || waveform.rate_hz > kMaxRateHz || sf_format_check(&info) == 0) {
    throw user_error("{}: cannot write sound at {} Hz in this format; resample it first", path.string(),
                     waveform.rate_hz);
  }
  require_finite(path.string(), waveform.samples);
  const std::vector<short> pcm = to_pcm16(waveform);

  StagedFile staged(path);
  SoundFile file(sf_open(staged.path().c_str(), SFM_WRITE, &info));
  if (!file) throw failure("{}: cannot write: {}", path.string(), sf_strerror(nullptr));
  const auto count = static_cast<sf_count_t>(pcm.size());
  if (sf_write_short(file.get(), pcm.data(), count) != count || sf_close(file.release()) != 0) {
    throw failure("{}: cannot write all of its {} samples; is the disk full?", path.string(), pcm.size());
  }
  staged.commit(flush);
}

}  // namespace retune
