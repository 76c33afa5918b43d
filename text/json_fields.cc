#include "text/json_fields.h"

#include <fstream>
#include <iterator>
#include <system_error>

#include "tensor/error.h"

namespace retune {

namespace {

constexpr int kMaxNesting = 100;

// Components nest in each other and are read recursively, so depth is bounded before anything is built.
void require_shallow(std::string_view text, std::string_view where) {
  int depth = 0;
  bool in_string = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (in_string) {
      if (c == '\\') ++i;
      in_string = c != '"';
    } else if (c == '"') {
      in_string = true;
    } else if (c == '[' || c == '{') {
      if (++depth > kMaxNesting) throw user_error("{}: nested more than {} deep at byte {}", where, kMaxNesting, i);
    } else if (c == ']' || c == '}') {
      --depth;
    }
  }
}

}  // namespace

std::string read_file(const std::filesystem::path& path, std::uintmax_t max_bytes) {
  std::error_code error;
  const std::uintmax_t size = std::filesystem::file_size(path, error);
  if (error) throw user_error("{}: cannot read: {}", path.string(), error.message());
  if (size > max_bytes) throw user_error("{}: expected at most {} bytes, got {}", path.string(), max_bytes, size);
  std::ifstream file(path, std::ios::binary);
  std::string text((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  if (!file) throw failure("{}: cannot read", path.string());
  return text;
}

Json read_json(const std::filesystem::path& path, std::uintmax_t max_bytes) {
  return parse_json(read_file(path, max_bytes), path.string());
}

Json parse_json(std::string_view text, std::string_view where) {
  require_shallow(text, where);
  try {
    return Json::parse(text);
  } catch (const Json::parse_error& error) {
    throw user_error("{}: not valid JSON at byte {} of {}", where, error.byte, text.size());
  } catch (const Json::out_of_range&) {
    throw user_error("{}: not valid JSON: a number is too large for a double", where);
  }
}

const Json& require_field(const Json& object, std::string_view field, std::string_view where) {
  if (!object.is_object()) throw user_error("{}: expected an object, got {}", where, object.type_name());
  const auto found = object.find(field);
  if (found == object.end()) throw user_error("{}: '{}' is missing", where, field);
  return *found;
}

std::string require_string(const Json& object, std::string_view field, std::string_view where) {
  const Json& value = require_field(object, field, where);
  if (!value.is_string()) throw user_error("{}: '{}': expected text, got {}", where, field, value.type_name());
  return value.get<std::string>();
}

std::string string_or(const Json& object, std::string_view field, std::string_view standard, std::string_view where) {
  const Json* value = optional_component(object, field, where);
  return value == nullptr ? std::string(standard) : require_string(object, field, where);
}

bool flag_or(const Json& object, std::string_view field, bool standard, std::string_view where) {
  const Json* value = optional_component(object, field, where);
  if (value == nullptr) return standard;
  if (!value->is_boolean())
    throw user_error("{}: '{}': expected true or false, got {}", where, field, value->type_name());
  return value->get<bool>();
}

std::string in_quotes(std::string_view text) {
  constexpr std::size_t kLimit = 80;
  const bool cut = text.size() > kLimit;
  std::string result = Json(std::string(text.substr(0, kLimit))).dump(-1, ' ', false, Json::error_handler_t::ignore);
  return cut ? result + "..." : result;
}

std::int64_t require_index(const Json& value, std::string_view where) {
  constexpr std::int64_t kLimit = std::int64_t{1} << 31;
  if (!value.is_number_integer() || value < 0 || value >= kLimit) {
    throw user_error("{}: expected an integer from 0 to {}, got {}", where, kLimit - 1,
                     value.is_string() ? in_quotes(value.get_ref<const std::string&>()) : value.dump().substr(0, 40));
  }
  return value.get<std::int64_t>();
}

const Json* optional_component(const Json& object, std::string_view field, std::string_view where) {
  if (!object.is_object()) throw user_error("{}: expected an object, got {}", where, object.type_name());
  const auto found = object.find(field);
  return found == object.end() || found->is_null() ? nullptr : &*found;
}

}  // namespace retune
