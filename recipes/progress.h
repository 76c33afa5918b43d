// How long work tells about itself, and how it is stopped.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <string>

namespace retune {

struct Progress {
  // "listen", "check", "prepare", "edit", "ask before", "ask after", "write", "export"; of training "clips",
  // "questions" and the stages.
  std::string stage;
  std::int64_t done = 0;  // of the stage
  std::int64_t total = 0;
  std::int64_t cell = 0;  // from 1; 0 outside cells
  std::int64_t cells = 0;
  double loss = 0;  // nats; 0 where there is none
};

// Who looks on. Both members may be empty. What the observer throws ends the work and reaches the caller.
struct Watch {
  std::function<void(const Progress&)> observer;
  const std::atomic<bool>* stop = nullptr;  // set by a signal handler, say

  bool stopped() const { return stop && stop->load(); }
  // Tells the observer; throws Error{kInterrupted} if the stop flag is set.
  void report(const Progress& progress) const;
};

}  // namespace retune
