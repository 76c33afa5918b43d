// UTF-8 as the Unicode standard defines it (chapter 3, table 3-7): no overlong forms, no surrogates, nothing above
// U+10FFFF.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace retune {

inline constexpr char32_t kReplacementCharacter = 0xFFFD;
inline constexpr std::string_view kReplacementText = "\xEF\xBF\xBD";  // U+FFFD in UTF-8

struct Utf8Character {
  char32_t code = 0;  // U+FFFD if not valid
  std::size_t bytes =
      0;  // at least 1; if not valid, the bytes that one U+FFFD replaces (the maximal subpart, section 3.9)
  bool valid = false;
};

// The character that starts at byte `at` < text.size().
Utf8Character utf8_at(std::string_view text, std::size_t at);

// The offset of the first byte that is not UTF-8; nothing if all is well.
std::optional<std::size_t> find_invalid_utf8(std::string_view text);

void append_utf8(std::string& text, char32_t code);

// Every malformed part as U+FFFD, as browsers and Rust's from_utf8_lossy do.
std::string replace_invalid_utf8(std::string_view bytes);

// The characters of valid UTF-8, as views.
std::vector<std::string_view> split_characters(std::string_view text);

// Unicode's White_Space property, which `\s` means in a tokenizer.json.
bool is_white_space(char32_t code);
// What `\w` means there: Alphabetic, marks, decimal digits, connector punctuation, joiners.
bool is_word_character(char32_t code);

}  // namespace retune
