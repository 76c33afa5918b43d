#include "weights/mapped_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <system_error>

#include "tensor/error.h"
#include "tensor/staged_output.h"

namespace retune {

struct MappedFile::Mapping {
  std::filesystem::path path;
  void* address = nullptr;
  std::size_t size = 0;
  FileIdentity identity;

  Mapping() = default;
  Mapping(const Mapping&) = delete;
  Mapping& operator=(const Mapping&) = delete;
  ~Mapping() {
    if (address != nullptr) munmap(address, size);
  }
};

namespace {

FileIdentity identity_of(const struct stat& status) {
  const auto nanoseconds = [](const timespec& time) {
    return static_cast<std::int64_t>(time.tv_sec) * 1'000'000'000 + time.tv_nsec;
  };
  return {status.st_dev, status.st_ino, static_cast<std::uint64_t>(status.st_size), nanoseconds(status.st_mtim),
          nanoseconds(status.st_ctim)};
}

constexpr std::uint64_t kCopiedUnread = 1 << 20;  // ranges from so many bytes on

// Closes a descriptor on every way out.
struct Descriptor {
  int value;
  explicit Descriptor(int fd) : value(fd) {}
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  ~Descriptor() {
    if (value >= 0) close(value);
  }
};

extern "C" void report_shrunk_file(int) {
  // Only what is safe in a signal handler.
  static constexpr char kMessage[] =
      "retune: error: a model file became shorter while it was mapped; another program is writing it: restore the file "
      "and run "
      "again\n";
  [[maybe_unused]] const ssize_t written = write(STDERR_FILENO, kMessage, sizeof kMessage - 1);
  _exit(static_cast<int>(ErrorCode::kFailure));
}

}  // namespace

MappedFile MappedFile::open(const std::filesystem::path& path) {
  // Without O_NONBLOCK opening a named pipe would wait for a writer.
  const int descriptor = ::open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC);
  if (descriptor < 0) throw user_error("cannot open {}: {}", path.string(), std::generic_category().message(errno));
  return adopt(descriptor, path);
}

MappedFile MappedFile::adopt(int descriptor, const std::filesystem::path& path) {
  const Descriptor file(descriptor);
  struct stat status {};
  if (fstat(file.value, &status) != 0)
    throw failure("cannot read {}: {}", path.string(), std::generic_category().message(errno));
  if (!S_ISREG(status.st_mode)) throw user_error("{} is not a regular file", path.string());
  auto mapping = std::make_shared<Mapping>();
  mapping->path = path;
  mapping->size = static_cast<std::size_t>(status.st_size);
  mapping->identity = identity_of(status);
  if (mapping->size != 0) {
    void* address = mmap(nullptr, mapping->size, PROT_READ, MAP_PRIVATE, file.value, 0);
    if (address == MAP_FAILED)
      throw failure("cannot map {} ({} bytes): {}", path.string(), mapping->size,
                    std::generic_category().message(errno));
    mapping->address = address;
  }
  MappedFile result;
  result.mapping_ = std::move(mapping);
  return result;
}

std::span<const std::byte> MappedFile::bytes() const {
  return {static_cast<const std::byte*>(mapping_->address), mapping_->size};
}

const std::filesystem::path& MappedFile::path() const { return mapping_->path; }

void MappedFile::copy_to(StagedFile& out, std::uint64_t offset, std::uint64_t count) const {
  if (count >= kCopiedUnread) {
    // No descriptor is kept: a model may have a file for each tensor. What has the name by now may be another file.
    const Descriptor again(::open(path().c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
    struct stat status {};
    if (again.value >= 0 && fstat(again.value, &status) == 0 && status.st_dev == mapping_->identity.device &&
        status.st_ino == mapping_->identity.inode)
      return out.append(again.value, offset, count);
  }
  out.write(bytes().subspan(offset, count));
}

FileIdentity MappedFile::identity() const { return mapping_->identity; }

bool MappedFile::unchanged() const {
  struct stat status {};
  return stat(path().c_str(), &status) == 0 && identity_of(status) == mapping_->identity;
}

bool MappedFile::same_file(const MappedFile& other) const {
  return mapping_->identity.device == other.mapping_->identity.device &&
         mapping_->identity.inode == other.mapping_->identity.inode;
}

bool MappedFile::same_file(const std::filesystem::path& other) const {
  struct stat status {};
  return stat(other.c_str(), &status) == 0 && status.st_dev == mapping_->identity.device &&
         status.st_ino == mapping_->identity.inode;
}

void install_sigbus_guard() {
  struct sigaction action {};
  action.sa_handler = report_shrunk_file;
  sigaction(SIGBUS, &action, nullptr);
}

}  // namespace retune
