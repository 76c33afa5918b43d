#include "graph/session.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "graph/graph_builder.h"
#include "tensor/error.h"
#include "tensor/rng.h"

namespace retune {
namespace {

using testing::HasSubstr;

Tensor random_tensor(Shape shape, std::uint64_t seed) {
  Rng rng(seed);
  Tensor tensor = Tensor::empty(DType::kF32, std::move(shape));
  for (std::int64_t i = 0; i < tensor.numel(); ++i) tensor.mutable_data<float>()[i] = static_cast<float>(rng.normal());
  return tensor;
}

// x [B, 4] through three linear layers with a tanh between: h1 = tanh(x w1), h2 = tanh(h1 w2), y = h2 w3.
struct Chain {
  std::shared_ptr<const Graph> graph;
  Parameters parameters;
};

Chain make_chain() {
  Chain chain;
  Graph graph;
  graph.name = "chain";
  GraphBuilder b(graph);
  ValueId h = graph.add_input("x", DType::kF32, {{-1, "batch"}, {4, ""}});
  for (int layer = 1; layer <= 3; ++layer) {
    const std::string name = "w" + std::to_string(layer);
    const ValueId w = graph.add_parameter(name, DType::kF32, {4, 4}, "chain.onnx", name);
    chain.parameters[name] = {random_tensor({4, 4}, static_cast<std::uint64_t>(layer)), version_of(name)};
    h = b.op("MatMul", {h, w}, {}, "z" + std::to_string(layer));
    if (layer < 3) h = b.op("Tanh", {h}, {}, "h" + std::to_string(layer));
  }
  b.op("ReduceSum", {h}, {{"keepdims", std::int64_t{0}}}, "loss");
  graph.outputs = {graph.find("z3")};
  chain.graph = std::make_shared<const Graph>(std::move(graph));
  return chain;
}

Request ask_for(const Tensor& x, std::vector<std::string> outputs) {
  Request request;
  request.inputs["x"] = {x, {}};
  request.outputs = std::move(outputs);
  return request;
}

TEST(Session, ExecutesOnlyWhatAVaryingParameterReaches) {
  Chain chain = make_chain();
  Session session({.threads = 1});
  Request request = ask_for(random_tensor({2, 4}, 9), {"z3"});
  request.cache = Request::Cache::kUse;
  request.varying = {"w3"};
  session.run(chain.graph, chain.parameters, request);
  EXPECT_EQ(session.counters().nodes_executed, 5);

  session.reset_counters();
  session.trace(true);
  chain.parameters["w3"] = {random_tensor({4, 4}, 77), version_of("edited")};
  session.run(chain.graph, chain.parameters, request);
  EXPECT_EQ(session.counters().nodes_executed, 1);
  EXPECT_EQ(session.counters().executions_by_value.at("z3"), 1);
}

TEST(Session, BaseValuesStayValidWhenAnEditIsTakenOffAgain) {
  Chain chain = make_chain();
  Session session({.threads = 1});
  Request request = ask_for(random_tensor({2, 4}, 9), {"z3"});
  request.cache = Request::Cache::kUse;
  request.keep_outputs = true;
  const Tensor before = session.run(chain.graph, chain.parameters, request)["z3"].tensor;
  Parameters edited = chain.parameters;
  edited["w1"] = {random_tensor({4, 4}, 78), version_of("edited")};
  EXPECT_FALSE(identical(before, session.run(chain.graph, edited, request)["z3"].tensor));
  session.reset_counters();
  EXPECT_TRUE(identical(before, session.run(chain.graph, chain.parameters, request)["z3"].tensor));
  EXPECT_EQ(session.counters().nodes_executed, 0);
}

// Forward and gradients of a chain on enough rows that activations, not rounding up, make the size.
Request gradient_request() {
  Request request = ask_for(random_tensor({512, 4}, 11), {"z3"});
  request.loss = "loss";
  request.wrt = {"w1", "w2", "w3"};
  request.cache = Request::Cache::kUse;
  request.varying = {"w3"};
  return request;
}

TEST(Session, ARehearsalPredictsTheMemoryOfTheRun) {
  const Chain chain = make_chain();
  Session real({.threads = 1}), rehearsing({.threads = 1, .rehearse = true});
  const Results results = rehearsing.run(chain.graph, chain.parameters, gradient_request());
  real.run(chain.graph, chain.parameters, gradient_request());
  EXPECT_GE(rehearsing.peak_bytes(), real.peak_bytes());
  EXPECT_LE(rehearsing.peak_bytes(), 2 * real.peak_bytes());
  EXPECT_EQ(rehearsing.kept_bytes(), real.kept_bytes());
  EXPECT_GT(real.kept_bytes(), 0);
  EXPECT_EQ(results["z3"].tensor.shape(), (Shape{512, 4}));
  for (const float value : results["grad:w1"].tensor.values<float>()) ASSERT_EQ(value, 1.0F);
}

TEST(Session, TellsAfterEachNodeHowManyAreDone) {
  const Chain chain = make_chain();
  Session session({.threads = 1});
  std::vector<std::pair<std::int64_t, std::int64_t>> told;
  session.observe([&](std::int64_t done, std::int64_t total) { told.emplace_back(done, total); });
  session.run(chain.graph, chain.parameters, ask_for(random_tensor({2, 4}, 12), {"z3"}));
  ASSERT_EQ(told.size(), 5U);
  for (std::size_t i = 0; i < told.size(); ++i)
    EXPECT_EQ(told[i], std::pair(static_cast<std::int64_t>(i) + 1, std::int64_t{5}));
  session.observe({});
  session.run(chain.graph, chain.parameters, ask_for(random_tensor({2, 4}, 12), {"z3"}));
  EXPECT_EQ(told.size(), 5U);
}

TEST(Session, ReusedValuesHaveTheBitsOfRecomputedOnes) {
  Chain chain = make_chain();
  Session keeping({.threads = 1});
  Request request = ask_for(random_tensor({3, 4}, 10), {"z3"});
  request.cache = Request::Cache::kUse;
  request.varying = {"w3"};
  keeping.run(chain.graph, chain.parameters, request);
  chain.parameters["w3"] = {random_tensor({4, 4}, 79), version_of("edited")};
  const Tensor reused = keeping.run(chain.graph, chain.parameters, request)["z3"].tensor;
  Session fresh({.threads = 1});
  request.cache = Request::Cache::kOff;
  EXPECT_TRUE(identical(reused, fresh.run(chain.graph, chain.parameters, request)["z3"].tensor));
}

TEST(Session, GivesTheSameBitsWithOneTwoAndFourThreads) {
  Chain chain = make_chain();
  std::vector<Results> runs;
  for (const int threads : {1, 2, 4}) {
    Session session({.threads = threads});
    Request request = ask_for(random_tensor({257, 4}, 11), {"z3"});
    request.loss = "loss";
    request.wrt = {"w1", "w2", "w3", "x"};
    runs.push_back(session.run(chain.graph, chain.parameters, request));
  }
  for (const auto& [name, feed] : runs[0].feeds) {
    EXPECT_TRUE(identical(feed.tensor, runs[1][name].tensor)) << name;
    EXPECT_TRUE(identical(feed.tensor, runs[2][name].tensor)) << name;
  }
}

TEST(Session, GradientMatchesCentralDifferences) {
  Chain chain = make_chain();
  Session session({.threads = 1});
  Request request = ask_for(random_tensor({3, 4}, 12), {"loss"});
  request.loss = "loss";
  request.wrt = {"w1"};
  const Tensor gradient = session.run(chain.graph, chain.parameters, request)["grad:w1"].tensor;
  request.wrt.clear();
  request.loss.clear();
  const Tensor w1 = chain.parameters["w1"].tensor;
  for (const std::int64_t i : {0, 5, 15}) {
    const auto loss_at = [&](float step) {
      Tensor moved = w1.copy();
      moved.mutable_data<float>()[i] += step;
      Parameters parameters = chain.parameters;
      parameters["w1"] = {moved, {}};
      return session.run(chain.graph, parameters, request)["loss"].tensor.to_f64()[0];
    };
    EXPECT_NEAR(gradient.data<float>()[i], (loss_at(1e-2f) - loss_at(-1e-2f)) / 2e-2, 2e-3);
  }
}

TEST(Session, AnInterventionIsALeafThatLeavesEarlierValuesAlone) {
  Chain chain = make_chain();
  Session session({.threads = 1});
  Request request = ask_for(random_tensor({2, 4}, 13), {"h1", "h2", "z3"});
  request.cache = Request::Cache::kUse;
  request.interventions = {{.name = "delta", .value = "h2", .rows = {1}, .delta = random_tensor({4}, 14)}};
  request.varying = {"delta"};
  const Results changed = session.run(chain.graph, chain.parameters, request);
  const Results plain =
      session.run(chain.graph, chain.parameters, ask_for(request.inputs["x"].tensor, {"h1", "h2", "z3"}));
  EXPECT_TRUE(identical(changed["h1"].tensor, plain["h1"].tensor));
  EXPECT_TRUE(identical(changed["z3"].tensor.rows(0, 1), plain["z3"].tensor.rows(0, 1)));
  for (int i = 0; i < 4; ++i)
    EXPECT_FLOAT_EQ(changed["h2"].tensor.data<float>()[4 + i],
                    plain["h2"].tensor.data<float>()[4 + i] + request.interventions[0].delta.data<float>()[i]);

  session.reset_counters();
  request.interventions[0].delta = random_tensor({4}, 15);
  request.outputs = {"z3"};
  session.run(chain.graph, chain.parameters, request);
  session.reset_counters();
  request.interventions[0].delta = random_tensor({4}, 16);
  session.run(chain.graph, chain.parameters, request);
  EXPECT_EQ(session.counters().nodes_executed, 2) << "the added rows and the last product";
}

TEST(Session, TheGradientOfAnInterventionReachesOnlyItsRows) {
  Chain chain = make_chain();
  Session session({.threads = 1});
  Request request = ask_for(random_tensor({3, 4}, 17), {"loss"});
  request.interventions = {{.name = "delta", .value = "h1", .rows = {2}, .delta = Tensor::zeros(DType::kF32, {4})}};
  request.loss = "loss";
  request.wrt = {"delta", "x"};
  const Results results = session.run(chain.graph, chain.parameters, request);
  EXPECT_EQ(results["grad:delta"].tensor.shape(), (Shape{4}));
  EXPECT_EQ(results["grad:x"].tensor.shape(), (Shape{3, 4}));
}

TEST(Session, AGradientThatTheLossDoesNotDependOnIsZero) {
  Chain chain = make_chain();
  Session session({.threads = 1});
  Request request = ask_for(random_tensor({2, 4}, 18), {});
  request.loss = "h1";
  request.wrt = {"w3"};
  const Tensor gradient = session.run(chain.graph, chain.parameters, request)["grad:w3"].tensor;
  EXPECT_TRUE(identical(gradient, Tensor::zeros(DType::kF32, {4, 4})));
}

TEST(Session, NamesTheInputThatIsMissingOrDoesNotFit) {
  Chain chain = make_chain();
  Session session({.threads = 1});
  const auto message = [&](const Request& request) {
    try {
      session.run(chain.graph, chain.parameters, request);
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kUser);
      return std::string(error.what());
    }
    return std::string("no error");
  };
  Request missing;
  missing.outputs = {"z3"};
  EXPECT_THAT(message(missing), HasSubstr("input 'x'"));
  EXPECT_THAT(message(ask_for(random_tensor({2, 5}, 1), {"z3"})), HasSubstr("expected shape [batch, 4], got [2, 5]"));
  EXPECT_THAT(message(ask_for(random_tensor({2, 4}, 1), {"z33"})), HasSubstr("the nearest are 'z3'"));
}

TEST(Session, InlinesAnIfWhoseConditionIsPinned) {
  auto branch = [](const char* op) {
    Graph graph;
    graph.name = op;
    graph.captured = {"x"};
    const ValueId x = graph.add_input("x", DType::kF32);
    graph.outputs = {graph.add_node({.op = op, .inputs = {x}}, {std::string("made by ") + op})[0]};
    return std::make_shared<const Graph>(std::move(graph));
  };
  Graph graph;
  graph.name = "merged";
  const ValueId x = graph.add_input("x", DType::kF32);
  const ValueId use = graph.add_input("use_cache_branch", DType::kBool);
  Node node{.op = "If", .inputs = {use, x, x}};
  node.attributes.set("then_branch", branch("Neg"));
  node.attributes.set("else_branch", branch("Abs"));
  graph.outputs = graph.add_node(std::move(node), {"y"});
  const auto shared = std::make_shared<const Graph>(std::move(graph));
  Session session({.threads = 1});
  for (const bool taken : {true, false}) {
    Request request = ask_for(Tensor::of<float>({2}, {1.5f, -2.0f}), {"y"});
    request.inputs["use_cache_branch"] = {Tensor::of<bool>({1}, {taken}), {}};
    const Tensor y = session.run(shared, {}, request)["y"].tensor;
    EXPECT_TRUE(identical(y, taken ? Tensor::of<float>({2}, {-1.5f, 2.0f}) : Tensor::of<float>({2}, {1.5f, 2.0f})));
  }
}

}  // namespace
}  // namespace retune
