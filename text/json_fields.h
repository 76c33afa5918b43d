// Reading JSON that others wrote: every complaint names the file and the field, and none is nlohmann's.
#pragma once

#include <cstdint>
#include <filesystem>
#include <initializer_list>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

namespace retune {

using Json = nlohmann::json;

// User error for a file that is absent, larger than max_bytes, or not JSON.
Json read_json(const std::filesystem::path& path, std::uintmax_t max_bytes);
std::string read_file(const std::filesystem::path& path, std::uintmax_t max_bytes);
Json parse_json(std::string_view text, std::string_view where);

// A field of an object. `where` names the object ("tokenizer.json: model"). The *_or forms take an absent or null field
// as the standard value; the others are user errors then. A value of another type is always a user error.
const Json& require_field(const Json& object, std::string_view field, std::string_view where);
std::string require_string(const Json& object, std::string_view field, std::string_view where);
std::string string_or(const Json& object, std::string_view field, std::string_view standard, std::string_view where);
bool flag_or(const Json& object, std::string_view field, bool standard, std::string_view where);
// Within [0, 2^31): ids and counts.
std::int64_t require_index(const Json& value, std::string_view where);

// Text from a file as it stands in an error message: in quotes, on one line, shortened.
std::string in_quotes(std::string_view text);

// Null or an absent field: no such component.
const Json* optional_component(const Json& object, std::string_view field, std::string_view where);

}  // namespace retune
