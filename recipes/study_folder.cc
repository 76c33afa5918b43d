#include "recipes/study_folder.h"

#include <algorithm>
#include <set>
#include <string>
#include <system_error>
#include <vector>

#include "tensor/error.h"

namespace retune {

namespace {

namespace fs = std::filesystem;

// What a study writes beside its journal.
constexpr const char* kStudyFiles[] = {kRecipeFile,   kResultsFile, kSummaryFile, kProofFile,    kTimingFile,
                                       kBundleFolder, kPatchFile,   kEditsFolder, kContextFolder};

bool holds_cells(const std::vector<std::string>& entries) {
  return std::any_of(entries.begin(), entries.end(), [](const std::string& entry) { return entry != kCheckedEntry; });
}

// Temporary names (tensor/staged_output.h) of this study's own files.
void sweep(const fs::path& folder) {
  std::vector<fs::path> stale;
  const auto look = [&](const fs::path& in) {
    if (!fs::is_directory(in)) return;
    for (const auto& entry : fs::directory_iterator(in))
      for (const char* name : kStudyFiles)
        if (entry.path().filename().string().starts_with(std::string(name) + ".partial-"))
          stale.push_back(entry.path());
  };
  look(folder);
  if (fs::is_directory(folder / kEditsFolder))
    for (const auto& edit : fs::directory_iterator(folder / kEditsFolder)) look(edit.path());
  for (const fs::path& path : stale) fs::remove_all(path);
}

}  // namespace

void check_study_folder(const fs::path& folder, Existing existing) {
  check_folder_writable(folder);
  std::error_code error;
  if (!fs::exists(folder, error)) return;
  if (!fs::is_directory(folder, error))
    throw user_error("{} is no folder; choose another one for the results", folder.string());
  const bool empty = fs::is_empty(folder, error);
  if (error) throw refused_output("use the folder", folder, error.value());
  if (empty || fs::exists(folder / kJournalFile, error)) return;
  if (existing == Existing::kRefuse)
    throw user_error("{} is not empty and holds no study; choose another folder, or give --force to write into it",
                     folder.string());
  for (const char* name : kStudyFiles)
    if (fs::exists(fs::symlink_status(folder / name, error)))
      throw user_error("{} holds no study, but its '{}' is in the way of one; choose another folder", folder.string(),
                       name);
}

Journal open_study(const fs::path& folder, const ContentHash& identity, Existing existing) {
  check_study_folder(folder, existing);
  try {
    fs::create_directories(folder);
    Journal opened = Journal::open(folder / kJournalFile, identity, [&](const std::vector<std::string>& entries) {
      if (existing == Existing::kRefuse && holds_cells(entries)) return false;
      for (const char* name : kStudyFiles) fs::remove_all(folder / name);
      return true;
    });
    sweep(folder);
    return opened;
  } catch (const fs::filesystem_error& error) {
    throw refused_output("use the folder", folder, error.code().value());
  }
}

void check_output_holds_no_clip(const fs::path& out, std::span<const Probe> probes) {
  std::set<fs::path> folders;
  for (const Probe& probe : probes)
    if (probe.clip && probe.clip->exists()) folders.insert(probe.clip->locate().parent_path());
  for (const fs::path& folder : folders) check_output_holds_not(out, folder.empty() ? "." : folder);
}

std::int64_t folder_bytes(const fs::path& folder) {
  std::error_code error;
  std::int64_t bytes = 0;
  for (const auto& entry : fs::recursive_directory_iterator(folder, error))
    if (entry.is_regular_file()) bytes += static_cast<std::int64_t>(entry.file_size());
  if (error) throw user_error("cannot read the folder {}: {}", folder.string(), error.message());
  return bytes;
}

}  // namespace retune
