#include "editors/settings.h"

#include <algorithm>
#include <cmath>

#include "tensor/error.h"
#include "tensor/nearest_word.h"

namespace retune {

namespace {

bool has_type(const Setting& setting, const Settings& value) {
  switch (setting.type) {
    case Setting::Type::kNumber:
      return value.is_number() || (value.is_string() && !setting.choices.empty());
    case Setting::Type::kInteger:
      return value.is_number_integer();
    case Setting::Type::kBoolean:
      return value.is_boolean();
    case Setting::Type::kText:
      return value.is_string();
    case Setting::Type::kTexts:
      return value.is_string() ||
             (value.is_array() &&
              std::all_of(value.begin(), value.end(), [](const Settings& item) { return item.is_string(); }));
  }
  return false;
}

std::string_view wanted(Setting::Type type) {
  switch (type) {
    case Setting::Type::kNumber:
      return "a number";
    case Setting::Type::kInteger:
      return "an integer";
    case Setting::Type::kBoolean:
      return "true or false";
    case Setting::Type::kText:
      return "a text";
    case Setting::Type::kTexts:
      return "a text or a list of texts";
  }
  return "a number";
}

void check_value(std::string_view method, const Setting& setting, const Settings& value) {
  if (!has_type(setting, value))
    throw user_error("{}: setting '{}' must be {}, got {}", method, setting.name, wanted(setting.type), value.dump());
  if (value.is_number()) {
    const double number = value.get<double>();
    if (!std::isfinite(number) || (setting.least && number < *setting.least) ||
        (setting.most && number > *setting.most))
      throw user_error("{}: setting '{}' must be {}{}{}, got {}", method, setting.name,
                       setting.least ? fmt::format("at least {}", *setting.least) : "",
                       setting.least && setting.most ? " and " : "",
                       setting.most ? fmt::format("at most {}", *setting.most) : "", value.dump());
  }
  if (value.is_string() && !setting.choices.empty() &&
      std::find(setting.choices.begin(), setting.choices.end(), value.get<std::string>()) == setting.choices.end())
    throw user_error("{}: setting '{}' must be {}one of {}, got {}; did you mean '{}'?", method, setting.name,
                     setting.type == Setting::Type::kNumber ? "a number or " : "", fmt::join(setting.choices, ", "),
                     value.dump(), nearest_word(value.get<std::string>(), setting.choices));
}

}  // namespace

std::string_view type_name(Setting::Type type) {
  switch (type) {
    case Setting::Type::kNumber:
      return "number";
    case Setting::Type::kInteger:
      return "integer";
    case Setting::Type::kBoolean:
      return "boolean";
    case Setting::Type::kText:
      return "text";
    case Setting::Type::kTexts:
      return "texts";
  }
  return "number";
}

Settings resolve_settings(std::string_view method, std::span<const Setting> settings, const Settings& given) {
  if (!given.is_object() && !given.is_null())
    throw user_error("{}: settings must be a JSON object, got {}", method, given.dump());
  std::vector<std::string> names;
  for (const Setting& setting : settings) names.push_back(setting.name);
  for (const auto& [key, value] : given.items())
    if (std::find(names.begin(), names.end(), key) == names.end())
      throw user_error("{}: there is no setting '{}'; did you mean '{}'?", method, key, nearest_word(key, names));
  Settings resolved = Settings::object();
  for (const Setting& setting : settings) {
    const auto it = given.find(setting.name);
    const Settings& value = it != given.end() ? *it : setting.fallback;
    check_value(method, setting, value);
    resolved[setting.name] = value;
  }
  return resolved;
}

std::vector<std::string> texts_of(const Settings& settings, const std::string& name) {
  const Settings& value = settings.at(name);
  if (value.is_string()) return {value.get<std::string>()};
  return value.get<std::vector<std::string>>();
}

}  // namespace retune
