#include "text/pattern.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <array>
#include <cctype>
#include <utility>

#include "tensor/error.h"
#include "text/json_fields.h"
#include "text/utf8.h"

namespace retune {

namespace {

// Members of a character class. PCRE2's own \s also has U+180E, its \w lacks marks and connectors.
constexpr std::string_view kSpaces =
    R"(\x{9}-\x{d}\x{20}\x{85}\x{a0}\x{1680}\x{2000}-\x{200a}\x{2028}\x{2029}\x{202f}\x{205f}\x{3000})";
constexpr std::string_view kWord = R"(\p{L}\p{M}\p{Nd}\p{Nl}\p{Pc}\x{24b6}-\x{24e9})";
constexpr std::string_view kHexDigits = "0-9a-fA-F";

constexpr std::uint32_t kMatchLimit = 10'000'000;
constexpr std::uint32_t kDepthLimit = 10'000'000;
constexpr std::uint32_t kHeapLimitKib = 256 * 1024;

class Translator {
 public:
  Translator(std::string_view regex, std::string_view where) : regex_(regex), where_(where) {}

  std::string run() {
    while (at_ < regex_.size()) {
      const char c = regex_[at_];
      if (c == '\\') {
        begin_atom();
        escape();
      } else if (c == '[') {
        begin_atom();
        character_class();
      } else if (c == '(') {
        groups_.push_back(out_.size());
        copy(regex_.substr(at_).starts_with("(?") ? 2 : 1);
      } else if (c == ')') {
        if (groups_.empty()) throw unsupported("an unmatched ')'");
        copy(1);
        atom_ = groups_.back();
        groups_.pop_back();
      } else if (c == '{') {
        interval();
      } else if (c == '*' || c == '+' || c == '?') {
        copy(1);
      } else {
        begin_atom();
        copy(utf8_at(regex_, at_).bytes);
      }
    }
    return std::move(out_);
  }

 private:
  Error unsupported(std::string_view what) const {
    return user_error("{}: regular expression {}: {} is not supported", where_, in_quotes(regex_), what);
  }

  void begin_atom() { atom_ = out_.size(); }
  void copy(std::size_t bytes) {
    out_ += regex_.substr(at_, bytes);
    at_ += bytes;
  }

  void set(std::string_view members, bool negated) {
    out_ += negated ? "[^" : "[";
    out_ += members;
    out_ += ']';
    at_ += 2;
  }

  char escaped() const {
    if (at_ + 1 >= regex_.size()) throw unsupported("a '\\' at the end");
    return regex_[at_ + 1];
  }

  // \uHHHH, which PCRE2 writes \x{HHHH}; any other escape as it is.
  void plain_escape() {
    if (escaped() != 'u') return copy(1 + utf8_at(regex_, at_ + 1).bytes);
    const std::string_view digits = regex_.substr(std::min(at_ + 2, regex_.size()), 4);
    for (const char digit : digits) {
      if (std::isxdigit(static_cast<unsigned char>(digit)) == 0) throw unsupported("a malformed '\\u'");
    }
    if (digits.size() != 4) throw unsupported("a malformed '\\u'");
    out_.append("\\x{").append(digits).append("}");
    at_ += 6;
  }

  void escape() {
    switch (escaped()) {
      case 's':
        return set(kSpaces, false);
      case 'S':
        return set(kSpaces, true);
      case 'w':
        return set(kWord, false);
      case 'W':
        return set(kWord, true);
      case 'h':
        return set(kHexDigits, false);
      case 'H':
        return set(kHexDigits, true);
      case 'p':
      case 'P':
        return property();
      default:
        return plain_escape();
    }
  }

  // \p{...} whole, so that its braces are not taken for an interval.
  void property() {
    const std::size_t close = regex_.find('}', at_);
    if (close == std::string_view::npos || regex_.substr(at_ + 2, 1) != "{") throw unsupported("a malformed '\\p'");
    copy(close + 1 - at_);
  }

  void class_escape() {
    const auto members = [&](std::string_view text) {
      out_ += text;
      at_ += 2;
    };
    switch (escaped()) {
      case 's':
        return members(kSpaces);
      case 'S':
        return members(R"(\S\x{180e})");
      case 'w':
        return members(kWord);
      case 'h':
        return members(kHexDigits);
      case 'W':
      case 'H':
        throw unsupported(std::string("'\\") + escaped() + "' in a character class");
      default:
        return plain_escape();
    }
  }

  void character_class() {
    copy(regex_.substr(at_).starts_with("[^") ? 2 : 1);
    if (regex_.substr(at_).starts_with("]")) copy(1);
    while (at_ < regex_.size() && regex_[at_] != ']') {
      const std::string_view rest = regex_.substr(at_);
      if (rest.starts_with("[:") && rest.find(":]") != std::string_view::npos) {
        copy(rest.find(":]") + 2);
      } else if (rest.starts_with("[")) {
        throw unsupported("a character class inside another");
      } else if (rest.starts_with("&&")) {
        throw unsupported("an intersection of character classes");
      } else if (rest.starts_with("\\")) {
        class_escape();
      } else {
        copy(utf8_at(regex_, at_).bytes);
      }
    }
    if (at_ == regex_.size()) throw unsupported("an unclosed '['");
    copy(1);
  }

