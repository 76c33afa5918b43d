// The `added_tokens` of a tokenizer.json: tokens that are found in the text before anything else is done to it.
#pragma once

#include <array>
#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "text/bpe_model.h"
#include "text/normalizer.h"
#include "text/pattern.h"

namespace retune {

struct AddedToken {
  std::int64_t id = 0;
  std::string content;
  bool single_word = false;  // only where no word character touches it
  bool lstrip = false;       // takes the white space before it along
  bool rstrip = false;       // and after it
  bool normalized = false;   // sought in the normalised text, by its normalised content
  bool special = false;
};

// User error naming `where` for a malformed entry, an empty content, or an id or content given twice.
std::vector<AddedToken> added_tokens_from_json(const nlohmann::json& json, const std::string& where);

// A stretch of text: an added token, or text in between.
struct Section {
  TextRange range;
  std::optional<std::int64_t> token;
};

// Finds a set of tokens in text: the leftmost first, the longest of those that start there.
class TokenFinder {
 public:
  // Seeks the tokens whose `normalized` is as given, each by `spelling(content)`.
  TokenFinder(const std::vector<AddedToken>& tokens, bool normalized, const Normalizer& spelling);

  // The whole text as sections, none empty.
  std::vector<Section> split(std::string_view text) const;

 private:
  const AddedToken* find_at(std::string_view text, std::size_t at, std::size_t& bytes) const;

  std::vector<AddedToken> tokens_;
  std::unordered_map<std::string, std::size_t, TextHash, std::equal_to<>> by_spelling_;
  std::array<std::vector<std::size_t>, 256> lengths_;  // of the spellings that start with a byte, longest first
};

}  // namespace retune
