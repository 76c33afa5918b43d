#include "graph/specialize.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <cmath>

#include "graph/graph_builder.h"
#include "graph/node_by_node.h"
#include "graph/session.h"
#include "tensor/error.h"

namespace retune {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

// x [B, S, 6] with symbolic extents: heads split by a target that is computed from x's own shape, as exporters write
// it.
Graph split_heads() {
  Graph graph;
  graph.name = "split";
  GraphBuilder b(graph);
  const ValueId x = graph.add_input("x", DType::kF32, {{-1, "batch"}, {-1, "rows"}, {6, ""}});
  const auto extent = [&](std::int64_t axis) {
    const ValueId index = b.constant(Tensor::scalar<std::int64_t>(axis));
    return b.op("Unsqueeze", {b.op("Gather", {b.op("Shape", {x}), index}), b.ints({0})});
  };
  const ValueId target = b.op("Concat", {extent(0), extent(1), b.ints({2, 3})}, {{"axis", std::int64_t{0}}});
  const ValueId heads = b.op("Reshape", {x, target}, {}, "heads");
  graph.outputs = {b.op("Transpose", {heads}, {{"perm", std::vector<std::int64_t>{0, 2, 1, 3}}}, "y")};
  return graph;
}

TEST(Specialize, FoldsShapeArithmeticAway) {
  const Graph result = specialize_to(split_heads(), {{"x", normal_f32({4, 5, 6}, 1)}}, {"y"});
  ASSERT_EQ(result.nodes().size(), 2U);
  EXPECT_EQ(result.nodes()[0].op, "Reshape");
  EXPECT_THAT(result.value(result.nodes()[0].inputs[1]).constant.to_i64(), ElementsAre(4, 5, 2, 3));
  EXPECT_EQ(*result.value(result.find("heads")).shape, (Shape{4, 5, 2, 3}));
  EXPECT_EQ(*result.value(result.find("y")).shape, (Shape{4, 2, 5, 3}));
}

TEST(Specialize, KeepsOnlyWhatTheOutputsNeed) {
  Graph graph = split_heads();
  GraphBuilder b(graph);
  graph.add_input("other", DType::kF32);
  b.op("Exp", {graph.find("other")}, {}, "unneeded");
  const Graph result = specialize_to(graph, {{"x", normal_f32({1, 2, 6}, 1)}}, {"heads"});
  EXPECT_EQ(result.find("unneeded"), kNoValue);
  EXPECT_EQ(result.find("other"), kNoValue);
  EXPECT_EQ(result.nodes().size(), 1U);
}

TEST(Specialize, NamesTheNodeWhoseShapesDoNotFit) {
  try {
    specialize_to(split_heads(), {{"x", normal_f32({2, 3}, 1)}}, {"y"});
    FAIL();
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("'x'"));
  }
  Graph graph;
  graph.add_input("a", DType::kF32);
  graph.add_input("b", DType::kF32);
  graph.add_node({.op = "MatMul", .name = "/proj", .file = "decoder.onnx", .inputs = {0, 1}}, {"y"});
  try {
    specialize_to(graph, {{"a", normal_f32({2, 3}, 1)}, {"b", normal_f32({4, 5}, 2)}}, {"y"});
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kUser);
    EXPECT_THAT(error.what(), HasSubstr("MatMul node '/proj' in decoder.onnx"));
  }
}

// A Reshape to a target that is an input: no shape is known without its value.
Graph told_by_an_input() {
  Graph graph;
  GraphBuilder b(graph);
  const ValueId x = graph.add_input("x", DType::kF32, {{12, ""}});
  const ValueId target = graph.add_input("target", DType::kI64, {{2, ""}});
  graph.add_node({.op = "Reshape", .inputs = {x, b.op("Mul", {target, b.ints({1})})}}, {"y"});
  return graph;
}

TEST(Specialize, SaysWhichInputsMustBePinned) {
  const Leaves leaves = {{"x", normal_f32({12}, 1)}, {"target", Tensor::of<std::int64_t>({2}, {3, 4})}};
  try {
    specialize_to(told_by_an_input(), leaves, {"y"});
    FAIL();
  } catch (const NeedsInput& needs) {
    EXPECT_THAT(needs.inputs, ElementsAre("target"));
  }
  ThreadPool pool(1);
  std::map<std::string, InputSpec> pinned;
  for (const auto& [name, tensor] : leaves) pinned[name].type = {tensor.dtype(), tensor.shape()};
  pinned["target"].pinned = leaves.at("target");
  const Graph result = specialize(told_by_an_input(), pinned, {"y"}, pool);
  EXPECT_EQ(*result.value(result.find("y")).shape, (Shape{3, 4}));
}

TEST(Specialize, RefusesShapesThatDependOnWeights) {
  Graph graph;
  GraphBuilder b(graph);
  const ValueId x = graph.add_input("x", DType::kF32, {{12, ""}});
  const ValueId w = graph.add_parameter("w", DType::kF32, {2}, "m.onnx", "w");
  graph.add_node({.op = "Reshape", .name = "r", .inputs = {x, b.cast(w, DType::kI64)}}, {"y"});
  try {
    specialize_to(graph, {{"x", normal_f32({12}, 1)}}, {"y"});
    FAIL();
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("parameter 'w'"));
  }
}

