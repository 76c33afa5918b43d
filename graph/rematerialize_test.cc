#include "graph/rematerialize.h"

#include <gtest/gtest.h>

#include <cstring>

#include "graph/graph_builder.h"
#include "graph/node_by_node.h"
#include "graph/plan.h"
#include "graph/session.h"

namespace retune {
namespace {

constexpr std::int64_t kRows = 512, kWidth = 32, kHidden = 128;
constexpr int kBlocks = 12;

// A stream h with blocks h += tanh(h a) b: little is alive between two blocks, much inside of one.
struct Stack {
  std::shared_ptr<const Graph> graph;
  Parameters parameters;
  Request request;
};

Stack make_stack() {
  Stack stack;
  Graph graph;
  GraphBuilder b(graph);
  const auto weight = [&](const std::string& name, const Shape& shape, std::uint64_t seed) {
    stack.parameters[name] = {normal_f32(shape, seed), version_of(name)};
    stack.request.wrt.push_back(name);
    return graph.add_parameter(name, DType::kF32, shape, "stack.onnx", name);
  };
  ValueId h = graph.add_input("x", DType::kF32, {{kRows, ""}, {kWidth, ""}});
  for (int block = 0; block < kBlocks; ++block) {
    const auto seed = static_cast<std::uint64_t>(2 * block + 1);
    const ValueId up = weight(fmt::format("a{}", block), {kWidth, kHidden}, seed);
    const ValueId down = weight(fmt::format("b{}", block), {kHidden, kWidth}, seed + 1);
    const ValueId flat = b.op("Tanh", {b.op("MatMul", {h, up})});
    const ValueId seen = b.reshape(b.reshape(flat, {kRows * kHidden}), {kRows, kHidden});  // views of it
    h = b.add(h, b.mul(b.op("MatMul", {seen, down}), 0.05));
  }
  b.op("ReduceSum", {b.mul(h, h)}, {{"keepdims", std::int64_t{0}}}, "loss");
  stack.graph = std::make_shared<const Graph>(std::move(graph));
  stack.request.inputs["x"] = {normal_f32({kRows, kWidth}, 99), {}};
  stack.request.outputs = {"loss"};
  stack.request.loss = "loss";
  return stack;
}

struct Ran {
  Results results;
  std::int64_t peak = 0, nodes = 0;
};
Ran run(const Stack& stack, const SessionOptions& options) {
  Session session(options);
  Ran ran;
  ran.results = session.run(stack.graph, stack.parameters, stack.request);
  ran.peak = session.peak_bytes();
  ran.nodes = session.counters().nodes_executed;
  return ran;
}

TEST(Rematerialization, GivesTheSameBitsInTheMemoryAllowed) {
  const Stack stack = make_stack();
  const Ran whole = run(stack, {.threads = 1});
  const Ran bounded = run(stack, {.threads = 1, .activation_bytes = whole.peak / 2});
  EXPECT_LE(bounded.peak, whole.peak / 2);
  EXPECT_GT(bounded.nodes, whole.nodes);
  EXPECT_LT(bounded.nodes, 2 * whole.nodes) << "no part of the forward pass is run more than twice";
  for (const auto& [name, feed] : whole.results.feeds)
    EXPECT_TRUE(identical(feed.tensor, bounded.results[name].tensor)) << name;
}

TEST(Rematerialization, DoesNothingWithinTheBudget) {
  const Stack stack = make_stack();
  const Ran whole = run(stack, {.threads = 1});
  EXPECT_EQ(run(stack, {.threads = 1, .activation_bytes = 2 * whole.peak}).nodes, whole.nodes);
}

TEST(Rematerialization, DoesWhatItCanWhereTheBudgetIsOutOfReach) {
  const Stack stack = make_stack();
  const Ran whole = run(stack, {.threads = 1});
  const Ran least = run(stack, {.threads = 1, .activation_bytes = 1});
  EXPECT_LT(least.peak, whole.peak);
  EXPECT_TRUE(identical(whole.results["grad:a0"].tensor, least.results["grad:a0"].tensor));
}

TEST(Rematerialization, CountsThePeakThatASessionReaches) {
  const Stack stack = make_stack();
  Request forward = stack.request;
  forward.loss.clear();
  forward.wrt.clear();
  ThreadPool pool(1);
  const Plan plan = make_plan(*stack.graph, forward, pool);
  Session session({.threads = 1});
  session.run(stack.graph, stack.parameters, forward);
  EXPECT_EQ(peak_bytes(plan.graph), session.peak_bytes());
}

// What is kept between requests is found by its version, which a copy shares with its original.
TEST(Rematerialization, KeepsTheFrontierOfWhatVaries) {
  Stack stack = make_stack();
  stack.request.wrt = {"a9"};
  stack.request.varying = {"a9"};
  stack.request.cache = Request::Cache::kUse;
  Session session({.threads = 1, .activation_bytes = 1});
  session.run(stack.graph, stack.parameters, stack.request);
  const std::int64_t first = session.counters().nodes_executed;
  session.reset_counters();
  session.run(stack.graph, stack.parameters, stack.request);
  EXPECT_LT(session.counters().nodes_executed, first / 2);
}

}  // namespace
}  // namespace retune
