// A sound file that a question is about, named below an audio root.
//
//   Clip clip = Clip::below("demo/audio", "Animal", "cow_68.wav");
//   clip.name();    // "Animal/cow_68.wav", what results and errors call it
//   clip.locate();  // demo/audio/Animal/cow_68.wav, or demo/audio/cow_68.wav where the folder has no tracks
#pragma once

#include <compare>
#include <filesystem>
#include <string>
#include <vector>

#include "tensor/content_hash.h"

namespace retune {

class Clip {
 public:
  Clip() = default;  // names nothing; locate() throws

  // `file` relative to `root/track` (SAKE keeps a folder an attribute) or, if that is not there, to `root`; `track` may
  // be empty. Nothing is opened. A user error if `file` or `track` is absolute, holds "..", a backslash or a control
  // character, or `file` is empty.
  static Clip below(const std::filesystem::path& root, const std::string& track, const std::string& file);

  // One file given by the user on the command line, wherever it lies; its name is its file name.
  static Clip at(const std::filesystem::path& file);

  // TRACK/FILE with forward slashes, the same on every machine. Names, not contents, order clips.
  const std::string& name() const { return name_; }
  // FILE alone, as the facts write it.
  std::string file() const;

  // The regular file on disk. A user error, naming both places looked at, if there is none, or if a symbolic link leads
  // out of the root.
  std::filesystem::path locate() const;
  bool exists() const;
  // SHA-256 of the file's bytes; reads the file each time (callers keep it).
  ContentHash hash() const;

  friend bool operator==(const Clip& a, const Clip& b) { return a.root_ == b.root_ && a.name_ == b.name_; }

 private:
  std::filesystem::path root_;
  std::string track_;
  std::string name_;
  bool anywhere_ = false;  // given by the user: links may lead where they like
};

// A clip, and what it is for in an error: the id of a request or probe, "corpus item 3".
struct ClipUse {
  Clip clip;
  std::string user;
};

// The first clip that is missing or leads out of its root is a user error that names its user and the places looked at.
// No audio is opened: whether it can be heard, recipes/clip_check.h finds.
void check_located(const std::vector<ClipUse>& uses);

}  // namespace retune
