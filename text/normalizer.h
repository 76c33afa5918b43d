// The `normalizer` of a tokenizer.json: what is done to text before it is split.
#pragma once

#include <functional>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

namespace retune {

// From valid UTF-8 to valid UTF-8.
using Normalizer = std::function<std::string(std::string_view)>;

// NFC, NFD, NFKC, NFKD, Lowercase (character by character, as the Rust library does: no final sigma), Strip,
// StripAccents, Replace, Prepend, Sequence; null is the identity. User error naming `where` and the type for any other.
Normalizer normalizer_from_json(const nlohmann::json& json, const std::string& where);

}  // namespace retune
