#include "weights/external_data.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <cstring>
#include <limits>
#include <system_error>

#include "tensor/error.h"

namespace retune {

namespace {

namespace fs = std::filesystem;

constexpr std::size_t kPathShown = 1000;  // bytes of a path that a message shows

bool lies_beneath(const fs::path& path, const fs::path& folder) {
  const auto [rest, ignored] = std::mismatch(folder.begin(), folder.end(), path.begin(), path.end());
  return rest == folder.end() && path != folder;
}

fs::path folder_of(const fs::path& file) {
  const fs::path folder = file.parent_path();
  return folder.empty() ? fs::path(".") : folder;
}

fs::path canonical_folder(const fs::path& folder) {
  std::error_code error;
  fs::path result = fs::canonical(folder, error);
  if (error) throw user_error("cannot open folder {}: {}", folder.string(), error.message());
  return result;
}

// A Hugging Face cache keeps snapshots/<revision>/... as links into blobs/, both in the folder of one repository.
fs::path blobs_beside_snapshot(const fs::path& bundle_folder) {
  for (fs::path folder = bundle_folder; folder.has_relative_path(); folder = folder.parent_path()) {
    if (folder.parent_path().filename() != "snapshots") continue;
    std::error_code error;
    const fs::path blobs = folder.parent_path().parent_path() / "blobs";
    if (fs::is_directory(fs::symlink_status(blobs, error))) return blobs;
  }
  return {};
}

// Walks `target`, which is canonical and beneath `root`, from a descriptor of root, following no link: one that turns
// up was put there after the path was judged.
int open_without_links(const fs::path& root, const fs::path& target) {
  int folder = open(root.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC);
  const fs::path relative = target.lexically_relative(root);
  for (auto part = relative.begin(); folder >= 0 && part != relative.end(); ++part) {
    const bool last = std::next(part) == relative.end();
    const int flags =
        last ? O_RDONLY | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC : O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
    const int next = openat(folder, part->c_str(), flags);
    const int error = errno;
    close(folder);
    errno = error;
    folder = next;
  }
  return folder;
}

// A hard link may name a file that its owner never meant to put here.
void check_hard_links(int descriptor, const std::string& shown) {
  struct stat status {};
  if (fstat(descriptor, &status) != 0)
    throw failure("cannot read {}: {}", shown, std::generic_category().message(errno));
  if (!S_ISREG(status.st_mode)) throw user_error("external data {} is not a regular file", shown);
  const bool ours_alone = status.st_uid == geteuid() && (status.st_mode & (S_IWGRP | S_IWOTH)) == 0;
  if (status.st_nlink > 1 && !ours_alone)
    throw user_error(
        "external data {} has {} hard links and is not this user's alone to write; copy the model, or chmod go-w a "
        "file of your own",
        shown, status.st_nlink);
}

}  // namespace

ExternalRoots ExternalRoots::of(const fs::path& model_file, const fs::path& bundle_folder) {
  ExternalRoots roots;
  roots.model_folder = folder_of(model_file);
  const fs::path own = canonical_folder(roots.model_folder);
  roots.bundle_folder = bundle_folder.empty() ? own : canonical_folder(bundle_folder);
  if (own != roots.bundle_folder && !lies_beneath(own, roots.bundle_folder))
    throw user_error("{} does not lie in the bundle's folder {}", model_file.string(), bundle_folder.string());
  roots.blobs = blobs_beside_snapshot(roots.bundle_folder);
  return roots;
}

std::string printable(std::string_view text, std::size_t limit) {
  std::size_t end = std::min(text.size(), limit);
  // Not through a UTF-8 character.
  for (int back = 0; back < 3 && end < text.size() && end > 0 && (text[end] & 0xc0) == 0x80; ++back) --end;
  std::string result(text.substr(0, end));
  for (std::size_t i = 0; i < result.size(); ++i) {
    const auto byte = static_cast<unsigned char>(result[i]);
    const auto next = static_cast<unsigned char>(i + 1 < result.size() ? result[i + 1] : 0);
    const bool c1 = byte == 0xc2 && next >= 0x80 && next < 0xa0;  // U+0080 to U+009F: a terminal's 8-bit controls
    if (byte < 0x20 || byte == 0x7f) result[i] = '?';
    if (c1) result.replace(i, 2, "?");
  }
  return text.size() > limit ? result + "..." : result;
}

void check_location(std::string_view location) {
  const auto reject = [&](std::string_view why) {
    throw user_error("external data location '{}' {}; expected a relative path below the model's folder",
                     printable(location), why);
  };
  if (location.empty()) reject("is empty");
  if (location.size() > 1024) reject("is longer than 1024 bytes");
  if (location.find('\0') != location.npos) reject("holds a NUL");
  if (location.find('\\') != location.npos) reject("holds a backslash");
  if (location.front() == '/') reject("is absolute");
  if (location.size() > 1 && location[1] == ':' && std::isalpha(static_cast<unsigned char>(location[0])) != 0)
    reject("names a drive");
  for (const fs::path& part : fs::path(location))
    if (part == "..") reject("leaves the folder");
}

std::uint64_t parse_external_number(std::string_view key, std::string_view text) {
  const auto is_digit = [](char c) { return c >= '0' && c <= '9'; };
  if (text.empty() || text.size() > 19 || !std::all_of(text.begin(), text.end(), is_digit))
    throw user_error("external data {} '{}' is not a decimal number of bytes", key, text.substr(0, 40));
  std::uint64_t value = 0;
  for (const char c : text) value = value * 10 + static_cast<std::uint64_t>(c - '0');  // 19 digits fit
  if (value > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max()))
    throw user_error("external data {} {} does not fit in 63 bits", key, text);
  return value;
}

MappedFile open_external(const ExternalRoots& roots, const std::string& location) {
  check_location(location);
  const fs::path named = roots.model_folder / location;
  std::error_code error;
  const fs::path target = fs::canonical(named, error);
  const std::string shown = printable(named.string(), kPathShown);
  if (error) throw user_error("external data {}: {}", shown, error.message());

  const bool in_bundle = lies_beneath(target, roots.bundle_folder);
  const bool in_blobs = !roots.blobs.empty() && target.parent_path() == roots.blobs;
  if (!in_bundle && !in_blobs)
    throw user_error("external data {} resolves to {}, outside the bundle's folder {}; copy the file into it",
                     named.string(), target.string(), roots.bundle_folder.string());
  const int descriptor = open_without_links(in_bundle ? roots.bundle_folder : roots.blobs, target);
  if (descriptor < 0)
    throw user_error("cannot open external data {}: {}", shown, std::generic_category().message(errno));
  try {
    check_hard_links(descriptor, shown);
  } catch (...) {
    close(descriptor);
    throw;
  }
  return MappedFile::adopt(descriptor, named);
}

}  // namespace retune
