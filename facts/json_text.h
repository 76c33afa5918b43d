// Strict reading of JSON from outside: sizes and depth are limited, a key may stand only once in an object, and every
// error is one line with its place. Writing lives with each format; this room writes UTF-8, keys in a fixed order, and
// a newline at the end.
//
//   nlohmann::json document = parse_json(read_text(path), path.string());
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "tensor/error.h"

namespace retune {

struct JsonLimits {
  std::size_t max_bytes = std::size_t{64} << 20;  // of the text, or of one line of JSON Lines
  int max_depth = 16;                             // arrays and objects within each other
};

// The bytes of a regular file. A user error if it is missing, no regular file, or longer than max_bytes (asked before
// reading).
std::string read_text(const std::filesystem::path& path, std::size_t max_bytes = JsonLimits{}.max_bytes);

// write_file_atomically (tensor/staged_output.h): the file is whole or absent.
void write_text(const std::filesystem::path& path, std::string_view text);

// How every file of this project prints JSON: keys in the order given, `indent` blanks a level, or one line for -1.
// Bytes that are no UTF-8 become U+FFFD.
std::string json_bytes(const nlohmann::ordered_json& value, int indent = -1);

// `source` names the text in errors ("facts.json"). A user error on: bad syntax (with line and column), a number that
// no double holds, bad UTF-8, a NUL in a text, a key twice in one object, nesting or size beyond the limits, anything
// after the value.
nlohmann::json parse_json(std::string_view text, const std::string& source, const JsonLimits& limits = {});

// One line of a JSON Lines text that holds a value; blank lines are left out but counted.
struct JsonLine {
  std::size_t number = 0;  // from 1
  nlohmann::json value;
};
// The whole text may be any size, each line obeys the limits. `source` and the line's number stand in every error.
std::vector<JsonLine> parse_json_lines(std::string_view text, const std::string& source, const JsonLimits& limits = {});

// Typed access to one object, with its place in every error: "facts.json: item 3: generality[1].answer: expected text,
// got number".
class JsonObject {
 public:
  // `place` is what stands before the key, e.g. "facts.json: item 3: generality[1]". A user error if `value` is no
  // object.
  JsonObject(const nlohmann::json& value, std::string place);

  const std::string& place() const { return place_; }
  bool has(const std::string& key) const { return find(key) != nullptr; }  // null counts as absent
  const nlohmann::json* find(const std::string& key) const;

  // Required: a user error if absent, of another type, or (text) empty after trimming blanks.
  std::string text(const std::string& key) const;
  // Optional, of the type if present.
  std::optional<std::string> optional_text(const std::string& key) const;
  std::optional<std::int64_t> optional_integer(const std::string& key) const;
  std::optional<bool> optional_bool(const std::string& key) const;
  // Absent gives an empty list.
  std::vector<std::string> text_list(const std::string& key) const;
  // The objects of a list, each with its place; absent gives an empty list.
  std::vector<JsonObject> objects(const std::string& key) const;
  std::optional<JsonObject> optional_object(const std::string& key) const;

  // The keys that are none of `known`. A user error for one that is a slip of a known key that is absent: "PLACE: there
  // is no key 'generalty'; did you mean 'generality'?"
  std::vector<std::string> unknown_keys(std::span<const std::string_view> known) const;

  // A user error at this key: "PLACE: KEY: MESSAGE".
  Error error(const std::string& key, std::string_view message) const;

 private:
  const nlohmann::json* value_;  // owned by the document, which outlives this view
  std::string place_;
};

}  // namespace retune
