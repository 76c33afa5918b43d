#include "recipes/form.h"

#include <algorithm>

#include "tensor/error.h"
#include "tensor/nearest_word.h"

namespace retune {

namespace {

void check_choices(const std::string& place, const Setting& setting, const Settings& value) {
  if (setting.type != Setting::Type::kTexts || setting.choices.empty() || !value.is_array()) return;
  for (const Settings& item : value)
    if (std::find(setting.choices.begin(), setting.choices.end(), item.get<std::string>()) == setting.choices.end())
      throw user_error("{}: setting '{}' must hold some of {}, got {}; did you mean '{}'?", place, setting.name,
                       fmt::join(setting.choices, ", "), item.dump(),
                       nearest_word(item.get<std::string>(), setting.choices));
}

Settings text_schema(const Setting& setting) {
  Settings schema = {{"type", "string"}};
  if (!setting.choices.empty()) schema["enum"] = setting.choices;
  return schema;
}

Settings bound(const Setting& setting, double limit) {
  if (setting.type == Setting::Type::kInteger) return static_cast<std::int64_t>(limit);
  return limit;
}

Settings number_schema(const Setting& setting) {
  Settings schema = {{"type", setting.type == Setting::Type::kNumber ? "number" : "integer"}};
  if (setting.least) schema["minimum"] = bound(setting, *setting.least);
  if (setting.most) schema["maximum"] = bound(setting, *setting.most);
  if (setting.choices.empty()) return schema;
  return {{"anyOf", {schema, text_schema(setting)}}};
}

Settings setting_schema(const Setting& setting) {
  Settings schema = Settings::object();
  switch (setting.type) {
    case Setting::Type::kNumber:
    case Setting::Type::kInteger:
      schema = number_schema(setting);
      break;
    case Setting::Type::kBoolean:
      schema["type"] = "boolean";
      break;
    case Setting::Type::kText:
      schema = text_schema(setting);
      break;
    case Setting::Type::kTexts:
      schema["anyOf"] = {text_schema(setting), {{"type", "array"}, {"items", text_schema(setting)}}};
      break;
  }
  if (!setting.fallback.is_null()) schema["default"] = setting.fallback;
  schema["description"] = setting.meaning;
  return schema;
}

}  // namespace

void check_keys(const Form& form, const std::string& place, const Settings& given) {
  if (!given.is_object()) throw user_error("{}: expected a JSON object, got {}", place, given.type_name());
  std::vector<std::string> keys;
  for (const Setting& setting : form.settings) keys.push_back(setting.name);
  for (const Form& part : form.parts) keys.push_back(part.key);
  for (const auto& [key, value] : given.items())
    if (std::find(keys.begin(), keys.end(), key) == keys.end())
      throw user_error("{}: there is no key '{}'; did you mean '{}'?", place, key, nearest_word(key, keys));
}

Settings resolve(const Form& form, const std::string& place, const Settings& given) {
  check_keys(form, place, given);
  std::vector<Setting> active;
  Settings values = Settings::object();
  for (const Setting& setting : form.settings) {
    const auto value = given.find(setting.name);
    if (value == given.end() && setting.fallback.is_null()) continue;
    active.push_back(setting);
    if (value != given.end()) values[setting.name] = *value;
  }
  Settings resolved = resolve_settings(place, active, values);
  for (const Setting& setting : active) check_choices(place, setting, resolved.at(setting.name));
  for (const Form& part : form.parts) {
    const auto value = given.find(part.key);
    resolved[part.key] = resolve(part, place + ": " + part.key, value != given.end() ? *value : Settings::object());
  }
  return resolved;
}

Settings json_schema(const Form& form) {
  Settings properties = Settings::object();
  for (const Setting& setting : form.settings) properties[setting.name] = setting_schema(setting);
  for (const Form& part : form.parts) properties[part.key] = json_schema(part);
  return {{"type", "object"},
          {"description", form.meaning},
          {"properties", std::move(properties)},
          {"additionalProperties", false}};
}

}  // namespace retune
