#include "text/bpe_trainer.h"

#include <algorithm>
#include <map>
#include <queue>
#include <set>
#include <tuple>
#include <unordered_map>
#include <utility>

#include "tensor/error.h"
#include "text/added_tokens.h"
#include "text/byte_alphabet.h"
#include "text/json_fields.h"
#include "text/pattern.h"
#include "text/pre_tokenizer.h"
#include "text/utf8.h"

namespace retune {

namespace {

using Id = std::int64_t;
using Pair = std::pair<Id, Id>;

void validate(const BpeTrainerOptions& options) {
  const std::set<std::string> unique(options.special_tokens.begin(), options.special_tokens.end());
  if (unique.size() != options.special_tokens.size() || unique.contains("")) {
    throw user_error("BPE training: special_tokens: expected texts that are not empty and all different");
  }
  const Id least = 256 + static_cast<Id>(options.special_tokens.size());
  if (options.vocabulary_size < least || options.vocabulary_size > 10'000'000) {
    throw user_error("BPE training: vocabulary_size: expected {} to 10000000, got {}", least, options.vocabulary_size);
  }
  if (options.min_pair_count < 1) {
    throw user_error("BPE training: min_pair_count: expected at least 1, got {}", options.min_pair_count);
  }
}

// How often each pre-token occurs, as bytes.
std::map<std::string, std::int64_t> count_words(std::span<const std::string> lines, const BpeTrainerOptions& options) {
  const Pattern pattern = Pattern::regex(options.split_pattern, "BPE training: split_pattern");
  std::vector<AddedToken> specials;
  for (const std::string& content : options.special_tokens) specials.push_back({.content = content, .special = true});
  const TokenFinder finder(specials, false, [](std::string_view text) { return std::string(text); });
  std::map<std::string, std::int64_t> words;
  for (std::size_t line = 0; line < lines.size(); ++line) {
    const std::string_view text = lines[line];
    if (const auto at = find_invalid_utf8(text)) {
      throw user_error("BPE training: line {}: byte {} is not UTF-8", line + 1, *at);
    }
    for (const Section& section : finder.split(text)) {
      if (section.token) continue;
      const std::string_view part = section.range.of(text);
      for (const TextRange word : split_at(part.size(), pattern.matches(part))) {
        ++words[std::string(word.of(part))];
      }
    }
  }
  return words;
}

struct Word {
  std::vector<Id> symbols;
  std::int64_t count = 0;
};

// A pair with a count that was true when it was queued. The top is the most frequent, ties by the smaller ids.
struct Queued {
  std::int64_t count;
  Pair pair;
  friend bool operator<(const Queued& a, const Queued& b) {
    return std::tuple(a.count, b.pair) < std::tuple(b.count, a.pair);
  }
};

class Trainer {
 public:
  Trainer(const std::map<std::string, std::int64_t>& words, const BpeTrainerOptions& options) : options_(options) {
    const ByteAlphabet alphabet;
    for (const std::string& symbol : alphabet.in_code_order()) add_token(symbol);
    for (const auto& [text, count] : words) {
      Word word{{}, count};
      for (const char byte : text) word.symbols.push_back(ids_.at(alphabet.symbol(static_cast<std::uint8_t>(byte))));
      words_.push_back(std::move(word));
    }
  }

  void run() {
    for (std::size_t word = 0; word < words_.size(); ++word) count_pairs(word, +1);
    for (const auto& [pair, count] : counts_) queue_.push({count, pair});
    touched_.clear();
    const Id limit = options_.vocabulary_size - static_cast<Id>(options_.special_tokens.size());
    while (static_cast<Id>(tokens_.size()) < limit) {
      const std::optional<Pair> pair = most_frequent();
      if (!pair) break;
      merge(*pair);
    }
  }

