#include <gtest/gtest.h>

#include <set>

#include "graph/session.h"

namespace retune {
namespace {

TEST(Version, OfATensorIsOfTypeShapeAndBytes) {
  const Tensor base = Tensor::of<float>({2, 2}, {1, 2, 3, 4});
  EXPECT_EQ(version_of(base), version_of(base.copy()));
  EXPECT_NE(version_of(base), version_of(base.reshaped({4})));
  EXPECT_NE(version_of(base), version_of(Tensor::of<float>({2, 2}, {1, 2, 3, 5})));
  EXPECT_NE(version_of(Tensor::zeros(DType::kF32, {2})), version_of(Tensor::zeros(DType::kI32, {2})));
  EXPECT_NE(version_of(Tensor::of<float>({1}, {0.0f})), version_of(Tensor::of<float>({1}, {-0.0f})));
  EXPECT_TRUE(version_of(Tensor::zeros(DType::kF32, {0})).known());
}

TEST(Version, NothingIsNotKnown) { EXPECT_FALSE(Version{}.known()); }

TEST(Version, CombiningKeepsOrderAndNesting) {
  const Version a = version_of("a"), b = version_of("b"), c = version_of("c");
  std::set<Version> all = {combine(a, b),
                           combine(b, a),
                           combine(a, a),
                           combine(combine(a, b), c),
                           combine(a, combine(b, c)),
                           combine(a, Version{}),
                           combine(Version{}, a),
                           a,
                           b,
                           c};
  EXPECT_EQ(all.size(), 10U);
}

TEST(Version, DoesNotCollideOverManyCombinations) {
  std::set<Version> all;
  for (int i = 0; i < 100; ++i)
    for (int j = 0; j < 100; ++j)
      all.insert(combine(version_of(std::to_string(i)), {0, static_cast<std::uint64_t>(j) + 1}));
  EXPECT_EQ(all.size(), 10000U);
}

TEST(Version, FreshOnesAreNew) {
  Session session({.threads = 1});
  const Version first = session.fresh_version(), second = session.fresh_version();
  EXPECT_NE(first, second);
  EXPECT_TRUE(first.known());
}

}  // namespace
}  // namespace retune
