#include "eval/option_extraction.h"

#include <algorithm>
#include <array>
#include <set>
#include <span>
#include <utility>

#include "eval/answer_text.h"

namespace retune {
namespace {

struct Occurrence {
  std::size_t begin = 0;
  std::size_t end = 0;
  int option = 0;
};

std::vector<std::string> normalized_all(const std::vector<std::string>& texts) {
  std::vector<std::string> result;
  for (const std::string& text : texts) result.push_back(normalized(text));
  return result;
}

// Drops what lies within a longer match of another option. `sorted` is by begin, longer ones first; one pass, since a
// match lies within an earlier one exactly if that ends no sooner. Two ends are kept because the farthest may be the
// same option's.
std::vector<Occurrence> longest_matches(const std::vector<Occurrence>& sorted) {
  std::vector<Occurrence> kept;
  Occurrence farthest{0, 0, -1};
  Occurrence farthest_other{0, 0, -1};  // of an option other than farthest's
  for (const Occurrence& match : sorted) {
    const Occurrence& other = farthest.option == match.option ? farthest_other : farthest;
    if (other.option < 0 || other.end < match.end) kept.push_back(match);
    if (match.end > farthest.end) {
      if (farthest.option != match.option) farthest_other = farthest;
      farthest = match;
    } else if (match.option != farthest.option && match.end > farthest_other.end) {
      farthest_other = match;
    }
  }
  return kept;
}

// Where each distinct option or one of its variants stands, longest matches only, by position.
std::vector<Occurrence> find_occurrences(std::string_view text, const std::vector<std::string>& options) {
  std::vector<Occurrence> all;
  const auto add = [&](std::string_view form, int option) {
    for (const std::size_t at : whole_word_positions(text, form)) all.push_back({at, at + form.size(), option});
  };
  for (std::size_t i = 0; i < options.size(); ++i) {
    if (std::find(options.begin(), options.begin() + static_cast<std::ptrdiff_t>(i), options[i]) - options.begin() !=
        static_cast<std::ptrdiff_t>(i)) {
      continue;
    }
    add(options[i], static_cast<int>(i));
    for (const std::string_view variant : label_variants(options[i])) {
      if (std::find(options.begin(), options.end(), variant) == options.end()) add(variant, static_cast<int>(i));
    }
  }
  std::sort(all.begin(), all.end(), [](const Occurrence& a, const Occurrence& b) {
    return a.begin != b.begin ? a.begin < b.begin : a.end > b.end;
  });
  return longest_matches(all);
}

std::vector<int> distinct_options(std::span<const Occurrence> occurrences) {
  std::vector<int> options;
  for (const Occurrence& occurrence : occurrences) {
    if (std::find(options.begin(), options.end(), occurrence.option) == options.end())
      options.push_back(occurrence.option);
  }
  return options;
}

// Ends (past the last byte) of the sentences of a normalised text.
std::vector<std::size_t> sentence_ends(std::string_view text) {
  std::vector<std::size_t> ends;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const bool stop = std::string_view(".!?").find(text[i]) != std::string_view::npos;
    const bool before_blank = i + 1 == text.size() || text[i + 1] == ' ' || text[i + 1] == '\n';
    if (text[i] == '\n' || (stop && before_blank)) ends.push_back(i + 1);
  }
  ends.push_back(text.size());
  return ends;
}

// The option of the first sentence that names exactly one; -1 if no sentence does.
int first_decided_sentence(std::string_view text, const std::vector<Occurrence>& occurrences) {
  auto next = occurrences.begin();
  for (const std::size_t end : sentence_ends(text)) {
    const auto first = next;
    next = std::find_if(first, occurrences.end(), [end](const Occurrence& o) { return o.begin >= end; });
    if (const std::vector<int> options = distinct_options({first, next}); options.size() == 1) return options[0];
  }
  return -1;
}

}  // namespace

std::vector<std::string_view> label_variants(std::string_view label) {
  static constexpr std::array<std::pair<std::string_view, std::array<std::string_view, 4>>, 7> kVariants = {{
      {"happy", {"happiness", "happily", "joy", ""}},
      {"sad", {"sadness", "sadly", "", ""}},
      {"angry", {"anger", "angrily", "", ""}},
      {"fear", {"fearful", "fearfulness", "afraid", "scared"}},
      {"disgust", {"disgusted", "disgusting", "", ""}},
      {"male", {"man", "masculine", "", ""}},
      {"female", {"woman", "feminine", "", ""}},
  }};
  std::vector<std::string_view> variants;
  for (const auto& [name, forms] : kVariants) {
    if (name != label) continue;
    std::copy_if(forms.begin(), forms.end(), std::back_inserter(variants),
                 [](std::string_view f) { return !f.empty(); });
  }
  return variants;
}

Extraction extract_option(std::string_view response, const std::vector<std::string>& options, MultiRule rule) {
  const std::string text = normalized(response);
  if (text.empty()) return {Extraction::Kind::kEmpty};
  const std::vector<std::string> names = normalized_all(options);
  if (const auto same = std::find(names.begin(), names.end(), text); same != names.end()) {
    const int option = static_cast<int>(same - names.begin());
    return {Extraction::Kind::kOption, option, {option}};
  }
  const std::vector<Occurrence> occurrences = find_occurrences(text, names);
  std::vector<int> named = distinct_options(occurrences);
  if (named.empty()) return {Extraction::Kind::kNone};
  int option = named.size() == 1 ? named[0] : first_decided_sentence(text, occurrences);
  if (option < 0 && rule == MultiRule::kFirst) option = named[0];
  return {option < 0 ? Extraction::Kind::kMulti : Extraction::Kind::kOption, option, std::move(named)};
}

int extract_letter(std::string_view response, int count) {
  const std::string text = normalized(response);
  std::size_t first = std::string::npos;
  int letter = -1;
  for (int i = 0; i < count; ++i) {
    const char c = static_cast<char>('a' + i);
    std::size_t at = std::string::npos;
    const bool leads =
        text.size() == 1 || (text.size() > 1 && std::string_view(".):,").find(text[1]) != std::string_view::npos);
    if (!text.empty() && text[0] == c && leads) at = 0;
    at = std::min(at, text.find(std::string{'(', c, ')'}));
    for (const std::size_t position : whole_word_positions(text, std::string("option ") + c))
      at = std::min(at, position);
    if (at < first) {
      first = at;
      letter = i;
    }
  }
  return letter;
}

}  // namespace retune
