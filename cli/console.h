// Where the program's words go: results to `out`, everything else to `err`.
#pragma once

#include <memory>
#include <nlohmann/json.hpp>
#include <ostream>
#include <string>
#include <string_view>

namespace spdlog {
class logger;
}

namespace retune {

// The two streams, and whether a person watches the second (a terminal): only then are lines drawn over.
struct Streams {
  std::ostream& out;
  std::ostream& err;
  bool watched = false;
};

class Console {
 public:
  // `level`: "error", "warning", "info" or "debug".
  Console(Streams streams, const std::string& level);

  std::ostream& out() { return streams_.out; }
  // One JSON document, indented by two, newline at the end. What is no number is null, what is no UTF-8 U+FFFD.
  void print(const nlohmann::ordered_json& document);

  // A line each on `err`, as the level allows.
  void warning(std::string_view line);
  void info(std::string_view line);
  void debug(std::string_view line);

  // Progress, shown unless the level is error: over the last one on a watched stream, else a line of its own. An empty
  // text takes the drawn line away.
  void draw(std::string_view text);
  bool watched() const { return streams_.watched; }
  bool silent() const;

 private:
  void wipe();

  Streams streams_;
  std::shared_ptr<spdlog::logger> log_;
  bool drawn_ = false;
};

}  // namespace retune
