// The equations that the closed-form methods solve, on random keys: normal equations, exact forms against each other,
// the constraints and what is least under them (methods.md 5.8-5.10, T4-T6).
#include "editors/mechanisms/closed_form.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <tuple>

#include "editors/alphaedit.h"
#include "editors/emmet.h"
#include "editors/mechanisms/null_space.h"
#include "editors/ultraedit.h"
#include "tensor/error.h"
#include "tensor/rng.h"

namespace retune {
namespace {

constexpr std::int64_t kWidth = 30, kOut = 7;

Matrix random(std::int64_t rows, std::int64_t columns, const std::string& name) {
  Rng rng = Rng(17).fork(name);
  Matrix matrix(rows, columns);
  for (double& item : matrix.values) item = rng.normal();
  return matrix;
}

// Of keys with a mean and with directions of very different strength.
Matrix second_moment() {
  Matrix keys = random(kWidth, 400, "corpus");
  for (std::int64_t i = 0; i < kWidth; ++i)
    for (std::int64_t t = 0; t < keys.columns; ++t)
      keys(i, t) = (keys(i, t) + 0.5) * std::pow(0.75, static_cast<double>(i));
  return scaled(product(keys, transpose(keys)), 1.0 / 400);
}

PreservedKeys preserved() { return {second_moment(), 0, "test"}; }

double norm(const Matrix& a) {
  double sum = 0;
  for (const double item : a.values) sum += item * item;
  return std::sqrt(sum);
}
double distance(const Matrix& a, const Matrix& b) { return norm(sum(a, scaled(b, -1))); }
double inner(const Matrix& a, const Matrix& b) { return trace(product(transpose(a), b)); }

Matrix column(const Matrix& a, std::int64_t j) { return columns_of(a, j, j + 1); }

// D = R X^T.
Matrix change(const Matrix& r, const Matrix& x) { return product(r, transpose(x)); }

TEST(KeySolve, SolvesTheNormalEquationsInBothForms) {
  const double lambda = 1.4 * kWidth;
  for (const std::int64_t n : {1, 5, 29, 30, 64}) {  // from the width on, directly
    const Matrix keys = random(kWidth, n, "keys"), r = random(kOut, n, "values");
    const Matrix d = change(r, key_solve(preserved(), keys, lambda));
    const Matrix gradient = sum(product(d, sum(scaled(second_moment(), lambda), product(keys, transpose(keys)))),
                                scaled(product(r, transpose(keys)), -1));
    EXPECT_LT(norm(gradient), 1e-8 * norm(product(r, transpose(keys)))) << n;
  }
}

TEST(KeySolve, OneKeyWritesTheShareOfItsLengthInTheMetricOfTheSecondMoment) {
  const Matrix key = random(kWidth, 1, "key"), r = random(kOut, 1, "value");
  const double s = inner(key, preserved().solve(key));
  for (const double lambda : {0.0, 1.0, 100.0, 1e6}) {
    const Matrix written = product(change(r, key_solve(preserved(), key, lambda)), key);
    EXPECT_LT(distance(written, scaled(r, s / (lambda + s))), 1e-9 * norm(r)) << lambda;
  }
  // Towards lambda = 0 the direction is ROME's, C^-1 k.
  const Matrix x = key_solve(preserved(), key, 1e-9), u = preserved().solve(key);
  EXPECT_NEAR(inner(x, u) / (norm(x) * norm(u)), 1, 1e-12);
}

TEST(KeySolve, TheOrderOfTheKeysDoesNotMatter) {
  const Matrix keys = random(kWidth, 4, "keys"), r = random(kOut, 4, "values");
  const auto reversed = [](const Matrix& a) {
    return beside(beside(column(a, 3), column(a, 2)), beside(column(a, 1), column(a, 0)));
  };
  const Matrix d = change(r, key_solve(preserved(), keys, 40));
  EXPECT_LT(distance(d, change(reversed(r), key_solve(preserved(), reversed(keys), 40))), 1e-8 * norm(d));
}

TEST(KeySolve, MoreKeysThanColumnsWithoutLambdaAreAFailureThatSaysSo) {
  const Matrix one = random(kWidth, 1, "key");
  Matrix same = one;
  while (same.columns < kWidth) same = beside(same, one);
  try {
    key_solve(preserved(), same, 0);
    ADD_FAILURE() << "a singular system was solved";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kFailure);
    EXPECT_THAT(error.what(), testing::HasSubstr("raise lambda"));
  }
}

TEST(PreservedKeys, RaiseTheRidgeOfASingularSecondMomentAndNameWhatNoRidgeRepairs) {
  const Matrix key = random(kWidth, 1, "key");
  const Matrix singular = product(key, transpose(key));
  const Matrix solved = PreservedKeys(singular, 0, "test").solve(key);
  EXPECT_TRUE(std::isfinite(norm(solved)));
  try {
    PreservedKeys(Matrix(kWidth, kWidth), 1e-6, "decoder.block.3.mlp.down");
    ADD_FAILURE() << "a second moment of zeros has an inverse";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kFailure);
    EXPECT_THAT(error.what(), testing::AllOf(testing::HasSubstr("decoder.block.3.mlp.down"),
                                             testing::HasSubstr("singular even with a ridge of 1e-2")));
  }
}

