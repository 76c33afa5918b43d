#include "training/synth.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>

#include "facts/fact_set.h"
#include "facts/json_text.h"
#include "facts/probe_file.h"
#include "tensor/error.h"
#include "tensor/thread_pool.h"
#include "training/synth/clips.h"
#include "training/synth/edits.h"
#include "training/synth/espeak.h"
#include "training/synth/lessons.h"

namespace retune {

namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;
using synth::ClipPlan;
using synth::ClipPool;
using synth::Split;

constexpr int kFormatVersion = 1;
constexpr const char* kManifestFile = "synth.json";
// Clips of one label in the demo set: enough that generality has another clip to ask about, few enough to ship.
constexpr std::size_t kDemoClipsPerLabel = 2;

void check(std::string_view option, double value, double low, double high) {
  if (value >= low && value <= high) return;
  throw user_error("synth option {}: expected {} to {}, got {}", option, low, high, value);
}

Json clip_line(const ClipPlan& plan) {
  Json line;
  line["file"] = fmt::format("{}/audio/{}/{}", split_name(plan.split), plan.track, plan.file);
  line["split"] = split_name(plan.split);
  line["labels"] = plan.labels;
  if (plan.speech) {
    const synth::Utterance& spoken = plan.speech->utterance;
    line["text"] = spoken.text;
    line["voice"] = spoken.voice + "+" + spoken.variant;
    line["pitch"] = spoken.pitch;
    line["range_percent"] = spoken.range_percent;
    line["words_per_minute"] = spoken.words_per_minute;
    line["level_db"] = plan.speech->level_db;
  }
  return line;
}

Json options_json(const SynthOptions& options) {
  // Threads, and what may be replaced, change no byte of the data.
  return {{"seed", options.seed},
          {"train_clips", options.train_clips},
          {"val_clips", options.val_clips},
          {"test_clips", options.test_clips},
          {"train_edits", options.train_edits},
          {"val_edits", options.val_edits},
          {"test_edits", options.test_edits},
          {"sequences", options.sequences},
          {"demo_edits", options.demo_edits},
          {"clip_seconds", options.clip_seconds},
          {"rate_hz", options.rate_hz},
          {"audio_format", options.audio_format},
          {"attributes", options.attributes}};
}

void write_clips(const SynthOptions& options, const fs::path& folder, const std::vector<ClipPlan>& plans,
                 const SynthObserver& observer) {
  std::set<fs::path> folders;
  for (const ClipPlan& plan : plans) folders.insert(synth::audio_root(folder, plan.split) / plan.track);
  for (const fs::path& track : folders) fs::create_directories(track);

  constexpr std::int64_t kPerReport = 128;
  ThreadPool pool(options.threads);
  const auto total = static_cast<std::int64_t>(plans.size());
  for (std::int64_t done = 0; done < total;) {
    const std::int64_t count = std::min(kPerReport, total - done);
    pool.parallel_for(count, 1, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = done + begin; i < done + end; ++i) {
        const ClipPlan& plan = plans[static_cast<std::size_t>(i)];
        save_waveform(synth::audio_root(folder, plan.split) / plan.track / plan.file, synth::render_clip(plan, options),
                      Flush::kWithItsFolder);
      }
    });
    done += count;
    if (observer) observer({"clips", done, total});
  }
}

// A few edits of test clips, with copies of the clips beside them.
void write_demo(const SynthOptions& options, const fs::path& folder, const ClipPool& test, const Rng& rng) {
  const auto attributes = static_cast<std::int64_t>(options.attributes.size());
  const fs::path test_audio = synth::audio_root(folder, Split::kTest);
  const ClipPool few = test.limited(kDemoClipsPerLabel);
  const FactSet facts =
      synth::single_edits({few, options.attributes, test_audio}, (options.demo_edits + attributes - 1) / attributes,
                          synth::Portability::kAsked, rng);
  std::set<std::string> clips;
  for (const Probe& probe : facts.probes()) {
    if (probe.clip) clips.insert(probe.clip->name());
  }
  for (const std::string& clip : clips) {
    fs::create_directories((folder / "demo" / "audio" / clip).parent_path());
    fs::copy_file(test_audio / clip, folder / "demo" / "audio" / clip);
  }
  facts.save(folder / "demo" / "facts.json");
}

