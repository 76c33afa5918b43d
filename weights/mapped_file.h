// A regular file, read through memory: nothing is read before it is looked at, and the kernel may drop what was.
//
// A mapped file that somebody else shortens makes reading it a SIGBUS. The library cannot turn that into an exception;
// a program that opens models installs the guard once.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>

namespace retune {

class StagedFile;

// What tells a file from another, and from itself before it was written again.
struct FileIdentity {
  std::uint64_t device = 0, inode = 0, size = 0;
  std::int64_t modified_ns = 0, changed_ns = 0;  // since 1970: content, and content or status
  friend bool operator==(const FileIdentity&, const FileIdentity&) = default;
};

class MappedFile {
 public:
  MappedFile() = default;  // no file
  // Follows symbolic links: for files that the user named. User errors: missing, not a regular file, not readable.
  static MappedFile open(const std::filesystem::path& path);
  // Takes the descriptor, which must be of a regular file; `path` is for messages.
  static MappedFile adopt(int descriptor, const std::filesystem::path& path);

  // Valid as long as any copy of this handle, or of owner(), lives.
  std::span<const std::byte> bytes() const;
  std::shared_ptr<const void> owner() const { return mapping_; }
  const std::filesystem::path& path() const;
  // Appends bytes [offset, offset + count) to an output, large ranges without reading them (StagedFile::append).
  void copy_to(StagedFile& out, std::uint64_t offset, std::uint64_t count) const;
  // As it was when it was mapped; and whether the file of that path is still so.
  FileIdentity identity() const;
  bool unchanged() const;
  // The same file on the same disk, whatever its names.
  bool same_file(const MappedFile& other) const;
  bool same_file(const std::filesystem::path& other) const;

 private:
  struct Mapping;
  std::shared_ptr<const Mapping> mapping_;
};

// From now on a SIGBUS (a mapped file that shrank) ends the process with one line on standard error and exit code 1.
// Output under way stays behind under its temporary name, which no reader takes for a result. Called once, by cli.
void install_sigbus_guard();

}  // namespace retune
