#include "editors/mechanisms/second_moment.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>
#include <filesystem>
#include <fstream>

#include "adapters/hdf5_writer.h"
#include "editors/mechanisms/second_moment_file.h"
#include "tensor/error.h"
#include "tensor/linear_algebra.h"
#include "tensor/rng.h"

namespace retune {
namespace {

constexpr std::int64_t kWidth = 70;  // more than one tile
constexpr std::int64_t kTokens = 3 * kBlockTokens + 777;

struct Stream {
  std::vector<float> keys;
  std::vector<TokenClass> classes;
};

Stream stream(std::int64_t tokens = kTokens) {
  Rng rng(3);
  Stream result;
  for (std::int64_t t = 0; t < tokens; ++t) {
    result.classes.push_back(static_cast<TokenClass>(rng.below(3)));
    for (std::int64_t i = 0; i < kWidth; ++i) result.keys.push_back(static_cast<float>(rng.normal() + 0.3));
  }
  return result;
}

ClassSums sums_of(const Stream& data, std::int64_t chunk, ThreadPool& pool) {
  MomentAccumulator accumulator(kWidth);
  const auto count = static_cast<std::int64_t>(data.classes.size());
  for (std::int64_t begin = 0; begin < count; begin += chunk) {
    const std::int64_t rows = std::min(chunk, count - begin);
    accumulator.add(
        std::span(data.keys).subspan(static_cast<std::size_t>(begin * kWidth), static_cast<std::size_t>(rows * kWidth)),
        std::span(data.classes).subspan(static_cast<std::size_t>(begin), static_cast<std::size_t>(rows)), pool);
  }
  return accumulator.sums(pool);
}

SecondMoment moment_of(ClassSums sums) {
  return {
      {"decoder.block.0.mlp.down", ContentHash::of("model"), ContentHash::of("corpus"), ContentHash::of("settings")},
      kWidth,
      std::move(sums)};
}

void expect_close(const std::vector<double>& a, const std::vector<double>& b) {
  ASSERT_EQ(a.size(), b.size());
  double scale = 0;
  for (const double item : a) scale = std::max(scale, std::abs(item));
  for (std::size_t i = 0; i < a.size(); ++i) ASSERT_NEAR(a[i], b[i], 1e-12 * scale);
}

TEST(SecondMoment, IsTheMeanOfOuterProducts) {
  ThreadPool pool(2);
  const Stream data = stream(500);
  const SecondMoment moment = moment_of(sums_of(data, 500, pool));
  std::vector<double> all(kWidth * kWidth, 0.0), text(kWidth * kWidth, 0.0);
  std::int64_t texts = 0;
  for (std::size_t t = 0; t < data.classes.size(); ++t) {
    const bool of_text = data.classes[t] == TokenClass::kText;
    texts += of_text ? 1 : 0;
    for (std::size_t i = 0; i < kWidth; ++i)
      for (std::size_t j = 0; j < kWidth; ++j) {
        const double term =
            static_cast<double>(data.keys[t * kWidth + i]) * static_cast<double>(data.keys[t * kWidth + j]);
        all[i * kWidth + j] += term / 500;
        if (of_text) text[i * kWidth + j] += term;
      }
  }
  for (double& item : text) item /= static_cast<double>(texts);
  EXPECT_EQ(moment.tokens(), 500);
  expect_close(moment.matrix(), all);
  const TokenClass only[] = {TokenClass::kText};
  expect_close(moment.matrix(only), text);
  const TokenClass absent[] = {TokenClass::kAnswer};
  EXPECT_THROW(moment.matrix(absent), Error);
}

TEST(SecondMoment, HowTheStreamIsCutAndHowManyThreadsChangesNoBit) {
  ThreadPool one(1), four(4);
  const Stream data = stream();
  const ClassSums whole = sums_of(data, kTokens, one), cut = sums_of(data, 611, four);
  for (std::size_t c = 0; c < kTokenClasses; ++c) {
    EXPECT_EQ(whole[c].tokens, cut[c].tokens);
    EXPECT_EQ(whole[c].sum, cut[c].sum);
  }
}

TEST(SecondMoment, OrderMattersOnlyToRounding) {
  ThreadPool pool(2);
  const Stream data = stream();
  Stream reversed;
  for (std::size_t t = data.classes.size(); t-- > 0;) {
    reversed.classes.push_back(data.classes[t]);
    reversed.keys.insert(reversed.keys.end(), data.keys.begin() + static_cast<std::ptrdiff_t>(t * kWidth),
                         data.keys.begin() + static_cast<std::ptrdiff_t>((t + 1) * kWidth));
  }
  expect_close(moment_of(sums_of(data, kTokens, pool)).matrix(), moment_of(sums_of(reversed, kTokens, pool)).matrix());
}

TEST(SecondMoment, HalvesMergeToTheWhole) {
  ThreadPool pool(2);
  const Stream data = stream();
  const std::size_t half = data.classes.size() / 2;
  Stream left, right;
  left.keys.assign(data.keys.begin(), data.keys.begin() + static_cast<std::ptrdiff_t>(half * kWidth));
  left.classes.assign(data.classes.begin(), data.classes.begin() + static_cast<std::ptrdiff_t>(half));
  right.keys.assign(data.keys.begin() + static_cast<std::ptrdiff_t>(half * kWidth), data.keys.end());
  right.classes.assign(data.classes.begin() + static_cast<std::ptrdiff_t>(half), data.classes.end());
  const SecondMoment a = moment_of(sums_of(left, kTokens, pool)), b = moment_of(sums_of(right, kTokens, pool));
  const SecondMoment merged = merge(a, b);
  EXPECT_EQ(merged.tokens(), kTokens);
  EXPECT_EQ(merged.identity, merge(b, a).identity);
  expect_close(merged.matrix(), moment_of(sums_of(data, kTokens, pool)).matrix());
  SecondMoment other = b;
  other.identity.model = ContentHash::of("another model");
  EXPECT_THROW(merge(a, other), Error);
}

TEST(SecondMoment, IsSymmetricPositiveAndItsInverseWhitensItsKeys) {
  ThreadPool pool(2);
  const Stream data = stream(2000);
  const SecondMoment moment = moment_of(sums_of(data, 2000, pool));
  const std::vector<double> c = moment.matrix();
  for (std::size_t i = 0; i < kWidth; ++i)
    for (std::size_t j = 0; j < i; ++j) EXPECT_EQ(c[i * kWidth + j], c[j * kWidth + i]);
  const Eigen eigen = symmetric_eigen(c, kWidth);
  EXPECT_GE(eigen.values.front(), -1e-10 * eigen.values.back());
  double mean = 0;  // E[k^T C^-1 k] = width at rho = 0
  for (std::size_t t = 0; t < 2000; ++t) {
    const std::vector<double> key(data.keys.begin() + static_cast<std::ptrdiff_t>(t * kWidth),
                                  data.keys.begin() + static_cast<std::ptrdiff_t>((t + 1) * kWidth));
    if (t % 20 != 0) continue;
    const std::vector<double> x = moment.solve(key, 1, {}, 0.0);
    for (std::size_t i = 0; i < kWidth; ++i) mean += key[i] * x[i] / 100;
  }
  EXPECT_NEAR(mean, kWidth, 0.1 * kWidth);  // of a sample of the keys
}

class SecondMomentFile : public testing::Test {
 protected:
  void SetUp() override { std::filesystem::create_directories(folder_); }
  void TearDown() override { std::filesystem::remove_all(folder_); }
  std::filesystem::path folder_ =
      std::filesystem::path(testing::TempDir()) / fmt::format("retune_second_moment_test_{}", ::getpid());
};

std::string bytes_of(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

TEST_F(SecondMomentFile, ComesBackAsItWasAndTheSameMomentIsTheSameBytes) {
  ThreadPool pool(2);
  const SecondMoment moment = moment_of(sums_of(stream(900), 900, pool));
  moment.save(folder_ / "a.h5");
  moment.save(folder_ / "b.h5");
  const SecondMoment back = SecondMoment::load(folder_ / "a.h5");
  EXPECT_EQ(back.identity, moment.identity);
  for (std::size_t c = 0; c < kTokenClasses; ++c) {
    EXPECT_EQ(back.classes[c].tokens, moment.classes[c].tokens);
    EXPECT_EQ(back.classes[c].sum, moment.classes[c].sum);
  }
  EXPECT_EQ(bytes_of(folder_ / "a.h5"), bytes_of(folder_ / "b.h5"));
}

TEST_F(SecondMomentFile, ACheckpointGoesOnToTheSameBits) {
  ThreadPool pool(2);
  const Stream data = stream();
  MomentAccumulator first(kWidth);
  const std::size_t cut = 2 * kBlockTokens + 100;
  first.add(std::span(data.keys).first(cut * kWidth), std::span(data.classes).first(cut), pool);
  save_checkpoint({moment_of({}).identity, kWidth, 5, first.state()}, folder_ / "c.h5");
  EXPECT_THROW(SecondMoment::load(folder_ / "c.h5"), Error);
  MomentCheckpoint found = load_checkpoint(folder_ / "c.h5");
  EXPECT_EQ(found.items, 5);
  MomentAccumulator second(kWidth);
  second.restore(std::move(found.state));
  second.add(std::span(data.keys).subspan(cut * kWidth), std::span(data.classes).subspan(cut), pool);
  const ClassSums whole = sums_of(data, kTokens, pool), resumed = second.sums(pool);
  for (std::size_t c = 0; c < kTokenClasses; ++c) EXPECT_EQ(resumed[c].sum, whole[c].sum);
}

TEST_F(SecondMomentFile, OtherFilesAreRefusedInOneLine) {
  Hdf5Writer out(folder_ / "other.h5");
  out.attribute("", "format", "retune-patch");
  out.commit();
  EXPECT_THROW(SecondMoment::load(folder_ / "other.h5"), Error);
  EXPECT_THROW(SecondMoment::load(folder_ / "none.h5"), Error);
  EXPECT_THROW(moment_of({}).save(folder_ / "empty.h5"), Error);
}

}  // namespace
}  // namespace retune
