// Probes without edits, in JSON Lines: what `retune eval --probes` asks. The format is docs/formats/facts.md.
//
//   {"id":"p-000","clip":"Animal/cow_1.flac","question":"...","options":["cow","dog"],"answer":"cow","attribute":"Animal",
//    "kind":"plain"}
//
// Only `question` and `answer` are required. Options that are absent are read from the question.
#pragma once

#include <filesystem>
#include <vector>

#include "facts/probe.h"

namespace retune {

// A user error with the line's number on: bad JSON, a missing or mistyped key, an option list without the right answer,
// an id twice, a path that leaves `audio_root`, an empty file. No audio is opened.
std::vector<Probe> load_probes(const std::filesystem::path& path, const std::filesystem::path& audio_root);

// The same probes give the same bytes, and load_probes reads equal probes back.
void save_probes(const std::filesystem::path& path, const std::vector<Probe>& probes);

// The clip of every probe that has one, in order.
std::vector<ClipUse> clips_of(const std::vector<Probe>& probes);
// check_located (facts/clip.h) of them.
void check_audio(const std::vector<Probe>& probes);

}  // namespace retune
