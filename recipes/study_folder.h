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
inline constexpr const char* kEditsFolder = "edits";
inline constexpr const char* kPatchFile = "patch.h5";

// Makes the folder, or goes on in one that holds this study, and sweeps away what a killed run left half-written there.
// A folder that holds anything else: with kRefuse a user error; with kReplace a study's files are removed and others
// left alone. Errors besides: those of Journal::open.
Journal open_study(const std::filesystem::path& folder, const ContentHash& identity, Existing existing);

// Of all regular files below. User error if it is not there.
std::int64_t folder_bytes(const std::filesystem::path& folder);

}  // namespace retune
// User error if `out` is or holds a folder in which one of the clips lies (tensor/staged_output.h).
void check_output_holds_no_clip(const std::filesystem::path& out, std::span<const Probe> probes);

