#include "facts/option_list.h"

#include <algorithm>

namespace retune {
namespace {

constexpr std::string_view kBlanks = " \t\r\n";

std::string_view trimmed(std::string_view text) {
  const std::size_t first = text.find_first_not_of(kBlanks);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(kBlanks) - first + 1);
}

std::vector<std::string> split(std::string_view text, char separator) {
  std::vector<std::string> parts;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find(separator), text.size());
    if (const std::string_view part = trimmed(text.substr(0, end)); !part.empty()) parts.emplace_back(part);
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return parts;
}

// "A, B, C." on the line of "Options:" itself, as a few Dynamic-SUPERB instructions have it.
std::vector<std::string> split_inline(std::string_view line) {
  while (line.ends_with('.')) line.remove_suffix(1);
  return split(line, ',');
}

std::vector<std::string> lettered_texts(std::string_view question) {
  std::vector<std::string> texts;
  std::size_t start = question.find("(A)");
  while (start != std::string_view::npos && texts.size() < 26) {
    start += 3;
    const char next_letter[] = {'(', static_cast<char>('A' + texts.size() + 1), ')', '\0'};
    const std::size_t next = question.find(next_letter, start);
    texts.emplace_back(trimmed(question.substr(start, std::min(next, question.size()) - start)));
    start = next;
  }
  return texts;
}

char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

}  // namespace

std::vector<std::string> OptionList::answers() const {
  if (style != OptionStyle::kLettered) return texts;
  std::vector<std::string> letters;
  for (std::size_t i = 0; i < texts.size(); ++i) letters.emplace_back(1, static_cast<char>('A' + i));
  return letters;
}

OptionList parse_options(std::string_view question) {
  constexpr std::string_view kMark = "Options:";
  if (const std::size_t mark = question.rfind(kMark); mark != std::string_view::npos) {
    std::vector<std::string> lines = split(question.substr(mark + kMark.size()), '\n');
    if (lines.size() == 1 && lines[0].find(',') != std::string::npos) lines = split_inline(lines[0]);
    if (!lines.empty()) return {OptionStyle::kListed, std::move(lines)};
  }
  if (std::vector<std::string> texts = lettered_texts(question); texts.size() >= 2) {
    return {OptionStyle::kLettered, std::move(texts)};
  }
  return {};
}

std::string with_options(std::string_view question, const std::vector<std::string>& options) {
  std::string text(question);
  text += "\n\nOptions:";
  for (const std::string& option : options) text += "\n" + option;
  return text;
}

bool same_label(std::string_view a, std::string_view b) {
  a = trimmed(a);
  b = trimmed(b);
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](char x, char y) { return lower(x) == lower(y); });
}

int find_label(const std::vector<std::string>& labels, std::string_view label) {
  auto found = std::find(labels.begin(), labels.end(), label);
  if (found == labels.end()) {
    found =
        std::find_if(labels.begin(), labels.end(), [&](const std::string& other) { return same_label(other, label); });
  }
  return found == labels.end() ? -1 : static_cast<int>(found - labels.begin());
}

std::optional<OptionFault> check_options(std::span<const std::string> options) {
  for (std::size_t i = 0; i < options.size(); ++i) {
    if (trimmed(options[i]).empty()) return OptionFault{.position = i, .blank = true};
    const auto earlier = options.first(i);
    if (std::any_of(earlier.begin(), earlier.end(), [&](const auto& other) { return same_label(other, options[i]); }))
      return OptionFault{.position = i};
  }
  return std::nullopt;
}

}  // namespace retune
