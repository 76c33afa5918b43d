#include "text/tokenizer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "tensor/error.h"
#include "tensor/rng.h"
#include "text/utf8.h"

namespace retune {
namespace {

using nlohmann::json;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using Ids = std::vector<std::int64_t>;

const std::filesystem::path kGolden = "tests/golden/tokenizer";

json read(const std::filesystem::path& path) { return json::parse(std::ifstream(path)); }

// A vocabulary of letters with three merges, to which a test adds what it is about.
json small_file() {
  return json::parse(
      R"({"added_tokens": [], "normalizer": null, "pre_tokenizer": null, "post_processor": null, "decoder":
    {"type": "Fuse"}, "model": {"type": "BPE", "vocab": {"a": 0, "b": 1, "c": 2, " ": 3, "ab": 4, "abc": 5, "bc": 6, "<unk>": 7},
    "merges": [["a", "b"], ["ab", "c"], "b c"]}})");
}

json added(std::int64_t id, const std::string& content) {
  return {{"id", id}, {"content", content}, {"special", false}, {"normalized", false}};
}

Tokenizer parse(const json& file) { return Tokenizer::parse(file.dump(), "tokenizer.json"); }

std::string parse_error(const json& file) {
  try {
    parse(file);
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kUser);
    EXPECT_THAT(error.what(), HasSubstr("tokenizer.json"));
    return error.what();
  }
  return "no error";
}

class GoldenTokenizer : public testing::TestWithParam<const char*> {};

TEST_P(GoldenTokenizer, GivesTheIdsAndTextOfTheReference) {
  const std::string name = GetParam();
  const Tokenizer tokenizer = Tokenizer::load(kGolden / (name + ".json"));
  const json all = read(kGolden / "cases.json");
  ASSERT_GT(all[name].size(), 30u);
  for (const json& example : all[name]) {
    const auto text = example["text"].get<std::string>();
    const auto ids = example["ids"].get<Ids>();
    EXPECT_EQ(tokenizer.encode(text), ids) << name << ": " << text;
    EXPECT_EQ(tokenizer.decode(ids), example["decoded"].get<std::string>()) << name;
    EXPECT_EQ(tokenizer.decode(ids, {.skip_special = true}), example["skipped"].get<std::string>()) << name;
    Ids framed = example["before"].get<Ids>();
    framed.insert(framed.end(), ids.begin(), ids.end());
    EXPECT_EQ(tokenizer.encode(text, {.add_special = true}), framed) << name << ": " << text;
  }
}

TEST_P(GoldenTokenizer, StreamsTheSameTextWithoutSplittingACharacter) {
  const std::string name = GetParam();
  const Tokenizer tokenizer = Tokenizer::load(kGolden / (name + ".json"));
  const json all = read(kGolden / "cases.json");
  for (const json& example : all[name]) {
    TextStream stream(tokenizer);
    std::string text;
    for (const std::int64_t id : example["ids"].get<Ids>()) {
      const std::string piece = stream.push(id);
      EXPECT_EQ(piece.find("\uFFFD"), std::string::npos);
      text += piece;
    }
    EXPECT_EQ(text + stream.finish(), example["decoded"].get<std::string>()) << name;
  }
}

INSTANTIATE_TEST_SUITE_P(Families, GoldenTokenizer, testing::Values("gpt2", "qwen2", "llama3", "sentencepiece"),
                         [](const auto& family) { return std::string(family.param); });

TEST(Tokenizer, ByteLevelRoundTripsAnyText) {
  const Tokenizer tokenizer = Tokenizer::load(kGolden / "llama3.json");
  Rng rng(11);
  for (int round = 0; round < 200; ++round) {
    std::string text;
    for (std::uint64_t i = rng.below(40); i > 0; --i)
      append_utf8(text, static_cast<char32_t>(rng.below(rng.below(3) ? 128 : 0x3000)));
    EXPECT_EQ(tokenizer.decode(tokenizer.encode(text)), text);
  }
}

TEST(Tokenizer, LooksTokensUpBothWays) {
  const Tokenizer tokenizer = Tokenizer::load(kGolden / "qwen2.json");
  const std::int64_t end = tokenizer.require_id("<|im_end|>");
  EXPECT_EQ(tokenizer.token(end), "<|im_end|>");
  EXPECT_TRUE(tokenizer.is_special(end));
  EXPECT_FALSE(tokenizer.is_special(*tokenizer.id_of("<tool>")));
  EXPECT_EQ(tokenizer.token(*tokenizer.id_of("Ġ")), "Ġ");
  EXPECT_EQ(tokenizer.id_of("<|absent|>"), std::nullopt);
  EXPECT_THROW(tokenizer.require_id("<|absent|>"), Error);
  EXPECT_EQ(tokenizer.vocabulary_size(), *tokenizer.id_of("<tool>") + 1);
  EXPECT_FALSE(tokenizer.has_token(tokenizer.vocabulary_size()));
  EXPECT_THROW(tokenizer.token(-1), Error);
  EXPECT_EQ(tokenizer.decode(Ids{tokenizer.vocabulary_size() + 5, -3}), "");
}

