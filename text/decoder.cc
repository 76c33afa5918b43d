#include "text/decoder.h"

#include <charconv>
#include <memory>
#include <optional>
#include <string_view>
#include <utility>

#include "tensor/error.h"
#include "text/byte_alphabet.h"
#include "text/json_fields.h"
#include "text/pattern.h"
#include "text/utf8.h"

namespace retune {

namespace {

using Tokens = std::vector<std::string>;

Decoder byte_level(std::unordered_set<std::string> added) {
  return [alphabet = ByteAlphabet(), added = std::move(added)](const Tokens& tokens) {
    std::string bytes;
    for (const std::string& token : tokens) {
      if (added.contains(token) || !alphabet.decode(token, bytes)) bytes += token;
    }
    return Tokens{replace_invalid_utf8(bytes)};
  };
}

// "<0xE4>" as the byte it names.
std::optional<char> named_byte(std::string_view token) {
  if (token.size() != 6 || !token.starts_with("<0x") || token[5] != '>') return std::nullopt;
  unsigned value = 0;
  const auto [end, error] = std::from_chars(token.data() + 3, token.data() + 5, value, 16);
  if (error != std::errc() || end != token.data() + 5) return std::nullopt;
  return static_cast<char>(value);
}

// A run of byte tokens is text if it is UTF-8 as a whole; if not, the Rust library gives one U+FFFD for each byte.
Tokens byte_fallback(const Tokens& tokens) {
  Tokens result;
  std::string run;
  const auto end_run = [&] {
    if (find_invalid_utf8(run)) {
      for (std::size_t i = 0; i < run.size(); ++i) result.emplace_back(kReplacementText);
    } else if (!run.empty()) {
      result.push_back(run);
    }
    run.clear();
  };
  for (const std::string& token : tokens) {
    if (const std::optional<char> byte = named_byte(token)) {
      run.push_back(*byte);
    } else {
      end_run();
      result.push_back(token);
    }
  }
  end_run();
  return result;
}

Decoder metaspace(const Json& json, const std::string& where) {
  const std::string replacement = string_or(json, "replacement", "\xE2\x96\x81", where);
  const bool legacy_prefix = flag_or(json, "add_prefix_space", true, where);
  const bool prefixed = string_or(json, "prepend_scheme", legacy_prefix ? "always" : "never", where) != "never";
  return [mark = Pattern::literal(replacement, where), prefixed](Tokens tokens) {
    for (std::size_t i = 0; i < tokens.size(); ++i) tokens[i] = mark.replace(tokens[i], i == 0 && prefixed ? "" : " ");
    return tokens;
  };
}

Decoder word_suffix(const Json& json, const std::string& where) {
  return [suffix = Pattern::literal(string_or(json, "suffix", "</w>", where), where)](Tokens tokens) {
    for (std::size_t i = 0; i < tokens.size(); ++i)
      tokens[i] = suffix.replace(tokens[i], i + 1 == tokens.size() ? "" : " ");
    return tokens;
  };
}

// Takes up to `start` times `content` from the front of every token, up to `stop` times from its end.
Decoder strip(const Json& json, const std::string& where) {
  const std::string content = require_string(json, "content", where);
  if (content.empty()) throw user_error("{}: 'content' is empty", where);
  const std::int64_t start = require_index(require_field(json, "start", where), where);
  const std::int64_t stop = require_index(require_field(json, "stop", where), where);
  return [content, start, stop](Tokens tokens) {
    for (std::string& token : tokens) {
      std::string_view rest = token;
      for (std::int64_t i = 0; i < start && rest.starts_with(content); ++i) rest.remove_prefix(content.size());
      for (std::int64_t i = 0; i < stop && rest.ends_with(content); ++i) rest.remove_suffix(content.size());
      token = std::string(rest);
    }
    return tokens;
  };
}

Decoder replace(const Json& json, const std::string& where) {
  return [pattern = Pattern::from_json(require_field(json, "pattern", where), where),
          content = require_string(json, "content", where)](Tokens tokens) {
    for (std::string& token : tokens) token = pattern.replace(token, content);
    return tokens;
  };
}

Tokens fuse(const Tokens& tokens) {
  std::string text;
  for (const std::string& token : tokens) text += token;
  return {text};
}

Tokens spaced(Tokens tokens) {
  for (std::size_t i = 1; i < tokens.size(); ++i) tokens[i].insert(tokens[i].begin(), ' ');
  return tokens;
}

}  // namespace

Decoder decoder_from_json(const nlohmann::json& json, std::unordered_set<std::string> added, const std::string& where) {
  if (json.is_null()) return spaced;
  const std::string type = require_string(json, "type", where);
  if (type == "ByteLevel") return byte_level(std::move(added));
  if (type == "ByteFallback") return byte_fallback;
  if (type == "Fuse") return fuse;
  if (type == "Metaspace") return metaspace(json, where);
  if (type == "BPEDecoder") return word_suffix(json, where);
  if (type == "Strip") return strip(json, where);
  if (type == "Replace") return replace(json, where);
  if (type == "Sequence") {
    std::vector<Decoder> steps;
    for (const Json& step : require_field(json, "decoders", where))
      steps.push_back(decoder_from_json(step, added, where));
    return [steps = std::move(steps)](Tokens tokens) {
      for (const Decoder& step : steps) tokens = step(std::move(tokens));
      return tokens;
    };
  }
  throw user_error("{}: type {} is not supported", where, in_quotes(type));
}

}  // namespace retune