  void interval() {
    const std::size_t close = regex_.find('}', at_);
    const std::string_view inside =
        close == std::string_view::npos ? std::string_view() : regex_.substr(at_ + 1, close - at_ - 1);
    if (inside.empty() || inside.find_first_not_of("0123456789,") != std::string_view::npos) {
      begin_atom();
      out_ += '\\';
      return copy(1);
    }
    copy(inside.size() + 2);
    if (regex_.substr(at_).starts_with("+")) {
      out_.insert(atom_, "(?:");
      out_ += ')';
    }
  }

  std::string_view regex_;
  std::string_view where_;
  std::size_t at_ = 0;
  std::string out_;
  std::size_t atom_ = 0;             // where in out_ the last atom begins: what a quantifier applies to
  std::vector<std::size_t> groups_;  // where in out_ the open groups begin
};

std::string pcre_message(int code) {
  std::array<PCRE2_UCHAR, 160> buffer{};
  pcre2_get_error_message(code, buffer.data(), buffer.size());
  return reinterpret_cast<const char*>(buffer.data());
}

template <auto Free>
struct FreeWith {
  template <class T>
  void operator()(T* pointer) const {
    Free(pointer);
  }
};
using CompileContext = std::unique_ptr<pcre2_compile_context, FreeWith<pcre2_compile_context_free>>;
using MatchContext = std::unique_ptr<pcre2_match_context, FreeWith<pcre2_match_context_free>>;
using MatchData = std::unique_ptr<pcre2_match_data, FreeWith<pcre2_match_data_free>>;

}  // namespace

struct Pattern::Code {
  std::unique_ptr<pcre2_code, FreeWith<pcre2_code_free>> code;
  MatchContext limits;
  std::string name;  // for errors: where it stands and what it is
};

std::string oniguruma_to_pcre(std::string_view regex, std::string_view where) { return Translator(regex, where).run(); }

Pattern Pattern::regex(std::string_view regex, std::string_view where) {
  return compile(oniguruma_to_pcre(regex, where), regex, where);
}

Pattern Pattern::literal(std::string_view text, std::string_view where) {
  std::string pcre;
  for (const char c : text) {
    if (std::ispunct(static_cast<unsigned char>(c)) != 0) pcre += '\\';
    pcre += c;
  }
  return compile(pcre, text, where);
}

Pattern Pattern::from_json(const nlohmann::json& json, std::string_view where) {
  if (json.is_object() && json.contains("Regex")) return regex(require_string(json, "Regex", where), where);
  if (json.is_object() && json.contains("String")) return literal(require_string(json, "String", where), where);
  throw user_error("{}: pattern: expected {{\"Regex\": ...}} or {{\"String\": ...}}", where);
}

Pattern Pattern::compile(const std::string& pcre, std::string_view original, std::string_view where) {
  const CompileContext context(pcre2_compile_context_create(nullptr));
  pcre2_set_newline(context.get(), PCRE2_NEWLINE_LF);
  int error = 0;
  PCRE2_SIZE offset = 0;
  auto code = std::make_shared<Code>();
  code->name = fmt::format("{}: regular expression {}", where, in_quotes(original));
  code->code.reset(pcre2_compile(reinterpret_cast<PCRE2_SPTR>(pcre.data()), pcre.size(),
                                 PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE, &error, &offset, context.get()));
  if (!code->code) throw user_error("{}: {} (at byte {} of its translation)", code->name, pcre_message(error), offset);
  code->limits.reset(pcre2_match_context_create(nullptr));
  pcre2_set_match_limit(code->limits.get(), kMatchLimit);
  pcre2_set_depth_limit(code->limits.get(), kDepthLimit);
  pcre2_set_heap_limit(code->limits.get(), kHeapLimitKib);
  return Pattern(std::move(code));
}

std::vector<TextRange> Pattern::matches(std::string_view text) const {
  const MatchData data(pcre2_match_data_create_from_pattern(code_->code.get(), nullptr));
  std::vector<TextRange> found;
  const auto* subject = reinterpret_cast<PCRE2_SPTR>(text.data());
  for (std::size_t at = 0; at <= text.size();) {
    // The text was checked once: checking at every match would take quadratic time.
    const int result =
        pcre2_match(code_->code.get(), subject, text.size(), at, PCRE2_NO_UTF_CHECK, data.get(), code_->limits.get());
    if (result == PCRE2_ERROR_NOMATCH) break;
    if (result < 0) {
      throw user_error("{}: {} after {} of {} bytes of text; shorten the text", code_->name, pcre_message(result), at,
                       text.size());
    }
    const PCRE2_SIZE* ends = pcre2_get_ovector_pointer(data.get());
    found.push_back({ends[0], ends[1]});
    const bool empty = ends[1] == ends[0];
    at = ends[1] + (empty && ends[1] < text.size() ? utf8_at(text, ends[1]).bytes : empty ? 1 : 0);
  }
  return found;
}

std::string Pattern::replace(std::string_view text, std::string_view content) const {
  std::string result;
  std::size_t at = 0;
  for (const TextRange match : matches(text)) {
    result += text.substr(at, match.begin - at);
    result += content;
    at = match.end;
  }
  result += text.substr(at);
  return result;
}

}  // namespace retune
