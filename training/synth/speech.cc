#include "training/synth/speech.h"

#include <array>
#include <cmath>
#include <numbers>
#include <string_view>
#include <vector>

#include "tensor/error.h"
#include "training/synth/sentences.h"

namespace retune::synth {

namespace {

struct Bounds {
  int low;
  int high;
};

struct Prosody {
  std::string_view emotion;
  Bounds pitch;          // espeak-ng's scale
  Bounds range_percent;  // of the voice's own range
  Bounds words_per_minute;
  Range level_db;
  Range tremor_hz;
  Range tremor_depth;
};

// Neighbours in pitch differ in rate and loudness and the other way round, so that no single cue decides an emotion.
constexpr std::array<Prosody, 5> kProsodies{{
    {"happy", {58, 74}, {165, 200}, {185, 225}, {-22.5, -19.5}, {0, 0}, {0, 0}},
    {"disgust", {12, 26}, {110, 150}, {115, 140}, {-27.0, -24.0}, {0, 0}, {0, 0}},
    {"sad", {28, 42}, {20, 45}, {112, 138}, {-37.5, -33.5}, {0, 0}, {0, 0}},
    {"fear", {74, 90}, {45, 85}, {240, 290}, {-32.0, -28.5}, {5.5, 9.0}, {0.35, 0.6}},
    {"angry", {36, 52}, {140, 180}, {205, 250}, {-15.5, -12.5}, {0, 0}, {0, 0}},
}};

struct Voices {
  std::vector<std::string_view> common;  // heard in every split
  std::string_view val_only;
  std::string_view test_only;
};

Voices voices_of(std::string_view gender) {
  if (gender == "male") return {{"m1", "m2", "m3", "m4", "m5", "m7"}, "m8", "m6"};
  return {{"f1", "f2", "f3"}, "f4", "f5"};
}

std::string draw_voice(std::string_view gender, Split split, Rng& rng) {
  Voices voices = voices_of(gender);
  if (split == Split::kVal) voices.common.push_back(voices.val_only);
  if (split == Split::kTest) voices.common.push_back(voices.test_only);
  return std::string(rng.choose(voices.common));
}

const Prosody& prosody_of(std::string_view emotion) {
  for (const Prosody& prosody : kProsodies) {
    if (prosody.emotion == emotion) return prosody;
  }
  throw failure("no prosody for the emotion '{}'", emotion);
}

const LanguageText& text_of(std::string_view name) {
  for (const LanguageText& language : languages()) {
    if (language.name == name) return language;
  }
  throw failure("no sentences for the language '{}'", name);
}

int draw_integer(Bounds bounds, Split split, Rng& rng) {
  return synth::draw_integer(bounds.low, bounds.high, split, rng);
}

void tremble(Waveform& wave, double hz, double depth) {
  for (std::size_t i = 0; i < wave.samples.size(); ++i) {
    const double phase = 2 * std::numbers::pi * hz * static_cast<double>(i) / wave.rate_hz;
    wave.samples[i] *= static_cast<float>(1 - depth * (0.5 - 0.5 * std::cos(phase)));
  }
}

}  // namespace

SpeechPlan plan_speech(const Labels& labels, Split split, Rng& rng) {
  const Prosody& prosody = prosody_of(labels.at(std::string(kEmotion)));
  const LanguageText& language = text_of(labels.at(std::string(kLanguage)));
  SpeechPlan plan;
  plan.utterance.text = draw_sentence(language, split, rng);
  plan.utterance.voice = language.espeak_voice;
  plan.utterance.variant = draw_voice(labels.at(std::string(kGender)), split, rng);
  plan.utterance.pitch = draw_integer(prosody.pitch, split, rng);
  plan.utterance.range_percent = draw_integer(prosody.range_percent, split, rng);
  plan.utterance.words_per_minute = draw_integer(prosody.words_per_minute, split, rng);
  plan.level_db = draw(prosody.level_db, split, rng);
  plan.tremor_hz = draw(prosody.tremor_hz, split, rng);
  plan.tremor_depth = draw(prosody.tremor_depth, split, rng);
  plan.offset_seconds = draw({0.0, 0.12}, split, rng);
  plan.noise_db = draw({-68, -56}, split, rng);
  return plan;
}

Waveform render_speech(const SpeechPlan& plan, double clip_seconds, int rate_hz, Rng& rng) {
  Waveform wave = resample(speak(plan.utterance), rate_hz);
  if (plan.tremor_hz > 0) tremble(wave, plan.tremor_hz, plan.tremor_depth);
  set_level(wave.samples, plan.level_db);
  return place(wave, {clip_seconds, plan.offset_seconds, plan.noise_db}, rng);
}

}  // namespace retune::synth
