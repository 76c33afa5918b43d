#include "tensor/staged_output.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <string>
#include <system_error>
#include <utility>

#include "tensor/content_hash.h"

namespace retune {

namespace {

namespace fs = std::filesystem;

constexpr std::size_t kBuffer = 1 << 20;
constexpr std::uint64_t kCopyAtOnce = std::uint64_t{1} << 30;

// Links resolved as far as the path exists; no trailing separator.
fs::path resolved(const fs::path& path) {
  if (path.empty()) throw user_error("a path is empty; name a file or a folder");
  std::error_code error;
  fs::path result = fs::weakly_canonical(fs::absolute(path), error);
  if (error) throw user_error("cannot use output path {}: {}", path.string(), error.message());
  return result.has_filename() ? result : result.parent_path();
}

bool is_or_lies_in(const fs::path& path, const fs::path& folder) {
  return std::mismatch(folder.begin(), folder.end(), path.begin(), path.end()).first == folder.end();
}

[[noreturn]] void fail(std::string_view action, const fs::path& path, int error) {
  throw refused_output(action, path, error);
}

constexpr std::string_view kPartial = ".partial-";

// Where this process's number means this process: eight digits for the running kernel and the namespace of pids. Two
// containers or machines that share a folder each have a process 1. Empty where the kernel does not tell.
std::string pid_space() {
  constexpr std::size_t kDigits = 8;
  std::string boot;
  std::getline(std::ifstream("/proc/sys/kernel/random/boot_id"), boot);
  std::error_code error;
  const fs::path space = fs::read_symlink("/proc/self/ns/pid", error);
  if (boot.empty() || error) return "";
  return ContentHash::of(boot + space.string()).hex().substr(0, kDigits);
}

// Whether the process that made FINAL.partial-SPACE-PID-N, of which `suffix` is what follows FINAL, is no more. What
// does not look exactly so, or comes from where this process does not see who runs, is nobody's leftover.
bool is_leftover(std::string_view suffix, std::string_view space) {
  if (!suffix.starts_with(kPartial)) return false;
  suffix.remove_prefix(kPartial.size());
  if (space.empty() || !suffix.starts_with(space) || !suffix.substr(space.size()).starts_with('-')) return false;
  suffix.remove_prefix(space.size() + 1);
  const std::size_t dash = suffix.find('-');
  if (dash == std::string_view::npos || suffix.find_first_not_of("0123456789", dash + 1) != std::string_view::npos)
    return false;
  pid_t process = 0;
  const auto [end, error] = std::from_chars(suffix.data(), suffix.data() + dash, process);
  if (error != std::errc{} || end != suffix.data() + dash || process <= 0) return false;
  return kill(process, 0) != 0 && errno == ESRCH;
}

// A kill leaves temporary names, as large as the output was to be; nobody else removes them. What cannot be read or
// removed here is in nobody's way.
void remove_leftovers(const fs::path& final_path, std::string_view space) {
  // What lies in a folder under way is this process's own; there may be a file a tensor.
  if (final_path.parent_path().string().find(kPartial) != std::string::npos) return;
  const std::string name = final_path.filename().string();
  std::vector<fs::path> leftovers;
  std::error_code ignored;
  for (fs::directory_iterator entry(final_path.parent_path(), ignored), end; !ignored && entry != end;
       entry.increment(ignored)) {
    const std::string other = entry->path().filename().string();
    if (other.starts_with(name) && is_leftover(std::string_view(other).substr(name.size()), space))
      leftovers.push_back(entry->path());
  }
  for (const fs::path& leftover : leftovers) fs::remove_all(leftover, ignored);
}

Error shortened(const fs::path& path) {
  return failure("cannot write {}: a file that is copied into it became shorter meanwhile", path.string());
}

// OUT.partial-SPACE-PID-N, the first that `make` can create: it returns false and sets errno where the name is taken.
template <class Make>
fs::path temporary_beside(const fs::path& final_path, Make&& make) {
  const std::string space = pid_space();
  remove_leftovers(final_path, space);
  for (int attempt = 0;; ++attempt) {
    fs::path candidate = final_path;
    candidate += fmt::format("{}{}-{}-{}", kPartial, space.empty() ? "unknown" : space, getpid(), attempt);
    if (make(candidate)) return candidate;
    if (errno != EEXIST) fail("create", final_path, errno);
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

bool is_mount_point(const fs::path& folder) {
  struct statx status {};
  return statx(AT_FDCWD, folder.c_str(), AT_SYMLINK_NOFOLLOW, 0, &status) == 0 &&
         (status.stx_attributes & STATX_ATTR_MOUNT_ROOT) != 0;
}

void check_nobodys_home(const fs::path& folder) {
  if (is_or_lies_in(fs::current_path(), folder))
    throw user_error("output {} is the working directory or holds it; choose a folder of its own", folder.string());
  const char* home = std::getenv("HOME");
  if (home != nullptr && *home != '\0' && is_or_lies_in(resolved(home), folder))
    throw user_error("output {} is the home directory or holds it; choose a folder of its own", folder.string());
  if (is_mount_point(folder)) throw user_error("output {} is a mount point; choose a folder below it", folder.string());
}

void check_marked(const fs::path& folder, const FolderMarks& marks) {
  const auto refuse = [&](const std::string& why) {
    throw user_error("output {} {}, so it is no earlier output of this command and is not replaced; choose another",
                     folder.string(), why);
  };
  if (marks.holds.empty()) refuse("is not empty");
  for (const std::string& name : marks.holds)
    if (!fs::exists(folder / name)) refuse("holds no " + name);
  for (const std::string& name : marks.holds_none)
    if (fs::exists(folder / name)) refuse("holds " + name);
}

void check_replaceable(const fs::path& final_path, Existing existing, const FolderMarks& marks) {
  const fs::file_status status = fs::symlink_status(final_path);
  if (!fs::exists(status)) return;
  if (!fs::is_directory(status))
    throw user_error("output {} exists and is not a folder; choose another", final_path.string());
  check_nobodys_home(final_path);
  if (fs::is_empty(final_path)) return;
  if (existing == Existing::kRefuse)
    throw user_error("output {} exists and is not empty; choose another or give --force to replace it",
                     final_path.string());
  check_marked(final_path, marks);
}

// Of a path with its links resolved.
void check_file_target(const fs::path& path) {
  std::error_code error;
  const fs::file_status folder = fs::status(path.parent_path(), error);
  if (!fs::exists(folder)) throw user_error("cannot write {}: its folder does not exist", path.string());
  if (!fs::is_directory(folder))
    throw user_error("cannot write {}: {} is no folder", path.string(), path.parent_path().string());
  const fs::file_status target = fs::symlink_status(path, error);
  if (fs::is_directory(target)) throw user_error("cannot write {}: it is a folder", path.string());
  if (fs::exists(target) && !fs::is_regular_file(target))
    throw user_error("cannot write {}: it is no regular file; choose another name", path.string());
}

}  // namespace

StagedFolder::StagedFolder(const fs::path& final_path, Existing existing, FolderMarks marks)
    : final_(resolved(final_path)), existing_(existing), marks_(std::move(marks)) {
  try {
    check_replaceable(final_, existing_, marks_);
    for (fs::path parent = final_.parent_path(); !fs::exists(parent); parent = parent.parent_path())
      made_parents_.push_back(parent);
    fs::create_directories(final_.parent_path());
  } catch (const fs::filesystem_error& error) {
    throw refused_output("create", final_, error.code().value());
  }
  try {
    staged_ = temporary_beside(final_, [](const fs::path& path) { return mkdir(path.c_str(), 0777) == 0; });
  } catch (...) {
    for (const fs::path& parent : made_parents_) rmdir(parent.c_str());
    throw;
  }
}

StagedFolder::~StagedFolder() {
  if (committed_) return;
  std::error_code ignored;
  fs::remove_all(staged_, ignored);
  for (const fs::path& parent : made_parents_) rmdir(parent.c_str());  // fails where somebody else has put something
}

void StagedFolder::commit() {
  try {
    check_replaceable(final_, existing_, marks_);
    flush_tree(staged_);
  } catch (const fs::filesystem_error& error) {
    throw refused_output("flush", final_, error.code().value());
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
  check_file_target(final_);
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
  if (buffer_.size() + bytes.size() > kBuffer) write_buffered();
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

void StagedFile::write_buffered() {
  write_through(buffer_);
  buffer_.clear();
}

void StagedFile::leave_hole(std::uint64_t count) {
  const off_t end = lseek(descriptor_, static_cast<off_t>(count), SEEK_CUR);
  if (end < 0 || ftruncate(descriptor_, end) != 0) fail("write", final_, errno);
}

// Extents with data and holes in turn; where the file system does not tell them apart, all is data.
void StagedFile::append(int file, std::uint64_t offset, std::uint64_t count) {
  write_buffered();
  struct stat status {};
  if (fstat(file, &status) != 0) fail("read what is to be written to", final_, errno);
  const std::uint64_t end = offset + count;
  if (static_cast<std::uint64_t>(status.st_size) < end) throw shortened(final_);
  while (offset < end) {
    const off_t data = lseek(file, static_cast<off_t>(offset), SEEK_DATA);
    std::uint64_t next = data >= 0 ? static_cast<std::uint64_t>(data) : errno == ENXIO ? end : offset;
    next = std::min(next, end);
    if (next > offset) leave_hole(next - offset);
    if (next == end) return;
    const off_t hole = lseek(file, static_cast<off_t>(next), SEEK_HOLE);
    offset = hole >= 0 ? std::min(static_cast<std::uint64_t>(hole), end) : end;
    append_data(file, next, offset - next);
  }
}

void StagedFile::append_data(int file, std::uint64_t offset, std::uint64_t count) {
  auto from = static_cast<off_t>(offset);
  while (count > 0) {
    const ssize_t copied = copy_file_range(file, &from, descriptor_, nullptr, std::min(count, kCopyAtOnce), 0);
    if (copied > 0) {
      count -= static_cast<std::uint64_t>(copied);
    } else if (copied == 0 || errno == EXDEV || errno == EINVAL || errno == ENOSYS || errno == EOPNOTSUPP ||
               errno == EPERM) {
      // These two files cannot be copied within the kernel. Of some that can be read, file systems say that they have
      // ended; the loop below finds a real end.
      break;
    } else if (errno != EINTR) {
      fail("write", final_, errno);
    }
  }
  std::vector<std::byte> block(std::min<std::uint64_t>(count, kBuffer));
  while (count > 0) {
    const ssize_t read = pread(file, block.data(), std::min<std::uint64_t>(count, block.size()), from);
    if (read == 0) throw shortened(final_);
    if (read < 0 && errno != EINTR) fail("read what is to be written to", final_, errno);
    if (read < 0) continue;
    write_through(std::span(block).first(static_cast<std::size_t>(read)));
    from += read;
    count -= static_cast<std::uint64_t>(read);
  }
}

void StagedFile::close() {
  write_buffered();
  std::vector<std::byte>().swap(buffer_);
  if (descriptor_ >= 0 && ::close(descriptor_) != 0) {
    descriptor_ = -1;
    fail("write", final_, errno);
  }
  descriptor_ = -1;
}

void StagedFile::commit(Flush flush) {
  close();
  if (flush == Flush::kNow) flush_to_disk(staged_, 0);
  if (rename(staged_.c_str(), final_.c_str()) != 0) fail("rename the finished output to", final_, errno);
  committed_ = true;
  if (flush == Flush::kNow) flush_to_disk(final_.parent_path(), O_DIRECTORY);
}

void write_file_atomically(const fs::path& path, std::span<const std::byte> bytes) {
  StagedFile file(path);
  file.write(bytes);
  file.commit();
}

void write_file_atomically(const fs::path& path, std::string_view text) {
  write_file_atomically(path, std::as_bytes(std::span(text)));
}

void check_folder_writable(const fs::path& folder) {
  fs::path nearest = resolved(folder);
  std::error_code error;
  while (!fs::exists(nearest, error) && nearest.has_relative_path()) nearest = nearest.parent_path();
  if (faccessat(AT_FDCWD, nearest.c_str(), W_OK | X_OK, AT_EACCESS) != 0) fail("write into", nearest, errno);
}

void check_output_file(const fs::path& path, Existing existing) {
  const fs::path target = resolved(path);
  check_file_target(target);
  check_folder_writable(target.parent_path());
  std::error_code error;
  if (existing == Existing::kRefuse && fs::exists(fs::symlink_status(target, error)))
    throw user_error("output {} exists; choose another name or give --force to replace it", path.string());
}

void check_output_apart(const fs::path& out, const fs::path& source) {
  check_output_holds_not(out, source);
  if (is_or_lies_in(resolved(out), resolved(source)))
    throw user_error("output {} lies inside {}, which is being read; choose another place", out.string(),
                     source.string());
}

void check_output_holds_not(const fs::path& out, const fs::path& source) {
  const fs::path target = resolved(out);
  const fs::path read = resolved(source);
  if (read == target)
    throw user_error("output {} is {}, which is being read; choose another place", out.string(), source.string());
  if (is_or_lies_in(read, target))
    throw user_error("output {} holds {}, which is being read; choose another place", out.string(), source.string());
}

Error refused_output(std::string_view action, const fs::path& path, int error) {
  const std::string text =
      fmt::format("cannot {} {}: {}", action, path.string(), std::generic_category().message(error));
  switch (error) {
    case EACCES:
    case EPERM:
    case EROFS:
    case ENOENT:
    case ENOTDIR:
    case ENAMETOOLONG:
    case ELOOP:
      return user_error("{}; choose a place that can be written to", text);
    case ENOSPC:
    case EDQUOT:
      return failure("{}; free some space and run again", text);
    case EFBIG:
      return failure("{}; raise the limit on the size of files (ulimit -f) and run again", text);
    default:
      return failure("{}", text);
  }
}

}  // namespace retune
