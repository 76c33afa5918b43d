#include "text/bpe_trainer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "tensor/error.h"
#include "text/tokenizer.h"

namespace retune {
namespace {

using nlohmann::json;
using testing::HasSubstr;

const std::string kGolden = "tests/golden/tokenizer/";

std::vector<std::string> corpus() {
  std::ifstream file(kGolden + "corpus.txt");
  std::vector<std::string> lines;
  for (std::string line; std::getline(file, line);) lines.push_back(line);
  return lines;
}

void expect_golden(const std::string& name, const BpeTrainerOptions& options) {
  const json golden = json::parse(std::ifstream(kGolden + name + ".json"));
  const json trained = json::parse(train_byte_level_bpe(corpus(), options));
  EXPECT_EQ(trained["model"]["merges"], golden["model"]["merges"]) << name;
  for (const auto& [token, id] : trained["model"]["vocab"].items())
    EXPECT_EQ(golden["model"]["vocab"][token], id) << token;
}

// The golden vocabularies come from a trainer in another language that counts every pair anew for each merge.
TEST(BpeTrainer, LearnsWhatTheNaiveAlgorithmLearns) {
  expect_golden(
      "gpt2",
      {.vocabulary_size = 401, .special_tokens = {"<|endoftext|>"}, .split_pattern = std::string(kGpt2SplitPattern)});
  expect_golden("llama3", {.vocabulary_size = 450, .split_pattern = std::string(kLlama3SplitPattern)});
  expect_golden("qwen2", {.vocabulary_size = 500, .split_pattern = std::string(kQwen2SplitPattern)});
}

TEST(BpeTrainer, IsDeterministicAndReadsItsOwnFile) {
  const BpeTrainerOptions options{.vocabulary_size = 350, .special_tokens = {"<|im_start|>", "<|im_end|>"}};
  const std::string file = train_byte_level_bpe(corpus(), options);
  EXPECT_EQ(file, train_byte_level_bpe(corpus(), options));
  const Tokenizer tokenizer = Tokenizer::parse(file, "trained");
  EXPECT_EQ(tokenizer.vocabulary_size(), 350);
  EXPECT_EQ(tokenizer.require_id("<|im_end|>"), 349);
  EXPECT_TRUE(tokenizer.is_special(348));
  for (const std::string& line : corpus()) EXPECT_EQ(tokenizer.decode(tokenizer.encode(line)), line);
}

TEST(BpeTrainer, StopsWhenNothingRepeats) {
  const std::vector<std::string> lines{"abab", "xy"};
  const json file = json::parse(train_byte_level_bpe(lines, {.vocabulary_size = 1000}));
  EXPECT_EQ(file["model"]["merges"], json({"a b"}));
  const json eager = json::parse(train_byte_level_bpe(lines, {.vocabulary_size = 1000, .min_pair_count = 1}));
  EXPECT_EQ(eager["model"]["merges"].size(), 3u);
}

TEST(BpeTrainer, DoesNotLearnFromSpecialTokens) {
  const std::vector<std::string> lines(5, "<|x|>");
  const json file = json::parse(train_byte_level_bpe(lines, {.vocabulary_size = 300, .special_tokens = {"<|x|>"}}));
  EXPECT_TRUE(file["model"]["merges"].empty());
}

TEST(BpeTrainer, CountsOverlapsOnceWhenItMerges) {
  const json file = json::parse(train_byte_level_bpe(std::vector<std::string>{"aaaaa"}, {.vocabulary_size = 259}));
  EXPECT_EQ(file["model"]["merges"], json({"a a"}));  // aa aa a: no pair is left twice
}

TEST(BpeTrainer, RefusesBadOptionsAndText) {
  const auto error_of = [](const std::vector<std::string>& lines, const BpeTrainerOptions& options) -> std::string {
    try {
      train_byte_level_bpe(lines, options);
    } catch (const Error& error) {
      return error.what();
    }
    return "no error";
  };
  EXPECT_THAT(error_of({}, {.vocabulary_size = 255}), HasSubstr("vocabulary_size: expected 256"));
  EXPECT_THAT(error_of({}, {.special_tokens = {"a", "a"}}), HasSubstr("special_tokens"));
  EXPECT_THAT(error_of({}, {.special_tokens = {""}}), HasSubstr("special_tokens"));
  EXPECT_THAT(error_of({}, {.min_pair_count = 0}), HasSubstr("min_pair_count"));
  EXPECT_THAT(error_of({"fine", "b\xFF"}, {}), HasSubstr("line 2: byte 1"));
  EXPECT_THAT(error_of({}, {.split_pattern = "("}), HasSubstr("split_pattern"));
  EXPECT_EQ(error_of({}, {}), "no error");
}

}  // namespace
}  // namespace retune
