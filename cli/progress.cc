#include "cli/progress.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>

namespace retune {

namespace {

constexpr double kQuietSeconds = 1.0;
constexpr double kRedrawSeconds = 0.1;
constexpr double kLineSeconds = 10.0;
constexpr int kBarWidth = 24;

}  // namespace

double steady_seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

std::string duration_text(double seconds) {
  const auto whole = static_cast<std::int64_t>(std::llround(std::max(0.0, seconds)));
  if (whole < 3600) return fmt::format("{}:{:02}", whole / 60, whole % 60);
  return fmt::format("{}:{:02}:{:02}", whole / 3600, whole / 60 % 60, whole % 60);
}

ProgressBar::ProgressBar(Console& console, std::string label, Clock clock)
    : console_(console), label_(std::move(label)), clock_(std::move(clock)), begun_(clock_()), shown_(begun_) {}

ProgressBar::~ProgressBar() { console_.draw(""); }

void ProgressBar::begin(const std::string& label) {
  if (label == label_) return;
  label_ = label;
  begun_ = shown_ = clock_();
  first_ = -1;
}

void ProgressBar::update(std::int64_t done, std::int64_t total, const std::string& note) {
  if (first_ < 0) first_ = std::max<std::int64_t>(0, done - 1);
  const double share = total > 0 ? std::clamp(static_cast<double>(done) / static_cast<double>(total), 0.0, 1.0) : 0.0;
  const double ahead =
      done > first_ && total > done ? static_cast<double>(total - done) / static_cast<double>(done - first_) : 0.0;
  show(share, fmt::format("{}/{} ({:.0f} %)", done, total, 100 * share), ahead, note);
}

void ProgressBar::update_share(double share, const std::string& note) {
  share = std::clamp(share, 0.0, 1.0);
  show(share, fmt::format("{:.0f} %", 100 * share), share > 0 ? (1 - share) / share : 0.0, note);
}

void ProgressBar::show(double share, const std::string& amount, double ahead, const std::string& note) {
  const double now = clock_();
  const double pause = console_.watched() ? kRedrawSeconds : kLineSeconds;
  const bool first = shown_ <= begun_;
  if (now - begun_ < kQuietSeconds || (!first && now - shown_ < pause)) return;
  shown_ = now;
  const auto full = static_cast<std::size_t>(share * kBarWidth);
  const std::string bar =
      console_.watched() ? fmt::format(" [{}{}]", std::string(full, '#'), std::string(kBarWidth - full, '.')) : ":";
  std::string text = fmt::format("{}{} {}", label_, bar, amount);
  if (ahead > 0) text += fmt::format(", {} left", duration_text((now - begun_) * ahead));
  console_.draw(note.empty() ? text : text + ", " + note);
}

}  // namespace retune
