#include "text/utf8.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "text/byte_alphabet.h"

namespace retune {
namespace {

using testing::ElementsAre;
using testing::Optional;

TEST(Utf8, EveryCodePointSurvives) {
  for (char32_t code = 0; code <= 0x10FFFF; ++code) {
    if (code >= 0xD800 && code <= 0xDFFF) continue;
    std::string text;
    append_utf8(text, code);
    const Utf8Character character = utf8_at(text, 0);
    ASSERT_TRUE(character.valid);
    ASSERT_EQ(character.code, code);
    ASSERT_EQ(character.bytes, text.size());
  }
}

TEST(Utf8, FindsTheFirstByteThatIsNotUtf8) {
  EXPECT_EQ(find_invalid_utf8("häß 日本 😀"), std::nullopt);
  EXPECT_THAT(find_invalid_utf8("ab\xFFz"), Optional(2));
  EXPECT_THAT(find_invalid_utf8("a\xC0\xAF"), Optional(1));         // overlong '/'
  EXPECT_THAT(find_invalid_utf8("\xED\xA0\x80"), Optional(0));      // a surrogate
  EXPECT_THAT(find_invalid_utf8("\xF4\x90\x80\x80"), Optional(0));  // above U+10FFFF
  EXPECT_THAT(find_invalid_utf8("ab\xE6\x97"), Optional(2));        // ends within a character
}

// The Unicode standard's own example (section 3.9, table 3-8 and its neighbours).
TEST(Utf8, ReplacesEachMaximalSubpart) {
  const std::string r(kReplacementText);
  EXPECT_EQ(replace_invalid_utf8("\x61\xF1\x80\x80\xE1\x80\xC2\x62\x80\x63\x80\xBF\x64"),
            "a" + r + r + r + "b" + r + "c" + r + r + "d");
  EXPECT_EQ(replace_invalid_utf8("\xC0\xAF\xE0\x80\xBF\xF0\x81\x82\x41"), r + r + r + r + r + r + r + r + "A");
  EXPECT_EQ(replace_invalid_utf8("plain"), "plain");
}

TEST(Utf8, SplitsCharactersAndKnowsTheirKinds) {
  EXPECT_THAT(split_characters("aß日😀"), ElementsAre("a", "ß", "日", "😀"));
  for (const char32_t space : {0x9, 0x20, 0x85, 0xA0, 0x2003, 0x2028, 0x3000}) EXPECT_TRUE(is_white_space(space));
  for (const char32_t other : {0x41, 0x180E, 0x200B, 0xFEFF}) EXPECT_FALSE(is_white_space(other));
  for (const char32_t word : {0x41, 0x5F, 0x39, 0x301, 0x65E5, 0x24B6}) EXPECT_TRUE(is_word_character(word));
  for (const char32_t other : {0x20, 0x2D, 0x2E, 0xB2}) EXPECT_FALSE(is_word_character(other));
}

TEST(ByteAlphabet, WritesEveryByteWithItsPublishedCharacter) {
  const ByteAlphabet alphabet;
  EXPECT_EQ(alphabet.symbol(' '), "Ġ");
  EXPECT_EQ(alphabet.symbol('\n'), "Ċ");
  EXPECT_EQ(alphabet.symbol('\t'), "ĉ");
  EXPECT_EQ(alphabet.symbol('!'), "!");
  EXPECT_EQ(alphabet.symbol(0xAD), "Ń");
  EXPECT_EQ(alphabet.in_code_order().front(), "!");
  EXPECT_EQ(alphabet.in_code_order().back(), "Ń");
}

TEST(ByteAlphabet, ReturnsTheBytesOrNothing) {
  const ByteAlphabet alphabet;
  std::string all, decoded;
  for (int byte = 0; byte < 256; ++byte) all.push_back(static_cast<char>(byte));
  EXPECT_TRUE(alphabet.decode(alphabet.encode(all), decoded));
  EXPECT_EQ(decoded, all);
  EXPECT_FALSE(alphabet.decode("Ġ日", decoded));
  EXPECT_EQ(decoded, all);
}

}  // namespace
}  // namespace retune
