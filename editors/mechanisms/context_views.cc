#include "editors/mechanisms/context_views.h"

#include <algorithm>
#include <cmath>

#include "tensor/error.h"

namespace retune {

namespace {

constexpr double kGainDb = 3.0;
constexpr double kShiftSeconds = 0.1;
constexpr double kNoiseDb = 30.0;  // below the sound's mean power
constexpr std::string_view kQuestion = "{question}";

struct Sounding {
  Waveform clip;
  std::string what;
};

Sounding louder(const Waveform& clip, Rng rng) {
  const double gain = rng.uniform(-kGainDb, kGainDb);
  Sounding result{clip, fmt::format("gain {:+.2f} dB", gain)};
  const auto factor = static_cast<float>(std::pow(10.0, gain / 20.0));
  for (float& sample : result.clip.samples) sample *= factor;
  return result;
}

// Later (silence first) or earlier; the length stays, and with it the number of audio rows.
Sounding shifted(const Waveform& clip, Rng rng) {
  const double by = rng.uniform(-kShiftSeconds, kShiftSeconds);
  Sounding result{clip, fmt::format("shift {:+.0f} ms", by * 1000)};
  const auto samples = static_cast<std::int64_t>(std::llround(by * clip.rate_hz));
  const auto count = static_cast<std::int64_t>(clip.samples.size());
  for (std::int64_t i = 0; i < count; ++i) {
    const std::int64_t from = i - samples;
    result.clip.samples[static_cast<std::size_t>(i)] =
        from >= 0 && from < count ? clip.samples[static_cast<std::size_t>(from)] : 0.0f;
  }
  return result;
}

Sounding noisy(const Waveform& clip, Rng rng) {
  Sounding result{clip, fmt::format("noise {:.0f} dB", -kNoiseDb)};
  double power = 0;
  for (const float sample : clip.samples) power += static_cast<double>(sample) * static_cast<double>(sample);
  power /= static_cast<double>(std::max<std::size_t>(clip.samples.size(), 1));
  const double deviation = std::sqrt(power * std::pow(10.0, -kNoiseDb / 10.0));
  for (float& sample : result.clip.samples) sample += static_cast<float>(deviation * rng.normal());
  return result;
}

std::vector<Sounding> augmented(const Waveform& clip, const Rng& rng) {
  Sounding both = shifted(clip, rng.fork("both", 0));
  Sounding noise = noisy(both.clip, rng.fork("both", 1));
  noise.what = both.what + ", " + noise.what;
  return {louder(clip, rng.fork("gain")), shifted(clip, rng.fork("shift")), noisy(clip, rng.fork("noise")),
          std::move(noise)};
}

std::vector<std::string> wordings(const std::string& question, const ContextOptions& options) {
  std::vector<std::string> result;
  if (options.mode == ContextMode::kTextPrefix)
    for (const std::string& prefix : options.prefixes) result.push_back(prefix + " " + question);
  if (options.mode == ContextMode::kParaphrase)
    for (std::string wording : options.paraphrases) {
      const std::size_t at = wording.find(kQuestion);
      if (at == std::string::npos) throw user_error("the paraphrase '{}' lacks {}", wording, kQuestion);
      result.push_back(wording.replace(at, kQuestion.size(), question));
    }
  return result;
}

}  // namespace

std::optional<Waveform> sound_of(const EditRequest& request) {
  if (request.clip == Clip()) return std::nullopt;
  return load_waveform(request.clip.locate());
}

std::vector<ContextView> context_views(Session& session, const Bundle& bundle, const EditRequest& request,
                                       const ContextOptions& options, Rng rng) {
  const std::optional<Waveform> clip = sound_of(request);
  std::vector<ContextView> views = {{view_prompt(session, bundle, request.question, clip), 1, "bare"}};
  for (const std::string& wording : wordings(request.question, options))
    views.push_back({view_prompt(session, bundle, wording, clip), 0, wording});
  if (clip && options.mode == ContextMode::kAudioAugmentation)
    for (const Sounding& sounding : augmented(*clip, rng))
      views.push_back({view_prompt(session, bundle, request.question, sounding.clip), 0, sounding.what});
  if (views.size() == 1) return views;
  views[0].weight = 0.5;
  for (std::size_t i = 1; i < views.size(); ++i) views[i].weight = 0.5 / static_cast<double>(views.size() - 1);
  return views;
}

std::vector<Setting> context_settings(const std::string& default_mode) {
  return {{"context_mode",
           Setting::Type::kText,
           default_mode,
           {},
           {},
           {"none", "text_prefix", "paraphrase", "audio_aug"},
           "in how many ways the request is put: as it stands, with sentences before the question, reworded, or with "
           "the sound changed"},
          {"prefixes",
           Setting::Type::kTexts,
           {"Here is a recording.", "Please listen carefully.", "Consider what you hear.",
            "The following is a question.", "Take your time."},
           {},
           {},
           {},
           "the sentences of context_mode text_prefix"},
          {"paraphrases",
           Setting::Type::kTexts,
           {"Listen to the recording and answer. {question}", "{question}\nAnswer briefly.",
            "I have a question about this recording. {question}", "Tell me: {question}"},
           {},
           {},
           {},
           "the wordings of context_mode paraphrase; {question} stands for the question"}};
}

ContextOptions context_options(const Settings& settings) {
  const std::string mode = settings.at("context_mode").get<std::string>();
  ContextOptions options;
  options.mode = mode == "none"          ? ContextMode::kNone
                 : mode == "text_prefix" ? ContextMode::kTextPrefix
                 : mode == "paraphrase"  ? ContextMode::kParaphrase
                                         : ContextMode::kAudioAugmentation;
  options.prefixes = texts_of(settings, "prefixes");
  options.paraphrases = texts_of(settings, "paraphrases");
  return options;
}

}  // namespace retune
