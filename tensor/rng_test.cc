#include "tensor/rng.h"

#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <set>

namespace retune {
namespace {

using Block = std::array<std::uint32_t, 4>;

// Philox4x32-10 from the paper's definition, on the whole counter.
Block philox(Block x, std::array<std::uint32_t, 2> key) {
  for (int round = 0; round < 10; ++round) {
    const std::uint64_t a = 0xD2511F53ull * x[0];
    const std::uint64_t b = 0xCD9E8D57ull * x[2];
    x = {static_cast<std::uint32_t>(b >> 32) ^ x[1] ^ key[0], static_cast<std::uint32_t>(b),
         static_cast<std::uint32_t>(a >> 32) ^ x[3] ^ key[1], static_cast<std::uint32_t>(a)};
    key = {key[0] + 0x9E3779B9u, key[1] + 0xBB67AE85u};
  }
  return x;
}

TEST(Rng, TheReferenceGivesTheKnownAnswersOfRandom123) {
  EXPECT_EQ(philox({0, 0, 0, 0}, {0, 0}), (Block{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  EXPECT_EQ(philox({0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff}, {0xffffffff, 0xffffffff}),
            (Block{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
  EXPECT_EQ(philox({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0}),
            (Block{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}));
}

TEST(Rng, BitsAreTheBlocksOfPhiloxUnderTheSeed) {
  for (const std::uint64_t seed : {std::uint64_t{0}, std::uint64_t{1}, std::uint64_t{0x299f31d0a4093822}}) {
    Rng rng(seed);
    for (std::uint32_t counter = 0; counter < 3; ++counter)
      for (const std::uint32_t word :
           philox({counter, 0, 0, 0}, {static_cast<std::uint32_t>(seed), static_cast<std::uint32_t>(seed >> 32)}))
        EXPECT_EQ(rng.bits(), word);
  }
}

TEST(Rng, AForkDependsOnSeedAndPathOnly) {
  Rng parent(5);
  Rng before = parent.fork("cell", 3);
  Rng untouched(5);
  for (int i = 0; i < 10; ++i) parent.normal();
  Rng after = parent.fork("cell", 3);
  for (int i = 0; i < 8; ++i) EXPECT_EQ(before.bits(), after.bits());
  Rng drawn(5);
  static_cast<void>(drawn.fork("other"));
  for (int i = 0; i < 8; ++i) EXPECT_EQ(drawn.bits(), untouched.bits());
}

TEST(Rng, ForksOfDifferentNamesIndicesAndSeedsAreDifferentStreams) {
  std::set<std::uint64_t> first;
  const auto add = [&](Rng rng) {
    const std::uint64_t high = rng.bits();
    first.insert((high << 32) | rng.bits());
  };
  for (std::uint64_t seed = 0; seed < 20; ++seed) {
    add(Rng(seed));
    for (const char* name : {"a", "b", "ab", "ba", "", "noise"})
      for (std::uint64_t index = 0; index < 50; ++index) add(Rng(seed).fork(name, index));
    add(Rng(seed).fork("a").fork("b"));
    add(Rng(seed).fork("b").fork("a"));
  }
  EXPECT_EQ(first.size(), 20u * (1 + 6 * 50 + 2));
}

TEST(Rng, ForkedStreamsAreUncorrelated) {
  Rng a = Rng(1).fork("cell", 0), b = Rng(1).fork("cell", 1);
  double sum = 0;
  constexpr int kCount = 20000;
  for (int i = 0; i < kCount; ++i) sum += (a.uniform() - 0.5) * (b.uniform() - 0.5);
  // The product of two centred uniforms has variance 1/144; five standard errors.
  EXPECT_LT(std::abs(sum / kCount), 5 / 12.0 / std::sqrt(kCount));
}

TEST(Rng, BelowIsUniformOverARangeThatDividesNoPowerOfTwo) {
  Rng rng(9);
  std::array<int, 7> counts{};
  for (int i = 0; i < 70000; ++i) ++counts[rng.below(7)];
  double chi_square = 0;
  for (const int count : counts) chi_square += (count - 10000.0) * (count - 10000.0) / 10000.0;
  EXPECT_LT(chi_square, 22.5);  // 6 degrees of freedom, p = 0.001
  EXPECT_EQ(rng.below(1), 0u);
}

TEST(Rng, NormalHasTheMomentsOfTheStandardNormal) {
  Rng rng(4);
  double mean = 0, square = 0, fourth = 0;
  constexpr int kCount = 100000;
  for (int i = 0; i < kCount; ++i) {
    const double x = rng.normal();
    mean += x / kCount;
    square += x * x / kCount;
    fourth += x * x * x * x / kCount;
  }
  EXPECT_NEAR(mean, 0, 5 / std::sqrt(kCount));
  EXPECT_NEAR(square, 1, 5 * std::sqrt(2.0 / kCount));
  EXPECT_NEAR(fourth, 3, 5 * std::sqrt(96.0 / kCount));
}

TEST(Rng, ShuffleKeepsTheItemsAndRepeatsWithTheSeed) {
  std::vector<int> items(100);
  for (int i = 0; i < 100; ++i) items[static_cast<std::size_t>(i)] = i;
  std::vector<int> a = items, b = items;
  Rng first(3), second(3);
  first.shuffle(a);
  second.shuffle(b);
  EXPECT_EQ(a, b);
  EXPECT_NE(a, items);
  EXPECT_EQ(std::set<int>(a.begin(), a.end()).size(), 100u);
}

}  // namespace
}  // namespace retune
