#include "recipes/journal.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <optional>
#include <system_error>

#include "facts/json_text.h"
#include "tensor/error.h"
#include "tensor/staged_output.h"

namespace retune {

namespace {

constexpr std::string_view kBefore = R"({"crc":")";
constexpr std::string_view kBetween = R"(","entry":)";
constexpr std::size_t kDigits = 8;
constexpr std::size_t kMaxBytes = std::size_t{8} << 30;

std::string line_of(std::string_view entry) {
  return fmt::format("{}{:08x}{}{}}}\n", kBefore, crc32(entry), kBetween, entry);
}

// The entry of a whole line without its newline; absent if anything is not as it was written.
std::optional<std::string> entry_of(std::string_view line) {
  const std::size_t head = kBefore.size() + kDigits + kBetween.size();
  if (line.size() <= head || line.back() != '}') return std::nullopt;
  const std::string_view entry = line.substr(head, line.size() - head - 1);
  if (line_of(entry).compare(0, line.size(), line) != 0) return std::nullopt;
  return std::string(entry);
}

std::string header_of(const ContentHash& study) {
  return nlohmann::ordered_json{{"journal", 1}, {"study", study.hex()}}.dump();
}

void flush_folder(const std::filesystem::path& file) {
  const std::filesystem::path folder = file.has_parent_path() ? file.parent_path() : std::filesystem::path(".");
  const int descriptor = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (descriptor < 0) return;  // the file itself is flushed; not every file system lets its folders be opened
  ::fsync(descriptor);
  ::close(descriptor);
}

}  // namespace

std::uint32_t crc32(std::string_view bytes) {
  static constexpr std::array<std::uint32_t, 256> kTable = [] {
    std::array<std::uint32_t, 256> table{};
    for (std::uint32_t i = 0; i < 256; ++i) {
      std::uint32_t value = i;
      for (int bit = 0; bit < 8; ++bit) value = (value >> 1) ^ ((value & 1) != 0 ? 0xEDB88320U : 0U);
      table[i] = value;
    }
    return table;
  }();
  std::uint32_t crc = 0xFFFFFFFFU;
  for (const char c : bytes) crc = (crc >> 8) ^ kTable[(crc ^ static_cast<unsigned char>(c)) & 0xFFU];
  return crc ^ 0xFFFFFFFFU;
}

bool Journal::is_of(const std::filesystem::path& path, const ContentHash& study) {
  const std::string expected = line_of(header_of(study));
  std::string begin(expected.size(), '\0');
  std::ifstream file(path, std::ios::binary);
  return file.read(begin.data(), static_cast<std::streamsize>(begin.size())) && begin == expected;
}

Journal Journal::open(const std::filesystem::path& path, const ContentHash& study, const MakeWay& make_way) {
  const int descriptor = ::open(path.c_str(), O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  if (descriptor < 0) throw refused_output("write the journal", path, errno);
  Journal journal(path, descriptor);
  if (::flock(descriptor, LOCK_EX | LOCK_NB) != 0)
    throw user_error("{}: another process works in this folder; wait for it or choose another", path.string());
  journal.begin_or_read(study, make_way);
  return journal;
}

Journal::~Journal() {
  if (descriptor_ >= 0) ::close(descriptor_);  // which unlocks it
}

Journal::Journal(Journal&& other) noexcept
    : path_(std::move(other.path_)), descriptor_(other.descriptor_), entries_(std::move(other.entries_)) {
  other.descriptor_ = -1;
}

void Journal::begin_or_read(const ContentHash& study, const MakeWay& make_way) {
  const std::string text = read_text(path_, kMaxBytes);
  const std::size_t known = std::min(text.size(), kBefore.size());
  if (text.compare(0, known, kBefore, 0, known) != 0)
    throw user_error("{} is no journal of retune; choose another folder", path_.string());
  std::size_t good = 0;
  for (std::size_t number = 1; good < text.size(); ++number) {
    const std::size_t end = text.find('\n', good);
    std::optional<std::string> entry;
    if (end != std::string::npos) entry = entry_of(std::string_view(text).substr(good, end - good));
    if (!entry) {
      if (end == std::string::npos || end + 1 == text.size()) break;  // torn
      throw user_error("{} line {}: the check sum does not fit: the file was damaged; start again in another folder",
                       path_.string(), number);
    }
    entries_.push_back(std::move(*entry));
    good = end + 1;
  }
  if (good < text.size()) shorten(good);
  if (!entries_.empty() && entries_.front() != header_of(study)) {
    if (!make_way || !make_way({entries_.begin() + 1, entries_.end()}))
      throw user_error(
          "{} belongs to another study: the recipe, the model, the facts, the seed or retune's version has changed; "
          "choose another folder or give --force to replace the study",
          path_.string());
    shorten(0);
    entries_.clear();
  }
  if (entries_.empty()) {
    write(header_of(study));
    flush_folder(path_);
    return;
  }
  entries_.erase(entries_.begin());
}

void Journal::shorten(std::size_t bytes) {
  if (::ftruncate(descriptor_, static_cast<off_t>(bytes)) != 0)
    throw failure("cannot shorten {}: {}", path_.string(), std::generic_category().message(errno));
}

void Journal::append(std::string_view entry) {
  write(entry);
  entries_.emplace_back(entry);
}

void Journal::write(std::string_view entry) {
  const std::string line = line_of(entry);
  struct stat before = {};
  if (::fstat(descriptor_, &before) != 0)
    throw failure("cannot read {}: {}", path_.string(), std::generic_category().message(errno));
  std::size_t done = 0;
  while (done < line.size()) {
    const ssize_t count = ::write(descriptor_, line.data() + done, line.size() - done);
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) break;
    done += static_cast<std::size_t>(count);
  }
  if (done == line.size() && ::fsync(descriptor_) == 0) return;
  const int problem = errno;
  // Half a line would be dropped by the next reader, but not if more is appended behind it.
  const bool shortened = ::ftruncate(descriptor_, before.st_size) == 0;
  throw failure("cannot write {}: {}{}", path_.string(), std::generic_category().message(problem),
                shortened ? "" : "; its end is torn");
}

}  // namespace retune
