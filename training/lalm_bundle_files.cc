#include "training/lalm_bundle_files.h"

#include <nlohmann/json.hpp>

namespace retune {

namespace {

using Json = nlohmann::ordered_json;

constexpr const char* kChatMl =
    "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + "
    "'\\n'}}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}";

Json added_token(const char* content) {
  return {{"content", content}, {"lstrip", false},      {"normalized", false},
          {"rstrip", false},    {"single_word", false}, {"special", true}};
}

std::string tokenizer_config_text(const SpecialIds& ids) {
  Json added = Json::object();
  added[std::to_string(ids.end_of_text)] = added_token(kEndOfText);
  added[std::to_string(ids.turn_start)] = added_token(kTurnStart);
  added[std::to_string(ids.turn_end)] = added_token(kTurnEnd);
  added[std::to_string(ids.audio)] = added_token(kAudioPlaceholder);
  return Json({{"tokenizer_class", "PreTrainedTokenizerFast"},
               {"bos_token", nullptr},
               {"eos_token", kTurnEnd},
               {"pad_token", kEndOfText},
               {"clean_up_tokenization_spaces", false},
               {"model_max_length", 2048},
               {"added_tokens_decoder", added},
               {"chat_template", kChatMl}})
             .dump(2) +
         "\n";
}

}  // namespace

std::string chat_template_text() { return kChatMl; }

BundleTexts bundle_texts(const LalmShape& s, const SpecialIds& ids) {
  BundleTexts texts;
  const Json text_config = {{"model_type", "llama"},
                            {"hidden_size", s.width},
                            {"intermediate_size", s.hidden},
                            {"num_attention_heads", s.heads},
                            {"num_key_value_heads", s.kv_heads},
                            {"num_hidden_layers", s.blocks},
                            {"head_dim", s.head_size},
                            {"vocab_size", s.vocabulary},
                            {"rms_norm_eps", s.norm_epsilon},
                            {"rope_theta", s.rope_theta},
                            {"max_position_embeddings", 2048},
                            {"bos_token_id", ids.end_of_text},
                            {"eos_token_id", ids.turn_end}};
  const Json audio_config = {{"model_type", "whisper"},
                             {"d_model", s.encoder_width},
                             {"encoder_layers", s.encoder_blocks},
                             {"encoder_attention_heads", s.encoder_heads},
                             {"encoder_ffn_dim", s.encoder_hidden},
                             {"num_mel_bins", s.mel_bins},
                             {"max_source_positions", s.max_encoder_frames}};
  const Json config = {
      {"architectures", {"UltravoxModel"}}, {"model_type", "ultravox"},   {"ignore_index", ids.audio},
      {"audio_token_index", ids.audio},     {"stack_factor", s.stack},    {"hidden_size", s.width},
      {"vocab_size", s.vocabulary},         {"text_config", text_config}, {"audio_config", audio_config}};
  texts.config = config.dump(2) + "\n";
  texts.generation_config =
      Json({{"bos_token_id", ids.end_of_text}, {"eos_token_id", ids.turn_end}, {"pad_token_id", ids.end_of_text}})
          .dump(2) +
      "\n";
  texts.tokenizer_config = tokenizer_config_text(ids);
  texts.preprocessor_config = Json({{"feature_extractor_type", "WhisperFeatureExtractor"},
                                    {"processor_class", "UltravoxProcessor"},
                                    {"feature_size", s.mel_bins},
                                    {"sampling_rate", 16000},
                                    {"n_fft", 400},
                                    {"hop_length", 160},
                                    {"chunk_length", 30},
                                    {"n_samples", 480000},
                                    {"nb_max_frames", 3000},
                                    {"padding_value", 0.0},
                                    {"return_attention_mask", false}})
                                  .dump(2) +
                              "\n";
  // 320 samples a frame of the encoder: hop 160, and the second convolution's stride of two.
  texts.processor_config = Json({{"processor_class", "UltravoxProcessor"},
                                 {"encoder_ds_factor", 320},
                                 {"stack_factor", s.stack},
                                 {"audio_placeholder", kAudioPlaceholder}})
                               .dump(2) +
                           "\n";
  return texts;
}

}  // namespace retune
