#include "cli/console.h"

#include <spdlog/logger.h>
#include <spdlog/sinks/ostream_sink.h>

#include "weights/external_data.h"

namespace retune {

namespace {

// A line may hold names from files: they may be long, or hold what a terminal takes for commands.
std::string shown(std::string_view line) { return printable(line, 2000); }

spdlog::level::level_enum level_of(const std::string& name) {
  if (name == "error") return spdlog::level::err;
  if (name == "warning") return spdlog::level::warn;
  return name == "debug" ? spdlog::level::debug : spdlog::level::info;
}

}  // namespace

Console::Console(Streams streams, const std::string& level)
    : streams_(streams),
      log_(std::make_shared<spdlog::logger>("retune", std::make_shared<spdlog::sinks::ostream_sink_mt>(streams.err))) {
  log_->set_pattern("retune: %v");
  log_->set_level(level_of(level));
}

void Console::print(const nlohmann::ordered_json& document) {
  streams_.out << document.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace) << "\n";
}

bool Console::silent() const { return log_->level() >= spdlog::level::err; }

void Console::wipe() {
  // "Erase in line", ECMA-48 8.3.41.
  if (drawn_) streams_.err << "\r\x1b[K" << std::flush;
  drawn_ = false;
}

void Console::warning(std::string_view line) {
  wipe();
  log_->warn("warning: {}", shown(line));
}

void Console::info(std::string_view line) {
  wipe();
  log_->info("{}", shown(line));
}

void Console::debug(std::string_view line) {
  wipe();
  log_->debug("{}", shown(line));
}

void Console::draw(std::string_view text) {
  if (silent()) return;
  if (!streams_.watched) {
    if (!text.empty()) info(text);
    return;
  }
  wipe();
  if (text.empty()) return;
  streams_.err << text << std::flush;
  drawn_ = true;
}

}  // namespace retune
