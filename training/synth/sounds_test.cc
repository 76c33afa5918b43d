#include "training/synth/sounds.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "tensor/error.h"
#include "training/synth/labels.h"

namespace retune::synth {
namespace {

constexpr int kRate = 16000;
constexpr double kSeconds = 2.0;

// Rises of the envelope through half its peak, the envelope being the largest magnitude of 20 ms.
int bursts(const Waveform& wave) {
  std::vector<float> envelope;
  for (std::size_t i = 0; i < wave.samples.size(); i += 320) {
    float peak = 0;
    for (std::size_t j = i; j < std::min(i + 320, wave.samples.size()); ++j)
      peak = std::max(peak, std::abs(wave.samples[j]));
    envelope.push_back(peak);
  }
  const float half = *std::max_element(envelope.begin(), envelope.end()) / 2;
  int count = 0;
  for (std::size_t i = 0; i < envelope.size(); ++i)
    count += envelope[i] > half && (i == 0 || envelope[i - 1] <= half) ? 1 : 0;
  return count;
}

TEST(Sounds, HaveTheNumberOfBeepsTheyAreLabelledWith) {
  for (const Split split : kSplits) {
    for (std::size_t n = 0; n < kBeepCounts.size(); ++n) {
      Rng rng = Rng(3).fork(split_name(split), n);
      EXPECT_EQ(bursts(render_sound(kBeepCount, kBeepCounts[n], split, kSeconds, kRate, rng)), static_cast<int>(n) + 1);
    }
  }
  Rng rng(1);
  EXPECT_THROW(render_sound(kBeepCount, "nine", Split::kTrain, kSeconds, kRate, rng), Error);
}

}  // namespace
}  // namespace retune::synth
