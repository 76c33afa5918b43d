// The BPE `model` of a tokenizer.json: which pieces of a pre-token are tokens (Sennrich et al. 2016).
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace retune {

// Lets a map with string keys be searched by views.
struct TextHash {
  using is_transparent = void;
  std::size_t operator()(std::string_view text) const { return std::hash<std::string_view>{}(text); }
};
using TokenIds = std::unordered_map<std::string, std::int64_t, TextHash, std::equal_to<>>;

class BpeModel {
 public:
  // User error naming `where` for a model of another type, a token or merge that is malformed, or a merge whose parts
  // or result are not in the vocabulary.
  static BpeModel from_json(const nlohmann::json& json, const std::string& where);

  // Appends the ids of one pre-token. Characters that the vocabulary lacks become bytes (byte_fallback), else the
  // unknown token, else nothing. Pairs merge by rank, leftmost first among equals, with a heap: n log n in the
  // characters of the pre-token.
  void encode(std::string_view pre_token, std::vector<std::int64_t>& ids) const;

  const TokenIds& vocabulary() const { return vocabulary_; }

 private:
  struct Merge {
    std::int64_t rank = 0;
    std::int64_t id = 0;
  };
  struct Options {
    std::string continuing_prefix;
    std::string word_suffix;
    bool fuse_unknown = false;
    bool byte_fallback = false;
    bool ignore_merges = false;
  };

  void read_merges(const nlohmann::json& merges, const std::string& where);
  std::int64_t id_in_merge(std::string_view token, std::size_t rank, const std::string& where) const;
  std::vector<std::int64_t> initial_symbols(std::string_view pre_token) const;
  bool append_bytes(std::string_view symbol, std::vector<std::int64_t>& ids) const;
  const Merge* find_merge(std::int64_t left, std::int64_t right) const;
  void merge(std::vector<std::int64_t>& symbols) const;

  TokenIds vocabulary_;
  std::unordered_map<std::uint64_t, Merge> merges_;  // by both ids, 32 bits each
  std::optional<std::int64_t> unknown_;
  Options options_;
};

}  // namespace retune
