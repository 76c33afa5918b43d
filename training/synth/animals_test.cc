#include "training/synth/animals.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <string_view>
#include <utility>
#include <vector>

#include "audio/log_mel.h"
#include "tensor/error.h"
#include "training/synth/labels.h"

namespace retune::synth {
namespace {

constexpr int kRate = 16000;
constexpr double kSeconds = 2.0;

// Mean and deviation over time of every mel band.
std::vector<double> spectrum(const Waveform& wave) {
  const Tensor mel = log_mel(wave, {.mels = 40});
  const std::int64_t bands = mel.shape()[0];
  const std::int64_t frames = mel.shape()[1];
  std::vector<double> features;
  for (std::int64_t b = 0; b < bands; ++b) {
    double sum = 0;
    double squares = 0;
    for (std::int64_t t = 0; t < frames; ++t) {
      const double value = mel.data<float>()[b * frames + t];
      sum += value;
      squares += value * value;
    }
    const double mean = sum / static_cast<double>(frames);
    features.push_back(mean);
    features.push_back(std::sqrt(std::max(0.0, squares / static_cast<double>(frames) - mean * mean)));
  }
  return features;
}

double distance(const std::vector<double>& a, const std::vector<double>& b) {
  double sum = 0;
  for (std::size_t i = 0; i < a.size(); ++i) sum += (a[i] - b[i]) * (a[i] - b[i]);
  return sum;
}

TEST(Animals, OfTestAreNearestToTheirOwnKindInTraining) {
  std::vector<std::pair<std::string_view, std::vector<double>>> heard;
  for (const std::string_view animal : kAnimals) {
    for (std::uint64_t i = 0; i < 20; ++i) {
      Rng rng = Rng(1).fork(animal, i);
      heard.emplace_back(animal, spectrum(render_animal(animal, Split::kTrain, kSeconds, kRate, rng)));
    }
  }
  int right = 0;
  int asked = 0;
  for (const std::string_view animal : kAnimals) {
    for (std::uint64_t i = 0; i < 6; ++i) {
      Rng rng = Rng(2).fork(animal, i);
      const auto features = spectrum(render_animal(animal, Split::kTest, kSeconds, kRate, rng));
      double best = std::numeric_limits<double>::infinity();
      std::string_view nearest;
      for (const auto& [name, other] : heard) {
        const double d = distance(features, other);
        if (d < best) {
          best = d;
          nearest = name;
        }
      }
      right += nearest == animal ? 1 : 0;
      ++asked;
    }
  }
  EXPECT_GE(right, asked * 9 / 10) << "of " << asked;
}

TEST(Animals, UnknownOnesAreAnError) {
  Rng rng(1);
  EXPECT_THROW(render_animal("unicorn", Split::kTrain, kSeconds, kRate, rng), Error);
}

}  // namespace
}  // namespace retune::synth
