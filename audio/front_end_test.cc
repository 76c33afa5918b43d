#include "audio/front_end.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <string>
#include <vector>

#include "tensor/error.h"

namespace retune {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

const char* const kWhisper = R"({"feature_extractor_type": "WhisperFeatureExtractor", "feature_size": 80,
  "sampling_rate": 16000, "n_fft": 400, "hop_length": 160, "chunk_length": 30, "n_samples": 480000, "nb_max_frames": 3000,
  "processor_class": "UltravoxProcessor", "dither": 0.0, "padding_value": 0.0})";

Waveform chirp(int rate_hz, double seconds) {
  Waveform waveform{std::vector<float>(static_cast<std::size_t>(seconds * rate_hz)), rate_hz};
  for (std::size_t i = 0; i < waveform.samples.size(); ++i) {
    const double t = static_cast<double>(i) / rate_hz;
    waveform.samples[i] = static_cast<float>(0.3 * std::sin(1500 * t + 4000 * t * t));
  }
  return waveform;
}

std::string parse_error(const std::string& json) {
  try {
    FrontEnd::parse(json, "preprocessor_config.json");
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kUser);
    return error.what();
  }
  return "no error";
}

std::string with(const std::string& fields) {
  return R"({"feature_extractor_type": "WhisperFeatureExtractor", )" + fields + "}";
}

TEST(FrontEnd, ReadsABundlesSettings) {
  const FrontEnd front_end = FrontEnd::parse(with(R"("feature_size": 128, "chunk_length": 2)"), "test");
  EXPECT_EQ(front_end.options().mels, 128);
  EXPECT_EQ(front_end.options().fft, 400);
  EXPECT_EQ(front_end.options().chunk_seconds, 2);
  EXPECT_EQ(front_end.features(chirp(16000, 1.0), Padding::kToChunk).values.shape(), (Shape{128, 200}));
  EXPECT_EQ(front_end.features(chirp(16000, 1.0), Padding::kNone).values.shape(), (Shape{128, 100}));
}

TEST(FrontEnd, GivesLogMelAndNoNotesForSoundAsItWants) {
  const Waveform clip = chirp(16000, 0.7);
  const AudioFeatures heard = FrontEnd::parse(kWhisper, "test").features(clip, Padding::kNone);
  EXPECT_TRUE(identical(heard.values, log_mel(clip, {.mels = 80})));
  EXPECT_EQ(heard.samples, 11200);
  EXPECT_THAT(heard.notes, IsEmpty());
}

TEST(FrontEnd, SaysThatItResampledAndCut) {
  const FrontEnd front_end = FrontEnd::parse(with(R"("chunk_length": 1)"), "test");
  const AudioFeatures heard = front_end.features(chirp(44100, 1.5), Padding::kNone);
  EXPECT_THAT(heard.notes, ElementsAre("resampled 44100 Hz to 16000 Hz (soxr HQ)", "cut 1.50 s to the first 1 s"));
  EXPECT_EQ(heard.samples, 16000);
  EXPECT_EQ(heard.values.shape(), (Shape{80, 100}));
}

TEST(FrontEnd, AMatrixInTheFileOverridesTheFilters) {
  std::string rows, columns;
  for (int mel = 0; mel < 2; ++mel) {
    rows += mel ? ", [" : "[";
    for (int bin = 0; bin < 201; ++bin) rows += std::string(bin ? "," : "") + (bin == 10 + mel ? "1" : "0");
    rows += "]";
  }
  for (int bin = 0; bin < 201; ++bin) {
    columns += std::string(bin ? "," : "") + (bin == 10 ? "[1,0]" : bin == 11 ? "[0,1]" : "[0,0]");
  }
  const FrontEnd by_mel = FrontEnd::parse(with(R"("feature_size": 2, "mel_filters": [)" + rows + "]"), "test");
  const FrontEnd by_bin = FrontEnd::parse(with(R"("feature_size": 2, "mel_filters": [)" + columns + "]"), "test");
  MelFilters filters{2, 201, std::vector<double>(402, 0.0)};
  filters.weights[10] = filters.weights[201 + 11] = 1.0;
  const Waveform clip = chirp(16000, 0.5);
  const Tensor want = log_mel(clip, {.mels = 2}, filters);
  EXPECT_TRUE(identical(by_mel.features(clip, Padding::kNone).values, want));
  EXPECT_TRUE(identical(by_bin.features(clip, Padding::kNone).values, want));
}

TEST(FrontEnd, NamesWhatItCannotRead) {
  EXPECT_THAT(parse_error("{"),
              AllOf(HasSubstr("preprocessor_config.json"), HasSubstr("not valid JSON at byte 2 of 1")));
  EXPECT_THAT(parse_error("{\"n_fft\": 1e999}"), HasSubstr("a number is too large"));
  EXPECT_THAT(parse_error("[]"), HasSubstr("expected a JSON object"));
  EXPECT_THAT(parse_error("{}"), HasSubstr("'feature_extractor_type' is missing"));
  EXPECT_THAT(parse_error(R"({"feature_extractor_type": "Phi4MultimodalFeatureExtractor"})"),
              HasSubstr("\"Phi4MultimodalFeatureExtractor\" is not supported"));
  EXPECT_THAT(parse_error(with(R"("feature_size": "eighty")")), HasSubstr("'feature_size': expected an integer"));
  EXPECT_THAT(parse_error(with(R"("n_fft": 0)")), HasSubstr("fft: expected 2 to 16384, got 0"));
  EXPECT_THAT(parse_error(with(R"("chunk_length": 2000000000)")), HasSubstr("chunk_length"));
  EXPECT_THAT(parse_error(with(R"("chunk_length": 2, "n_samples": 480000)")), HasSubstr("'n_samples' is 480000"));
  EXPECT_THAT(parse_error(with(R"("dither": 0.1)")), HasSubstr("'dither' is 0.1"));
  EXPECT_THAT(parse_error(with(R"("mel_filters": [[1, 2], [3]])")),
              HasSubstr("expected a matrix [80, 201] or [201, 80]"));
  EXPECT_THAT(parse_error(kWhisper), "no error");
}

// Printing a setting that is nested 200,000 deep overflowed the stack.
TEST(FrontEnd, RefusesDeepNesting) {
  constexpr std::size_t kDeep = 200'000;
  EXPECT_THAT(parse_error(with("\"n_fft\": " + std::string(kDeep, '[') + std::string(kDeep, ']'))),
              HasSubstr("nested more than 16 deep"));
}

TEST(FrontEnd, ReadsAFileAndNamesOneThatIsAbsent) {
  const std::string path = testing::TempDir() + "retune-front-end.json";
  std::ofstream(path) << kWhisper;
  EXPECT_EQ(FrontEnd::load(path).options().mels, 80);
  EXPECT_THROW(FrontEnd::load(path + ".absent"), Error);
  std::remove(path.c_str());
}

}  // namespace
}  // namespace retune
