#include "facts/json_text.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <set>
#include <system_error>
#include <utility>

#include "tensor/nearest_word.h"
#include "tensor/staged_output.h"

namespace retune {
namespace {

using nlohmann::json;

// Line and column (both from 1, the column in bytes) of a byte offset.
std::pair<std::size_t, std::size_t> line_and_column(std::string_view text, std::size_t offset) {
  const std::string_view before = text.substr(0, std::min(offset, text.size()));
  const auto line = static_cast<std::size_t>(std::count(before.begin(), before.end(), '\n')) + 1;
  const std::size_t start = before.rfind('\n');
  return {line, before.size() - (start == std::string_view::npos ? 0 : start + 1) + 1};
}

// nlohmann's parser keeps the last of several equal keys and has no depth limit; this callback refuses both.
class StrictParse {
 public:
  StrictParse(const std::string& source, int max_depth) : source_(source), max_depth_(max_depth) {}

  bool operator()(json::parse_event_t event, const json& parsed) {
    switch (event) {
      case json::parse_event_t::object_start:
        enter();
        keys_.emplace_back();
        break;
      case json::parse_event_t::array_start:
        in_list_ = in_list_ || depth_ == 0;
        enter();
        break;
      case json::parse_event_t::object_end:
        keys_.pop_back();
        leave();
        break;
      case json::parse_event_t::array_end:
        leave();
        break;
      case json::parse_event_t::key:
        if (const auto& key = parsed.get_ref<const std::string&>(); !keys_.back().insert(key).second) {
          throw user_error("{}: key '{}' stands twice in one object; remove one", place(), key);
        }
        refuse_nul(parsed);
        break;
      case json::parse_event_t::value:
        refuse_nul(parsed);
        break;
    }
    return true;
  }

 private:
  void enter() {
    if (++depth_ > max_depth_) {
      throw user_error("{}: nested more than {} deep; no file of this format is", place(), max_depth_);
    }
  }
  void leave() {
    if (--depth_ == 1) ++items_;
  }
  std::string place() const { return in_list_ ? fmt::format("{}: item {}", source_, items_) : source_; }
  // Nothing that is meant to be read holds one, and messages and paths would end there.
  void refuse_nul(const json& parsed) const {
    if (parsed.is_string() && parsed.get_ref<const std::string&>().find('\0') != std::string::npos)
      throw user_error("{}: a text holds a NUL (\\u0000); remove it", place());
  }

  const std::string& source_;
  int max_depth_;
  int depth_ = 0;
  bool in_list_ = false;   // the outermost value is a list
  std::size_t items_ = 0;  // lists and objects in it that are complete
  std::vector<std::set<std::string>> keys_;
};

const char* type_word(const json& value) {
  switch (value.type()) {
    case json::value_t::null:
      return "null";
    case json::value_t::object:
      return "object";
    case json::value_t::array:
      return "list";
    case json::value_t::string:
      return "text";
    case json::value_t::boolean:
      return "true or false";
    default:
      return "number";
  }
}

// Whether somebody who wrote `key` meant `known`: letter case and the sign between words do not count, and longer words
// may be further off. Short words are too close to each other for more.
bool is_slip(std::string_view key, std::string_view known) {
  constexpr std::size_t kLongest = 64;
  if (key.size() > kLongest) return false;
  std::string plain(key);
  for (char& c : plain) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
    if (c == '-' || c == ' ') c = '_';
  }
  const std::size_t most = known.size() < 4 ? 0 : known.size() < 8 ? 1 : 2;
  return edit_distance(plain, known) <= most;
}

std::string trimmed(std::string_view text) {
  const auto blank = [](char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; };
  while (!text.empty() && blank(text.front())) text.remove_prefix(1);
  while (!text.empty() && blank(text.back())) text.remove_suffix(1);
  return std::string(text);
}

}  // namespace

std::string read_text(const std::filesystem::path& path, std::size_t max_bytes) {
  std::error_code error;
  const auto status = std::filesystem::status(path, error);
  if (!std::filesystem::exists(status)) throw user_error("{}: no such file", path.string());
  if (!std::filesystem::is_regular_file(status)) throw user_error("{}: expected a regular file", path.string());
  const std::uintmax_t size = std::filesystem::file_size(path, error);
  if (error) throw user_error("{}: cannot be read: {}", path.string(), error.message());
  if (size > max_bytes) throw user_error("{}: {} bytes, expected at most {}", path.string(), size, max_bytes);
  errno = 0;
  std::ifstream file(path, std::ios::binary);
  if (!file) throw user_error("{}: cannot be opened: {}", path.string(), std::generic_category().message(errno));
  std::string text(static_cast<std::size_t>(size), '\0');
  if (!file.read(text.data(), static_cast<std::streamsize>(size))) {
    throw user_error("{}: cannot be read: expected {} bytes, got {}", path.string(), size, file.gcount());
  }
  return text;
}

void write_text(const std::filesystem::path& path, std::string_view text) { write_file_atomically(path, text); }

