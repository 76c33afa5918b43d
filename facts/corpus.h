// Text and sound for second moments, training, replay and preservation. Never the probes: see refuse_shared_clips in
// fact_set.h.
//
// A JSON Lines file, one item a line; the format is docs/formats/facts.md:
//   {"clip":"Animal/cow_1.flac","question":"Which animal ...","answer":"cow","attribute":"Animal","class":"cow"}
//   {"question":"What has a trunk?\n\nOptions:\n...","answer":"elephant"}
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "facts/clip.h"
#include "tensor/content_hash.h"

namespace retune {

// The edit that an item demonstrates (editors/in_context.h). Its answer is what the edited model is to say, which for
// reliability and generality is no truth about the clip.
struct DemonstratedEdit {
  std::string old_label, new_label;
  std::string kind;      // "reliability", "generality", "audio_locality" or "text_locality"
  std::string instance;  // items of one training instance stand together and share it
};

struct CorpusItem {
  std::optional<Clip> clip;  // absent for text alone
  std::string question;      // what the user turn says
  std::string answer;        // empty where only the prompt is used
  std::string attribute;     // "Animal"; empty if none
  std::string label;  // key "class": the clip's own class of that attribute, for an auxiliary loss; empty if none
  std::optional<DemonstratedEdit> demonstrates = {};
};

class Corpus {
 public:
  Corpus() = default;
  explicit Corpus(std::vector<CorpusItem> items) : items_(std::move(items)) {}
  // Clips are named below `audio_root` and not opened. A user error with the line's number on anything wrong, or if it
  // is empty.
  static Corpus load(const std::filesystem::path& path, const std::filesystem::path& audio_root);
  // The same items give the same bytes.
  void save(const std::filesystem::path& path) const;

  const std::vector<CorpusItem>& items() const { return items_; }
  // Every item's clip, in order.
  std::vector<ClipUse> clips() const;
  // check_located (facts/clip.h) of them.
  void check_audio() const;
  // Of every field and of every clip's bytes: the key of what is computed from the corpus. A user error if a clip is
  // missing.
  ContentHash hash() const;

 private:
  std::vector<CorpusItem> items_;
};

}  // namespace retune
