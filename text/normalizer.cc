#include "text/normalizer.h"

#include <unicode/bytestream.h>
#include <unicode/casemap.h>
#include <unicode/normalizer2.h>
#include <unicode/uchar.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "tensor/error.h"
#include "text/json_fields.h"
#include "text/pattern.h"
#include "text/utf8.h"

namespace retune {

namespace {

void require_icu(UErrorCode status, std::string_view what) {
  if (U_FAILURE(status)) throw failure("Unicode {}: ICU: {}", what, u_errorName(status));
}

Normalizer unicode_form(const icu::Normalizer2* (*instance)(UErrorCode&), std::string name) {
  UErrorCode status = U_ZERO_ERROR;
  const icu::Normalizer2* form = instance(status);  // owned by ICU
  require_icu(status, name);
  return [form, name](std::string_view text) {
    std::string result;
    icu::StringByteSink<std::string> sink(&result);
    UErrorCode error = U_ZERO_ERROR;
    form->normalizeUTF8(0, icu::StringPiece(text.data(), static_cast<std::int32_t>(text.size())), sink, nullptr, error);
    require_icu(error, name);
    return result;
  };
}

std::string lower_case(std::string_view text) {
  std::string result;
  icu::StringByteSink<std::string> sink(&result);
  for (const std::string_view character : split_characters(text)) {
    UErrorCode status = U_ZERO_ERROR;
    icu::CaseMap::utf8ToLower("", 0, icu::StringPiece(character.data(), static_cast<std::int32_t>(character.size())),
                              sink, nullptr, status);
    require_icu(status, "lower case");
  }
  return result;
}

std::string strip_accents(std::string_view text) {
  std::string result;
  for (const std::string_view character : split_characters(text)) {
    const auto code = static_cast<UChar32>(utf8_at(character, 0).code);
    if ((U_GET_GC_MASK(code) & U_GC_M_MASK) == 0) result += character;
  }
  return result;
}

Normalizer strip(bool left, bool right) {
  return [left, right](std::string_view text) {
    const std::vector<std::string_view> characters = split_characters(text);
    const auto is_text = [](std::string_view character) { return !is_white_space(utf8_at(character, 0).code); };
    auto first = characters.begin();
    auto last = characters.end();
    if (left) first = std::find_if(first, last, is_text);
    if (right) last = std::find_if(characters.rbegin(), std::make_reverse_iterator(first), is_text).base();
    std::string result;
    for (; first != last; ++first) result += *first;
    return result;
  };
}

Normalizer sequence(std::vector<Normalizer> steps) {
  return [steps = std::move(steps)](std::string_view text) {
    std::string result(text);
    for (const Normalizer& step : steps) result = step(result);
    return result;
  };
}

}  // namespace

Normalizer normalizer_from_json(const nlohmann::json& json, const std::string& where) {
  if (json.is_null()) return [](std::string_view text) { return std::string(text); };
  const std::string type = require_string(json, "type", where);
  if (type == "NFC") return unicode_form(icu::Normalizer2::getNFCInstance, type);
  if (type == "NFD") return unicode_form(icu::Normalizer2::getNFDInstance, type);
  if (type == "NFKC") return unicode_form(icu::Normalizer2::getNFKCInstance, type);
  if (type == "NFKD") return unicode_form(icu::Normalizer2::getNFKDInstance, type);
  if (type == "Lowercase") return lower_case;
  if (type == "StripAccents") return strip_accents;
  if (type == "Strip")
    return strip(flag_or(json, "strip_left", true, where), flag_or(json, "strip_right", true, where));
  if (type == "Prepend") {
    return [prefix = require_string(json, "prepend", where)](std::string_view text) {
      return text.empty() ? std::string() : prefix + std::string(text);
    };
  }
  if (type == "Replace") {
    return [pattern = Pattern::from_json(require_field(json, "pattern", where), where),
            content = require_string(json, "content", where)](std::string_view text) {
      return pattern.replace(text, content);
    };
  }
  if (type == "Sequence") {
    std::vector<Normalizer> steps;
    for (const Json& step : require_field(json, "normalizers", where))
      steps.push_back(normalizer_from_json(step, where));
    return sequence(std::move(steps));
  }
  throw user_error("{}: type {} is not supported", where, in_quotes(type));
}

}  // namespace retune
