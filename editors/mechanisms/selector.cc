#include "editors/mechanisms/selector.h"

#include <algorithm>
#include <charconv>
#include <cmath>

#include "tensor/error.h"

namespace retune {

namespace {

constexpr const char* kSpellings =
    "last_prompt, last_audio, mean_audio, audio_span(begin,end) in seconds, attr_noun_last, text_subject_last(text)";

std::string lower(std::string text) {
  for (char& c : text)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  return text;
}

double seconds(std::string_view text, const std::string& spelling) {
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || !(value >= 0) || !std::isfinite(value))
    throw user_error("selector '{}': '{}' is not a number of seconds", spelling, text);
  return value;
}

// The token that completes the first occurrence of `text` behind the sound.
std::int64_t last_token_of(const std::string& text, const PromptView& view, const Tokenizer& tokenizer) {
  const std::string wanted = lower(text);
  const std::vector<std::int64_t>& ids = view.prompt.ids;
  const auto begin = static_cast<std::size_t>(view.prompt.prefix_length());
  for (std::size_t end = begin + 1; end <= ids.size() && !wanted.empty(); ++end) {
    const std::span<const std::int64_t> read(ids.data() + begin, end - begin);
    if (lower(tokenizer.decode(read)).find(wanted) != std::string::npos) return static_cast<std::int64_t>(end) - 1;
  }
  throw user_error(
      "the question does not hold '{}', at which the edit is to be made; choose another selector, or "
      "text_subject_last(text)",
      text);
}

// Of R rows in time, those that the selector means.
std::vector<std::int64_t> rows_in_time(const Selector& selector, const PromptView& view, std::int64_t rows) {
  const auto heard = std::clamp<std::int64_t>(std::llround(std::ceil(view.heard * static_cast<double>(rows))), 1, rows);
  std::vector<std::int64_t> chosen;
  const double step = view.seconds / static_cast<double>(rows);
  for (std::int64_t row = 0; row < heard; ++row) {
    if (selector.kind == Selector::Kind::kLastAudio && row != heard - 1) continue;
    if (selector.kind == Selector::Kind::kAudioSpan) {
      const double begin = static_cast<double>(row) * step;
      if (begin + step <= selector.begin_seconds || begin >= selector.end_seconds) continue;
    }
    chosen.push_back(row);
  }
  if (chosen.empty())
    throw user_error("selector audio_span({},{}): the clip has no sound there; it is {:.3f} seconds long",
                     selector.begin_seconds, selector.end_seconds, view.seconds * view.heard);
  return chosen;
}

bool of_sound(const Selector& selector) {
  return selector.kind == Selector::Kind::kLastAudio || selector.kind == Selector::Kind::kMeanAudio ||
         selector.kind == Selector::Kind::kAudioSpan;
}

}  // namespace

Selector parse_selector(const std::string& spelling) {
  if (spelling == "last_prompt") return {Selector::Kind::kLastPrompt, 0, 0, {}};
  if (spelling == "last_audio") return {Selector::Kind::kLastAudio, 0, 0, {}};
  if (spelling == "mean_audio") return {Selector::Kind::kMeanAudio, 0, 0, {}};
  if (spelling == "attr_noun_last") return {Selector::Kind::kAttributeNoun, 0, 0, {}};
  const std::size_t open = spelling.find('(');
  if (open == std::string::npos || spelling.back() != ')')
    throw user_error("there is no selector '{}'; there are {}", spelling, kSpellings);
  const std::string name = spelling.substr(0, open);
  const std::string inside = spelling.substr(open + 1, spelling.size() - open - 2);
  if (name == "text_subject_last" && !inside.empty()) return {Selector::Kind::kTextSubject, 0, 0, inside};
  const std::size_t comma = inside.find(',');
  if (name != "audio_span" || comma == std::string::npos)
    throw user_error("there is no selector '{}'; there are {}", spelling, kSpellings);
  const Selector span{Selector::Kind::kAudioSpan,
                      seconds(std::string_view(inside).substr(0, comma), spelling),
                      seconds(std::string_view(inside).substr(comma + 1), spelling),
                      {}};
  if (span.end_seconds <= span.begin_seconds)
    throw user_error("selector '{}': the end must lie after the begin", spelling);
  return span;
}

std::vector<std::int64_t> select_positions(const Selector& selector, const PromptView& view,
                                           const Tokenizer& tokenizer) {
  if (view.prompt.ids.empty()) throw user_error("the prompt is empty");
  if (selector.kind == Selector::Kind::kLastPrompt) return {view.prompt.length() - 1};
  if (!of_sound(selector)) return {last_token_of(selector.text, view, tokenizer)};
  const std::vector<std::int64_t>& slots = view.prompt.audio_rows;
  if (slots.empty()) throw user_error("the selector means sound, but the question has no clip; use last_prompt");
  std::vector<std::int64_t> positions;
  for (const std::int64_t row : rows_in_time(selector, view, static_cast<std::int64_t>(slots.size())))
    positions.push_back(slots[static_cast<std::size_t>(row)]);
  return positions;
}

std::vector<std::int64_t> select_audio_rows(const Selector& selector, const PromptView& view, std::int64_t rows) {
  if (view.prompt.audio_rows.empty())
    throw user_error("the site is in the audio encoder or connector, but the question has no clip");
  if (!of_sound(selector))
    throw user_error(
        "the site is in the audio encoder or connector, which has no positions of the prompt; use mean_audio, "
        "last_audio or audio_span");
  return rows_in_time(selector, view, rows);
}

std::int64_t cut_before(const Prompt& prompt, std::int64_t position) {
  if (prompt.audio_rows.empty() || position >= prompt.prefix_length()) return position;
  return std::min(position, prompt.audio_rows.front());
}

}  // namespace retune
