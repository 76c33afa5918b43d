#include "graph/infer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "graph/op_registry.h"

namespace retune {
namespace {

using testing::HasSubstr;

Graph with(Node node, const std::vector<std::string>& outputs) {
  Graph graph;
  graph.add_input("a", DType::kF32, {{2, ""}, {3, ""}});
  graph.add_input("b", DType::kF32, {{4, ""}, {5, ""}});
  node.inputs = {0, 1};
  node.inputs.resize(node.op == "Relu" ? 1 : 2);
  graph.add_node(std::move(node), outputs);
  return graph;
}

std::string error_of(const Graph& graph) {
  try {
    infer(graph, graph.nodes()[0], OpRegistry::standard().require(graph.nodes()[0]));
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

TEST(Infer, SaysWhichNodeDoesNotFit) {
  const std::string message = error_of(with({.op = "MatMul", .name = "/proj", .file = "decoder.onnx"}, {"y"}));
  EXPECT_THAT(message, HasSubstr("MatMul node '/proj' in decoder.onnx"));
  EXPECT_THAT(message, HasSubstr("[2, 3]"));
  EXPECT_THAT(message, HasSubstr("[4, 5]"));
}

TEST(Infer, RefusesOutputsThatTheOperatorDoesNotHave) {
  EXPECT_THAT(error_of(with({.op = "Relu", .name = "act"}, {"y", "more"})), HasSubstr("output 1 does not exist"));
}

// Inputs beyond those of the operator were ignored.
TEST(Infer, RefusesInputsThatTheOperatorDoesNotHave) {
  EXPECT_THAT(error_of(with({.op = "Exp", .name = "act"}, {"y"})),
              HasSubstr("Exp node 'act': Exp takes 1 input, the node names 2"));
}

// Inputs without a name at the end, which ONNX reads as absent, were counted as inputs too many.
TEST(Infer, TakesEmptyInputsAtTheEndAsAbsent) {
  const auto exp_of = [](const std::vector<ValueId>& inputs) {
    Graph graph;
    graph.add_input("a", DType::kF32, {{2, ""}, {3, ""}});
    graph.add_node({.op = "Exp", .name = "act", .inputs = inputs}, {"y"});
    return error_of(graph);
  };
  EXPECT_EQ(exp_of({0, kNoValue}), "no error");
  EXPECT_EQ(exp_of({0, kNoValue, kNoValue}), "no error");
  EXPECT_THAT(exp_of({0, kNoValue, 0}), HasSubstr("Exp takes 1 input, the node names 3"));
}

// Without its axis, which operator set 4 made required, Concat took axis 1.
TEST(Infer, ConcatNeedsItsAxis) {
  EXPECT_THAT(error_of(with({.op = "Concat", .name = "cat"}, {"y"})), HasSubstr("attribute 'axis' is missing"));
}

TEST(Infer, GivesTypeAndShapeOfEveryOutput) {
  const Graph graph = with({.op = "Relu"}, {"y"});
  const auto results = infer(graph, graph.nodes()[0], OpRegistry::standard().require(graph.nodes()[0]));
  ASSERT_EQ(results.size(), 1U);
  EXPECT_EQ(results[0].type.dtype, DType::kF32);
  EXPECT_EQ(results[0].type.shape, (Shape{2, 3}));
}

}  // namespace
}  // namespace retune
