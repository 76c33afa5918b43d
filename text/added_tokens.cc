#include "text/added_tokens.h"

#include <algorithm>
#include <functional>
#include <unordered_set>

#include "tensor/error.h"
#include "text/json_fields.h"
#include "text/utf8.h"

namespace retune {

namespace {

// The start of the character that ends before byte `at` > 0.
std::size_t previous_character(std::string_view text, std::size_t at) {
  do --at;
  while (at > 0 && (static_cast<unsigned char>(text[at]) & 0xC0) == 0x80);
  return at;
}

bool stands_alone(std::string_view text, TextRange range) {
  const bool word_before =
      range.begin > 0 && is_word_character(utf8_at(text, previous_character(text, range.begin)).code);
  const bool word_after = range.end < text.size() && is_word_character(utf8_at(text, range.end).code);
  return !word_before && !word_after;
}

std::size_t white_space_before(std::string_view text, std::size_t at, std::size_t limit) {
  while (at > limit) {
    const std::size_t previous = previous_character(text, at);
    if (!is_white_space(utf8_at(text, previous).code)) break;
    at = previous;
  }
  return std::max(at, limit);
}

std::size_t white_space_after(std::string_view text, std::size_t at) {
  while (at < text.size() && is_white_space(utf8_at(text, at).code)) at += utf8_at(text, at).bytes;
  return at;
}

}  // namespace

std::vector<AddedToken> added_tokens_from_json(const nlohmann::json& json, const std::string& where) {
  if (!json.is_array()) throw user_error("{}: expected an array, got {}", where, json.type_name());
  std::vector<AddedToken> tokens;
  std::unordered_set<std::int64_t> ids;
  std::unordered_set<std::string> contents;
  for (const Json& entry : json) {
    AddedToken token;
    token.content = require_string(entry, "content", where);
    const std::string name = where + ": " + in_quotes(token.content);
    token.id = require_index(require_field(entry, "id", name), name);
    token.single_word = flag_or(entry, "single_word", false, name);
    token.lstrip = flag_or(entry, "lstrip", false, name);
    token.rstrip = flag_or(entry, "rstrip", false, name);
    token.special = flag_or(entry, "special", false, name);
    token.normalized = flag_or(entry, "normalized", !token.special, name);
    if (token.content.empty()) throw user_error("{}: the token with id {} is empty", where, token.id);
    if (!ids.insert(token.id).second || !contents.insert(token.content).second) {
      throw user_error("{}: it, or its id {}, is there twice", name, token.id);
    }
    tokens.push_back(std::move(token));
  }
  return tokens;
}

TokenFinder::TokenFinder(const std::vector<AddedToken>& tokens, bool normalized, const Normalizer& spelling) {
  for (const AddedToken& token : tokens) {
    if (token.normalized != normalized) continue;
    const std::string spelt = spelling(token.content);
    if (spelt.empty()) continue;  // the normalizer removes it: no text can hold it
    by_spelling_.insert_or_assign(spelt, tokens_.size());
    tokens_.push_back(token);
    lengths_[static_cast<unsigned char>(spelt[0])].push_back(spelt.size());
  }
  for (std::vector<std::size_t>& lengths : lengths_) {
    std::sort(lengths.begin(), lengths.end(), std::greater<>());
    lengths.erase(std::unique(lengths.begin(), lengths.end()), lengths.end());
  }
}

const AddedToken* TokenFinder::find_at(std::string_view text, std::size_t at, std::size_t& bytes) const {
  for (const std::size_t length : lengths_[static_cast<unsigned char>(text[at])]) {
    if (length > text.size() - at) continue;
    const auto found = by_spelling_.find(text.substr(at, length));
    if (found == by_spelling_.end()) continue;
    bytes = length;
    return &tokens_[found->second];
  }
  return nullptr;
}

std::vector<Section> TokenFinder::split(std::string_view text) const {
  std::vector<Section> sections;
  std::size_t done = 0;  // text before is in sections
  for (std::size_t at = 0; at < text.size();) {
    std::size_t bytes = 1;
    const AddedToken* token = find_at(text, at, bytes);
    TextRange range{at, at + bytes};
    at = range.end;
    // A match that does not stand alone is passed over whole, as the Rust library's scanner does.
    if (token == nullptr || (token->single_word && !stands_alone(text, range))) continue;
    if (token->lstrip) range.begin = white_space_before(text, range.begin, done);
    if (token->rstrip) range.end = white_space_after(text, range.end);
    if (range.begin > done) sections.push_back({{done, range.begin}, std::nullopt});
    sections.push_back({range, token->id});
    at = done = range.end;
  }
  if (done < text.size()) sections.push_back({{done, text.size()}, std::nullopt});
  return sections;
}

}  // namespace retune