// --- EMMET

TEST(Emmet, WithoutSlackMeetsEveryValueAndDisturbsOtherKeysLeast) {
  const Matrix keys = random(kWidth, 5, "keys"), r = random(kOut, 5, "values");
  const Matrix d = change(r, emmet_factor(preserved(), keys, {2, 0.1, 0, false}));
  EXPECT_LT(distance(product(d, keys), r), 1e-6 * norm(r));
  // Least under D K = R: D C' is orthogonal to every change Z that leaves the keys alone, Z K = 0.
  const Matrix metric = shifted(scaled(second_moment(), 2), 0.1);
  const Matrix on_keys = product(keys, transpose(narrow_solve(keys, keys, 0)));  // the projector on their span
  const Matrix any = random(kOut, kWidth, "direction");
  const Matrix z = sum(any, scaled(product(any, on_keys), -1));
  ASSERT_LT(norm(product(z, keys)), 1e-9);
  const Matrix dc = product(d, metric);
  EXPECT_LT(std::abs(inner(dc, z)), 1e-9 * norm(dc) * norm(z));
}

TEST(Emmet, SlackIsInMeansOfTheDiagonalWhereItIsRelative) {
  const Matrix keys = random(kWidth, 3, "keys");
  const double mean = trace(product(transpose(keys), preserved().solve(keys))) / 3;
  const Matrix relative = emmet_factor(preserved(), keys, {1, 0, 0.01, true});
  EXPECT_LT(distance(relative, emmet_factor(preserved(), keys, {1, 0, 0.01 * mean, false})), 1e-12 * norm(relative));
  // With w = 1 it is MEMIT at lambda = epsilon.
  EXPECT_LT(distance(relative, key_solve(preserved(), keys, 0.01 * mean)), 1e-12 * norm(relative));
}

TEST(Emmet, EqualKeysWithTwoValuesGetTheirMean) {
  const Matrix key = random(kWidth, 1, "key"), r = random(kOut, 2, "values");
  const Matrix d = change(r, emmet_factor(preserved(), beside(key, key), {1, 0, 0, false}));
  EXPECT_LT(distance(product(d, key), scaled(sum(column(r, 0), column(r, 1)), 0.5)), 1e-6 * norm(r));
}

// --- AlphaEdit