std::string json_bytes(const nlohmann::ordered_json& value, int indent) {
  return value.dump(indent, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
}

json parse_json(std::string_view text, const std::string& source, const JsonLimits& limits) {
  if (text.size() > limits.max_bytes) {
    throw user_error("{}: {} bytes, expected at most {}", source, text.size(), limits.max_bytes);
  }
  StrictParse strict(source, limits.max_depth);
  try {
    return json::parse(text, [&strict](int, json::parse_event_t event, json& parsed) { return strict(event, parsed); });
  } catch (const json::parse_error& error) {
    const auto [line, column] = line_and_column(text, error.byte == 0 ? 0 : error.byte - 1);
    const bool ended = error.byte > text.size();
    throw user_error("{}: line {}, column {}: not valid JSON{}", source, line, column,
                     ended ? " (the text ends here)" : "");
  } catch (const json::out_of_range&) {
    throw user_error("{}: a number is too large for a double", source);
  }
}

std::vector<JsonLine> parse_json_lines(std::string_view text, const std::string& source, const JsonLimits& limits) {
  std::vector<JsonLine> lines;
  std::size_t number = 0;
  while (!text.empty()) {
    ++number;
    const std::size_t end = std::min(text.find('\n'), text.size());
    const std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (line.find_first_not_of(" \t\r") == std::string_view::npos) continue;
    lines.push_back({number, parse_json(line, source + ":" + std::to_string(number), limits)});
  }
  return lines;
}

JsonObject::JsonObject(const json& value, std::string place) : value_(&value), place_(std::move(place)) {
  if (!value.is_object()) throw user_error("{}: expected an object, got {}", place_, type_word(value));
}

const json* JsonObject::find(const std::string& key) const {
  const auto found = value_->find(key);
  return found == value_->end() || found->is_null() ? nullptr : &*found;
}

std::vector<std::string> JsonObject::unknown_keys(std::span<const std::string_view> known) const {
  std::vector<std::string> unknown;
  for (const auto& [key, value] : value_->items()) {
    if (std::find(known.begin(), known.end(), key) != known.end()) continue;
    for (const std::string_view meant : known)
      if (is_slip(key, meant) && !has(std::string(meant)))
        throw user_error("{}: there is no key '{}'; did you mean '{}'?", place_, key, meant);
    unknown.push_back(key);
  }
  return unknown;
}

Error JsonObject::error(const std::string& key, std::string_view message) const {
  return user_error("{}: {}: {}", place_, key, message);
}

std::string JsonObject::text(const std::string& key) const {
  const std::optional<std::string> value = optional_text(key);
  if (!value) throw error(key, "missing; expected text");
  if (trimmed(*value).empty()) throw error(key, "empty; expected text");
  return *value;
}

std::optional<std::string> JsonObject::optional_text(const std::string& key) const {
  const json* value = find(key);
  if (!value) return std::nullopt;
  if (!value->is_string()) throw error(key, fmt::format("expected text, got {}", type_word(*value)));
  return value->get<std::string>();
}

std::optional<std::int64_t> JsonObject::optional_integer(const std::string& key) const {
  const json* value = find(key);
  if (!value) return std::nullopt;
  const bool too_large = value->is_number_unsigned() && value->get<std::uint64_t>() > INT64_MAX;
  if (!value->is_number_integer() || too_large) {
    throw error(key,
                fmt::format("expected an integer, got {}", value->is_number() ? value->dump() : type_word(*value)));
  }
  return value->get<std::int64_t>();
}

std::optional<bool> JsonObject::optional_bool(const std::string& key) const {
  const json* value = find(key);
  if (!value) return std::nullopt;
  if (!value->is_boolean()) throw error(key, fmt::format("expected true or false, got {}", type_word(*value)));
  return value->get<bool>();
}

std::vector<std::string> JsonObject::text_list(const std::string& key) const {
  std::vector<std::string> texts;
  const json* value = find(key);
  if (!value) return texts;
  if (!value->is_array()) throw error(key, fmt::format("expected a list of texts, got {}", type_word(*value)));
  for (const json& element : *value) {
    if (!element.is_string()) {
      throw error(fmt::format("{}[{}]", key, texts.size()), fmt::format("expected text, got {}", type_word(element)));
    }
    texts.push_back(element.get<std::string>());
  }
  return texts;
}

std::vector<JsonObject> JsonObject::objects(const std::string& key) const {
  std::vector<JsonObject> objects;
  const json* value = find(key);
  if (!value) return objects;
  if (!value->is_array()) throw error(key, fmt::format("expected a list, got {}", type_word(*value)));
  for (const json& element : *value) {
    objects.emplace_back(element, fmt::format("{}: {}[{}]", place_, key, objects.size()));
  }
  return objects;
}

std::optional<JsonObject> JsonObject::optional_object(const std::string& key) const {
  const json* value = find(key);
  if (!value) return std::nullopt;
  return JsonObject(*value, fmt::format("{}: {}", place_, key));
}

}  // namespace retune
