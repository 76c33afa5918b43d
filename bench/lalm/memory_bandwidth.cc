#include "bench/lalm/memory_bandwidth.h"

#include <atomic>
#include <cstdint>

#include "bench/lalm/measurement.h"

namespace retune::bench {

namespace {

// Four sums of eight words each: enough loads in flight, whatever the vectors' width.
std::uint64_t sum_of(const std::uint64_t* words, std::int64_t count) {
  constexpr std::int64_t kLanes = 32;
  std::uint64_t sums[kLanes] = {};
  for (std::int64_t i = 0; i + kLanes <= count; i += kLanes)
    for (std::int64_t lane = 0; lane < kLanes; ++lane) sums[lane] += words[i + lane];
  std::uint64_t sum = 0;
  for (const std::uint64_t lane : sums) sum += lane;
  return sum;
}

}  // namespace

std::vector<double> read_bandwidth(ThreadPool& pool, int passes) {
  constexpr std::int64_t kWords = (std::int64_t{1} << 30) / 8;
  const std::vector<std::uint64_t> words(kWords, 1);
  std::vector<double> rates;
  for (int pass = -1; pass < passes; ++pass) {  // the first warms up
    std::atomic<std::uint64_t> total = 0;
    const Stopwatch watch;
    pool.parallel_for(kWords, kWords / 64, [&](std::int64_t begin, std::int64_t end) {
      total += sum_of(words.data() + begin, end - begin);
    });
    // The sum is used, or the compiler would drop the reading.
    if (pass >= 0 && total == kWords) rates.push_back(8.0 * static_cast<double>(kWords) / watch.seconds());
  }
  return rates;
}

}  // namespace retune::bench
