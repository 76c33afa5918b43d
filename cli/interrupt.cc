#include "cli/interrupt.h"

#include <unistd.h>

#include <csignal>

#include "tensor/error.h"

namespace retune {

namespace {

static_assert(std::atomic<bool>::is_always_lock_free, "a signal handler may use lock-free atomics only");

// A signal handler is given nothing but the signal's number, so what it reads and writes is here.
std::atomic<bool> guarded{false};  // NOLINT(cppcoreguidelines-avoid-non-const-global-variables)
std::atomic<bool> raised{false};   // NOLINT(cppcoreguidelines-avoid-non-const-global-variables)

void on_signal(int) {
  if (guarded.load() && !raised.exchange(true)) return;
  static constexpr char kMessage[] = "retune: error: interrupted; run the same command again\n";
  [[maybe_unused]] const ssize_t written = write(STDERR_FILENO, kMessage, sizeof kMessage - 1);
  _exit(static_cast<int>(ErrorCode::kInterrupted));
}

}  // namespace

void install_interrupt_handler() {
  struct sigaction action {};
  action.sa_handler = on_signal;
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
  // nohup ignores it, so that work outlives its terminal.
  struct sigaction hangup {};
  if (sigaction(SIGHUP, nullptr, &hangup) == 0 && hangup.sa_handler != SIG_IGN) sigaction(SIGHUP, &action, nullptr);
}

InterruptGuard::InterruptGuard() {
  raised = false;
  guarded = true;
  install_interrupt_handler();
}

InterruptGuard::~InterruptGuard() { guarded = false; }

const std::atomic<bool>& InterruptGuard::flag() const { return raised; }

void InterruptGuard::check() const {
  if (raised.load()) throw Error(ErrorCode::kInterrupted, "interrupted; run the same command again to go on");
}

}  // namespace retune
