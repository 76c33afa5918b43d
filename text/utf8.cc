#include "text/utf8.h"

#include <unicode/uchar.h>

namespace retune {

namespace {

struct LeadByte {
  std::size_t bytes = 0;  // 0: no character starts with it
  unsigned char second_low = 0x80;
  unsigned char second_high = 0xBF;
};

LeadByte lead_byte(unsigned char lead) {
  if (lead < 0x80) return {1};
  if (lead < 0xC2) return {};
  if (lead < 0xE0) return {2};
  if (lead == 0xE0) return {3, 0xA0, 0xBF};
  if (lead == 0xED) return {3, 0x80, 0x9F};
  if (lead < 0xF0) return {3};
  if (lead == 0xF0) return {4, 0x90, 0xBF};
  if (lead < 0xF4) return {4};
  if (lead == 0xF4) return {4, 0x80, 0x8F};
  return {};
}

}  // namespace

Utf8Character utf8_at(std::string_view text, std::size_t at) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[at + i]); };
  const LeadByte lead = lead_byte(byte(0));
  if (lead.bytes == 0) return {kReplacementCharacter, 1, false};
  if (lead.bytes == 1) return {byte(0), 1, true};
  char32_t code = byte(0) & (0x7Fu >> lead.bytes);
  for (std::size_t i = 1; i < lead.bytes; ++i) {
    const unsigned char low = i == 1 ? lead.second_low : 0x80, high = i == 1 ? lead.second_high : 0xBF;
    if (at + i >= text.size() || byte(i) < low || byte(i) > high) return {kReplacementCharacter, i, false};
    code = (code << 6) | (byte(i) & 0x3Fu);
  }
  return {code, lead.bytes, true};
}

std::optional<std::size_t> find_invalid_utf8(std::string_view text) {
  for (std::size_t at = 0; at < text.size();) {
    const Utf8Character character = utf8_at(text, at);
    if (!character.valid) return at;
    at += character.bytes;
  }
  return std::nullopt;
}

void append_utf8(std::string& text, char32_t code) {
  const auto put = [&](char32_t byte) { text.push_back(static_cast<char>(byte)); };
  if (code < 0x80) {
    put(code);
  } else if (code < 0x800) {
    put(0xC0 | code >> 6);
    put(0x80 | (code & 0x3F));
  } else if (code < 0x10000) {
    put(0xE0 | code >> 12);
    put(0x80 | (code >> 6 & 0x3F));
    put(0x80 | (code & 0x3F));
  } else {
    put(0xF0 | code >> 18);
    put(0x80 | (code >> 12 & 0x3F));
    put(0x80 | (code >> 6 & 0x3F));
    put(0x80 | (code & 0x3F));
  }
}

std::string replace_invalid_utf8(std::string_view bytes) {
  std::string text;
  text.reserve(bytes.size());
  for (std::size_t at = 0; at < bytes.size();) {
    const Utf8Character character = utf8_at(bytes, at);
    text += character.valid ? bytes.substr(at, character.bytes) : kReplacementText;
    at += character.bytes;
  }
  return text;
}

std::vector<std::string_view> split_characters(std::string_view text) {
  std::vector<std::string_view> characters;
  for (std::size_t at = 0; at < text.size();) {
    characters.push_back(text.substr(at, utf8_at(text, at).bytes));
    at += characters.back().size();
  }
  return characters;
}

bool is_white_space(char32_t code) { return u_isUWhiteSpace(static_cast<UChar32>(code)) != 0; }

bool is_word_character(char32_t code) {
  const auto c = static_cast<UChar32>(code);
  constexpr std::uint32_t kTypes = U_GC_M_MASK | U_GC_ND_MASK | U_GC_PC_MASK;
  return u_hasBinaryProperty(c, UCHAR_ALPHABETIC) != 0 || (U_GET_GC_MASK(c) & kTypes) != 0 ||
         u_hasBinaryProperty(c, UCHAR_JOIN_CONTROL) != 0;
}

}  // namespace retune
