// The `pre_tokenizer` of a tokenizer.json: the cuts that no token crosses.
#pragma once

#include <functional>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "text/pattern.h"

namespace retune {

struct PreToken {
  std::string text;
  bool first = false;  // it starts where the whole text does
};

// Cuts one piece into several, appended to `out`.
using PreTokenizer = std::function<void(const PreToken& piece, std::vector<PreToken>& out)>;

enum class SplitBehavior { kRemoved, kIsolated, kMergedWithPrevious, kMergedWithNext, kContiguous };

struct SplitRule {
  SplitBehavior behavior = SplitBehavior::kIsolated;
  bool invert = false;  // what lies between matches is treated as a match, and a match as what lies between
};

// The pieces that a text falls into at `matches` (ordered, not overlapping): what lies between is a piece, a match is
// dropped, a piece of its own, or part of a neighbour. None is empty.
std::vector<TextRange> split_at(std::size_t text_bytes, const std::vector<TextRange>& matches, SplitRule rule = {});

// ByteLevel, Split, Digits, Metaspace, Whitespace, WhitespaceSplit, Punctuation, Sequence; null passes the piece on.
// User error naming `where` and the type for any other.
PreTokenizer pre_tokenizer_from_json(const nlohmann::json& json, const std::string& where);

}  // namespace retune
