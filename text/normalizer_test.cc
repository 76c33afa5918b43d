#include "text/normalizer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <string>

#include "tensor/error.h"

namespace retune {
namespace {

using testing::HasSubstr;

std::string normalize(const char* json, std::string_view text) {
  return normalizer_from_json(nlohmann::json::parse(json), "test")(text);
}

TEST(Normalizer, AppliesTheFourUnicodeForms) {
  const char* text = "e\u0301 \u00E9 \uFB01 \u212B";
  EXPECT_EQ(normalize(R"({"type": "NFC"})", text), "\u00E9 \u00E9 \uFB01 \u00C5");
  EXPECT_EQ(normalize(R"({"type": "NFD"})", text), "e\u0301 e\u0301 \uFB01 A\u030A");
  EXPECT_EQ(normalize(R"({"type": "NFKC"})", text), "\u00E9 \u00E9 fi \u00C5");
  EXPECT_EQ(normalize(R"({"type": "NFKD"})", text), "e\u0301 e\u0301 fi A\u030A");
}

TEST(Normalizer, LowersCharacterByCharacter) {
  EXPECT_EQ(normalize(R"({"type": "Lowercase"})", "ÀÉ ΑΣ \u0130 ẞ"), "àé ασ i\u0307 ß");
}

TEST(Normalizer, StripsSpaceAndAccents) {
  EXPECT_EQ(normalize(R"({"type": "Strip"})", " \u3000a b\n"), "a b");
  EXPECT_EQ(normalize(R"({"type": "Strip", "strip_left": false})", " a "), " a");
  EXPECT_EQ(normalize(R"({"type": "Strip", "strip_right": false})", " a "), "a ");
  EXPECT_EQ(normalize(R"({"type": "Strip"})", " \n"), "");
  EXPECT_EQ(normalize(R"({"type": "Sequence", "normalizers": [{"type": "NFD"}, {"type": "StripAccents"}]})", "ÉÅ"),
            "EA");
}

TEST(Normalizer, ReplacesAndPrepends) {
  EXPECT_EQ(normalize(R"({"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": " "})", "a   b c"), "a b c");
  EXPECT_EQ(normalize(R"({"type": "Prepend", "prepend": "▁"})", "a"), "▁a");
  EXPECT_EQ(normalize(R"({"type": "Prepend", "prepend": "▁"})", ""), "");
  EXPECT_EQ(normalizer_from_json(nullptr, "test")(" x "), " x ");
}

TEST(Normalizer, NamesWhatItCannotDo) {
  try {
    normalizer_from_json(nlohmann::json::parse(R"({"type": "Precompiled"})"), "tokenizer.json: normalizer");
    FAIL();
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("tokenizer.json: normalizer: type \"Precompiled\" is not supported"));
  }
}

}  // namespace
}  // namespace retune
