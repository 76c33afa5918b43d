// The `decoder` of a tokenizer.json: from tokens back to text.
#pragma once

#include <functional>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <unordered_set>
#include <vector>

namespace retune {

// From tokens to pieces of text, which are then joined.
using Decoder = std::function<std::vector<std::string>(std::vector<std::string> tokens)>;

// ByteLevel, Metaspace, BPEDecoder, Replace, ByteFallback, Fuse, Strip, Sequence; null puts a space between tokens.
// Tokens in `added` stand for themselves in a byte-level vocabulary. User error naming `where` and the type for any
// other.
Decoder decoder_from_json(const nlohmann::json& json, std::unordered_set<std::string> added, const std::string& where);

}  // namespace retune
