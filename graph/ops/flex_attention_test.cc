#include <gtest/gtest.h>

#include <cmath>
#include <memory>
#include <vector>

#include "graph/graph_builder.h"
#include "graph/op_case.h"

namespace retune {
namespace {

// y = x * factor, as a model's own graph.
std::shared_ptr<const Graph> scaled(const char* op, double factor) {
  auto graph = std::make_shared<Graph>();
  GraphBuilder b(*graph);
  const ValueId x = graph->add_input("x", DType::kF64);
  graph->inputs = {x};
  graph->outputs = {b.op(op, {x, graph->add_constant(Tensor::scalar<double>(factor))})};
  return graph;
}

constexpr std::int64_t kBatch = 1, kHeads = 4, kKeyHeads = 2, kQueries = 3, kKeys = 2, kWidth = 2, kValues = 3;

std::vector<Tensor> loop(const std::vector<Tensor>& in, double score_factor, double added_weight) {
  Tensor y = Tensor::zeros(DType::kF64, {kBatch, kHeads, kQueries, kValues});
  for (std::int64_t row = 0; row < kBatch * kHeads * kQueries; ++row) {
    const std::int64_t head = row / kQueries / (kHeads / kKeyHeads);
    double weights[kKeys], sum = 0;
    for (std::int64_t t = 0; t < kKeys; ++t) {
      double score = 0;
      for (std::int64_t i = 0; i < kWidth; ++i)
        score += in[0].data<double>()[row * kWidth + i] * in[1].data<double>()[(head * kKeys + t) * kWidth + i];
      weights[t] = std::exp(score / std::sqrt(2.0) * score_factor);
      sum += weights[t];
    }
    for (std::int64_t t = 0; t < kKeys; ++t)
      for (std::int64_t j = 0; j < kValues; ++j)
        y.mutable_data<double>()[row * kValues + j] +=
            (weights[t] / sum + added_weight) * in[2].data<double>()[(head * kKeys + t) * kValues + j];
  }
  return {y};
}

TEST(FlexAttention, LetsGraphsChangeScoresAndWeights) {
  for (const bool scores : {false, true})
    for (const bool weights : {false, true}) {
      Attributes attributes;
      if (scores) attributes.set("score_mod", scaled("Mul", 1.5));
      if (weights) attributes.set("prob_mod", scaled("Add", 0.25));
      check({.domain = "ai.onnx.preview",
             .op = "FlexAttention",
             .version = 1,
             .inputs = {random_f64({kBatch, kHeads, kQueries, kWidth}, 1),
                        random_f64({kBatch, kKeyHeads, kKeys, kWidth}, 2),
                        random_f64({kBatch, kKeyHeads, kKeys, kValues}, 3)},
             .attributes = attributes,
             .reference = [=](const std::vector<Tensor>& in) { return loop(in, scores ? 1.5 : 1, weights ? 0.25 : 0); },
             .gradients = {0, 1, 2}});
    }
}

}  // namespace
}  // namespace retune