TEST(Tokenizer, MergesTheLowestRankFirstAndTheLeftmostAmongEquals) {
  EXPECT_THAT(parse(small_file()).encode("abc"), ElementsAre(5));
  EXPECT_THAT(parse(small_file()).encode("bcabc"), ElementsAre(6, 5));
  json file = small_file();
  file["model"]["vocab"]["aa"] = 8;
  file["model"]["merges"].push_back("a a");
  EXPECT_THAT(parse(file).encode("aaa"), ElementsAre(8, 0));
  EXPECT_THAT(parse(file).encode("aab"), ElementsAre(0, 4));
  file["model"]["merges"] = {"b c", "a b", "ab c", "a bc"};
  EXPECT_THROW(parse([&] {
                 json broken = file;
                 broken["model"]["merges"].push_back("bc c");
                 return broken;
               }()),
               Error);
  EXPECT_THAT(parse(file).encode("abc"), ElementsAre(5));
}

TEST(Tokenizer, MergesALongTextInReasonableTime) {
  std::string text;
  for (int i = 0; i < 200'000; ++i) text += "abc";
  EXPECT_EQ(parse(small_file()).encode(text).size(), 200'000u);
}

TEST(Tokenizer, UnknownCharactersFuseOrNotOrVanish) {
  json file = small_file();
  EXPECT_THAT(parse(file).encode("axyb"), ElementsAre(4));
  file["model"]["unk_token"] = "<unk>";
  EXPECT_THAT(parse(file).encode("axyb"), ElementsAre(0, 7, 7, 1));
  file["model"]["fuse_unk"] = true;
  EXPECT_THAT(parse(file).encode("axyb"), ElementsAre(0, 7, 1));
  file["model"]["byte_fallback"] = true;
  file["model"]["vocab"]["<0x78>"] = 20;
  EXPECT_THAT(parse(file).encode("axyb"), ElementsAre(0, 20, 7, 1));
}

TEST(Tokenizer, PrefixesAndSuffixesMarkPlacesInAWord) {
  json file = small_file();
  file["model"]["end_of_word_suffix"] = "</w>";
  file["model"]["vocab"]["c</w>"] = 30;
  file["model"]["vocab"]["abc</w>"] = 31;
  file["model"]["merges"] = {"a b", "ab c</w>"};
  file["decoder"] = {{"type", "BPEDecoder"}, {"suffix", "</w>"}};
  file["pre_tokenizer"] = {{"type", "WhitespaceSplit"}};
  EXPECT_THAT(parse(file).encode("abc abcc"), ElementsAre(31, 4, 2, 30));
  EXPECT_EQ(parse(file).decode(Ids{31, 4, 2, 30}), "abc abcc");
}

TEST(Tokenizer, FindsTheLongestAddedTokenAndTakesSpaceAlong) {
  json file = small_file();
  file["added_tokens"] = {added(10, "<x>"), added(11, "<x><y>"), added(12, "[L]"), added(13, "[R]"), added(14, "W")};
  file["added_tokens"][2]["lstrip"] = true;
  file["added_tokens"][3]["rstrip"] = true;
  file["added_tokens"][4]["single_word"] = true;
  const Tokenizer tokenizer = parse(file);
  EXPECT_THAT(tokenizer.encode("<x><y><x>"), ElementsAre(11, 10));
  EXPECT_THAT(tokenizer.encode("a [L] b"), ElementsAre(0, 12, 3, 1));
  EXPECT_THAT(tokenizer.encode("a [R]\u3000 b"), ElementsAre(0, 3, 13, 1));
  EXPECT_THAT(tokenizer.encode("a W b"), ElementsAre(0, 3, 14, 3, 1));
  EXPECT_THAT(tokenizer.encode("aW"), ElementsAre(0));
}

TEST(Tokenizer, NormalisedAddedTokensAreSoughtAfterNormalising) {
  json file = small_file();
  file["normalizer"] = {{"type", "Lowercase"}};
  file["added_tokens"] = {added(10, "<X>"), added(11, "<Y>")};
  file["added_tokens"][1]["normalized"] = true;
  EXPECT_THAT(parse(file).encode("A<X>B<y>c<Y>"), ElementsAre(0, 10, 1, 11, 2, 11));
  EXPECT_THAT(parse(file).encode("<x>"), IsEmpty());
}

TEST(Tokenizer, PostProcessorsFrameTheText) {
  json file = small_file();
  file["post_processor"] = json::parse(R"({"type": "RobertaProcessing", "sep": ["b", 1], "cls": ["c", 2]})");
  EXPECT_THAT(parse(file).encode("a", {.add_special = true}), ElementsAre(2, 0, 1));
  EXPECT_THAT(parse(file).encode("a"), ElementsAre(0));
  file["post_processor"] = json::parse(R"({"type": "TemplateProcessing", "special_tokens": {"S": {"ids": [5, 6]}},
    "single": [{"SpecialToken": {"id": "S"}}, {"Sequence": {"id": "A"}}, {"SpecialToken": {"id": "S"}}]})");
  EXPECT_THAT(parse(file).encode("a", {.add_special = true}), ElementsAre(5, 6, 0, 5, 6));
}

TEST(Tokenizer, DecodesMalformedBytesAsReplacements) {
  const Tokenizer bytes = Tokenizer::load(kGolden / "gpt2.json");
  const Ids half{*bytes.id_of("æ"), *bytes.id_of("Ĺ")};  // two bytes of a character of three
  EXPECT_EQ(bytes.decode(half), "\uFFFD");
  TextStream stream(bytes);
  EXPECT_EQ(stream.push(half[0]), "");
  EXPECT_EQ(stream.push(half[1]), "");
  EXPECT_EQ(stream.push(*bytes.id_of("¥")), "日");
  EXPECT_EQ(stream.push(half[0]), "");
  EXPECT_EQ(stream.finish(), "\uFFFD");
  const Tokenizer pieces = Tokenizer::load(kGolden / "sentencepiece.json");
  EXPECT_EQ(pieces.decode(Ids{*pieces.id_of("<0xE6>"), *pieces.id_of("<0x97>"), *pieces.id_of("a")}), "\uFFFD\uFFFDa");
}

TEST(Tokenizer, RefusesTextThatIsNotUtf8) {
  try {
    parse(small_file()).encode("ab\xFF");
    FAIL();
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("byte 2 is 0xFF"));
  }
}

