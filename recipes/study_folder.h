// The files of a study, and whose folder it is.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>

#include "facts/probe.h"
#include "recipes/journal.h"
#include "tensor/content_hash.h"
#include "tensor/staged_output.h"

namespace retune {

inline constexpr const char* kJournalFile = "journal.jsonl";
inline constexpr const char* kRecipeFile = "recipe.json";
inline constexpr const char* kResultsFile = "results.jsonl";
inline constexpr const char* kSummaryFile = "summary.json";
inline constexpr const char* kProofFile = "proof.json";
inline constexpr const char* kTimingFile = "timing.jsonl";
inline constexpr const char* kBundleFolder = "bundle";
inline constexpr const char* kContextFolder = "context";
inline constexpr const char* kEditsFolder = "edits";
inline constexpr const char* kPatchFile = "patch.h5";

// The entry of a journal that says that the model was found to be read rightly. Every other one is a finished cell.
inline constexpr const char* kCheckedEntry = R"({"checked":true})";

// User error if a study may not be written into the folder, as far as that shows without writing: it is none, or holds
// anything and no study. With kReplace others' files stay where they are, and are an error only where a study's own
// would take their place.
void check_study_folder(const std::filesystem::path& folder, Existing existing);

// Makes the folder, or goes on in one that holds this study, and sweeps away what a killed run left half-written there.
// Another study's files are removed with kReplace, and in any case while it has no finished cell, of which nothing
// would be lost; else a user error. Errors besides: those of check_study_folder and Journal::open.
Journal open_study(const std::filesystem::path& folder, const ContentHash& identity, Existing existing);

// User error if `out` is or holds a folder in which one of the clips lies (tensor/staged_output.h).
void check_output_holds_no_clip(const std::filesystem::path& out, std::span<const Probe> probes);

// Of all regular files below. User error if it is not there.
std::int64_t folder_bytes(const std::filesystem::path& folder);

}  // namespace retune
