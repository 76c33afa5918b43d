// What Ctrl-C (SIGINT), SIGTERM and a closed terminal (SIGHUP, unless nohup ignores it) do: exit code 3, and nothing
// half-written under a final name.
//
// Most commands write once, at the end: they end at once, with one line. A command that can stop between two steps
// keeps an InterruptGuard while it works; then the first signal raises a flag, and a second one ends the program at
// once.
#pragma once

#include <atomic>

namespace retune {

// Called once, by main.
void install_interrupt_handler();

// One at a time.
class InterruptGuard {
 public:
  // Lowers the flag, and installs the handler (which a test's main has not).
  InterruptGuard();
  ~InterruptGuard();
  InterruptGuard(const InterruptGuard&) = delete;
  InterruptGuard& operator=(const InterruptGuard&) = delete;

  const std::atomic<bool>& flag() const;
  // Throws Error{kInterrupted} if the flag is raised.
  void check() const;
};

}  // namespace retune
