#include "training/synth/speech.h"

#include <gtest/gtest.h>

#include <array>
#include <map>
#include <string>
#include <string_view>

#include "tests/oracle.h"
#include "training/synth/sentences.h"

namespace retune::synth {
namespace {

constexpr int kRate = 16000;
constexpr double kSeconds = 2.0;

class Speech : public testing::Test {
 protected:
  void SetUp() override {
    if (!espeak_installed()) RETUNE_ORACLE_MISSING("espeak-ng is not installed");
  }
  static Labels labels(std::string_view gender, std::string_view emotion, std::string_view language) {
    return {{"Gender", std::string(gender)}, {"Emotion", std::string(emotion)}, {"Language", std::string(language)}};
  }
};

// The lag of the highest autocorrelation within 60 to 500 Hz over the whole sound, as a frequency.
double pitch_hz(const Waveform& wave) {
  double best = 0;
  int best_lag = 1;
  for (int lag = wave.rate_hz / 500; lag <= wave.rate_hz / 60; ++lag) {
    double sum = 0;
    for (std::size_t i = static_cast<std::size_t>(lag); i < wave.samples.size(); ++i) {
      sum += static_cast<double>(wave.samples[i]) * wave.samples[i - static_cast<std::size_t>(lag)];
    }
    if (sum > best) {
      best = sum;
      best_lag = lag;
    }
  }
  return static_cast<double>(wave.rate_hz) / best_lag;
}

TEST_F(Speech, EveryLanguageSpeaksAndEveryPairOfLanguagesSoundsDifferent) {
  std::map<std::string_view, Waveform> spoken;
  for (const LanguageText& language : languages()) {
    const Waveform wave =
        speak({.text = sentence(language, 0), .voice = std::string(language.espeak_voice), .variant = "f2"});
    EXPECT_EQ(wave.rate_hz, 22050) << language.name;
    EXPECT_GT(wave.seconds(), 0.8) << language.name;
    EXPECT_LT(wave.seconds(), 6.0) << language.name << ": does espeak-ng spell the letters?";
    for (const auto& [name, other] : spoken) EXPECT_NE(wave.samples, other.samples) << name << " " << language.name;
    spoken[language.name] = wave;
  }
}

TEST_F(Speech, EmotionsAreHeardInLoudnessAlsoAfterPlacing) {
  const std::array<std::string_view, 5> quiet_to_loud{"sad", "fear", "disgust", "happy", "angry"};
  for (const Split split : kSplits) {
    double previous = 0;
    for (const std::string_view emotion : quiet_to_loud) {
      Rng rng = Rng(4).fork(emotion);
      const SpeechPlan plan = plan_speech(labels("female", emotion, "Italian"), split, rng);
      const double level = active_rms(render_speech(plan, kSeconds, kRate, rng).samples);
      EXPECT_GT(level, previous) << emotion << " in " << split_name(split);
      previous = level;
    }
  }
}

TEST_F(Speech, WomenSpeakHigherThanMenInTheSameMood) {
  for (std::uint64_t i = 0; i < 4; ++i) {
    const std::string_view emotion = std::array{"happy", "sad", "angry", "disgust"}[i];
    Rng her_rng = Rng(5).fork("pair", i);
    Rng his_rng = Rng(5).fork("pair", i);
    const SpeechPlan hers = plan_speech(labels("female", emotion, "Spanish"), Split::kTrain, her_rng);
    const SpeechPlan his = plan_speech(labels("male", emotion, "Spanish"), Split::kTrain, his_rng);
    EXPECT_GT(pitch_hz(speak(hers.utterance)), 1.2 * pitch_hz(speak(his.utterance))) << emotion;
  }
}

}  // namespace
}  // namespace retune::synth
