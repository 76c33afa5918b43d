// Memory of this process, as Linux counts it.
#pragma once

#include <atomic>
#include <thread>

namespace retune::bench {

// The most that was ever resident, mapped files included (VmHWM).
double peak_resident_gib();

// Watches what is resident beside mapped files (RssAnon, RssShmem) for as long as it lives, every two milliseconds: the
// kernel keeps no peak of it.
class PeakOfAnonymousMemory {
 public:
  PeakOfAnonymousMemory();
  ~PeakOfAnonymousMemory();
  PeakOfAnonymousMemory(const PeakOfAnonymousMemory&) = delete;
  PeakOfAnonymousMemory& operator=(const PeakOfAnonymousMemory&) = delete;
  double gib() const;

 private:
  void look();
  std::atomic<long> peak_kib_ = 0;
  std::atomic<bool> done_ = false;
  std::thread watcher_;
};

}  // namespace retune::bench