TEST(Tokenizer, NamesWhatIsWrongWithAFile) {
  EXPECT_THAT(parse_error(json::array()), HasSubstr("expected a JSON object"));
  const auto with = [](const char* pointer, const json& value) {
    json file = small_file();
    file[json::json_pointer(pointer)] = value;
    return parse_error(file);
  };
  EXPECT_THAT(with("/model/type", "Unigram"), HasSubstr("model: type \"Unigram\" is not supported"));
  EXPECT_THAT(with("/normalizer", {{"type", "BertNormalizer"}}), HasSubstr("normalizer: type \"BertNormalizer\""));
  EXPECT_THAT(with("/pre_tokenizer", {{"type", "Unknown"}}), HasSubstr("pre_tokenizer: type \"Unknown\""));
  EXPECT_THAT(with("/post_processor", {{"type", "Unknown"}}), HasSubstr("post_processor: type \"Unknown\""));
  EXPECT_THAT(with("/decoder", {{"type", "CTC"}}), HasSubstr("decoder: type \"CTC\""));
  EXPECT_THAT(with("/normalizer", "NFC"), HasSubstr("expected an object, got string"));
  EXPECT_THAT(with("/model/vocab/a", -1), HasSubstr("token \"a\": expected an integer"));
  EXPECT_THAT(with("/model/vocab/a", 1), HasSubstr("is taken already"));
  EXPECT_THAT(with("/model/merges", {"a z"}), HasSubstr("merge 0: \"z\" is not in the vocabulary"));
  EXPECT_THAT(with("/model/merges", {"abc"}), HasSubstr("merge 0: expected"));
  EXPECT_THAT(with("/model/merges", "a b"), HasSubstr("expected an array"));
  EXPECT_THAT(with("/model/unk_token", "<none>"), HasSubstr("unk_token \"<none>\""));
  EXPECT_THAT(with("/added_tokens", {{{"id", 1}}}), HasSubstr("'content' is missing"));
  EXPECT_THAT(with("/added_tokens", {added(1, "x"), added(1, "y")}), HasSubstr("twice"));
  EXPECT_THAT(with("/model", nullptr), HasSubstr("expected an object"));
}

TEST(Tokenizer, DamagedFilesGiveErrorsOrWork) {
  std::ifstream file(kGolden / "qwen2.json");
  const std::string whole((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  Rng rng(5);
  int refused = 0;
  for (int round = 0; round < 200; ++round) {
    std::string damaged = whole;
    for (std::uint64_t i = rng.below(4) + 1; i > 0; --i) damaged[rng.below(1500)] = static_cast<char>(rng.below(256));
    try {
      Tokenizer::parse(damaged, "damaged.json").encode("It's <|im_end|> 123 e\u0301");
    } catch (const Error& error) {
      ++refused;
      EXPECT_EQ(std::string(error.what()).find('\n'), std::string::npos);
    }
  }
  EXPECT_GT(refused, 100);
}

TEST(Tokenizer, RefusesTornAndHostileFiles) {
  std::string text = small_file().dump();
  EXPECT_THROW(Tokenizer::parse(text.substr(0, text.size() / 2), "test"), Error);
  EXPECT_THROW(Tokenizer::parse("", "test"), Error);
  EXPECT_THROW(Tokenizer::load(kGolden / "absent.json"), Error);
  std::string nested;
  for (int i = 0; i < 100'000; ++i) nested += R"({"normalizer":{"type":"Sequence","normalizers":[)";
  try {
    Tokenizer::parse(nested, "deep.json");
    FAIL();
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), AllOf(HasSubstr("deep.json"), HasSubstr("nested more than")));
  }
}

}  // namespace
}  // namespace retune
