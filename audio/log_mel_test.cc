#include "audio/log_mel.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <limits>
#include <numbers>
#include <string>
#include <vector>

#include "tensor/error.h"

namespace retune {
namespace {

using testing::HasSubstr;

const std::filesystem::path kGolden = "tests/golden/log_mel";

std::vector<float> read_floats(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  std::vector<float> values(std::filesystem::file_size(path) / sizeof(float));
  file.read(reinterpret_cast<char*>(values.data()), static_cast<std::streamsize>(values.size() * sizeof(float)));
  return values;
}

void expect_near(const Tensor& features, const std::vector<float>& golden, double tolerance) {
  ASSERT_EQ(features.numel(), static_cast<std::int64_t>(golden.size()));
  double worst = 0;
  for (std::size_t i = 0; i < golden.size(); ++i) {
    worst = std::max(worst, std::abs(double{features.values<float>()[i]} - double{golden[i]}));
  }
  EXPECT_LT(worst, tolerance);
}

Waveform tone(double hz, std::size_t samples, int rate_hz = 16000) {
  Waveform waveform{std::vector<float>(samples), rate_hz};
  for (std::size_t i = 0; i < samples; ++i) {
    waveform.samples[i] =
        static_cast<float>(0.5 * std::sin(2 * std::numbers::pi * hz * static_cast<double>(i) / rate_hz));
  }
  return waveform;
}

std::string message_of(const Waveform& waveform, const LogMelOptions& options) {
  try {
    log_mel(waveform, options);
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kUser);
    return error.what();
  }
  return "no error";
}

// The reference is f64 throughout and rounded to f32 once, as is ours: what remains is the last bit of values around 1.
TEST(LogMel, EqualsNumPyForAnUnpaddedClip) {
  const Tensor features = log_mel(load_waveform(kGolden / "clip.wav"), {.mels = 80, .padding = Padding::kNone});
  EXPECT_EQ(features.shape(), (Shape{80, 50}));
  expect_near(features, read_floats(kGolden / "whisper80.f32"), 2e-6);
}

TEST(LogMel, EqualsNumPyForAClipPaddedToItsChunk) {
  const LogMelOptions options{.mels = 128, .chunk_seconds = 1, .padding = Padding::kToChunk};
  const Tensor features = log_mel(load_waveform(kGolden / "clip.wav"), options);
  EXPECT_EQ(features.shape(), (Shape{128, 100}));
  expect_near(features, read_floats(kGolden / "whisper128.f32"), 2e-6);
}

TEST(LogMel, FiltersHaveThePublishedValues) {
  const MelFilters f80 = slaney_mel_filters({.mels = 80});
  EXPECT_NEAR(f80.weights[1], 0.02486259, 1e-8);
  EXPECT_NEAR(*std::max_element(f80.weights.begin(), f80.weights.end()), 0.02588068, 1e-8);
  const MelFilters f128 = slaney_mel_filters({.mels = 128});
  EXPECT_NEAR(f128.weights[1], 0.01237399, 1e-8);
  EXPECT_NEAR(f128.weights[201 + 1], 0.03039256, 1e-8);
  EXPECT_NEAR(*std::max_element(f128.weights.begin(), f128.weights.end()), 0.04168175, 1e-8);
  for (const MelFilters& filters : {f80, f128}) {
    for (int mel = 0; mel < filters.mels; ++mel) {
      const auto row = filters.weights.begin() + std::ptrdiff_t{mel} * filters.bins;
      EXPECT_GT(*std::max_element(row, row + filters.bins), 0.0) << "filter " << mel << " is empty";
    }
  }
}

TEST(LogMel, SilenceIsTheFloorEverywhere) {
  const Tensor features =
      log_mel({std::vector<float>(16000, 0.0f), 16000}, {.mels = 128, .padding = Padding::kToChunk});
  EXPECT_EQ(features.shape(), (Shape{128, 3000}));
  EXPECT_THAT(features.values<float>(), testing::Each(-1.5f));  // (log10(1e-10) + 4) / 4
}

TEST(LogMel, ZerosByHandEqualPaddingToTheChunk) {
  Waveform clip = tone(440, 15900);
  const LogMelOptions padded{.chunk_seconds = 1, .padding = Padding::kToChunk};
  const Tensor features = log_mel(clip, padded);
  clip.samples.resize(16000, 0.0f);
  EXPECT_TRUE(identical(features, log_mel(clip, {.chunk_seconds = 1, .padding = Padding::kNone})));
}

TEST(LogMel, CountsWholeHopsAndCutsAtTheChunk) {
  EXPECT_EQ(log_mel(tone(100, 160), {}).shape(), (Shape{80, 1}));
  EXPECT_EQ(log_mel(tone(100, 32159), {}).shape(), (Shape{80, 200}));
  EXPECT_EQ(log_mel(tone(100, 40000), {.chunk_seconds = 2}).shape(), (Shape{80, 200}));
  EXPECT_EQ(log_mel(tone(100, 40000), {.chunk_seconds = 2, .padding = Padding::kToChunk}).shape(), (Shape{80, 200}));
}

TEST(LogMel, ALouderClipGivesTheSamePatternHigher) {
  Waveform clip = tone(1000, 8000);
  const Tensor quiet = log_mel(clip, {});
  for (float& sample : clip.samples) sample *= 10.0f;
  const Tensor loud = log_mel(clip, {});
  // Ten times the amplitude is a hundred times the power: 2 in log10, 0.5 after scaling, above the floor as well.
  for (std::size_t i = 0; i < quiet.values<float>().size(); i += 97) {
    EXPECT_NEAR(loud.values<float>()[i] - quiet.values<float>()[i], 0.5, 1e-3);
  }
}

TEST(LogMel, RefusesWhatItCannotRead) {
  EXPECT_THAT(message_of(tone(100, 4000, 8000), {}), HasSubstr("expected sound at 16000 Hz, got 8000 Hz"));
  EXPECT_THAT(message_of(tone(100, 159), {}), HasSubstr("too short"));
  Waveform broken = tone(100, 1600);
  broken.samples[7] = std::numeric_limits<float>::infinity();
  EXPECT_THAT(message_of(broken, {}), HasSubstr("sample 7 is not finite"));
  EXPECT_THAT(message_of(tone(100, 1600), {.mels = 0}), HasSubstr("mels: expected 1 to 1024, got 0"));
  EXPECT_THAT(message_of(tone(100, 1600), {.fft = 401}), HasSubstr("fft"));
  EXPECT_THAT(message_of(tone(100, 1600), {.fft = 2 * 37, .hop = 10}), HasSubstr("prime"));
  EXPECT_THAT(message_of(tone(100, 1600), {.hop = 500}), HasSubstr("hop"));
  EXPECT_THROW(log_mel(tone(100, 1600), {.mels = 80}, slaney_mel_filters({.mels = 40})), Error);
}

}  // namespace
}  // namespace retune
