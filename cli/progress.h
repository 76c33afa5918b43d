// How far a long step is, with the time left. Nothing is shown in its first second.
//
//   ProgressBar bar(console, "clips");
//   synthesise(options, out, [&](const SynthProgress& p) { bar.update(p.done, p.total); });
//
// On a terminal one line is drawn over ten times a second at most; elsewhere a line is written every ten seconds.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "cli/console.h"

namespace retune {

// Seconds since any fixed moment.
using Clock = std::function<double()>;
double steady_seconds();

// "0:07", "12:34", "3:25:45".
std::string duration_text(double seconds);

class ProgressBar {
 public:
  ProgressBar(Console& console, std::string label, Clock clock = steady_seconds);
  // Takes the line away.
  ~ProgressBar();
  ProgressBar(const ProgressBar&) = delete;
  ProgressBar& operator=(const ProgressBar&) = delete;

  // `note` stands at the end: "loss 0.31". The time left is the time so far times (total - done) / done; where a step
  // went on from a checkpoint, both count from there.
  void update(std::int64_t done, std::int64_t total, const std::string& note = {});
  // The same where work has no parts to count: `share` in [0, 1], and the time left is the time so far times
  // (1 - share) / share.
  void update_share(double share, const std::string& note = {});
  // Another step begins, and its time is its own; if the label is the same, it goes on.
  void begin(const std::string& label);
  const std::string& label() const { return label_; }

 private:
  // `amount` says how much is done; `ahead` is what remains as a multiple of what was done, 0 for not known.
  void show(double share, const std::string& amount, double ahead, const std::string& note);

  Console& console_;
  std::string label_;
  Clock clock_;
  double begun_;
  double shown_;             // when the last line was
  std::int64_t first_ = -1;  // `done` of the first update less one: where this run began
};

}  // namespace retune
