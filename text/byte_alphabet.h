// The 256 printable characters that byte-level BPE writes bytes with (Radford et al. 2019): 0x21-0x7E, 0xA1-0xAC and
// 0xAE-0xFF are themselves, the other 68 bytes are U+0100, U+0101, ... in order (space is U+0120 'Ġ', newline U+010A
// 'Ċ').
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

namespace retune {

class ByteAlphabet {
 public:
  ByteAlphabet();

  // The character of a byte, in UTF-8.
  const std::string& symbol(std::uint8_t byte) const { return symbols_[byte]; }
  // The 256 symbols in the order of their code points, which is the order of ids in GPT-2's vocabulary.
  std::array<std::string, 256> in_code_order() const;
  // Every byte as its symbol.
  std::string encode(std::string_view bytes) const;
  // The bytes that the symbols stand for, appended; false, appending nothing, if a character is not of the alphabet.
  bool decode(std::string_view symbols, std::string& bytes) const;

 private:
  static constexpr std::size_t kCodes = 256 + 68;

  std::array<std::string, 256> symbols_;
  std::array<std::int16_t, kCodes> bytes_;  // by code point; -1: not of the alphabet
};

}  // namespace retune
