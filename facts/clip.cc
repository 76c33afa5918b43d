#include "facts/clip.h"

#include <algorithm>
#include <system_error>

#include "tensor/error.h"

namespace retune {
namespace {

namespace fs = std::filesystem;

void check_part(const std::string& text, const char* what) {
  const bool control = std::any_of(text.begin(), text.end(), [](char c) {
    const auto byte = static_cast<unsigned char>(c);
    return byte < 0x20 || byte == 0x7f;
  });
  if (control) throw user_error("{} holds a control character; expected a path below the audio root", what);
  if (text.find('\\') != std::string::npos) {
    throw user_error("{} '{}' holds a backslash; expected forward slashes below the audio root", what, text);
  }
  const fs::path path(text);
  if (path.is_absolute()) throw user_error("{} '{}' is absolute; expected a path below the audio root", what, text);
  for (const fs::path& part : path) {
    if (part == "..") throw user_error("{} '{}' leaves the audio root through '..'", what, text);
  }
}

bool is_file(const fs::path& path) {
  std::error_code error;
  return fs::is_regular_file(path, error);
}

bool is_within(const fs::path& root, const fs::path& path) {
  return std::mismatch(root.begin(), root.end(), path.begin(), path.end()).first == root.end();
}

}  // namespace

Clip Clip::below(const fs::path& root, const std::string& track, const std::string& file) {
  check_part(file, "clip");
  check_part(track, "track");
  const std::string tidy_track = fs::path(track).lexically_normal().generic_string();
  const std::string tidy_file = fs::path(file).lexically_normal().generic_string();
  if (file.empty() || tidy_file == "." || tidy_file.ends_with('/')) throw user_error("clip '{}' names no file", file);

  Clip clip;
  clip.root_ = root.empty() ? fs::path(".") : root;
  clip.track_ = track.empty() || tidy_track == "." ? "" : tidy_track;
  while (clip.track_.ends_with('/')) clip.track_.pop_back();
  const bool has_track = clip.track_.empty() || tidy_file.starts_with(clip.track_ + "/");
  clip.name_ = has_track ? tidy_file : clip.track_ + "/" + tidy_file;
  return clip;
}

Clip Clip::at(const fs::path& file) {
  Clip clip;
  clip.root_ = file.has_parent_path() ? file.parent_path() : fs::path(".");
  clip.name_ = file.filename().generic_string();
  clip.anywhere_ = true;
  return clip;
}

std::string Clip::file() const { return track_.empty() ? name_ : name_.substr(track_.size() + 1); }

fs::path Clip::locate() const {
  if (name_.empty()) throw user_error("a clip without a name was asked for");
  const fs::path in_track = root_ / name_;
  const fs::path flat = root_ / file();
  const fs::path& found = is_file(in_track) ? in_track : flat;
  if (!is_file(found)) {
    const std::string also = flat == in_track ? "" : " or " + flat.string();
    throw user_error("clip '{}' not found: expected a file at {}{}; see --audio_root", name_, in_track.string(), also);
  }
  // A link may stay inside the root, as in a data set that shares files between tracks.
  if (!anywhere_ && !is_within(fs::canonical(root_), fs::canonical(found))) {
    throw user_error("clip '{}': {} is a symbolic link that leaves the audio root", name_, found.string());
  }
  return found;
}

bool Clip::exists() const { return !name_.empty() && (is_file(root_ / name_) || is_file(root_ / file())); }

void check_located(const std::vector<ClipUse>& uses) {
  for (const ClipUse& use : uses) {
    try {
      use.clip.locate();
    } catch (const Error& error) {
      throw user_error("{}: {}", use.user, error.what());
    }
  }
}

ContentHash Clip::hash() const { return ContentHash::of_file(locate()); }

}  // namespace retune
