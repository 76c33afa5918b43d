#include "training/synth/clips.h"

#include <algorithm>
#include <cctype>

#include "tensor/error.h"
#include "training/synth/animals.h"
#include "training/synth/sounds.h"

namespace retune::synth {

namespace {

// Of a hundred clips, how many are of which kind.
constexpr std::int64_t kSpeechShare = 65;
constexpr std::int64_t kAnimalShare = 25;
constexpr std::int64_t kSoundShare = 10;

bool chosen(const SynthOptions& options, std::string_view attribute) {
  return std::find(options.attributes.begin(), options.attributes.end(), attribute) != options.attributes.end();
}

std::int64_t clips_of(const SynthOptions& options, Split split) {
  switch (split) {
    case Split::kTrain:
      return options.train_clips;
    case Split::kVal:
      return options.val_clips;
    case Split::kTest:
      return options.test_clips;
  }
  return 0;
}

std::string lower(std::string_view label) {
  std::string text(label);
  for (char& c : text) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return text;
}

Rng clip_rng(const SynthOptions& options, Split split, std::uint64_t number) {
  return Rng(options.seed).fork("clip").fork(split_name(split), number);
}

struct Counts {
  std::int64_t speech;
  std::int64_t animals;
  std::int64_t sounds;
};

Counts counts_of(const SynthOptions& options, Split split, bool has_speech) {
  const std::int64_t speech = has_speech ? kSpeechShare : 0;
  const std::int64_t animals = chosen(options, kAnimal) ? kAnimalShare : 0;
  const std::int64_t all = speech + animals + kSoundShare;
  const std::int64_t clips = clips_of(options, split);
  return {clips * speech / all, clips * animals / all, clips - clips * speech / all - clips * animals / all};
}

// The k-th of the eighty combinations of language, emotion and gender; every run of sixteen has every language twice,
// every gender eight times and every emotion three times or more.
Labels speech_labels(std::size_t k) {
  return {{std::string(kLanguage), std::string(kLanguages[k % kLanguages.size()])},
          {std::string(kEmotion), std::string(kEmotions[k % kEmotions.size()])},
          {std::string(kGender), std::string(kGenders[(k + k / kLanguages.size()) % kGenders.size()])}};
}

class Planner {
 public:
  explicit Planner(const SynthOptions& options) : options_(options) {
    for (const std::string_view attribute : {kGender, kEmotion, kLanguage}) {
      if (chosen(options, attribute)) speech_tracks_.push_back(attribute);
    }
  }

  std::vector<ClipPlan> plan() {
    for (const Split split : kSplits) {
      number_ = 0;
      const Counts counts = counts_of(options_, split, !speech_tracks_.empty());
      for (std::int64_t i = 0; i < counts.speech; ++i) add_speech(split, static_cast<std::size_t>(i));
      for (std::int64_t i = 0; i < counts.animals; ++i) {
        add(split, kAnimal, kAnimals[static_cast<std::size_t>(i) % kAnimals.size()]);
      }
      for (std::int64_t i = 0; i < counts.sounds; ++i) {
        const auto k = static_cast<std::size_t>(i);
        const std::string_view task = kSoundTasks[k % kSoundTasks.size()];
        const std::span<const std::string_view> labels = labels_of(task);
        add(split, task, labels[k / kSoundTasks.size() % labels.size()]);
      }
    }
    return std::move(plans_);
  }

 private:
  void add_speech(Split split, std::size_t i) {
    ClipPlan clip;
    clip.track = speech_tracks_[i % speech_tracks_.size()];
    clip.labels = speech_labels(i / speech_tracks_.size());
    Rng rng = clip_rng(options_, split, number_).fork("plan");
    clip.speech = plan_speech(clip.labels, split, rng);
    finish(std::move(clip), split,
           clip.labels.at(std::string(kLanguage)) + "_" + clip.labels.at(std::string(kGender)) + "_" +
               clip.labels.at(std::string(kEmotion)));
  }

  void add(Split split, std::string_view track, std::string_view label) {
    ClipPlan clip;
    clip.track = track;
    clip.labels = {{std::string(track), std::string(label)}};
    finish(std::move(clip), split, std::string(label));
  }

  void finish(ClipPlan clip, Split split, const std::string& name) {
    clip.split = split;
    clip.number = number_++;
    clip.file = fmt::format("{}_{}_{:05}.{}", lower(name), split_name(split), clip.number, options_.audio_format);
    plans_.push_back(std::move(clip));
  }

  const SynthOptions& options_;
  std::vector<std::string_view> speech_tracks_;
  std::vector<ClipPlan> plans_;
  std::uint64_t number_ = 0;
};

}  // namespace

std::vector<ClipPlan> plan_clips(const SynthOptions& options) { return Planner(options).plan(); }

Waveform render_clip(const ClipPlan& plan, const SynthOptions& options) {
  Rng rng = clip_rng(options, plan.split, plan.number).fork("sound");
  if (plan.speech) return render_speech(*plan.speech, options.clip_seconds, options.rate_hz, rng);
  const std::string& label = plan.labels.at(plan.track);
  if (plan.track == kAnimal) return render_animal(label, plan.split, options.clip_seconds, options.rate_hz, rng);
  return render_sound(plan.track, label, plan.split, options.clip_seconds, options.rate_hz, rng);
}

std::filesystem::path audio_root(const std::filesystem::path& folder, Split split) {
  return folder / split_name(split) / "audio";
}

Clip clip_below(const std::filesystem::path& root, const ClipPlan& plan) {
  return Clip::below(root, plan.track, plan.file);
}

ClipPool::ClipPool(std::span<const ClipPlan> plans, Split split) : split_(split) {
  for (const ClipPlan& plan : plans) {
    if (plan.split == split) clips_[{plan.track, plan.labels.at(plan.track)}].push_back(&plan);
  }
}

ClipPool ClipPool::limited(std::size_t limit) const {
  ClipPool pool = *this;
  for (auto& [key, clips] : pool.clips_) clips.resize(std::min(clips.size(), limit));
  return pool;
}

std::span<const ClipPlan* const> ClipPool::with_label(std::string_view track, std::string_view label) const {
  const auto found = clips_.find(std::pair{std::string(track), std::string(label)});
  if (found == clips_.end()) return {};
  return found->second;
}

const ClipPlan& ClipPool::draw(std::string_view track, std::string_view label, const ClipPlan* other, Rng& rng) const {
  std::vector<const ClipPlan*> candidates;
  for (const ClipPlan* clip : with_label(track, label)) {
    if (clip != other) candidates.push_back(clip);
  }
  if (candidates.empty()) {
    throw user_error("too few {} clips for edits: no further clip of {} '{}'; ask for more clips", split_name(split_),
                     track, label);
  }
  return *rng.choose(candidates);
}

}  // namespace retune::synth
