#include "text/pre_tokenizer.h"

#include <algorithm>
#include <string_view>
#include <utility>

#include "tensor/error.h"
#include "text/bpe_trainer.h"
#include "text/byte_alphabet.h"
#include "text/json_fields.h"

namespace retune {

namespace {

constexpr std::string_view kMetaspace = "\xE2\x96\x81";  // U+2581 '▁'

struct Part {
  TextRange range;
  bool is_match = false;
};

// Matches and what lies between them, in order.
std::vector<Part> parts_of(std::size_t text_bytes, const std::vector<TextRange>& matches, bool invert) {
  std::vector<Part> parts;
  std::size_t at = 0;
  for (const TextRange match : matches) {
    if (match.begin > at) parts.push_back({{at, match.begin}, invert});
    parts.push_back({match, !invert});
    at = match.end;
  }
  if (at < text_bytes) parts.push_back({{at, text_bytes}, invert});
  return parts;
}

bool joins_previous(const Part& previous, const Part& part, SplitBehavior behavior) {
  switch (behavior) {
    case SplitBehavior::kContiguous:
      return previous.is_match == part.is_match;
    case SplitBehavior::kMergedWithPrevious:
      return part.is_match && !previous.is_match;
    case SplitBehavior::kMergedWithNext:
      return previous.is_match && !part.is_match;
    default:
      return false;
  }
}

SplitBehavior behavior_from(const std::string& name, const std::string& where) {
  if (name == "Removed") return SplitBehavior::kRemoved;
  if (name == "Isolated") return SplitBehavior::kIsolated;
  if (name == "MergedWithPrevious") return SplitBehavior::kMergedWithPrevious;
  if (name == "MergedWithNext") return SplitBehavior::kMergedWithNext;
  if (name == "Contiguous") return SplitBehavior::kContiguous;
  throw user_error("{}: behavior {} is not supported", where, in_quotes(name));
}

PreTokenizer splitter(Pattern pattern, SplitRule rule) {
  return [pattern = std::move(pattern), rule](const PreToken& piece, std::vector<PreToken>& out) {
    for (const TextRange range : split_at(piece.text.size(), pattern.matches(piece.text), rule)) {
      out.push_back({std::string(range.of(piece.text)), piece.first && range.begin == 0});
    }
  };
}

PreTokenizer byte_level(bool add_prefix_space, bool use_regex, const std::string& where) {
  return [alphabet = ByteAlphabet(), pattern = Pattern::regex(kGpt2SplitPattern, where), add_prefix_space, use_regex](
             const PreToken& piece, std::vector<PreToken>& out) {
    std::string text = piece.text;
    if (add_prefix_space && !text.starts_with(' ')) text.insert(text.begin(), ' ');
    std::vector<TextRange> cuts{{0, text.size()}};
    if (use_regex) cuts = split_at(text.size(), pattern.matches(text));
    for (const TextRange cut : cuts) out.push_back({alphabet.encode(cut.of(text)), piece.first && cut.begin == 0});
  };
}

PreTokenizer metaspace(const Json& json, const std::string& where) {
  const std::string replacement = string_or(json, "replacement", kMetaspace, where);
  const bool legacy_prefix = flag_or(json, "add_prefix_space", true, where);
  const std::string scheme = string_or(json, "prepend_scheme", legacy_prefix ? "always" : "never", where);
  if (scheme != "always" && scheme != "first" && scheme != "never") {
    throw user_error("{}: prepend_scheme {} is not supported", where, in_quotes(scheme));
  }
  const bool split = flag_or(json, "split", true, where);
  return [space = Pattern::literal(" ", where), mark = Pattern::literal(replacement, where), replacement, scheme,
          split](const PreToken& piece, std::vector<PreToken>& out) {
    std::string text = space.replace(piece.text, replacement);
    const bool prepend = scheme == "always" || (scheme == "first" && piece.first);
    if (prepend && !text.starts_with(replacement)) text.insert(0, replacement);
    std::vector<TextRange> cuts{{0, text.size()}};
    if (split) cuts = split_at(text.size(), mark.matches(text), {SplitBehavior::kMergedWithNext});
    for (const TextRange cut : cuts) out.push_back({std::string(cut.of(text)), piece.first && cut.begin == 0});
  };
}

PreTokenizer sequence(std::vector<PreTokenizer> steps) {
  return [steps = std::move(steps)](const PreToken& piece, std::vector<PreToken>& out) {
    std::vector<PreToken> pieces{piece};
    for (const PreTokenizer& step : steps) {
      std::vector<PreToken> next;
      for (const PreToken& part : pieces) step(part, next);
      pieces = std::move(next);
    }
    std::move(pieces.begin(), pieces.end(), std::back_inserter(out));
  };
}

}  // namespace

std::vector<TextRange> split_at(std::size_t text_bytes, const std::vector<TextRange>& matches, SplitRule rule) {
  std::vector<TextRange> pieces;
  Part previous;
  for (const Part& part : parts_of(text_bytes, matches, rule.invert)) {
    if (!pieces.empty() && joins_previous(previous, part, rule.behavior)) {
      pieces.back().end = part.range.end;
    } else if (!part.is_match || rule.behavior != SplitBehavior::kRemoved) {
      pieces.push_back(part.range);
    }
    previous = part;
  }
  std::erase_if(pieces, [](const TextRange& piece) { return piece.size() == 0; });
  return pieces;
}

PreTokenizer pre_tokenizer_from_json(const nlohmann::json& json, const std::string& where) {
  if (json.is_null()) return [](const PreToken& piece, std::vector<PreToken>& out) { out.push_back(piece); };
  const std::string type = require_string(json, "type", where);
  if (type == "ByteLevel") {
    return byte_level(flag_or(json, "add_prefix_space", true, where), flag_or(json, "use_regex", true, where), where);
  }
  if (type == "Split") {
    return splitter(
        Pattern::from_json(require_field(json, "pattern", where), where),
        {behavior_from(require_string(json, "behavior", where), where), flag_or(json, "invert", false, where)});
  }
  if (type == "Digits") {
    const bool individual = flag_or(json, "individual_digits", false, where);
    return splitter(Pattern::regex(R"(\p{N})", where),
                    {individual ? SplitBehavior::kIsolated : SplitBehavior::kContiguous});
  }
  if (type == "Punctuation") {
    return splitter(Pattern::regex(R"([\p{P}!-\/:-@\[-`{-~])", where),
                    {behavior_from(string_or(json, "behavior", "Isolated", where), where)});
  }
  if (type == "Whitespace") return splitter(Pattern::regex(R"(\w+|[^\w\s]+)", where), {SplitBehavior::kRemoved, true});
  if (type == "WhitespaceSplit") return splitter(Pattern::regex(R"(\s)", where), {SplitBehavior::kRemoved});
  if (type == "Metaspace") return metaspace(json, where);
  if (type == "Sequence") {
    std::vector<PreTokenizer> steps;
    for (const Json& step : require_field(json, "pretokenizers", where)) {
      steps.push_back(pre_tokenizer_from_json(step, where));
    }
    return sequence(std::move(steps));
  }
  throw user_error("{}: type {} is not supported", where, in_quotes(type));
}

}  // namespace retune
