// Output that is there whole or not at all. It is written beside its final place under a temporary name
// (OUT.partial-SPACE-PID-N), flushed to disk, and renamed; whatever is destroyed before its commit() is removed again.
// A kill leaves at most the temporary name behind, which no reader takes for a result and which the next writer of OUT
// removes if it sees that the process is gone: SPACE tells the boots and containers apart whose processes have numbers
// of their own, and what comes from another is left alone.
//
//   check_output_apart("edited", "demo/bundle");
//   StagedFolder out("edited", Existing::kReplace, {.holds = {"results.jsonl", "summary.json"}});
//   write_file_atomically(out.path() / "summary.json", text);
//   out.commit();
//
// Here on the ground floor because every room that writes files does it so: weights, adapters, eval, recipes, training.
// So is what an output may replace. Errors: a path that cannot be used is a user error, a full disk a failure; both
// name the final path in one line.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "tensor/error.h"

namespace retune {

// When a staged file reaches the disk: before commit() returns, or later, with the staged folder that it lies in and
// that flushes all its files at once. The latter is for thousands of small files.
enum class Flush { kNow, kWithItsFolder };

enum class Existing {
  kRefuse,   // a final path that exists and is not an empty folder is a user error
  kReplace,  // it is exchanged for the new one when all of that is on disk
};

// By which names, lying directly in it, a folder is known for an earlier output of the same kind. Only such a one is
// ever replaced: whatever else a user named by mistake is not ours to remove.
struct FolderMarks {
  std::vector<std::string> holds = {};       // all of these
  std::vector<std::string> holds_none = {};  // and none of these
};

class StagedFolder {
 public:
  // Makes the temporary folder, and the parents that are missing; removes those that dead writers of `final_path` left.
  // Never replaces a folder without the marks, a mount point, nor the home and working directories and what holds them.
  StagedFolder(const std::filesystem::path& final_path, Existing existing, FolderMarks marks = {});
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
  FolderMarks marks_;
  bool committed_ = false;
};

class StagedFile {
 public:
  // Makes the temporary file, empty, and removes those that dead writers of `final_path` left. The parent folder must
  // exist. An existing file is replaced by commit(); a device, pipe or socket is a user error.
  explicit StagedFile(const std::filesystem::path& final_path);
  ~StagedFile();
  StagedFile(const StagedFile&) = delete;
  StagedFile& operator=(const StagedFile&) = delete;

  // Appends, buffered.
  void write(std::span<const std::byte> bytes);
  void write(std::string_view text) { write(std::as_bytes(std::span(text))); }
  // Appends `count` bytes of an open file from `offset` on, within the kernel: nothing passes through this process's
  // memory, holes stay holes, and a file system that shares blocks shares them. Failure if the file ends before.
  void append(int file, std::uint64_t offset, std::uint64_t count);
  // For libraries that write by name (HDF5): they may write this path instead of, never besides, write().
  const std::filesystem::path& path() const { return staged_; }
  const std::filesystem::path& final_path() const { return final_; }
  // Frees descriptor and buffer when the last byte is written, for callers that stage many files before they commit
  // any.
  void close();
  // Flushes and takes the final name. Once.
  void commit(Flush flush = Flush::kNow);

 private:
  void write_through(std::span<const std::byte> bytes);
  void write_buffered();
  void leave_hole(std::uint64_t count);
  void append_data(int file, std::uint64_t offset, std::uint64_t count);

  std::filesystem::path final_;
  std::filesystem::path staged_;
  std::vector<std::byte> buffer_;
  int descriptor_ = -1;
  bool committed_ = false;
};

void write_file_atomically(const std::filesystem::path& path, std::span<const std::byte> bytes);
void write_file_atomically(const std::filesystem::path& path, std::string_view text);

// User error if the folder, or where it is missing the nearest one above it, may not be written to: asked before long
// work.
void check_folder_writable(const std::filesystem::path& folder);

// What a command that writes one file asks before it works: that its folder is there and may be written to, and that
// nothing is at `path`, or with kReplace a regular file. User errors.
void check_output_file(const std::filesystem::path& path, Existing existing);

// User error if `out` is `source`, lies inside it, or holds it: writing there could destroy what is being read. Links
// are resolved.
void check_output_apart(const std::filesystem::path& out, const std::filesystem::path& source);
// The same for a folder in which inputs are only looked up, such as that of the clips: output may lie inside it.
void check_output_holds_not(const std::filesystem::path& out, const std::filesystem::path& source);

// The error of a system call (`error` is its errno) that was to write at `path`: the user's where the place can never
// be written to, such as a read-only one; a failure where the disk gave out. `action`: "create".
Error refused_output(std::string_view action, const std::filesystem::path& path, int error);

}  // namespace retune
