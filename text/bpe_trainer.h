// Trains a byte-level BPE vocabulary (Sennrich et al. 2016; Radford et al. 2019 for the byte alphabet) and writes it as
// a Hugging Face tokenizer.json that this library, `tokenizers` and transformers.js read alike.
//
//   std::string json = train_byte_level_bpe(lines, {.vocabulary_size = 2048, .special_tokens = {"<|im_start|>",
//   "<|im_end|>"}});
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace retune {

// The split patterns of well-known vocabularies, for BpeTrainerOptions::split_pattern.
inline constexpr std::string_view kGpt2SplitPattern =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";
inline constexpr std::string_view kLlama3SplitPattern =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
inline constexpr std::string_view kQwen2SplitPattern =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";

struct BpeTrainerOptions {
  // Tokens in all: 256 bytes, merges, special tokens. At least 256 + special_tokens.size(); training stops early, with
  // a smaller vocabulary, when no pair occurs min_pair_count times any more.
  std::int64_t vocabulary_size = 4096;
  std::int64_t min_pair_count = 2;
  // Added tokens marked special; their ids follow those of the merges, in this order. Not empty, no doubles.
  std::vector<std::string> special_tokens = {};
  std::string split_pattern{kLlama3SplitPattern};
};

// The text of a tokenizer.json: ids 0-255 are the bytes in the order of the byte-level alphabet, then the merges as
// learnt. Special tokens in the lines are cut out and not learnt from. Deterministic: the most frequent pair first,
// ties by the pair's smaller ids. User error if a line is not UTF-8 or an option is out of range.
std::string train_byte_level_bpe(std::span<const std::string> lines, const BpeTrainerOptions& options);

}  // namespace retune
