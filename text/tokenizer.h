// Text to token ids and back, by a Hugging Face tokenizer.json, with the ids that the `tokenizers` library gives.
//
//   Tokenizer tokenizer = Tokenizer::load(folder / "tokenizer.json");
//   std::vector<std::int64_t> ids = tokenizer.encode("What animal is it?<|im_end|>");
//   std::string text = tokenizer.decode(ids, {.skip_special = true});
//
// Read: BPE models (byte-level as GPT-2, Qwen2, Llama-3, o200k; SentencePiece-like with byte fallback), added tokens,
// the normalizers NFC, NFD, NFKC, NFKD, Lowercase, Strip, StripAccents, Replace, Prepend, Sequence; the pre-tokenizers
// ByteLevel, Split, Digits, Metaspace, Whitespace, WhitespaceSplit, Punctuation, Sequence; the post-processors
// TemplateProcessing, BertProcessing, RobertaProcessing, ByteLevel, Sequence; the decoders ByteLevel, Metaspace,
// BPEDecoder, Replace, ByteFallback, Fuse, Strip, Sequence. Anything else is a user error that names it. The file's
// `truncation` and `padding`, and BPE dropout, are not applied.
//
// A Tokenizer is a cheap handle on immutable data; every const method may be called from many threads.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace retune {

struct EncodeOptions {
  // Add what the post_processor adds (e.g. a begin-of-text token). Leave it off for text from a chat template, which
  // holds them.
  bool add_special = false;
};

struct DecodeOptions {
  // Leave out added tokens with `"special": true`.
  bool skip_special = false;
};

class Tokenizer {
 public:
  // User error naming the file and the component for anything that is missing, malformed or not supported.
  static Tokenizer load(const std::filesystem::path& tokenizer_json);
  static Tokenizer parse(std::string_view json, std::string name_for_errors);

  // `text` is UTF-8; a byte that is not is a user error naming its offset. Added tokens in the text (`<|im_end|>`)
  // become their ids. Throws a user error if a split pattern exceeds its match limits on this text.
  std::vector<std::int64_t> encode(std::string_view text, EncodeOptions options = {}) const;

  // UTF-8; bytes of tokens that do not form a character become U+FFFD. Ids that name no token (a model's output layer
  // is often padded beyond its vocabulary) give no text.
  std::string decode(std::span<const std::int64_t> ids, DecodeOptions options = {}) const;

  // The id of a token as the file spells it ("<|audio|>", "Ġcat"), added tokens first.
  std::optional<std::int64_t> id_of(std::string_view token) const;
  // As id_of; a user error naming the token and the file if there is none.
  std::int64_t require_id(std::string_view token) const;
  // The token as the file spells it; user error if no token has this id.
  std::string_view token(std::int64_t id) const;
  bool has_token(std::int64_t id) const;
  // True for added tokens with `"special": true`.
  bool is_special(std::int64_t id) const;
  // One more than the largest id.
  std::int64_t vocabulary_size() const;

 private:
  struct State;
  explicit Tokenizer(std::shared_ptr<const State> state) : state_(std::move(state)) {}

  std::shared_ptr<const State> state_;
};

// Decodes ids as a model produces them, never splitting a character: the pieces, joined, are decode() of all ids.
//
//   TextStream stream(tokenizer, {.skip_special = true});
//   while (...) show(stream.push(id));
//   show(stream.finish());
class TextStream {
 public:
  explicit TextStream(Tokenizer tokenizer, DecodeOptions options = {})
      : tokenizer_(std::move(tokenizer)), options_(options) {}

  // The text that this id completes; empty while a character is incomplete.
  std::string push(std::int64_t id);
  // What is left, incomplete characters as U+FFFD.
  std::string finish();

 private:
  Tokenizer tokenizer_;
  DecodeOptions options_;
  std::vector<std::int64_t> window_;  // the ids whose text is not settled yet, after those of context_ids_
  std::size_t context_ids_ = 0;  // leading ids of window_ that are shown already, kept for what they do to the next one
};

}  // namespace retune
