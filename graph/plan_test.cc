#include "graph/plan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "graph/graph_builder.h"
#include "graph/node_by_node.h"
#include "graph/specialize.h"
#include "tensor/thread_pool.h"

namespace retune {
namespace {

using testing::UnorderedElementsAre;

// h = x a; k = tanh(h); y = k b + h: h and k are what b's nodes read.
class Plans : public testing::Test {
 protected:
  Plans() {
    GraphBuilder b(graph_);
    const ValueId x = graph_.add_input("x", DType::kF32, {{-1, "rows"}, {4, ""}});
    const ValueId a = graph_.add_parameter("a", DType::kF32, {4, 4}, "m.onnx", "a");
    const ValueId w = graph_.add_parameter("b", DType::kF32, {4, 4}, "m.onnx", "b");
    const ValueId h = b.op("MatMul", {x, a}, {}, "h");
    const ValueId k = b.op("Tanh", {h}, {}, "k");
    b.op("Add", {b.op("MatMul", {k, w}, {}, "p"), h}, {}, "y");
    b.op("ReduceSum", {graph_.find("y")}, {{"keepdims", std::int64_t{0}}}, "loss");
    request_.inputs["x"] = {normal_f32({3, 4}, 1), {}};
    request_.outputs = {"y"};
    request_.cache = Request::Cache::kUse;
  }

  std::set<std::string> kept(const Plan& plan) const {
    std::set<std::string> names;
    for (std::size_t i = 0; i < plan.kept.size(); ++i)
      if (plan.kept[i]) names.insert(plan.graph.values()[i].name);
    return names;
  }

  Graph graph_;
  Request request_;
  ThreadPool pool_{1};
};

TEST_F(Plans, KeepTheFrontierOfWhatVaries) {
  EXPECT_TRUE(kept(make_plan(graph_, request_, pool_)).empty());
  request_.varying = {"b"};
  EXPECT_THAT(kept(make_plan(graph_, request_, pool_)), UnorderedElementsAre("k", "h"));
  request_.varying = {"a"};
  EXPECT_TRUE(kept(make_plan(graph_, request_, pool_)).empty()) << "everything depends on a";
  request_.keep_outputs = true;
  EXPECT_THAT(kept(make_plan(graph_, request_, pool_)), UnorderedElementsAre("y"));
}

TEST_F(Plans, HoldNothingThatIsNotAskedFor) {
  request_.outputs = {"k"};
  const Plan plan = make_plan(graph_, request_, pool_);
  EXPECT_EQ(plan.graph.nodes().size(), 2U);
  EXPECT_EQ(plan.graph.find("b"), kNoValue);
}

TEST_F(Plans, PutAnInterventionBetweenAValueAndItsReaders) {
  request_.outputs = {"h", "y"};
  request_.interventions = {{.name = "delta", .value = "h", .rows = {1}, .delta = normal_f32({4}, 2)}};
  const Plan plan = make_plan(graph_, request_, pool_);
  const ValueId changed = plan.graph.find("h");
  EXPECT_EQ(plan.outputs[0], changed);
  EXPECT_EQ(plan.graph.producer(changed)->op, "AddRows");
  EXPECT_EQ(plan.graph.producer(plan.graph.find("k"))->inputs[0], changed);
  EXPECT_EQ(plan.graph.producer(plan.graph.find("y"))->inputs[1], changed);
}

TEST_F(Plans, AskForGradientsOfTheLeavesOnly) {
  request_.loss = "loss";
  request_.wrt = {"b", "unknown"};
  request_.outputs = {};
  const Plan plan = make_plan(graph_, request_, pool_);
  ASSERT_EQ(plan.gradients.size(), 2U);
  EXPECT_NE(plan.gradients[0], kNoValue);
  EXPECT_EQ(plan.gradients[1], kNoValue);
  EXPECT_EQ(*plan.graph.value(plan.gradients[0]).shape, (Shape{4, 4}));
}

TEST_F(Plans, SignOperatorsByMeaning) {
  const Plan first = make_plan(graph_, request_, pool_), again = make_plan(graph_, request_, pool_);
  EXPECT_EQ(first.signatures, again.signatures);
  ASSERT_EQ(first.signatures.size(), 4U);  // MatMul, Tanh, MatMul, Add
  EXPECT_EQ(first.signatures[0], first.signatures[2]) << "the same operator on the same types";
  EXPECT_NE(first.signatures[0], first.signatures[1]);
  request_.inputs["x"] = {normal_f32({2, 4}, 1), {}};
  EXPECT_NE(make_plan(graph_, request_, pool_).signatures[0], first.signatures[0]);
}

}  // namespace
}  // namespace retune
