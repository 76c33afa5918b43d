#include "training/synth/waveshape.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

namespace retune::synth {
namespace {

constexpr int kRate = 16000;

TEST(Place, CutsWithoutAClickAndKeepsTheOffsetSilent) {
  Waveform tone{std::vector<float>(48000, 0.5f), kRate};
  Rng rng(1);
  const Waveform clip = place(tone, {.clip_seconds = 2.0, .offset_seconds = 0.1, .noise_db = -80}, rng);
  ASSERT_EQ(clip.samples.size(), 32000u);
  for (std::size_t i = 0; i < 1600; ++i) EXPECT_LT(std::abs(clip.samples[i]), 0.001f);
  EXPECT_NEAR(clip.samples[1600], 0.5, 0.001);
  EXPECT_NEAR(clip.samples[32000 - 240], 0.25, 0.01) << "half way through the fade of 30 ms";
  EXPECT_LT(std::abs(clip.samples.back()), 0.005f);
}

TEST(SetLevel, ReachesTheActiveLevelAskedFor) {
  std::vector<float> sine(16000);
  for (std::size_t i = 0; i < sine.size(); ++i)
    sine[i] = 0.01f * static_cast<float>(std::sin(0.3 * static_cast<double>(i)));
  set_level(sine, -30);
  EXPECT_NEAR(20 * std::log10(active_rms(sine)), -30, 0.3);
}

}  // namespace
}  // namespace retune::synth
