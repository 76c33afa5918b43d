#include "audio/waveform.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sndfile.h>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <limits>
#include <numbers>
#include <span>
#include <string>
#include <vector>

#include "tensor/error.h"

namespace retune {
namespace {

namespace fs = std::filesystem;
using testing::AllOf;
using testing::HasSubstr;

class WaveformFile : public testing::Test {
 protected:
  WaveformFile() {
    const std::string name = testing::UnitTest::GetInstance()->current_test_info()->name();
    folder_ = fs::path(testing::TempDir()) / ("retune-waveform-" + name);
    fs::remove_all(folder_);
    fs::create_directories(folder_);
  }
  ~WaveformFile() override { fs::remove_all(folder_); }

  fs::path write(const std::string& name, const std::string& bytes) const {
    std::ofstream(folder_ / name, std::ios::binary) << bytes;
    return folder_ / name;
  }

  fs::path folder_;
};

std::string bytes_of(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

Waveform sine(double hz, int rate_hz, double seconds) {
  Waveform waveform{std::vector<float>(static_cast<std::size_t>(seconds * rate_hz)), rate_hz};
  for (std::size_t i = 0; i < waveform.samples.size(); ++i) {
    waveform.samples[i] =
        static_cast<float>(0.6 * std::sin(2 * std::numbers::pi * hz * static_cast<double>(i) / rate_hz));
  }
  return waveform;
}

std::string load_error(const fs::path& path) {
  try {
    load_waveform(path);
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kUser);
    return error.what();
  }
  return "no error";
}

void write_float_wav(const fs::path& path, const std::vector<float>& interleaved, int channels) {
  SF_INFO info{};
  info.samplerate = 22050;
  info.channels = channels;
  info.format = SF_FORMAT_WAV | SF_FORMAT_FLOAT;
  SNDFILE* file = sf_open(path.c_str(), SFM_WRITE, &info);
  ASSERT_NE(file, nullptr);
  sf_write_float(file, interleaved.data(), static_cast<sf_count_t>(interleaved.size()));
  sf_close(file);
}

TEST_F(WaveformFile, RoundTripsSixteenBitsThroughFlacAndWav) {
  Waveform clip{{}, 16000};
  for (int i = -32768; i <= 32767; i += 13) clip.samples.push_back(static_cast<float>(i) / 32768.0f);
  for (const char* name : {"a.flac", "b.wav", "c.FLAC"}) {
    save_waveform(folder_ / name, clip);
    const Waveform loaded = load_waveform(folder_ / name);
    EXPECT_EQ(loaded.rate_hz, 16000);
    EXPECT_EQ(loaded.samples, clip.samples) << name;
  }
}

TEST_F(WaveformFile, ClipsInsteadOfWrappingAround) {
  save_waveform(folder_ / "a.wav", {{1.5f, -1.5f, 1.0f}, 8000});
  EXPECT_THAT(load_waveform(folder_ / "a.wav").samples,
              testing::ElementsAre(32767.0f / 32768, -1.0f, 32767.0f / 32768));
}

TEST_F(WaveformFile, TheSameSamplesGiveTheSameBytes) {
  const Waveform clip = sine(440, 16000, 0.3);
  for (const char* extension : {".flac", ".wav"}) {
    save_waveform(folder_ / ("first" + std::string(extension)), clip);
    save_waveform(folder_ / ("second" + std::string(extension)), clip);
    EXPECT_EQ(bytes_of(folder_ / ("first" + std::string(extension))),
              bytes_of(folder_ / ("second" + std::string(extension))));
  }
}

TEST_F(WaveformFile, AveragesChannels) {
  write_float_wav(folder_ / "stereo.wav", {0.5f, -0.25f, 1.0f, 1.0f, 0.0f, 3.0f}, 2);
  const Waveform clip = load_waveform(folder_ / "stereo.wav");
  EXPECT_EQ(clip.rate_hz, 22050);
  EXPECT_THAT(clip.samples, testing::ElementsAre(0.125f, 1.0f, 1.5f));
}

TEST_F(WaveformFile, SilenceLoadsAndSaysSo) {
  save_waveform(folder_ / "silence.wav", {std::vector<float>(100, 0.0f), 16000});
  EXPECT_TRUE(is_silent(load_waveform(folder_ / "silence.wav")));
  EXPECT_FALSE(is_silent(sine(440, 16000, 0.1)));
  EXPECT_TRUE(is_silent(sine(440, 16000, 0.1), 0.61f));
}

TEST_F(WaveformFile, NamesWhatIsWrongWithAFile) {
  EXPECT_THAT(load_error(folder_ / "absent.wav"), AllOf(HasSubstr("absent.wav"), HasSubstr("no such file")));
  EXPECT_THAT(load_error(folder_), HasSubstr("not a regular file"));
  EXPECT_THAT(load_error(write("empty.wav", "")), HasSubstr("the file is empty"));
  EXPECT_THAT(load_error(write("text.wav", "Once upon a time there was no sound at all.")),
              HasSubstr("not a sound file"));
  write_float_wav(folder_ / "nothing.wav", {}, 1);
  EXPECT_THAT(load_error(folder_ / "nothing.wav"), HasSubstr("holds no samples"));
  write_float_wav(folder_ / "nan.wav", {0.0f, std::numeric_limits<float>::quiet_NaN()}, 1);
  EXPECT_THAT(load_error(folder_ / "nan.wav"), HasSubstr("sample 1 is not finite"));
}

// What lies in memory is the same sound, with the same complaints.
TEST_F(WaveformFile, InMemoryIsReadAsFromDisk) {
  const auto decoded = [&](const std::string& name) {
    const std::string bytes = bytes_of(folder_ / name);
    return decode_waveform(std::as_bytes(std::span(bytes)), "a clip").samples;
  };
  save_waveform(folder_ / "a.flac", sine(440, 16000, 0.3));
  save_waveform(folder_ / "a.wav", sine(440, 16000, 0.3));
  write_float_wav(folder_ / "stereo.wav", {0.5f, -0.25f, 1.0f, 1.0f}, 2);
  for (const char* name : {"a.flac", "a.wav", "stereo.wav"})
    EXPECT_EQ(decoded(name), load_waveform(folder_ / name).samples) << name;
  const auto refusal = [&](const std::string& bytes) -> std::string {
    try {
      decode_waveform(std::as_bytes(std::span(bytes)), "a clip");
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kUser);
      return error.what();
    }
    return "no error";
  };
  EXPECT_THAT(refusal(""), HasSubstr("a clip: the file is empty"));
  EXPECT_THAT(refusal("Once upon a time there was no sound at all."), HasSubstr("a clip: not a sound file"));
  const std::string whole = bytes_of(folder_ / "a.wav");
  EXPECT_THAT(refusal(whole.substr(0, whole.size() / 2)), HasSubstr("truncated"));
  for (const char* name : {"a.flac", "a.wav"}) {
    const std::string bytes = bytes_of(folder_ / name);
    for (std::size_t keep = 1; keep < bytes.size(); keep += bytes.size() / 13)
      EXPECT_NE(refusal(bytes.substr(0, keep)), "no error") << name << " " << keep;
  }
}

TEST_F(WaveformFile, RefusesTruncatedFilesWhereverTheyEnd) {
  for (const char* name : {"whole.wav", "whole.flac"}) {
    save_waveform(folder_ / name, sine(440, 16000, 0.5));
    const std::string bytes = bytes_of(folder_ / name);
    for (std::size_t keep : {std::size_t{5}, std::size_t{30}, bytes.size() / 3, bytes.size() / 2, bytes.size() - 2}) {
      const fs::path cut = write("cut" + fs::path(name).extension().string(), bytes.substr(0, keep));
      EXPECT_NE(load_error(cut), "no error") << name << " cut to " << keep;
    }
  }
}

TEST_F(WaveformFile, RefusesToWriteWhatItCannotAndLeavesNothing) {
  const Waveform clip = sine(440, 16000, 0.1);
  EXPECT_THROW(save_waveform(folder_ / "clip.mp3", clip), Error);
  EXPECT_THROW(save_waveform(folder_ / "clip.wav", {{}, 16000}), Error);
  EXPECT_THROW(save_waveform(folder_ / "clip.wav", {{std::nanf("")}, 16000}), Error);
  EXPECT_THROW(save_waveform(folder_ / "clip.flac", {clip.samples, 0}), Error);
  EXPECT_THROW(save_waveform(folder_ / "absent" / "clip.flac", clip), Error);
  EXPECT_TRUE(fs::is_empty(folder_));
}

TEST(Resample, KeepsATonesFrequencyAmplitudeAndPhase) {
  for (int from : {8000, 22050, 44100, 48000}) {
    const Waveform out = resample(sine(1000, from, 1.0), 16000);
    const Waveform want = sine(1000, 16000, 1.0);
    ASSERT_EQ(out.samples.size(), want.samples.size()) << from;
    EXPECT_EQ(out.rate_hz, 16000);
    for (std::size_t i = 400; i + 400 < want.samples.size(); ++i)
      ASSERT_NEAR(out.samples[i], want.samples[i], 2e-4) << from;
  }
}

TEST(Resample, RemovesWhatTheLowerRateCannotHold) {
  const Waveform out = resample(sine(11000, 44100, 1.0), 16000);
  for (std::size_t i = 400; i + 400 < out.samples.size(); ++i) ASSERT_NEAR(out.samples[i], 0.0, 1e-4);
}

TEST(Resample, HasTheStatedLengthAndIsRepeatable) {
  for (std::size_t samples : {1u, 2u, 441u, 1000u, 44101u}) {
    const Waveform clip{sine(300, 44100, 2.0).samples, 44100};
    const Waveform part{{clip.samples.begin(), clip.samples.begin() + static_cast<std::ptrdiff_t>(samples)}, 44100};
    const Waveform out = resample(part, 16000);
    EXPECT_EQ(out.samples.size(), (samples * 16000 + 44099) / 44100);
    EXPECT_EQ(out.samples, resample(part, 16000).samples);
  }
  const Waveform same = sine(300, 16000, 0.1);
  EXPECT_EQ(resample(same, 16000).samples, same.samples);
}

TEST(Resample, RefusesRatesOutOfRange) {
  EXPECT_THROW(resample(sine(300, 16000, 0.1), 0), Error);
  EXPECT_THROW(resample({{0.0f}, -5}, 16000), Error);
  EXPECT_THROW(resample({{0.0f}, 16000}, 1000000), Error);
}

// 2 GB of sound took 4 GB and 13 seconds before it was called too long.
TEST(Waveform, ASoundThatIsTooLongIsRefusedBeforeItIsRead) {
  const std::string path = testing::TempDir() + "retune-long.wav";
  const auto u32 = [](std::uint32_t value) { return std::string(reinterpret_cast<const char*>(&value), 4); };
  const auto data = static_cast<std::uint32_t>(kMaxSamples + 2);
  std::ofstream(path, std::ios::binary) << "RIFF" << u32(data + 36) << "WAVEfmt " << u32(16) << u32(0x00010001)
                                        << u32(8000) << u32(8000) << u32(0x00080001) << "data" << u32(data);
  fs::resize_file(path, 44 + std::uintmax_t{data});  // sparse
  try {
    load_waveform(path);
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kUser);
    EXPECT_THAT(error.what(), HasSubstr("too long: 1036800002 samples a channel, expected at most 1036800000"));
  }
  fs::remove(path);
}

}  // namespace
}  // namespace retune
