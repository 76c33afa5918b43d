#include "lalm/prompt.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tensor/error.h"
#include "text/bpe_trainer.h"

namespace retune {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

constexpr const char* kTemplate =
    "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + "
    "'\\n'}}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}";

class Prompts : public testing::Test {
 protected:
  static Tokenizer make_tokenizer() {
    const std::vector<std::string> lines = {"user assistant what is it what is it"};
    return Tokenizer::parse(
        train_byte_level_bpe(lines,
                             {.vocabulary_size = 270, .special_tokens = {"<|im_start|>", "<|im_end|>", "<|audio|>"}}),
        "test");
  }
  std::string message(const std::function<void()>& action) {
    try {
      action();
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kUser);
      return error.what();
    }
    return "no error";
  }

  Tokenizer tokenizer_ = make_tokenizer();
  ChatTemplate chat_ = ChatTemplate::from_jinja(kTemplate, "", "<|audio|>", "test");
  std::int64_t slot_ = tokenizer_.require_id("<|audio|>");
};

TEST_F(Prompts, OfTextAloneHaveNoPrefix) {
  const Prompt prompt = make_prompt(tokenizer_, chat_, "<|audio|>", "what is it", {});
  EXPECT_EQ(tokenizer_.decode(prompt.ids), "<|im_start|>user\nwhat is it<|im_end|>\n<|im_start|>assistant\n");
  EXPECT_THAT(prompt.audio_rows, IsEmpty());
  EXPECT_EQ(prompt.prefix_length(), 0);
}

TEST_F(Prompts, RepeatThePlaceholderOnceARow) {
  const Prompt prompt = make_prompt(tokenizer_, chat_, "<|audio|>", "what is it", {3, 2});
  ASSERT_EQ(prompt.audio_rows.size(), 5U);
  for (const std::int64_t row : prompt.audio_rows) EXPECT_EQ(prompt.ids[static_cast<std::size_t>(row)], slot_);
  EXPECT_EQ(std::count(prompt.ids.begin(), prompt.ids.end(), slot_), 5);
  EXPECT_EQ(prompt.prefix_length(), prompt.audio_rows.back() + 1);
  // The clips come first, each on a line of its own.
  EXPECT_EQ(tokenizer_.decode(prompt.ids),
            "<|im_start|>user\n<|audio|><|audio|><|audio|>\n<|audio|><|audio|>\nwhat is "
            "it<|im_end|>\n<|im_start|>assistant\n");
}

TEST_F(Prompts, QuestionsOnOneClipShareThePrefix) {
  const Prompt a = make_prompt(tokenizer_, chat_, "<|audio|>", "what is it", {4});
  const Prompt b = make_prompt(tokenizer_, chat_, "<|audio|>", "is it what", {4});
  ASSERT_EQ(a.prefix_length(), b.prefix_length());
  EXPECT_TRUE(std::equal(a.ids.begin(), a.ids.begin() + a.prefix_length(), b.ids.begin()));
}

TEST_F(Prompts, RawOnesTakeThePlaceholderWhereItStands) {
  const Prompt prompt = make_raw_prompt(tokenizer_, "<|audio|>", "it<|audio|>it", {2});
  EXPECT_EQ(tokenizer_.decode(prompt.ids), "it<|audio|><|audio|>it");
  const auto before = static_cast<std::int64_t>(tokenizer_.encode("it").size());
  EXPECT_THAT(prompt.audio_rows, ElementsAre(before, before + 1));
}

TEST_F(Prompts, RefuseAnotherNumberOfPlaceholdersThanClips) {
  EXPECT_THAT(message([&] { make_raw_prompt(tokenizer_, "<|audio|>", "no place", {2}); }),
              HasSubstr("0 '<|audio|>' for 1"));
  EXPECT_THAT(message([&] { make_raw_prompt(tokenizer_, "<|audio|>", "<|audio|><|audio|>", {2}); }),
              HasSubstr("more '<|audio|>' than the 1"));
  EXPECT_THAT(message([&] { make_raw_prompt(tokenizer_, "<|sound|>", "<|sound|>", {2}); }), HasSubstr("<|sound|>"));
}

}  // namespace
}  // namespace retune
