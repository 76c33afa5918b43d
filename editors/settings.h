// A method's settings as data: what a recipe may say under the method's name, with type, default, range and meaning.
// The recipe's JSON schema, the resolved recipe and the help are all made from the same list.
//
//   const std::vector<Setting> settings = {{"steps", Setting::Type::kInteger, 15, 0, 100000, {}, "optimiser steps at
//   most"}}; Settings resolved = resolve_settings("ft", settings, Settings::parse(R"({"steps": 20})"));
#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace retune {

using Settings = nlohmann::ordered_json;  // an object

struct Setting {
  enum class Type { kNumber, kInteger, kBoolean, kText, kTexts };  // kTexts: a list of texts, or one text

  std::string name;
  Type type = Type::kNumber;
  Settings fallback;            // what it is when the recipe does not say
  std::optional<double> least;  // of numbers and integers, inclusive
  std::optional<double> most;
  std::vector<std::string> choices;  // of texts; empty: any. Of a number: words that may stand in its place ("auto")
  std::string meaning;               // a sentence, with the unit
};

// "number", "integer", "boolean", "text", "texts".
std::string_view type_name(Setting::Type type);

// Every setting in declared order, as given or as its default. User errors naming method and key: a key that there is
// none of (with the nearest that there is), another type, out of range, not one of the choices.
Settings resolve_settings(std::string_view method, std::span<const Setting> settings, const Settings& given);

// The texts of a kTexts setting.
std::vector<std::string> texts_of(const Settings& settings, const std::string& name);

}  // namespace retune
