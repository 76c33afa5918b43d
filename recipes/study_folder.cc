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

constexpr const char* kStudyFiles[] = {kJournalFile, kRecipeFile,   kResultsFile, kSummaryFile, kProofFile,
                                       kTimingFile,  kBundleFolder, kPatchFile,   kEditsFolder};

void remove_study(const fs::path& folder) {
  for (const char* name : kStudyFiles) fs::remove_all(folder / name);
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

Journal open_study(const fs::path& folder, const ContentHash& identity, Existing existing) {
  try {
    if (fs::exists(folder) && !fs::is_directory(folder))
      throw user_error("{} is no folder; choose another one for the results", folder.string());
    const fs::path journal = folder / kJournalFile;
    const bool begun = fs::exists(journal);
    if (!begun && fs::is_directory(folder) && !fs::is_empty(folder)) {
      if (existing == Existing::kRefuse)
        throw user_error("{} is not empty and holds no study; choose another folder, or replace with --force",
                         folder.string());
      remove_study(folder);
    }
    if (begun && existing == Existing::kReplace && !Journal::is_of(journal, identity)) remove_study(folder);
    fs::create_directories(folder);
    Journal opened = Journal::open(journal, identity);
    sweep(folder);
    return opened;
  } catch (const fs::filesystem_error& error) {
    throw user_error("cannot use the folder {}: {}", folder.string(), error.code().message());
  }
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
void check_output_holds_no_clip(const fs::path& out, std::span<const Probe> probes) {
  std::set<fs::path> folders;
  for (const Probe& probe : probes)
    if (probe.clip && probe.clip->exists()) folders.insert(probe.clip->locate().parent_path());
  for (const fs::path& folder : folders) check_output_holds_not(out, folder.empty() ? "." : folder);
}

