#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "graph/graph_builder.h"
#include "graph/op_case.h"
#include "graph/session.h"
#include "tensor/error.h"

namespace retune {
namespace {

constexpr double kInf = std::numeric_limits<double>::infinity();

// y and lse by the definition, one element of the scores at a time.
std::vector<Tensor> naive(const std::vector<Tensor>& in, double scale, double softcap = 0) {
  const Shape &q = in[0].shape(), &k = in[1].shape(), &v = in[2].shape();
  const std::int64_t heads = q[1], s_count = q[2], t_count = k[2], d = q[3], e = v[3], group = heads / k[1];
  Tensor y = Tensor::zeros(DType::kF64, {q[0], heads, s_count, e}),
         lse = Tensor::empty(DType::kF64, {q[0], heads, s_count});
  const auto mask = [&](std::int64_t b, std::int64_t h, std::int64_t s, std::int64_t t) {
    if (in.size() < 4) return 0.0;
    const Shape& shape = in[3].shape();
    const std::int64_t at[4] = {b, h, s, t};
    std::int64_t index = 0;
    for (int axis = 0; axis < shape.rank(); ++axis)
      index = index * shape[axis] + (shape[axis] == 1 ? 0 : at[4 - shape.rank() + axis]);
    return in[3].data<double>()[index];
  };
  for (std::int64_t b = 0; b < q[0]; ++b) {
    for (std::int64_t h = 0; h < heads; ++h) {
      for (std::int64_t s = 0; s < s_count; ++s) {
        const std::int64_t row = (b * heads + h) * s_count + s, source = b * k[1] + h / group;
        std::vector<double> weights;
        double sum = 0;
        for (std::int64_t t = 0; t < t_count; ++t) {
          double dot = 0;
          for (std::int64_t i = 0; i < d; ++i)
            dot += in[0].data<double>()[row * d + i] * in[1].data<double>()[(source * t_count + t) * d + i];
          weights.push_back(
              std::exp((softcap > 0 ? softcap * std::tanh(scale * dot / softcap) : scale * dot) + mask(b, h, s, t)));
          sum += weights.back();
        }
        lse.mutable_data<double>()[row] = std::log(sum);
        for (std::int64_t t = 0; t < t_count; ++t)
          for (std::int64_t i = 0; i < e; ++i)
            y.mutable_data<double>()[row * e + i] +=
                sum == 0
                    ? 0
                    : weights[static_cast<std::size_t>(t)] / sum * in[2].data<double>()[(source * t_count + t) * e + i];
      }
    }
  }
  return {y, lse};
}

OpCase attention(Shape q, Shape k, Shape v, double scale, Tensor mask = {}) {
  OpCase test{.domain = "retune",
              .op = "Attention",
              .version = 1,
              .inputs = {random_f64(std::move(q), 1), random_f64(std::move(k), 2), random_f64(std::move(v), 3)},
              .attributes = {{"scale", scale}},
              .reference = [scale](const std::vector<Tensor>& in) { return std::vector<Tensor>{naive(in, scale)[0]}; },
              .gradients = {0, 1, 2}};
  if (mask.defined()) test.inputs.push_back(std::move(mask));
  return test;
}

Tensor causal(std::int64_t s, std::int64_t t) {
  Tensor mask = Tensor::zeros(DType::kF64, {s, t});
  for (std::int64_t i = 0; i < s; ++i)
    for (std::int64_t j = i + t - s + 1; j < t; ++j) mask.mutable_data<double>()[i * t + j] = -kInf;
  return mask;
}

TEST(Attention, WeighsValuesByTheSoftmaxOfScores) {
  check(attention({2, 3, 4, 5}, {2, 3, 6, 5}, {2, 3, 6, 5}, 0.7));
  check(attention({1, 1, 1, 3}, {1, 1, 7, 3}, {1, 1, 7, 2}, 1.0));
  check(attention({1, 2, 3, 1}, {1, 2, 1, 1}, {1, 2, 1, 4}, 2.0));
}

TEST(Attention, SharesKeysAmongTheHeadsOfAGroup) {
  check(attention({2, 4, 3, 5}, {2, 2, 6, 5}, {2, 2, 6, 5}, 0.5));
  check(attention({1, 3, 4, 2}, {1, 1, 4, 2}, {1, 1, 4, 2}, 0.5));
}

TEST(Attention, AddsAMaskThatBroadcasts) {
  check(attention({2, 2, 4, 3}, {2, 2, 4, 3}, {2, 2, 4, 3}, 0.5, causal(4, 4)));
  check(attention({2, 2, 3, 3}, {2, 2, 5, 3}, {2, 2, 5, 3}, 0.5, causal(3, 5)));
  for (const Shape& mask : {Shape{2, 2, 3, 4}, Shape{2, 1, 3, 4}, Shape{1, 2, 3, 4}, Shape{2, 1, 1, 4},
                            Shape{2, 1, 3, 1}, Shape{3, 4}, Shape{4}, Shape{}})
    check(attention({2, 2, 3, 2}, {2, 2, 4, 2}, {2, 2, 4, 2}, 1.0, random_f64(mask, 9)));
}

TEST(Attention, BendsScoresByASoftcapBeforeTheMask) {
  OpCase test = attention({2, 2, 3, 4}, {2, 1, 5, 4}, {2, 1, 5, 4}, 2.0, causal(3, 5));
  test.attributes.set("softcap", 1.5);
  test.reference = [](const std::vector<Tensor>& in) { return std::vector<Tensor>{naive(in, 2.0, 1.5)[0]}; };
  check(test);
}

TEST(Attention, GivesTheLogOfItsNormaliser) {
  OpCase test = attention({2, 2, 3, 4}, {2, 1, 5, 4}, {2, 1, 5, 4}, 0.5);
  test.outputs = 2;
  test.reference = [](const std::vector<Tensor>& in) { return naive(in, 0.5); };
  test.gradients = {};
  check(test);
}

TEST(Attention, ARowThatIsMaskedEverywhereGivesZerosAndNoGradient) {
  Tensor mask = causal(3, 4);
  for (std::int64_t t = 0; t < 4; ++t) mask.mutable_data<double>()[4 + t] = -kInf;
  check(attention({1, 2, 3, 2}, {1, 2, 4, 2}, {1, 2, 4, 2}, 1.0, mask));
}

TEST(Attention, TakesNoQueriesAndNoKeys) {
  check(attention({1, 2, 0, 3}, {1, 2, 4, 3}, {1, 2, 4, 3}, 1.0));
  check(attention({1, 2, 3, 3}, {1, 2, 0, 3}, {1, 2, 0, 3}, 1.0));
  check(attention({0, 2, 3, 3}, {0, 2, 4, 3}, {0, 2, 4, 3}, 1.0));
}

TEST(Attention, CutsLongSequencesIntoBlocksOfRows) {
  OpCase test = attention({1, 2, 150, 3}, {1, 1, 700, 3}, {1, 1, 700, 3}, 1.0);
  check(test);
  check(attention({3, 4, 130, 16}, {3, 2, 130, 16}, {3, 2, 130, 16}, 0.25, causal(130, 130)));
}

TEST(Attention, SaysThatItsMaskHasNoGradient) {
  auto graph = std::make_shared<Graph>();
  GraphBuilder b(*graph);
  std::vector<ValueId> inputs;
  Request request{.outputs = {"y"}, .loss = "y", .wrt = {"mask"}};
  for (const char* name : {"q", "k", "v", "mask"}) {
    inputs.push_back(graph->add_input(name, DType::kF32));
    request.inputs[name] = {Tensor::zeros(DType::kF32, {1, 1, 2, 2})};
  }
  b.ops("retune", "Attention", inputs, {}, {"y"});
  Session session({.threads = 1});
  try {
    session.run(graph, {}, request);
    FAIL() << "expected an error";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kUser);
    EXPECT_NE(std::string(error.what()).find("mask of an attention has no gradient"), std::string::npos)
        << error.what();
  }
}

}  // namespace
}  // namespace retune
