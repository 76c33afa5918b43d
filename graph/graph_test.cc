#include "graph/graph.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tensor/error.h"

namespace retune {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

std::string error_of(const std::function<void()>& action) {
  try {
    action();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kUser);
    return error.what();
  }
  return "no error";
}

// y = relu(x) + w, and z = relu(x) * relu(x).
Graph small() {
  Graph graph;
  graph.name = "small";
  const ValueId x = graph.add_input("x", DType::kF32, {{2, ""}});
  const ValueId w = graph.add_parameter("w", DType::kF32, {2}, "model.onnx", "w");
  const ValueId r = graph.add_node({.op = "Relu", .name = "first", .inputs = {x}}, {"r"})[0];
  graph.outputs = graph.add_node({.op = "Add", .inputs = {r, w}}, {"y"});
  graph.add_node({.op = "Mul", .inputs = {r, r}}, {"z"});
  return graph;
}

TEST(Graph, KnowsWhoMakesAndWhoReadsAValue) {
  const Graph graph = small();
  EXPECT_EQ(graph.producer(graph.find("y"))->op, "Add");
  EXPECT_EQ(graph.producer(graph.find("x")), nullptr);
  const auto consumers = graph.consumers();
  EXPECT_THAT(consumers[static_cast<std::size_t>(graph.find("r"))], ElementsAre(1, 2));  // once a reading node
  EXPECT_THAT(consumers[static_cast<std::size_t>(graph.find("y"))], ElementsAre());
}

TEST(Graph, AValueIsProducedOnce) {
  Graph graph = small();
  EXPECT_THAT(error_of([&] { graph.add_node({.op = "Relu", .inputs = {0}}, {"y"}); }), HasSubstr("'y'"));
  EXPECT_THAT(error_of([&] { graph.add_input("w", DType::kF32); }), HasSubstr("'w'"));
  EXPECT_THAT(error_of([&] { graph.rename(graph.find("z"), "y"); }), HasSubstr("'y'"));
}

TEST(Graph, RenamedValuesAreFoundUnderTheNewNameOnly) {
  Graph graph = small();
  const ValueId z = graph.find("z");
  graph.rename(z, "squared");
  EXPECT_EQ(graph.find("squared"), z);
  EXPECT_EQ(graph.find("z"), kNoValue);
  graph.rename(graph.find("y"), "z");  // the name is free again
  EXPECT_NE(graph.find("z"), z);
}

TEST(Graph, NamesTheNearestValuesWhereThereIsNone) {
  EXPECT_THAT(error_of([] { small().require("yy"); }), HasSubstr("'y'"));
}

TEST(Graph, AReplacedNodeKeepsItsReaders) {
  Graph graph = small();
  Node other{.op = "Abs", .inputs = {graph.find("x")}};
  other.outputs = {graph.find("r")};
  graph.replace_node(0, other, 1);
  EXPECT_EQ(graph.producer(graph.find("r"))->op, "Abs");
  ASSERT_EQ(graph.nodes()[0].outputs.size(), 2U);
  EXPECT_EQ(graph.producer(graph.nodes()[0].outputs[1])->op, "Abs");
}

TEST(Graph, TheStructureHashIsOfTheComputationNotOfItsLabels) {
  const ContentHash base = small().structure_hash();
  Graph relabelled = small();
  relabelled.node(0).name = "another label";
  relabelled.rename(relabelled.find("r"), "hidden");
  EXPECT_EQ(relabelled.structure_hash(), base);

  std::vector<Graph> changed(7, small());
  changed[0].node(0).op = "Abs";
  changed[1].node(1).inputs = {changed[1].find("w"), changed[1].find("r")};
  changed[2].node(2).attributes.set("note", std::int64_t{1});
  changed[3].add_constant(Tensor::scalar(1.0f));
  changed[4].outputs = {changed[4].find("z")};
  changed[5].node(0).version = 13;
  changed[6].rename(changed[6].find("w"), "w2");
  for (std::size_t i = 0; i < changed.size(); ++i) EXPECT_NE(changed[i].structure_hash(), base) << i;
  Graph other_constant = small();
  other_constant.add_constant(Tensor::scalar(2.0f));
  EXPECT_NE(other_constant.structure_hash(), changed[3].structure_hash());
}

TEST(Attributes, HaveFallbacksAndRefuseOtherTypes) {
  const Attributes attributes({{"axis", std::int64_t{2}}, {"mode", std::string("edge")}});
  EXPECT_EQ(attributes.i("axis", 7), 2);
  EXPECT_EQ(attributes.i("missing", 7), 7);
  EXPECT_EQ(attributes.s("mode", ""), "edge");
  EXPECT_TRUE(attributes.ints("missing").empty());
  EXPECT_THAT(error_of([&] { attributes.f("axis", 0); }), HasSubstr("'axis'"));
  EXPECT_THAT(error_of([&] { attributes.i("mode", 0); }), HasSubstr("'mode'"));
}

TEST(Node, SaysWhereItComesFrom) {
  Node node{.domain = "com.microsoft", .op = "Gelu"};
  EXPECT_EQ(node.text(), "com.microsoft.Gelu node");
  node.name = "/mlp/act";
  node.file = "decoder.onnx";
  EXPECT_EQ(node.text(), "com.microsoft.Gelu node '/mlp/act' in decoder.onnx");
}

}  // namespace
}  // namespace retune
