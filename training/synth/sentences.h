// Short spoken sentences in the eight languages of SAKE (methods.md 8.1), made from templates and word lists.
//
// Every language has 40 templates with the slots {who} and {when}, so some thousands of distinct sentences. The splits
// share templates and words but never a sentence: the combination (template, who, when) decides which split may speak
// it.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "tensor/rng.h"
#include "training/synth/split.h"

namespace retune::synth {

struct LanguageText {
  std::string_view name;          // the label: English, German, ...
  std::string_view espeak_voice;  // the voice of espeak-ng that reads this script with its own phonemes
  std::span<const std::string_view> who;
  std::span<const std::string_view> when;
  std::span<const std::string_view> templates;  // UTF-8, each with {who} and {when} once
};

// The eight languages in the order of kLanguages (training/synth/labels.h).
std::span<const LanguageText> languages();

LanguageText english_text();
LanguageText german_text();
LanguageText spanish_text();
LanguageText french_text();
LanguageText italian_text();
LanguageText chinese_text();
LanguageText japanese_text();
LanguageText korean_text();

// The number of sentences all splits have together.
std::int64_t sentence_count(const LanguageText& language);
// Sentence number index in [0, sentence_count), and the split that owns it.
std::string sentence(const LanguageText& language, std::int64_t index);
Split sentence_split(const LanguageText& language, std::int64_t index);
// A sentence of this split, uniformly.
std::string draw_sentence(const LanguageText& language, Split split, Rng& rng);

}  // namespace retune::synth
