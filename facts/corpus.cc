#include "facts/corpus.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <string_view>

#include "facts/json_text.h"

namespace retune {
namespace {

// A corpus holds whole training sets: 64 MiB would be some 300,000 items.
constexpr std::size_t kMaxCorpusBytes = std::size_t{1} << 30;

constexpr std::array<std::string_view, 4> kDemonstrationKinds = {"reliability", "generality", "audio_locality",
                                                                 "text_locality"};

std::optional<DemonstratedEdit> read_demonstration(const JsonObject& line) {
  const auto old_label = line.optional_text("old_label"), new_label = line.optional_text("new_label");
  if (!old_label && !new_label) return std::nullopt;
  if (!old_label || !new_label)
    throw line.error(old_label ? "new_label" : "old_label", "missing; a demonstration has the old and the new label");
  DemonstratedEdit edit{line.text("old_label"), line.text("new_label"), line.text("kind"), line.text("instance")};
  if (std::find(kDemonstrationKinds.begin(), kDemonstrationKinds.end(), edit.kind) == kDemonstrationKinds.end())
    throw line.error("kind",
                     fmt::format("expected one of {}, got '{}'", fmt::join(kDemonstrationKinds, ", "), edit.kind));
  return edit;
}

CorpusItem read_item(const JsonObject& line, const std::filesystem::path& audio_root) {
  CorpusItem item;
  item.question = line.text("question");
  item.answer = line.optional_text("answer").value_or("");
  item.attribute = line.optional_text("attribute").value_or("");
  item.label = line.optional_text("class").value_or("");
  item.demonstrates = read_demonstration(line);
  if (const auto clip = line.optional_text("clip")) {
    try {
      item.clip = Clip::below(audio_root, "", *clip);
    } catch (const Error& error) {
      throw line.error("clip", error.what());
    }
  }
  return item;
}

nlohmann::ordered_json item_json(const CorpusItem& item) {
  nlohmann::ordered_json line;
  if (item.clip) line["clip"] = item.clip->name();
  line["question"] = item.question;
  if (!item.answer.empty()) line["answer"] = item.answer;
  if (!item.attribute.empty()) line["attribute"] = item.attribute;
  if (!item.label.empty()) line["class"] = item.label;
  if (item.demonstrates) {
    line["old_label"] = item.demonstrates->old_label;
    line["new_label"] = item.demonstrates->new_label;
    line["kind"] = item.demonstrates->kind;
    line["instance"] = item.demonstrates->instance;
  }
  return line;
}

}  // namespace

Corpus Corpus::load(const std::filesystem::path& path, const std::filesystem::path& audio_root) {
  std::vector<CorpusItem> items;
  for (const JsonLine& line : parse_json_lines(read_text(path, kMaxCorpusBytes), path.string())) {
    items.push_back(read_item(JsonObject(line.value, fmt::format("{}:{}", path.string(), line.number)), audio_root));
  }
  if (items.empty()) throw user_error("{}: no items; expected one JSON object a line", path.string());
  return Corpus(std::move(items));
}

void Corpus::save(const std::filesystem::path& path) const {
  std::string text;
  for (const CorpusItem& item : items_) text += json_bytes(item_json(item)) + "\n";
  write_text(path, text);
}

std::vector<ClipUse> Corpus::clips() const {
  std::vector<ClipUse> uses;
  for (std::size_t i = 0; i < items_.size(); ++i)
    if (items_[i].clip) uses.push_back({*items_[i].clip, fmt::format("corpus item {}", i)});
  return uses;
}

void Corpus::check_audio() const { check_located(clips()); }

ContentHash Corpus::hash() const {
  Hasher hasher;
  for (const CorpusItem& item : items_) {
    hasher.add(item.question).add(item.answer).add(item.attribute).add(item.label);
    hasher.add(static_cast<std::int64_t>(item.clip ? 1 : 0));
    if (item.clip) hasher.add(item.clip->hash());
    if (const auto& edit = item.demonstrates)
      hasher.add(edit->old_label).add(edit->new_label).add(edit->kind).add(edit->instance);
  }
  return hasher.finish();
}

}  // namespace retune
