#include "text/byte_alphabet.h"

#include "text/utf8.h"

namespace retune {

ByteAlphabet::ByteAlphabet() {
  bytes_.fill(-1);
  char32_t next = 256;
  for (unsigned byte = 0; byte < 256; ++byte) {
    const bool printable = (byte >= 0x21 && byte <= 0x7E) || (byte >= 0xA1 && byte <= 0xAC) || byte >= 0xAE;
    const char32_t code = printable ? static_cast<char32_t>(byte) : next++;
    append_utf8(symbols_[byte], code);
    bytes_[code] = static_cast<std::int16_t>(byte);
  }
}

std::array<std::string, 256> ByteAlphabet::in_code_order() const {
  std::array<std::string, 256> ordered;
  std::size_t count = 0;
  for (const std::int16_t byte : bytes_) {
    if (byte >= 0) ordered[count++] = symbols_[static_cast<std::size_t>(byte)];
  }
  return ordered;
}

std::string ByteAlphabet::encode(std::string_view bytes) const {
  std::string symbols;
  symbols.reserve(bytes.size() * 2);
  for (const char byte : bytes) symbols += symbol(static_cast<std::uint8_t>(byte));
  return symbols;
}

bool ByteAlphabet::decode(std::string_view symbols, std::string& bytes) const {
  const std::size_t before = bytes.size();
  for (std::size_t at = 0; at < symbols.size();) {
    const Utf8Character character = utf8_at(symbols, at);
    if (!character.valid || character.code >= kCodes || bytes_[character.code] < 0) {
      bytes.resize(before);
      return false;
    }
    bytes.push_back(static_cast<char>(bytes_[character.code]));
    at += character.bytes;
  }
  return true;
}

}  // namespace retune
