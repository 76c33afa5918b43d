#include "eval/answer_text.h"

#include <unicode/locid.h>
#include <unicode/normalizer2.h>
#include <unicode/uchar.h>
#include <unicode/unistr.h>
#include <unicode/utf8.h>

#include <algorithm>
#include <map>

#include "tensor/error.h"

namespace retune {
namespace {

icu::UnicodeString from_utf8(std::string_view text) {
  return icu::UnicodeString::fromUTF8(icu::StringPiece(text.data(), static_cast<std::int32_t>(text.size())));
}

std::string to_utf8(const icu::UnicodeString& text) {
  std::string utf8;
  text.toUTF8String(utf8);
  return utf8;
}

// The plain form of a character that the judges do not tell apart.
UChar32 plain(UChar32 c) {
  switch (c) {
    case '_':
    case '-':
    case '\t':
    case '\r':
      return ' ';
    case 0x2018:
    case 0x2019:
      return '\'';
    case 0x201C:
    case 0x201D:
      return '"';
    default:
      return c;
  }
}

bool is_trimmed(char c) { return std::string_view(" \n.'\"*").find(c) != std::string_view::npos; }

bool is_word_character(UChar32 c) { return u_isalnum(c) || (U_GET_GC_MASK(c) & U_GC_M_MASK) != 0; }

UChar32 code_point_at(std::string_view text, std::size_t& offset) {
  auto i = static_cast<std::int32_t>(offset);
  UChar32 c = 0;
  U8_NEXT_OR_FFFD(text.data(), i, static_cast<std::int32_t>(text.size()), c);
  offset = static_cast<std::size_t>(i);
  return c;
}

UChar32 code_point_before(std::string_view text, std::size_t offset) {
  auto i = static_cast<std::int32_t>(offset);
  UChar32 c = 0;
  U8_PREV_OR_FFFD(text.data(), 0, i, c);
  return c;
}

}  // namespace

std::string normalized(std::string_view text) {
  UErrorCode status = U_ZERO_ERROR;
  const icu::Normalizer2* nfkc = icu::Normalizer2::getNFKCInstance(status);
  icu::UnicodeString folded;
  if (U_SUCCESS(status)) folded = nfkc->normalize(from_utf8(text), status);
  if (U_FAILURE(status)) throw failure("ICU cannot normalise an answer: {}", u_errorName(status));
  folded.toLower(icu::Locale::getRoot());

  icu::UnicodeString result;
  for (std::int32_t i = 0; i < folded.length(); i = folded.moveIndex32(i, 1)) {
    const UChar32 c = plain(folded.char32At(i));
    const bool blank_run = c == ' ' && !result.isEmpty() && result[result.length() - 1] == u' ';
    if (!blank_run) result.append(c);
  }
  std::string utf8 = to_utf8(result);
  while (!utf8.empty() && is_trimmed(utf8.back())) utf8.pop_back();
  const auto first = std::find_if_not(utf8.begin(), utf8.end(), is_trimmed);
  utf8.erase(utf8.begin(), first);
  return utf8;
}

std::vector<std::string> words(std::string_view text) {
  std::vector<std::string> words;
  bool inside = false;
  for (std::size_t offset = 0; offset < text.size();) {
    const std::size_t begin = offset;
    const bool part = is_word_character(code_point_at(text, offset));
    if (part && !inside) words.emplace_back();
    if (part) words.back() += text.substr(begin, offset - begin);
    inside = part;
  }
  return words;
}

double word_f1(std::string_view a, std::string_view b) {
  const std::vector<std::string> words_a = words(a);
  const std::vector<std::string> words_b = words(b);
  std::map<std::string, int> counts;
  for (const std::string& word : words_a) ++counts[word];
  int shared = 0;
  for (const std::string& word : words_b) shared += counts[word]-- > 0 ? 1 : 0;
  return shared == 0 ? 0 : 2.0 * shared / static_cast<double>(words_a.size() + words_b.size());
}

std::vector<std::size_t> whole_word_positions(std::string_view text, std::string_view word) {
  std::vector<std::size_t> positions;
  if (word.empty()) return positions;
  for (std::size_t at = text.find(word); at != std::string_view::npos; at = text.find(word, at + 1)) {
    std::size_t end = at + word.size();
    const bool starts = at == 0 || !is_word_character(code_point_before(text, at));
    const bool ends = end == text.size() || !is_word_character(code_point_at(text, end));
    if (starts && ends) positions.push_back(at);
  }
  return positions;
}

std::u32string code_points(std::string_view text) {
  std::u32string result;
  for (std::size_t offset = 0; offset < text.size();) result += static_cast<char32_t>(code_point_at(text, offset));
  return result;
}

std::string well_formed(std::string_view text) { return to_utf8(from_utf8(text)); }

}  // namespace retune
