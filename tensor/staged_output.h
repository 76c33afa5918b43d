// Output that is there whole or not at all. It is written beside its final place under a temporary name
// (OUT.partial-...), flushed to disk, and renamed; whatever is destroyed before its commit() is removed again. A kill
// leaves at most the temporary name behind, which no reader takes for a result.
//
//   StagedFolder out("edited", Existing::kRefuse);
//   write_file_atomically(out.path() / "summary.json", text);
//   out.commit();
//
// Here on the ground floor because every room that writes files does it so: weights, adapters, eval, recipes, training.
// Errors: a path that cannot be used is a user error, a full disk a failure; both name the final path in one line.
#pragma once

#include <cstddef>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace retune {

enum class Existing {
  kRefuse,   // a final path that exists and is not an empty folder is a user error
  kReplace,  // it is exchanged for the new one when all of that is on disk
};

class StagedFolder {
 public:
  // Makes the temporary folder, and the parents that are missing. Never replaces the working directory or a folder
  // above it.
  StagedFolder(const std::filesystem::path& final_path, Existing existing);
  ~StagedFolder();
  StagedFolder(const StagedFolder&) = delete;
  StagedFolder& operator=(const StagedFolder&) = delete;

  // Where to write until commit().
  const std::filesystem::path& path() const { return staged_; }
  const std::filesystem::path& final_path() const { return final_; }
  // Flushes every file and folder and takes the final name. Once.
  void commit();

 private:
  std::filesystem::path final_;
  std::filesystem::path staged_;
  std::vector<std::filesystem::path> made_parents_;
  Existing existing_;
  bool committed_ = false;
};

class StagedFile {
 public:
  // Makes the temporary file, empty. The parent folder must exist. An existing file is replaced by commit().
  explicit StagedFile(const std::filesystem::path& final_path);
  ~StagedFile();
  StagedFile(const StagedFile&) = delete;
  StagedFile& operator=(const StagedFile&) = delete;

  // Appends, buffered.
  void write(std::span<const std::byte> bytes);
  void write(std::string_view text) { write(std::as_bytes(std::span(text))); }
  // For libraries that write by name (HDF5): they may write this path instead of, never besides, write().
  const std::filesystem::path& path() const { return staged_; }
  const std::filesystem::path& final_path() const { return final_; }
  // Frees descriptor and buffer when the last byte is written, for callers that stage many files before they commit
  // any.
  void close();
  // Flushes and takes the final name. Once.
  void commit();

 private:
  void write_through(std::span<const std::byte> bytes);

  std::filesystem::path final_;
  std::filesystem::path staged_;
  std::vector<std::byte> buffer_;
  int descriptor_ = -1;
  bool committed_ = false;
};

void write_file_atomically(const std::filesystem::path& path, std::span<const std::byte> bytes);
void write_file_atomically(const std::filesystem::path& path, std::string_view text);

// User error if `out` is `source`, or lies inside it: writing there could destroy what is being read. Links are
// resolved.
void check_output_apart(const std::filesystem::path& out, const std::filesystem::path& source);

}  // namespace retune
