#include "tensor/staged_output.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "tensor/error.h"

namespace retune {

namespace {

namespace fs = std::filesystem;

constexpr std::size_t kBuffer = 1 << 20;

// Links resolved as far as the path exists; no trailing separator.
fs::path resolved(const fs::path& path) {
  if (path.empty()) throw user_error("the output path is empty");
  std::error_code error;
  fs::path result = fs::weakly_canonical(fs::absolute(path), error);
  if (error) throw user_error("cannot use output path {}: {}", path.string(), error.message());
  return result.has_filename() ? result : result.parent_path();
}

bool is_or_lies_in(const fs::path& path, const fs::path& folder) {
  return std::mismatch(folder.begin(), folder.end(), path.begin(), path.end()).first == folder.end();
}

[[noreturn]] void fail(std::string_view action, const fs::path& path, int error) {
  const std::string_view advice = error == ENOSPC || error == EDQUOT ? "; free some space and run again" : "";
  throw failure("cannot {} {}: {}{}", action, path.string(), std::strerror(error), advice);
}

// OUT.partial-PID-N, the first that `make` can create: it returns false and sets errno where the name is taken.
template <class Make>
fs::path temporary_beside(const fs::path& final_path, Make&& make) {
  for (int attempt = 0;; ++attempt) {
    fs::path candidate = final_path;
    candidate += fmt::format(".partial-{}-{}", getpid(), attempt);
    if (make(candidate)) return candidate;
    if (errno != EEXIST) fail("create", candidate, errno);
  }
}

void flush_to_disk(const fs::path& path, int flags) {
  const int descriptor = open(path.c_str(), flags | O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
  if (descriptor < 0) fail("flush", path, errno);
  const int result = fsync(descriptor);
  const int error = errno;
  close(descriptor);
  if (result != 0) fail("flush", path, error);
}

void flush_tree(const fs::path& folder) {
  for (const fs::directory_entry& entry : fs::recursive_directory_iterator(folder)) {
    if (entry.is_symlink()) continue;
    flush_to_disk(entry.path(), entry.is_directory() ? O_DIRECTORY : 0);
  }
  flush_to_disk(folder, O_DIRECTORY);
}

void check_replaceable(const fs::path& final_path, Existing existing) {
  const fs::file_status status = fs::symlink_status(final_path);
  if (!fs::exists(status)) return;
  if (!fs::is_directory(status))
    throw user_error("output {} exists and is not a folder; choose another", final_path.string());
  if (is_or_lies_in(fs::current_path(), final_path))
    throw user_error("output {} is the working directory or holds it; choose a folder of its own", final_path.string());
  if (existing == Existing::kRefuse && !fs::is_empty(final_path))
    throw user_error("output {} exists and is not empty; choose another or give --force to replace it",
                     final_path.string());
}

}  // namespace

StagedFolder::StagedFolder(const fs::path& final_path, Existing existing)
    : final_(resolved(final_path)), existing_(existing) {
  try {
    check_replaceable(final_, existing_);
    for (fs::path parent = final_.parent_path(); !fs::exists(parent); parent = parent.parent_path())
      made_parents_.push_back(parent);
    fs::create_directories(final_.parent_path());
  } catch (const fs::filesystem_error& error) {
    throw user_error("cannot use output folder {}: {}", final_.string(), error.code().message());
  }
  staged_ = temporary_beside(final_, [](const fs::path& path) { return mkdir(path.c_str(), 0777) == 0; });
}

StagedFolder::~StagedFolder() {
  if (committed_) return;
  std::error_code ignored;
  fs::remove_all(staged_, ignored);
  for (const fs::path& parent : made_parents_) rmdir(parent.c_str());  // fails where somebody else has put something
}

void StagedFolder::commit() {
  try {
    check_replaceable(final_, existing_);
    flush_tree(staged_);
  } catch (const fs::filesystem_error& error) {
    throw failure("cannot flush {}: {}", final_.string(), error.code().message());
  }
  // rename() replaces an empty folder; only a full one needs the exchange, after which the temporary name holds the old
  // content.
  if (rename(staged_.c_str(), final_.c_str()) != 0) {
    if (errno != EEXIST && errno != ENOTEMPTY) fail("rename the finished output to", final_, errno);
    if (existing_ == Existing::kRefuse)
      throw user_error("output {} was filled by another program meanwhile", final_.string());
    if (renameat2(AT_FDCWD, staged_.c_str(), AT_FDCWD, final_.c_str(), RENAME_EXCHANGE) != 0) {
      const fs::path old = staged_.string() + ".old";
      if (rename(final_.c_str(), old.c_str()) != 0) fail("replace", final_, errno);
      if (rename(staged_.c_str(), final_.c_str()) != 0) {
        const int error = errno;
        rename(old.c_str(), final_.c_str());
        fail("replace", final_, error);
      }
      staged_ = old;
    }
    std::error_code ignored;
    fs::remove_all(staged_, ignored);
  }
  committed_ = true;
  flush_to_disk(final_.parent_path(), O_DIRECTORY);
}

StagedFile::StagedFile(const fs::path& final_path) : final_(resolved(final_path)) {
  std::error_code error;
  if (!fs::is_directory(final_.parent_path(), error))
    throw user_error("cannot write {}: its folder does not exist", final_.string());
  if (fs::is_directory(final_, error)) throw user_error("cannot write {}: it is a folder", final_.string());
  staged_ = temporary_beside(final_, [this](const fs::path& path) {
    descriptor_ = open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    return descriptor_ >= 0;
  });
}

StagedFile::~StagedFile() {
  if (descriptor_ >= 0) ::close(descriptor_);
  if (!committed_) unlink(staged_.c_str());
}

void StagedFile::write(std::span<const std::byte> bytes) {
  if (buffer_.size() + bytes.size() > kBuffer) {
    write_through(buffer_);
    buffer_.clear();
  }
  if (bytes.size() > kBuffer) return write_through(bytes);
  buffer_.insert(buffer_.end(), bytes.begin(), bytes.end());
}

void StagedFile::write_through(std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t written = ::write(descriptor_, bytes.data(), bytes.size());
    if (written < 0 && errno != EINTR) fail("write", final_, errno);
    if (written > 0) bytes = bytes.subspan(static_cast<std::size_t>(written));
  }
}

void StagedFile::close() {
  write_through(buffer_);
  std::vector<std::byte>().swap(buffer_);
  if (descriptor_ >= 0 && ::close(descriptor_) != 0) {
    descriptor_ = -1;
    fail("write", final_, errno);
  }
  descriptor_ = -1;
}

void StagedFile::commit() {
  close();
  flush_to_disk(staged_, 0);
  if (rename(staged_.c_str(), final_.c_str()) != 0) fail("rename the finished output to", final_, errno);
  committed_ = true;
  flush_to_disk(final_.parent_path(), O_DIRECTORY);
}

void write_file_atomically(const fs::path& path, std::span<const std::byte> bytes) {
  StagedFile file(path);
  file.write(bytes);
  file.commit();
}

void write_file_atomically(const fs::path& path, std::string_view text) {
  write_file_atomically(path, std::as_bytes(std::span(text)));
}

void check_output_apart(const fs::path& out, const fs::path& source) {
  if (is_or_lies_in(resolved(out), resolved(source)))
    throw user_error("output {} is or lies inside {}, which is being read; choose another place", out.string(),
                     source.string());
}

}  // namespace retune
