#include "graph/optimizer.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include "tensor/error.h"
#include "tensor/rng.h"

namespace retune {
namespace {

using Tensors = std::map<std::string, Tensor>;

Tensor random_f32(Shape shape, std::uint64_t seed) {
  Rng rng(seed);
  Tensor t = Tensor::empty(DType::kF32, std::move(shape));
  for (std::int64_t i = 0; i < t.numel(); ++i) t.mutable_data<float>()[i] = static_cast<float>(rng.normal());
  return t;
}

// Algorithm 1 of Kingma & Ba with decoupled decay, one weight at a time in f64.
struct PlainAdam {
  AdamOptions o;
  std::vector<double> w, m, v;
  int t = 0;
  void step(const Tensor& g) {
    ++t;
    for (std::size_t i = 0; i < w.size(); ++i) {
      const double gradient = g.values<float>()[i];
      m[i] = o.beta1 * m[i] + (1 - o.beta1) * gradient;
      v[i] = o.beta2 * v[i] + (1 - o.beta2) * gradient * gradient;
      const double direction =
          m[i] / (1 - std::pow(o.beta1, t)) / (std::sqrt(v[i] / (1 - std::pow(o.beta2, t))) + o.epsilon);
      w[i] -= o.learning_rate * (direction + o.weight_decay * w[i]);
    }
  }
};

TEST(Adam, FollowsTheFormulaInF64OverManySteps) {
  const AdamOptions options{.learning_rate = 0.01, .beta1 = 0.8, .beta2 = 0.95, .epsilon = 1e-6, .weight_decay = 0.1};
  Tensors masters{{"w", random_f32({37, 5}, 1)}};
  PlainAdam plain{.o = options, .w = {}, .m = std::vector<double>(185), .v = std::vector<double>(185)};
  for (const float w : masters["w"].values<float>()) plain.w.push_back(w);
  Adam adam(options);
  ThreadPool pool(2);
  for (std::uint64_t step = 0; step < 50; ++step) {
    const Tensor g = random_f32({37, 5}, 100 + step);
    adam.step(masters, {{"w", g}}, pool);
    plain.step(g);
  }
  for (std::size_t i = 0; i < plain.w.size(); ++i) EXPECT_NEAR(masters["w"].values<float>()[i], plain.w[i], 5e-6);
  EXPECT_EQ(adam.moments().at("w").steps, 50);
}

TEST(Adam, BytesDoNotDependOnTheNumberOfThreads) {
  std::vector<Tensor> results;
  for (const int threads : {1, 2, 4}) {
    Tensors masters{{"w", random_f32({300, 301}, 1)}};
    Adam adam({});
    ThreadPool pool(threads);
    for (std::uint64_t step = 0; step < 3; ++step) adam.step(masters, {{"w", random_f32({300, 301}, 7 + step)}}, pool);
    results.push_back(masters["w"]);
  }
  EXPECT_TRUE(identical(results[0], results[1]));
  EXPECT_TRUE(identical(results[0], results[2]));
}

TEST(Adam, ARateOfZeroLeavesEveryBit) {
  Tensors masters{{"w", Tensor::of<float>({4}, {-0.0f, 0.0f, 1.5f, std::numeric_limits<float>::denorm_min()})}};
  const Tensor before = masters["w"].copy();
  Adam adam({.learning_rate = 0, .weight_decay = 0.5});
  ThreadPool pool(1);
  adam.step(masters, {{"w", Tensor::of<float>({4}, {1.0f, -1.0f, 3.0f, -2.0f})}}, pool);
  EXPECT_TRUE(identical(masters["w"], before));
  sgd_step(masters, {{"w", Tensor::of<float>({4}, {1.0f, -1.0f, 3.0f, -2.0f})}}, 0, 0.5);
  EXPECT_TRUE(identical(masters["w"], before));
}

TEST(Adam, ANameStartsAtItsFirstGradient) {
  Tensors masters{{"a", Tensor::of<float>({1}, {1.0f})}, {"b", Tensor::of<float>({1}, {1.0f})}};
  Adam adam({.learning_rate = 0.5});
  ThreadPool pool(1);
  adam.step(masters, {{"a", Tensor::of<float>({1}, {1.0f})}}, pool);
  EXPECT_EQ(masters["b"].values<float>()[0], 1.0f);
  adam.step(masters, {{"b", Tensor::of<float>({1}, {-2.0f})}}, pool);
  // The first step of a name has length lr, whatever the gradient.
  EXPECT_NEAR(masters["a"].values<float>()[0], 0.5f, 1e-6);
  EXPECT_NEAR(masters["b"].values<float>()[0], 1.5f, 1e-6);
}

TEST(Adam, ContinuesFromRestoredMomentsBitForBit) {
  const auto gradient = [](std::uint64_t step) { return Tensors{{"w", random_f32({64}, step)}}; };
  ThreadPool pool(1);
  Tensors whole{{"w", random_f32({64}, 99)}}, halves{{"w", random_f32({64}, 99)}};
  Adam one({}), first({}), second({});
  for (std::uint64_t step = 0; step < 4; ++step) one.step(whole, gradient(step), pool);
  for (std::uint64_t step = 0; step < 2; ++step) first.step(halves, gradient(step), pool);
  second.restore(first.moments());
  for (std::uint64_t step = 2; step < 4; ++step) second.step(halves, gradient(step), pool);
  EXPECT_TRUE(identical(whole["w"], halves["w"]));
}

TEST(Adam, RefusesWhatDoesNotFit) {
  EXPECT_THROW(Adam({.learning_rate = -1}), Error);
  EXPECT_THROW(Adam({.beta1 = 1}), Error);
  EXPECT_THROW(Adam({.beta2 = -0.1}), Error);
  EXPECT_THROW(Adam({.epsilon = 0}), Error);
  EXPECT_THROW(Adam({.weight_decay = std::numeric_limits<double>::infinity()}), Error);
  Tensors masters{{"w", Tensor::of<float>({2}, {1.0f, 2.0f})}};
  Adam adam({});
  ThreadPool pool(1);
  EXPECT_THROW(adam.step(masters, {{"v", Tensor::of<float>({2}, {1.0f, 2.0f})}}, pool), Error);
  EXPECT_THROW(adam.step(masters, {{"w", Tensor::of<float>({1}, {1.0f})}}, pool), Error);
  EXPECT_THROW(adam.step(masters, {{"w", Tensor::of<double>({2}, {1.0, 2.0})}}, pool), Error);
}

TEST(SgdStep, MovesAgainstTheGradientAndDecays) {
  Tensors masters{{"w", Tensor::of<float>({2}, {1.0f, -2.0f})}};
  sgd_step(masters, {{"w", Tensor::of<float>({2}, {0.5f, 1.0f})}}, 0.1, 0.5);
  EXPECT_FLOAT_EQ(masters["w"].values<float>()[0], 1.0f - 0.1f * (0.5f + 0.5f));
  EXPECT_FLOAT_EQ(masters["w"].values<float>()[1], -2.0f - 0.1f * (1.0f - 1.0f));
}

TEST(ClipGlobalNorm, ScalesAllGradientsTogetherAndSharesNothing) {
  const Tensor a = Tensor::of<float>({1}, {3.0f});
  Tensors gradients{{"a", a}, {"b", Tensor::of<float>({1}, {-4.0f})}};
  EXPECT_DOUBLE_EQ(clip_global_norm(gradients, 10), 5.0);
  EXPECT_EQ(gradients["a"].raw(), a.raw());
  EXPECT_DOUBLE_EQ(clip_global_norm(gradients, 1), 5.0);
  EXPECT_FLOAT_EQ(gradients["a"].values<float>()[0], 0.6f);
  EXPECT_FLOAT_EQ(gradients["b"].values<float>()[0], -0.8f);
  EXPECT_EQ(a.values<float>()[0], 3.0f);
  EXPECT_THROW(clip_global_norm(gradients, 0), Error);
}

TEST(ClipGlobalNorm, ReportsANormThatIsNotFiniteAndLeavesTheGradients) {
  Tensors gradients{{"a", Tensor::of<float>({2}, {1.0f, std::numeric_limits<float>::infinity()})}};
  EXPECT_TRUE(std::isinf(clip_global_norm(gradients, 1)));
  EXPECT_EQ(gradients["a"].values<float>()[0], 1.0f);
}

TEST(RmsProp, FollowsTheFormulaInF64OverManySteps) {
  Tensors masters{{"w", random_f32({29, 3}, 1)}};
  std::vector<double> w, v(87);
  for (const float item : masters["w"].values<float>()) w.push_back(item);
  RmsProp optimizer({.smoothing = 0.9, .epsilon = 1e-6});
  ThreadPool pool(2);
  for (std::uint64_t step = 0; step < 50; ++step) {
    const Tensor g = random_f32({29, 3}, 200 + step);
    optimizer.step(masters, {{"w", g}}, 0.01, pool);
    for (std::size_t i = 0; i < w.size(); ++i) {
      const double gradient = g.values<float>()[i];
      v[i] = 0.9 * v[i] + 0.1 * gradient * gradient;
      w[i] -= 0.01 * gradient / (std::sqrt(v[i]) + 1e-6);
    }
  }
  for (std::size_t i = 0; i < w.size(); ++i) EXPECT_NEAR(masters["w"].values<float>()[i], w[i], 5e-6);
}

TEST(RmsProp, NoRateLeavesEveryBitAndACheckpointGoesOn) {
  Tensors still{{"w", random_f32({5}, 1)}}, straight = {{"w", random_f32({5}, 2)}},
                                            paused = {{"w", random_f32({5}, 2)}};
  const Tensor before = still["w"].copy();
  ThreadPool pool(1);
  RmsProp none, first, second, third;
  none.step(still, {{"w", random_f32({5}, 3)}}, 0, pool);
  EXPECT_TRUE(identical(still["w"], before));
  for (std::uint64_t step = 0; step < 4; ++step) {
    const Tensors gradients{{"w", random_f32({5}, 10 + step)}};
    first.step(straight, gradients, 0.1, pool);
    (step < 2 ? second : third).step(paused, gradients, 0.1, pool);
    if (step != 1) continue;
    std::map<std::string, Tensor> squares;
    for (const auto& [name, square] : second.squares()) squares[name] = square.copy();
    third.restore(std::move(squares));
  }
  EXPECT_TRUE(identical(straight["w"], paused["w"]));
}

TEST(RmsProp, RefusesWhatDoesNotFit) {
  EXPECT_THROW(RmsProp({.smoothing = 1}), Error);
  EXPECT_THROW(RmsProp({.epsilon = 0}), Error);
  Tensors masters{{"w", random_f32({5}, 1)}};
  ThreadPool pool(1);
  RmsProp optimizer;
  EXPECT_THROW(optimizer.step(masters, {{"v", random_f32({5}, 1)}}, 0.1, pool), Error);
  EXPECT_THROW(optimizer.step(masters, {{"w", random_f32({4}, 1)}}, 0.1, pool), Error);
  EXPECT_THROW(optimizer.step(masters, {{"w", random_f32({5}, 1)}}, -1, pool), Error);
}

}  // namespace
}  // namespace retune
