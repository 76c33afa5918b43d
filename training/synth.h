// Makes data for editing auditory facts, with its sound: speech in SAKE's eight languages by the espeak-ng program (two
// genders, five emotions told by prosody), SAKE's nine animals and some other sounds by synthesis. methods.md 8.1
// describes the facts' format.
//
//   SynthReport report = synthesise({.seed = 7, .train_clips = 8000}, "data", {});
//
// Writes, below the folder it is given (`audio/` holds clips in a folder a track, as SAKE keeps them):
//
//   train/ audio/ facts.json corpus.jsonl                 edits without portability (as SAKE's), and what a model
//   learns from val/   audio/ facts.json corpus.jsonl probes.jsonl test/  audio/ facts.json sequential.json
//   probes.jsonl  single edits, sequences of ten, questions with the true answers demo/  audio/ facts.json a few edits
//   of test clips that are small enough to ship clips.jsonl                                           every clip: file,
//   split, all its labels, and for speech how it was spoken synth.json                                            the
//   options, the counts, espeak-ng's version
//
// No clip, no sentence and no value of a synthesis parameter is shared between the splits; words, templates and most
// voices are. The questions are shared (val and test ask text facts in wordings that train uses for other facts only).
// A speech clip lies in the folder of one of its three attributes, and is asked about all three by probes and corpus.
// The same options and the same espeak-ng give the same bytes with any number of threads.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "tensor/staged_output.h"

namespace retune {

struct SynthOptions {
  std::uint64_t seed = 1;
  // Clips of each split, 100 to 1,000,000: about two thirds speech, a quarter animals, a tenth other sounds.
  std::int64_t train_clips = 8000;
  std::int64_t val_clips = 480;
  std::int64_t test_clips = 1600;
  // Edits of each attribute, 0 to 100,000.
  std::int64_t train_edits = 100;
  std::int64_t val_edits = 10;
  std::int64_t test_edits = 30;
  // Sequences of ten edits each (fewer where the chosen attributes have too few labels), 0 to 1,000.
  std::int64_t sequences = 10;
  // Edits of the demo set, over all attributes, 0 to 1,000.
  std::int64_t demo_edits = 24;
  // Length of every clip in seconds, 1 to 30.
  double clip_seconds = 2.0;
  // Sample rate in Hz, 8,000 to 48,000.
  int rate_hz = 16000;
  // "flac" or "wav".
  std::string audio_format = "flac";
  // Any of "Gender", "Emotion", "Language", "Animal", each once. Without the first three no speech is made.
  std::vector<std::string> attributes{"Gender", "Emotion", "Language", "Animal"};
  // 0: one per processor.
  int threads = 0;
  // Whether a folder that is there and not empty may be replaced.
  Existing existing = Existing::kRefuse;

  // A user error naming the option, its limits and its value.
  void validate() const;
};

struct SynthProgress {
  std::string_view step;  // "clips" or "questions"
  std::int64_t done = 0;
  std::int64_t total = 0;
};
// Called on the calling thread. What it throws ends the synthesis and reaches the caller.
using SynthObserver = std::function<void(const SynthProgress&)>;

struct SynthReport {
  std::int64_t clips = 0;
  std::int64_t corpus_items = 0;  // of train
  std::int64_t test_edits = 0;    // single ones
  std::int64_t test_probes = 0;
};

// Interrupted at any moment it leaves nothing under `out` (tensor/staged_output.h). User errors: bad options, an output
// folder that cannot be used, espeak-ng not installed; failures: a full disk, espeak-ng failing.
SynthReport synthesise(const SynthOptions& options, const std::filesystem::path& out, const SynthObserver& observer);

}  // namespace retune