SynthReport write_questions(const SynthOptions& options, const fs::path& folder, const std::vector<ClipPlan>& plans) {
  const Rng rng = Rng(options.seed).fork("questions");
  SynthReport report;
  report.clips = static_cast<std::int64_t>(plans.size());
  for (const Split split : synth::kSplits) {
    const Rng own = rng.fork(split_name(split));
    const ClipPool pool(plans, split);
    const fs::path root = synth::audio_root(folder, split);
    const fs::path here = folder / split_name(split);
    const synth::EditSource source{pool, options.attributes, root};
    if (split == Split::kTest) {
      const FactSet facts =
          synth::single_edits(source, options.test_edits, synth::Portability::kAsked, own.fork("edits"));
      report.test_edits = static_cast<std::int64_t>(facts.facts().size());
      if (options.test_edits > 0) facts.save(here / "facts.json");
      if (options.sequences > 0) {
        synth::sequential_edits(source, options.sequences, own.fork("sequences")).save(here / "sequential.json");
      }
      if (options.demo_edits > 0) write_demo(options, folder, pool, own.fork("demo"));
    } else {
      const std::int64_t count = split == Split::kTrain ? options.train_edits : options.val_edits;
      const auto portability = split == Split::kTrain ? synth::Portability::kLeftOut : synth::Portability::kAsked;
      if (count > 0) synth::single_edits(source, count, portability, own.fork("edits")).save(here / "facts.json");
      const Corpus corpus = synth::lessons(plans, split, options.attributes, root, own.fork("lessons"));
      if (split == Split::kTrain) report.corpus_items = static_cast<std::int64_t>(corpus.items().size());
      corpus.save(here / "corpus.jsonl");
    }
    if (split != Split::kTrain) {
      const auto probes = synth::examination(plans, split, options.attributes, root, own.fork("examination"));
      save_probes(here / "probes.jsonl", probes);
      if (split == Split::kTest) report.test_probes = static_cast<std::int64_t>(probes.size());
    }
  }
  return report;
}

void write_manifest(const SynthOptions& options, const fs::path& folder, const std::vector<ClipPlan>& plans,
                    const SynthReport& report) {
  std::string lines;
  for (const ClipPlan& plan : plans) lines += clip_line(plan).dump() + "\n";
  write_text(folder / "clips.jsonl", lines);
  const bool spoken =
      std::any_of(plans.begin(), plans.end(), [](const ClipPlan& plan) { return plan.speech.has_value(); });
  Json manifest{
      {"format_version", kFormatVersion},    {"options", options_json(options)}, {"clips", report.clips},
      {"corpus_items", report.corpus_items}, {"test_edits", report.test_edits},  {"test_probes", report.test_probes}};
  if (spoken) manifest["espeak"] = synth::espeak_version();
  write_text(folder / kManifestFile, manifest.dump(2) + "\n");
}

}  // namespace

void SynthOptions::validate() const {
  check("train_clips", static_cast<double>(train_clips), 100, 1e6);
  check("val_clips", static_cast<double>(val_clips), 100, 1e6);
  check("test_clips", static_cast<double>(test_clips), 100, 1e6);
  check("train_edits", static_cast<double>(train_edits), 0, 1e5);
  check("val_edits", static_cast<double>(val_edits), 0, 1e5);
  check("test_edits", static_cast<double>(test_edits), 0, 1e5);
  check("sequences", static_cast<double>(sequences), 0, 1000);
  check("demo_edits", static_cast<double>(demo_edits), 0, 1000);
  check("clip_seconds", clip_seconds, 1, 30);
  check("rate_hz", rate_hz, 8000, 48000);
  check("threads", threads, 0, 1024);
  if (audio_format != "flac" && audio_format != "wav") {
    throw user_error("synth option audio_format: expected flac or wav, got '{}'", audio_format);
  }
  if (attributes.empty())
    throw user_error("synth option attributes: expected at least one of Gender, Emotion, Language, Animal");
  std::set<std::string> seen;
  for (const std::string& attribute : attributes) {
    if (std::find(synth::kAttributes.begin(), synth::kAttributes.end(), attribute) == synth::kAttributes.end()) {
      throw user_error("synth option attributes: expected Gender, Emotion, Language or Animal, got '{}'", attribute);
    }
    if (!seen.insert(attribute).second) throw user_error("synth option attributes: '{}' stands there twice", attribute);
  }
}

SynthReport synthesise(const SynthOptions& options, const fs::path& out, const SynthObserver& observer) {
  options.validate();
  try {
    StagedFolder staged(out, options.existing, {.holds = {kManifestFile}});
    const std::vector<ClipPlan> plans = synth::plan_clips(options);
    write_clips(options, staged.path(), plans, observer);
    if (observer) observer({"questions", 0, 1});
    const SynthReport report = write_questions(options, staged.path(), plans);
    write_manifest(options, staged.path(), plans, report);
    if (observer) observer({"questions", 1, 1});
    staged.commit();
    return report;
  } catch (const fs::filesystem_error& error) {
    throw failure("cannot write the data folder {}: {}", out.string(), error.what());
  }
}

}  // namespace retune
