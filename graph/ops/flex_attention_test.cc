#include <gtest/gtest.h>

#include <cmath>
#include <memory>
#include <vector>

#include "graph/op_case.h"

namespace retune {
namespace {

// The hyperbolic tangent, or the square, as a model's own graph.
std::shared_ptr<const Graph> tanh_graph() {
  auto graph = std::make_shared<Graph>();
  const ValueId x = graph->add_input("x", DType::kUndefined);
  graph->inputs = {x};
  graph->outputs = graph->add_node({.op = "Tanh", .inputs = {x}}, {"y"});
  return graph;
}
std::shared_ptr<const Graph> square_graph() {
  auto graph = std::make_shared<Graph>();
  const ValueId x = graph->add_input("x", DType::kUndefined);
  graph->inputs = {x};
  graph->outputs = graph->add_node({.op = "Mul", .inputs = {x, x}}, {"y"});
  return graph;
}

constexpr std::int64_t kBatch = 1, kHeads = 4, kKeyHeads = 2, kQueries = 3, kKeys = 2, kWidth = 2, kValues = 3;

std::vector<Tensor> loop(const std::vector<Tensor>& in, bool bounded, bool squared) {
  Tensor y = Tensor::zeros(DType::kF64, {kBatch, kHeads, kQueries, kValues});
  for (std::int64_t row = 0; row < kBatch * kHeads * kQueries; ++row) {
    const std::int64_t head = row / kQueries / (kHeads / kKeyHeads);
    double weights[kKeys], sum = 0;
    for (std::int64_t t = 0; t < kKeys; ++t) {
      double score = 0;
      for (std::int64_t i = 0; i < kWidth; ++i)
        score += in[0].data<double>()[row * kWidth + i] * in[1].data<double>()[(head * kKeys + t) * kWidth + i];
      score /= std::sqrt(2.0);
      weights[t] = std::exp(bounded ? std::tanh(score) : score);
      sum += weights[t];
    }
    for (std::int64_t t = 0; t < kKeys; ++t) {
      const double weight = weights[t] / sum;
      for (std::int64_t j = 0; j < kValues; ++j)
        y.mutable_data<double>()[row * kValues + j] +=
            (squared ? weight * weight : weight) * in[2].data<double>()[(head * kKeys + t) * kValues + j];
    }
  }
  return {y};
}

TEST(FlexAttention, LetsGraphsChangeScoresAndWeights) {
  for (const bool scores : {false, true})
    for (const bool weights : {false, true}) {
      Attributes attributes;
      if (scores) attributes.set("score_mod", tanh_graph());
      if (weights) attributes.set("prob_mod", square_graph());
      check({.domain = "ai.onnx.preview",
             .op = "FlexAttention",
             .version = 1,
             .inputs = {random_f64({kBatch, kHeads, kQueries, kWidth}, 1),
                        random_f64({kBatch, kKeyHeads, kKeys, kWidth}, 2),
                        random_f64({kBatch, kKeyHeads, kKeys, kValues}, 3)},
             .attributes = attributes,
             .reference = [=](const std::vector<Tensor>& in) { return loop(in, scores, weights); },
             .gradients = {0, 1, 2}});
    }
}

}  // namespace
}  // namespace retune