// If nodes, one after the other, whose branches use the same inner names: that is legal, the branches do not see each
// other.
std::shared_ptr<const Graph> branch(const char* op) {
  Graph graph;
  graph.name = op;
  graph.captured = {"x"};
  const ValueId x = graph.add_input("x", DType::kF32);
  const ValueId inner = graph.add_node({.op = op, .inputs = {x}}, {"inner"})[0];
  graph.outputs = {graph.add_node({.op = "Abs", .inputs = {inner}}, {"result"})[0]};
  return std::make_shared<const Graph>(std::move(graph));
}

TEST(Specialize, InlinesBranchesThatShareTheirInnerNames) {
  Graph graph;
  const ValueId x = graph.add_input("x", DType::kF32);
  const ValueId yes = graph.add_constant(Tensor::scalar(true), "yes");
  for (const char* name : {"first", "second"}) {
    Node node{.op = "If", .inputs = {yes, x, x}};
    node.attributes.set("then_branch", branch(name[0] == 'f' ? "Exp" : "Tanh"));
    node.attributes.set("else_branch", branch("Neg"));
    graph.add_node(std::move(node), {name});
  }
  graph.add_node({.op = "Sub", .inputs = {graph.find("first"), graph.find("second")}}, {"y"});
  const Tensor value = Tensor::of<float>({2}, {0.5f, -1.5f});
  const Graph result = specialize_to(graph, {{"x", value}}, {"y", "first"});
  const Tensor y = run_node_by_node(result, {{"x", value}}, result.outputs)[0];
  for (std::int64_t i = 0; i < 2; ++i) {
    const float v = value.data<float>()[i];
    EXPECT_NEAR(y.data<float>()[i], std::abs(std::exp(v)) - std::abs(std::tanh(v)), 1e-6);
  }
}

TEST(Specialize, PassesOnWhatABranchOnlyHandsThrough) {
  Graph through;
  through.captured = {"x"};
  through.outputs = {through.add_input("x", DType::kF32)};
  Graph graph;
  const ValueId x = graph.add_input("x", DType::kF32);
  const ValueId no = graph.add_constant(Tensor::scalar(false), "no");
  Node node{.op = "If", .inputs = {no, x, x}};
  node.attributes.set("then_branch", branch("Neg"));
  node.attributes.set("else_branch", std::make_shared<const Graph>(std::move(through)));
  graph.add_node(std::move(node), {"y"});
  const Tensor value = normal_f32({3}, 1);
  const Graph result = specialize_to(graph, {{"x", value}}, {"y"});
  EXPECT_TRUE(identical(run_node_by_node(result, {{"x", value}}, result.outputs)[0], value));
}

// A tiny constant blown up to 2^40 elements: planning must not compute it, and running it is one line.
TEST(Specialize, DoesNotFoldWhatIsLarge) {
  Graph graph;
  graph.name = "hostile";
  GraphBuilder b(graph);
  const ValueId x = graph.add_input("x", DType::kF32, {{1, ""}});
  const ValueId huge = b.op("Expand", {b.scalar(1, DType::kF32), b.ints({1 << 20, 1 << 20})}, {}, "huge");
  b.op("Add", {x, huge}, {}, "y");
  const auto start = std::chrono::steady_clock::now();
  const Graph result = specialize_to(graph, {{"x", normal_f32({1}, 1)}}, {"y"});
  EXPECT_EQ(result.value(result.find("huge")).kind, ValueKind::kComputed);

  Session session({.threads = 1});
  Request request;
  request.inputs["x"] = {normal_f32({1}, 1), {}};
  request.outputs = {"y"};
  try {
    session.run(std::make_shared<const Graph>(graph), {}, request);
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(std::string(error.what()).find('\n'), std::string::npos);
    EXPECT_THAT(error.what(), HasSubstr("[1048576, 1048576]"));
  }
  EXPECT_LT(session.peak_bytes(), 1 << 20);
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(5));
}

TEST(Specialize, RefusesExtentsThatOverflow) {
  Graph graph;
  GraphBuilder b(graph);
  graph.add_node({.op = "Expand", .inputs = {b.scalar(1, DType::kF32), b.ints({1LL << 40, 1LL << 40})}}, {"y"});
  EXPECT_THROW(specialize_to(graph, {}, {"y"}), Error);
}

TEST(Specialize, IsQuickOnLongChains) {
  Graph graph;
  ValueId x = graph.add_input("x", DType::kF32, {{1, ""}});
  for (int i = 0; i < 100000; ++i) x = graph.add_node({.op = "Neg", .inputs = {x}}, {fmt::format("v{}", i)})[0];
  const auto start = std::chrono::steady_clock::now();
  const Graph result = specialize_to(graph, {{"x", normal_f32({1}, 1)}}, {"v99999"});
  EXPECT_EQ(result.nodes().size(), 100000U);
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(20));
}

}  // namespace
}  // namespace retune
