// Regular expressions as a tokenizer.json means them: written for Oniguruma (Ruby syntax), matched here by PCRE2.
//
// The dialects differ in small things that change ids, so a pattern is translated first: `\s` and `\w` become the sets
// that Oniguruma means, `X{1,3}+` is a repeated group rather than a possessive interval, `^` and `$` match at line
// ends. Nested character classes and intersections (`[a-z&&[^m]]`), which PCRE2 would read as something else, are
// refused.
#pragma once

#include <cstddef>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <vector>

namespace retune {

// Bytes [begin, end) of a text.
struct TextRange {
  std::size_t begin = 0;
  std::size_t end = 0;
  std::size_t size() const { return end - begin; }
  std::string_view of(std::string_view text) const { return text.substr(begin, size()); }
};

// A compiled pattern: a cheap handle; matching is const and may be done by many threads.
class Pattern {
 public:
  // User error naming `where` and the pattern for one that cannot be compiled or is not supported.
  static Pattern regex(std::string_view regex, std::string_view where);
  static Pattern literal(std::string_view text, std::string_view where);
  // A tokenizer.json's `{"Regex": "..."}` or `{"String": "..."}`.
  static Pattern from_json(const nlohmann::json& json, std::string_view where);

  // Every match from left to right, not overlapping; empty ones included. `text` is valid UTF-8. User error if the
  // matcher's limits (steps, depth, 256 MB) are exceeded: a pattern that is catastrophic on this text.
  std::vector<TextRange> matches(std::string_view text) const;
  // `text` with every match replaced by `content`, taken literally.
  std::string replace(std::string_view text, std::string_view content) const;

 private:
  struct Code;
  explicit Pattern(std::shared_ptr<const Code> code) : code_(std::move(code)) {}
  static Pattern compile(const std::string& pcre, std::string_view original, std::string_view where);

  std::shared_ptr<const Code> code_;
};

// The translation alone, for PCRE2 with UTF, UCP and MULTILINE.
std::string oniguruma_to_pcre(std::string_view regex, std::string_view where);

}  // namespace retune
