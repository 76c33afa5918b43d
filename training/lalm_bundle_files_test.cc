#include "training/lalm_bundle_files.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "audio/front_end.h"
#include "text/chat_template.h"

namespace retune {
namespace {

using Json = nlohmann::json;

LalmShape shape() {
  LalmShape s;
  s.vocabulary = 600;
  s.mel_bins = 40;
  return s;
}
const SpecialIds kIds{596, 597, 598, 599};

TEST(LalmBundleFiles, SayWhatTheModelIs) {
  const BundleTexts texts = bundle_texts(shape(), kIds);
  const Json config = Json::parse(texts.config);
  EXPECT_EQ(config["model_type"], "ultravox");
  EXPECT_EQ(config["audio_token_index"], kIds.audio);
  EXPECT_EQ(config["text_config"]["vocab_size"], 600);
  EXPECT_EQ(config["text_config"]["num_key_value_heads"], shape().kv_heads);
  EXPECT_EQ(config["audio_config"]["num_mel_bins"], 40);
  EXPECT_EQ(Json::parse(texts.generation_config)["eos_token_id"], kIds.turn_end);
  EXPECT_EQ(Json::parse(texts.tokenizer_config)["added_tokens_decoder"]["599"]["content"], kAudioPlaceholder);
  EXPECT_EQ(Json::parse(texts.processor_config)["audio_placeholder"], kAudioPlaceholder);
}

TEST(LalmBundleFiles, AreReadByOurOwnReaders) {
  const BundleTexts texts = bundle_texts(shape(), kIds);
  EXPECT_EQ(FrontEnd::parse(texts.preprocessor_config, "preprocessor_config.json").options().mels, 40);
  const ChatTemplate chat = ChatTemplate::from_jinja(chat_template_text(), "", kAudioPlaceholder, "test");
  ASSERT_EQ(chat.end_of_turn().size(), 1U);
  EXPECT_EQ(chat.end_of_turn()[0], kTurnEnd);
  EXPECT_EQ(chat.render({Turn::user({ContentPart::clip(), ContentPart::of("\nWhat is it?")})}),
            "<|im_start|>user\n<|audio|>\nWhat is it?<|im_end|>\n<|im_start|>assistant\n");
}

}  // namespace
}  // namespace retune
