#include "bench/lalm/process_memory.h"

#include <algorithm>
#include <chrono>
#include <fstream>
#include <string>

namespace retune::bench {

namespace {

constexpr double kKibInGib = 1 << 20;

// A field of /proc/self/status, in KiB; 0 if there is none.
long status_kib(const std::string& field) {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);)
    if (line.starts_with(field + ":")) return std::stol(line.substr(field.size() + 1));
  return 0;
}

}  // namespace

double peak_resident_gib() { return static_cast<double>(status_kib("VmHWM")) / kKibInGib; }

PeakOfAnonymousMemory::PeakOfAnonymousMemory() {
  look();
  watcher_ = std::thread([this] {
    while (!done_) {
      look();
      std::this_thread::sleep_for(std::chrono::milliseconds(2));
    }
  });
}

PeakOfAnonymousMemory::~PeakOfAnonymousMemory() {
  done_ = true;
  watcher_.join();
}

void PeakOfAnonymousMemory::look() {
  peak_kib_ = std::max(peak_kib_.load(), status_kib("RssAnon") + status_kib("RssShmem"));
}

double PeakOfAnonymousMemory::gib() const { return static_cast<double>(peak_kib_) / kKibInGib; }

}  // namespace retune::bench