  std::string to_json() const {
    Json vocabulary = Json::object(), added = Json::array();
    for (const auto& [token, id] : ids_) vocabulary[token] = id;
    for (std::size_t i = 0; i < options_.special_tokens.size(); ++i) {
      added.push_back({{"id", tokens_.size() + i},
                       {"content", options_.special_tokens[i]},
                       {"single_word", false},
                       {"lstrip", false},
                       {"rstrip", false},
                       {"normalized", false},
                       {"special", true}});
    }
    const Json byte_level = {
        {"type", "ByteLevel"}, {"add_prefix_space", false}, {"trim_offsets", true}, {"use_regex", false}};
    const Json split = {{"type", "Split"},
                        {"pattern", {{"Regex", options_.split_pattern}}},
                        {"behavior", "Isolated"},
                        {"invert", false}};
    const Json model = {{"type", "BPE"},
                        {"dropout", nullptr},
                        {"unk_token", nullptr},
                        {"continuing_subword_prefix", nullptr},
                        {"end_of_word_suffix", nullptr},
                        {"fuse_unk", false},
                        {"byte_fallback", false},
                        {"ignore_merges", false},
                        {"vocab", vocabulary},
                        {"merges", merges_}};
    const Json file = {{"version", "1.0"},
                       {"truncation", nullptr},
                       {"padding", nullptr},
                       {"added_tokens", added},
                       {"normalizer", nullptr},
                       {"pre_tokenizer", {{"type", "Sequence"}, {"pretokenizers", {split, byte_level}}}},
                       {"post_processor", nullptr},
                       {"decoder", byte_level},
                       {"model", model}};
    return file.dump(1) + "\n";
  }

 private:
  Id add_token(const std::string& token) {
    const auto [found, added] = ids_.try_emplace(token, static_cast<Id>(tokens_.size()));
    if (added) tokens_.push_back(token);
    return found->second;
  }

  // Adds a word's pairs to the counts (sign +1) or takes them away (-1).
  void count_pairs(std::size_t word, int sign) {
    const std::vector<Id>& symbols = words_[word].symbols;
    for (std::size_t i = 1; i < symbols.size(); ++i) {
      const Pair pair{symbols[i - 1], symbols[i]};
      counts_[pair] += sign * words_[word].count;
      if (sign > 0) where_[pair].insert(word);
      touched_.insert(pair);
    }
  }

  std::optional<Pair> most_frequent() {
    while (!queue_.empty()) {
      const Queued top = queue_.top();
      const std::int64_t count = counts_[top.pair];
      if (count == top.count) return count >= options_.min_pair_count ? std::optional(top.pair) : std::nullopt;
      queue_.pop();
      if (count > 0) queue_.push({count, top.pair});
    }
    return std::nullopt;
  }

  void merge(Pair pair) {
    merges_.push_back(tokens_[static_cast<std::size_t>(pair.first)] + " " +
                      tokens_[static_cast<std::size_t>(pair.second)]);
    const Id id =
        add_token(tokens_[static_cast<std::size_t>(pair.first)] + tokens_[static_cast<std::size_t>(pair.second)]);
    touched_.clear();
    const std::set<std::size_t> words = std::move(where_[pair]);
    for (const std::size_t word : words) {
      count_pairs(word, -1);
      replace_pair(words_[word].symbols, pair, id);
      count_pairs(word, +1);
    }
    where_.erase(pair);
    for (const Pair& changed : touched_) queue_.push({counts_[changed], changed});
  }

  static void replace_pair(std::vector<Id>& symbols, Pair pair, Id id) {
    std::size_t out = 0;
    for (std::size_t i = 0; i < symbols.size(); ++i) {
      const bool here = i + 1 < symbols.size() && symbols[i] == pair.first && symbols[i + 1] == pair.second;
      symbols[out++] = here ? id : symbols[i];
      if (here) ++i;
    }
    symbols.resize(out);
  }

  const BpeTrainerOptions& options_;
  std::vector<std::string> tokens_;
  std::map<std::string, Id> ids_;
  std::vector<std::string> merges_;
  std::vector<Word> words_;
  std::map<Pair, std::int64_t> counts_;
  std::map<Pair, std::set<std::size_t>> where_;  // the words that hold a pair, and perhaps some that did
  std::set<Pair> touched_;                       // pairs whose count changed in the current merge
  std::priority_queue<Queued> queue_;
};

}  // namespace

std::string train_byte_level_bpe(std::span<const std::string> lines, const BpeTrainerOptions& options) {
  validate(options);
  Trainer trainer(count_words(lines, options), options);
  trainer.run();
  return trainer.to_json();
}

}  // namespace retune
