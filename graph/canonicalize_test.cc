#include "graph/canonicalize.h"

#include <gtest/gtest.h>

#include "graph/graph_builder.h"
#include "graph/node_by_node.h"

namespace retune {
namespace {

// y = silu(x) + 1 in the decomposed spelling, with the gate under a name.
Graph gated() {
  Graph graph;
  GraphBuilder b(graph);
  const ValueId x = graph.add_input("x", DType::kF32, {{4, ""}});
  graph.add_input("unread", DType::kF32, {{4, ""}});
  const ValueId gate = b.op("Sigmoid", {x}, {}, "gate");
  b.op("Add", {b.op("Mul", {x, gate}, {}, "silu"), b.scalar(1, DType::kF32)}, {}, "y");
  b.op("Exp", {x}, {}, "dead");
  return graph;
}

TEST(Prune, DropsWhatNoOutputNeedsAndKeepsEveryInput) {
  Graph graph = gated();
  graph.outputs = {graph.find("y")};
  const Graph pruned = prune(graph);
  EXPECT_EQ(pruned.find("dead"), kNoValue);
  EXPECT_NE(pruned.find("gate"), kNoValue);
  ASSERT_EQ(pruned.inputs.size(), 2U);
  EXPECT_EQ(pruned.value(pruned.inputs[1]).name, "unread");
  const Leaves leaves = {{"x", normal_f32({4}, 1)}, {"unread", normal_f32({4}, 2)}};
  EXPECT_TRUE(identical(run_node_by_node(pruned, leaves, pruned.outputs)[0],
                        run_node_by_node(graph, leaves, graph.outputs)[0]));
}

TEST(Prune, KeepsOutputsThatNobodyNamedUnnamed) {
  Graph graph;
  GraphBuilder b(graph);
  const ValueId x = graph.add_input("x", DType::kF32, {{2, ""}, {4, ""}});
  const ValueId scale = b.constant(Tensor::zeros(DType::kF32, {4}));
  b.ops("", "LayerNormalization", {x, scale}, {}, {"y", "mean", "inverse"});
  graph.node(0).outputs[1] = kNoValue;
  graph.outputs = {graph.find("y")};
  EXPECT_EQ(prune(graph).nodes()[0].outputs[1], kNoValue);
}

TEST(Canonicalize, ComputesAnInnerValueThatIsAskedForBesideTheFusedOperator) {
  Graph graph = gated();
  graph.outputs = {graph.find("y")};
  const Graph alone = canonicalize(graph);
  EXPECT_EQ(alone.find("gate"), kNoValue);
  graph.outputs = {graph.find("y"), graph.find("gate")};
  const Graph both = canonicalize(graph);
  EXPECT_NE(both.find("gate"), kNoValue);
  EXPECT_EQ(both.producer(both.find("silu"))->op, "QuickGelu");
  EXPECT_EQ(both.nodes().size(), alone.nodes().size() + 1);
}

TEST(Canonicalize, KeepsTheOrderOfTheOutputs) {
  Graph graph = gated();
  graph.outputs = {graph.find("silu"), graph.find("y"), graph.find("silu"), graph.find("x")};
  const Graph result = canonicalize(graph);
  ASSERT_EQ(result.outputs.size(), 4U);
  for (std::size_t i = 0; i < 4; ++i)
    EXPECT_EQ(result.value(result.outputs[i]).name, graph.value(graph.outputs[i]).name);
}

}  // namespace
}  // namespace retune