TEST(NullSpace, HoldsTheSmallestEigenvaluesUpToTheShareOrTheBound) {
  const Matrix c = second_moment();
  for (const NullSpaceRule rule :
       {NullSpaceRule{NullSpaceRule::Mode::kEnergy, 1e-2}, NullSpaceRule{NullSpaceRule::Mode::kAbsolute, 2e-2}}) {
    const NullSpace free = null_space(c, rule);
    ASSERT_GT(free.basis.columns, 0);
    ASSERT_LT(free.basis.columns, kWidth);
    const Matrix p = product(free.basis, transpose(free.basis));
    EXPECT_LT(distance(product(p, p), p), 1e-10);
    EXPECT_LT(distance(transpose(p), p), 1e-10);
    const double held = inner(free.basis, product(c, free.basis));
    if (rule.mode == NullSpaceRule::Mode::kEnergy) {
      EXPECT_LE(held, 1e-2 * trace(c));
      EXPECT_GT(held + free.limit, 1e-2 * trace(c)) << "the next direction holds at least as much as the last";
    } else {
      EXPECT_LT(free.limit, 2e-2);
    }
  }
  EXPECT_EQ(null_space(c, {NullSpaceRule::Mode::kAbsolute, 0}).basis.columns, 0);
  EXPECT_EQ(null_space(c, {NullSpaceRule::Mode::kEnergy, 2}).basis.columns, kWidth);
}

TEST(AlphaEdit, IsThePapersEquationInBothForms) {
  const NullSpace free = null_space(second_moment(), {});
  const Matrix p = product(free.basis, transpose(free.basis));
  for (const auto& [n, m] : {std::pair{2, 3}, {2, 0}, {20, 25}}) {
    SCOPED_TRACE(n);
    const Matrix keys = random(kWidth, n, "keys"), earlier = random(kWidth, m, "earlier"),
                 r = random(kOut, n, "values");
    const Matrix d = change(r, alphaedit_factor(free, keys, earlier, 0.3));
    const Matrix grams = sum(product(keys, transpose(keys)), product(earlier, transpose(earlier)));
    const Matrix right = product(product(r, transpose(keys)), p);
    EXPECT_LT(distance(product(d, shifted(product(grams, p), 0.3)), right), 1e-9 * norm(right));
    EXPECT_LT(distance(product(d, p), d), 1e-10 * norm(d));
    EXPECT_LE(inner(d, product(d, second_moment())), free.limit * norm(d) * norm(d) * (1 + 1e-9));
  }
}

TEST(AlphaEdit, WithEveryDirectionFreeIsRidgeRegression) {
  const NullSpace all = null_space(second_moment(), {NullSpaceRule::Mode::kAbsolute, 1e9});
  const Matrix keys = random(kWidth, 4, "keys");
  const Matrix x = alphaedit_factor(all, keys, Matrix(kWidth, 0), 0.3);
  EXPECT_LT(distance(product(shifted(product(keys, transpose(keys)), 0.3), x), keys), 1e-9 * norm(keys));
}

// --- UltraEdit

TEST(RunningMoments, OfPartsAreThoseOfTheWhole) {
  Matrix rows = random(50, 6, "rows");
  for (std::int64_t t = 0; t < 50; ++t) rows(t, 2) = 1e4 + rows(t, 2);  // a mean far from zero
  for (std::int64_t t = 0; t < 50; ++t) rows(t, 5) = 3;                 // no deviation
  const auto part = [&](std::int64_t begin, std::int64_t end) {
    return RunningMoments::of(transpose(columns_of(transpose(rows), begin, end)));
  };
  const RunningMoments whole = RunningMoments::of(rows);
  RunningMoments joined;
  for (const auto& [begin, end] : {std::pair{0, 1}, {1, 30}, {30, 50}})
    joined = RunningMoments::joined(joined, part(begin, end));
  EXPECT_EQ(joined.count, 50);
  for (std::size_t d = 0; d < 6; ++d) {
    EXPECT_NEAR(joined.mean[d], whole.mean[d], 1e-9);
    EXPECT_NEAR(joined.squares[d], whole.squares[d], 1e-7 * (1 + whole.squares[d]));
  }
  const Matrix normal = joined.normalised(rows);
  for (std::int64_t d = 0; d < 5; ++d) {
    double mean = 0, square = 0;
    for (std::int64_t t = 0; t < 50; ++t) {
      mean += normal(t, d) / 50;
      square += normal(t, d) * normal(t, d) / 49;
    }
    EXPECT_NEAR(mean, 0, 1e-6);
    EXPECT_NEAR(square, 1, 1e-5);
  }
  EXPECT_NEAR(normal(7, 5), 0, 1e-6) << "what never differs says nothing";
}

}  // namespace
}  // namespace retune
