#include "training/lalm_batch.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <set>

namespace retune {
namespace {

using testing::ElementsAre;

constexpr std::int64_t kSlot = 99;

// Two clips of 3 and 5 frames, two items with sound and one without.
LalmData data() {
  LalmData d;
  d.attributes = {"Animal", "Emotion"};
  d.labels = {{"cat", "cow"}, {"happy"}};
  d.mels = 2;
  d.frames = 5;
  Tensor first = Tensor::of<float>({2, 3}, {1, 2, 3, 4, 5, -6}), second = Tensor::zeros(DType::kF32, {2, 5});
  d.clips = {{first.cast(DType::kF16), {1, -1}}, {second.cast(DType::kF16), {0, 0}}};
  d.items = {{0, {10, kSlot, 11}, {20, 21, 7}}, {1, {10, kSlot, 12, 13}, {22, 7}}, {-1, {14}, {23, 7}}};
  d.sound_items = {0, 1};
  d.text_items = {2};
  return d;
}

TEST(LalmBatch, PadsShorterClipsWithTheirOwnLowestValue) {
  const Tensor audio = audio_batch(data(), {0, 1}, {0, 0}, Rng(1));
  ASSERT_EQ(audio.shape(), (Shape{2, 2, 5}));
  EXPECT_THAT(std::vector<float>(audio.data<float>(), audio.data<float>() + 10),
              ElementsAre(1, 2, 3, -6, -6, 4, 5, -6, -6, -6));
}

TEST(LalmBatch, MasksOneBandOfBinsAndOneOfFramesWithTheMean) {
  LalmData d = data();
  d.mels = 12;
  d.frames = 20;
  std::vector<float> values(240);
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(i % 17);
  d.clips[0].features = Tensor::of<float>({12, 20}, values).cast(DType::kF16);
  std::set<std::size_t> extents;
  for (std::uint64_t seed = 0; seed < 40; ++seed) {
    const Tensor audio = audio_batch(d, {0}, {3, 4}, Rng(seed));
    // Rows and columns that changed anywhere else than in the other band.
    std::vector<std::int64_t> bins, frames;
    const auto changed = [&](std::int64_t m, std::int64_t f) {
      return audio.data<float>()[m * 20 + f] != values[static_cast<std::size_t>(m * 20 + f)];
    };
    for (std::int64_t m = 0; m < 12; ++m) {
      std::int64_t count = 0;
      for (std::int64_t f = 0; f < 20; ++f) count += changed(m, f);
      if (count > 4) bins.push_back(m);
    }
    for (std::int64_t f = 0; f < 20; ++f) {
      std::int64_t count = 0;
      for (std::int64_t m = 0; m < 12; ++m) count += changed(m, f);
      if (count > 3) frames.push_back(f);
    }
    for (const auto* band : {&bins, &frames}) {
      if (band->empty()) continue;
      EXPECT_EQ(band->back() - band->front() + 1, static_cast<std::int64_t>(band->size())) << "one band";
    }
    EXPECT_LE(bins.size(), 3U);
    EXPECT_LE(frames.size(), 4U);
    extents.insert(bins.size() * 10 + frames.size());
  }
  EXPECT_GT(extents.size(), 8U) << "widths vary from draw to draw";
}

TEST(LalmBatch, WeighsAttributesOverTheClipsThatTellThem) {
  std::map<std::string, Feed, std::less<>> inputs;
  add_attribute_labels(data(), {0, 1, 0}, 0.5, inputs);
  EXPECT_THAT(inputs.at("attribute_labels/Animal").tensor.to_i64(), ElementsAre(1, 0, 1));
  const auto weights = [&](const char* name) { return inputs.at(name).tensor.to_f64(); };
  double sum = 0;
  for (const double w : weights("attribute_weights/Animal")) sum += w;
  EXPECT_NEAR(sum, 0.5, 1e-6);
  EXPECT_THAT(weights("attribute_weights/Emotion"), ElementsAre(0, 0.5, 0));
}

TEST(LalmBatch, LaysPromptsOutForTeacherForcing) {
  std::map<std::string, Feed, std::less<>> inputs;
  add_prompts(data(), {0, 1, 2}, 2, kSlot, inputs);
  // Placeholders stand twice, the last answer token is only predicted; 6, 6 and 2 ids, padded to 8.
  EXPECT_THAT(inputs.at("input_ids").tensor.to_i64(), ElementsAre(10, kSlot, kSlot, 11, 20, 21, 0, 0, 10, kSlot, kSlot,
                                                                  12, 13, 22, 0, 0, 14, 23, 0, 0, 0, 0, 0, 0));
  EXPECT_THAT(inputs.at("attention_mask").tensor.to_i64(),
              ElementsAre(1, 1, 1, 1, 1, 1, 0, 0, 1, 1, 1, 1, 1, 1, 0, 0, 1, 1, 0, 0, 0, 0, 0, 0));
  EXPECT_THAT(inputs.at("audio_rows").tensor.to_i64(), ElementsAre(1, 2, 9, 10));
  EXPECT_EQ(inputs.at("audio_rows").tensor.shape(), (Shape{4, 1}));
  // Each label at the row before it.
  EXPECT_THAT(inputs.at("label_rows").tensor.to_i64(), ElementsAre(3, 4, 5, 12, 13, 16, 17));
  EXPECT_THAT(inputs.at("labels").tensor.to_i64(), ElementsAre(20, 21, 7, 22, 7, 23, 7));
  const std::vector<double> weights = inputs.at("label_weights").tensor.to_f64();
  EXPECT_NEAR(weights[0] + weights[1] + weights[2], 1.0 / 3, 1e-6);
  EXPECT_NEAR(weights[3] + weights[4], 1.0 / 3, 1e-6);
}

}  // namespace
}  // namespace retune
