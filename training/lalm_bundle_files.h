// The JSON files around the three graphs of a bundle in the Ultravox / transformers.js layout (onnx-layouts.md 1.1).
#pragma once

#include <string>

#include "training/lalm_builder.h"

namespace retune {

// Tokens of the layout. The placeholder and both turn marks are special tokens of the vocabulary, in this order after
// "<|endoftext|>".
inline constexpr const char* kEndOfText = "<|endoftext|>";
inline constexpr const char* kTurnStart = "<|im_start|>";
inline constexpr const char* kTurnEnd = "<|im_end|>";
inline constexpr const char* kAudioPlaceholder = "<|audio|>";

// The chat template that tokenizer_config.json holds: ChatML without a default system turn.
std::string chat_template_text();

struct BundleTexts {
  std::string config, generation_config, tokenizer_config, preprocessor_config,
      processor_config;  // contents of NAME.json
};

// `id_of` gives the ids of the special tokens.
struct SpecialIds {
  std::int64_t end_of_text = 0, turn_start = 0, turn_end = 0, audio = 0;
};
BundleTexts bundle_texts(const LalmShape& shape, const SpecialIds& ids);

}  // namespace retune
