// Counter-based random numbers: Philox4x32-10 (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3").
//
// An Rng is a value. Forking by name gives a stream that depends on the seed and the path of names only, so neither the
// order of work nor the number of threads or shards can shift it:
//
//   Rng noise = Rng(seed).fork("cell", 17).fork("noise");
#pragma once

#include <array>
#include <cstdint>
#include <string_view>
#include <utility>
#include <vector>

namespace retune {

class Rng {
 public:
  explicit Rng(std::uint64_t seed) : key_(seed) {}

  // A stream of its own; the parent is not advanced.
  Rng fork(std::string_view name, std::uint64_t index = 0) const;

  std::uint32_t bits();
  // Uniform in [0, n), without bias; n > 0.
  std::uint64_t below(std::uint64_t n);
  // Uniform in [0, 1), 53 bits.
  double uniform();
  double uniform(double low, double high) { return low + (high - low) * uniform(); }
  // Standard normal (Box-Muller, one of the pair kept).
  double normal();

  template <class T>
  void shuffle(std::vector<T>& items) {
    for (std::size_t i = items.size(); i > 1; --i) std::swap(items[i - 1], items[below(i)]);
  }
  template <class T>
  const T& choose(const std::vector<T>& items) {
    return items[below(items.size())];
  }

 private:
  std::uint64_t key_;
  std::uint64_t counter_ = 0;
  std::array<std::uint32_t, 4> block_{};
  int used_ = 4;
  bool has_spare_ = false;
  double spare_ = 0;
};

}  // namespace retune
