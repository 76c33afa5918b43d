#include "weights/hash_cache.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

#include "tensor/error.h"

namespace retune {

namespace {

namespace fs = std::filesystem;

constexpr std::int64_t kSettledNs = 2'000'000'000;

fs::path cache_folder() {
  if (const char* cache = std::getenv("XDG_CACHE_HOME"); cache != nullptr && *cache == '/')
    return fs::path(cache) / "retune/hashes";
  if (const char* home = std::getenv("HOME"); home != nullptr && *home == '/')
    return fs::path(home) / ".cache/retune/hashes";
  return {};
}

fs::path entry_file(const FileIdentity& file) {
  const fs::path folder = cache_folder();
  if (folder.empty()) return {};
  return folder / fmt::format("{}-{}-{}-{}-{}", file.device, file.inode, file.size, file.modified_ns, file.changed_ns);
}

bool settled(const FileIdentity& file) {
  const auto now =
      std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::system_clock::now().time_since_epoch()).count();
  return now - file.modified_ns > kSettledNs;
}

}  // namespace

std::optional<ContentHash> known_hash(const MappedFile& file, std::uint64_t offset, std::uint64_t count) {
  if (file.identity().size < kRememberedFileBytes) return std::nullopt;
  const fs::path entries = entry_file(file.identity());
  if (entries.empty()) return std::nullopt;
  std::ifstream lines(entries);
  const std::string range = fmt::format("{} {} ", offset, count);
  for (std::string line; std::getline(lines, line);) {
    if (!line.starts_with(range)) continue;
    try {
      return ContentHash::from_hex(line.substr(range.size()));
    } catch (const Error&) {  // a torn line
    }
  }
  return std::nullopt;
}

void remember_hash(const MappedFile& file, std::uint64_t offset, std::uint64_t count, const ContentHash& hash) {
  const FileIdentity identity = file.identity();
  if (identity.size < kRememberedFileBytes || !settled(identity) || !file.unchanged()) return;
  const fs::path entries = entry_file(identity);
  if (entries.empty()) return;
  std::error_code ignored;
  fs::create_directories(entries.parent_path(), ignored);
  // One write at the end of the file: runs side by side do not tear each other's lines.
  const int descriptor = ::open(entries.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (descriptor < 0) return;
  const std::string line = fmt::format("{} {} {}\n", offset, count, hash.hex());
  [[maybe_unused]] const ssize_t written = ::write(descriptor, line.data(), line.size());
  ::close(descriptor);
}

}  // namespace retune
