#include "eval/degeneration.h"

#include <unicode/uchar.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <map>
#include <span>
#include <string>

#include "eval/answer_text.h"

namespace retune {
namespace {

constexpr std::size_t kLongestUnit = 20;    // characters
constexpr std::size_t kUnitRepeats = 5;     // in a row
constexpr double kRepeatedFourGrams = 0.5;  // share
constexpr std::size_t kEnoughTokens = 20;   // for that share to mean something

using Sequence = std::span<const std::int64_t>;

std::map<std::vector<std::int64_t>, int> ngram_counts(Sequence units, std::size_t n) {
  std::map<std::vector<std::int64_t>, int> counts;
  for (std::size_t i = 0; i + n <= units.size(); ++i) {
    ++counts[std::vector<std::int64_t>(units.begin() + static_cast<std::ptrdiff_t>(i),
                                       units.begin() + static_cast<std::ptrdiff_t>(i + n))];
  }
  return counts;
}

double repetition(Sequence units, std::size_t n) {
  if (units.size() < n) return 0;
  const auto all = static_cast<double>(units.size() - n + 1);
  return 1 - static_cast<double>(ngram_counts(units, n).size()) / all;
}

double entropy_bits(Sequence units, std::size_t n) {
  if (units.size() < n) return 0;
  const auto all = static_cast<double>(units.size() - n + 1);
  double entropy = 0;
  for (const auto& [gram, count] : ngram_counts(units, n)) entropy -= count / all * std::log2(count / all);
  return entropy;
}

template <class T>
int longest_run(const T& units) {
  int longest = 0;
  int run = 0;
  for (std::size_t i = 0; i < units.size(); ++i) {
    run = i > 0 && units[i] == units[i - 1] ? run + 1 : 1;
    longest = std::max(longest, run);
  }
  return longest;
}

// Each different word becomes a number.
std::vector<std::int64_t> word_ids(std::string_view text) {
  std::map<std::string, std::int64_t> known;
  std::vector<std::int64_t> ids;
  for (const std::string& word : words(text)) {
    ids.push_back(known.emplace(word, static_cast<std::int64_t>(known.size())).first->second);
  }
  return ids;
}

// s[i] == s[i-u] over (r-1)·u characters in a row is a unit of u characters r times in a row.
bool repeats_a_unit(const std::u32string& text) {
  for (std::size_t unit = 1; unit <= kLongestUnit; ++unit) {
    std::size_t matches = 0;
    for (std::size_t i = unit; i < text.size(); ++i) {
      matches = text[i] == text[i - unit] ? matches + 1 : 0;
      if (matches >= (kUnitRepeats - 1) * unit) return true;
    }
  }
  return false;
}

// Ziv and Lempel 1978: each phrase is the longest known one and a byte more.
double lz78_ratio(std::string_view text) {
  if (text.empty()) return 0;
  std::map<std::pair<std::size_t, char>, std::size_t> phrases;
  const auto index_bits = [](std::size_t phrase) { return static_cast<double>(std::bit_width(phrase - 1)); };
  std::size_t current = 0;  // 0 is the empty phrase
  double bits = 0;
  for (const char byte : text) {
    const auto [entry, is_new] = phrases.emplace(std::pair(current, byte), phrases.size() + 1);
    if (is_new) bits += index_bits(entry->second) + 8;
    current = is_new ? 0 : entry->second;
  }
  if (current != 0) bits += index_bits(phrases.size() + 1);
  return 8 * static_cast<double>(text.size()) / bits;
}

bool is_printable(char32_t c) {
  if (c == U'\n' || c == U'\t' || c == U'\r') return true;
  const int type = u_charType(static_cast<UChar32>(c));
  return c != 0xFFFD && type != U_CONTROL_CHAR && type != U_UNASSIGNED && type != U_PRIVATE_USE_CHAR &&
         type != U_SURROGATE;
}

}  // namespace

Degeneration degeneration(const std::vector<std::int64_t>& ids, std::string_view text, bool hit_length_limit) {
  const std::vector<std::int64_t> words_of_text = word_ids(text);
  const std::vector<std::int64_t>& units = ids.empty() ? words_of_text : ids;
  std::u32string characters = code_points(text);

  Degeneration result;
  for (std::size_t n = 1; n <= 4; ++n) result.repetition[n - 1] = repetition(units, n);
  result.bigram_entropy = entropy_bits(words_of_text, 2);
  result.trigram_entropy = entropy_bits(words_of_text, 3);
  result.fluency = 0.5 * (2.0 / 3.0 * result.bigram_entropy + 4.0 / 3.0 * result.trigram_entropy);
  result.longest_token_run = longest_run(units);
  result.compression_ratio = lz78_ratio(text);
  if (!characters.empty()) {
    const auto bad = std::count_if(characters.begin(), characters.end(), [](char32_t c) { return !is_printable(c); });
    result.non_printable_share = static_cast<double>(bad) / static_cast<double>(characters.size());
  }
  std::erase_if(characters, [](char32_t c) { return u_isUWhiteSpace(static_cast<UChar32>(c)); });
  result.longest_character_run = longest_run(characters);
  result.hit_length_limit = hit_length_limit;
  result.degenerate = characters.empty() || repeats_a_unit(characters) ||
                      (units.size() >= kEnoughTokens && result.repetition[3] > kRepeatedFourGrams);
  return result;
}

}  // namespace retune
