// If that is decided at run time.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <functional>

#include "graph/graph_builder.h"
#include "graph/node_by_node.h"
#include "graph/op_case.h"
#include "graph/session.h"
#include "tensor/error.h"

namespace retune {
namespace {

using testing::HasSubstr;

using Body = std::shared_ptr<const Graph>;
using Write = std::function<std::vector<ValueId>(GraphBuilder&)>;

// A body with these own inputs and captured values, all of types that the planner fills in.
Body body(const std::vector<std::string>& own, const std::vector<std::string>& captured, const Write& write) {
  Graph graph;
  GraphBuilder b(graph);
  for (const std::string& name : own) graph.add_input(name, DType::kUndefined);
  for (const std::string& name : captured) graph.add_input(name, DType::kUndefined);
  graph.captured = captured;
  graph.outputs = write(b);
  return std::make_shared<const Graph>(std::move(graph));
}

ValueId named(GraphBuilder& b, const char* name) { return b.graph().find(name); }

// y = if sum(x) > 0 then x * w * scale else tanh(x); loss = sum(y * y).
struct Choice {
  explicit Choice(double scale = 1) {
    Graph g;
    g.name = "choice";
    GraphBuilder b(g);
    const ValueId x = g.add_input("x", DType::kF64, {{-1, "n"}});
    const ValueId weight = g.add_parameter("w", DType::kF64, {3}, "m.onnx", "w");
    const ValueId sum = b.op("ReduceSum", {x}, {{"keepdims", std::int64_t{0}}});
    const ValueId positive = b.op("Greater", {sum, b.scalar(0, DType::kF64)});
    Node node{.op = "If", .name = "/choose", .file = "m.onnx", .inputs = {positive, x, weight, x}};
    node.attributes.set("then_branch", body({}, {"x", "w"}, [scale](GraphBuilder& t) {
                          return std::vector{t.mul(t.mul(named(t, "x"), named(t, "w")), t.scalar(scale, DType::kF64))};
                        }));
    node.attributes.set("else_branch",
                        body({}, {"x"}, [](GraphBuilder& e) { return std::vector{e.op("Tanh", {named(e, "x")})}; }));
    const ValueId y = g.add_node(std::move(node), {"y"})[0];
    g.rename(b.mul(y, y), "loss");
    graph = std::make_shared<const Graph>(std::move(g));
  }
  Results run(Session& session, const Tensor& x, bool gradients = false, Request::Cache cache = Request::Cache::kOff) {
    Request request;
    request.inputs["x"] = {x};
    request.outputs = {"y", "loss"};
    request.cache = cache;
    request.keep_outputs = cache == Request::Cache::kUse;
    if (gradients) {
      request.loss = "loss";
      request.wrt = {"x", "w"};
    }
    return session.run(graph, {{"w", {w}}}, request);
  }
  std::shared_ptr<const Graph> graph;
  Tensor w = Tensor::of<double>({3}, {2, -3, 0.5});
};

const Tensor kPositive = Tensor::of<double>({3}, {1, 2, -0.5}), kNegative = Tensor::of<double>({3}, {-1, -2, 0.5});

TEST(LateIf, RunsTheBranchThatItsConditionChoosesInOnePlan) {
  Choice choice;
  Session session({.threads = 1});
  const Tensor then_y = choice.run(session, kPositive)["y"].tensor, else_y = choice.run(session, kNegative)["y"].tensor;
  for (std::int64_t i = 0; i < 3; ++i) {
    EXPECT_DOUBLE_EQ(then_y.data<double>()[i], kPositive.data<double>()[i] * choice.w.data<double>()[i]);
    EXPECT_NEAR(else_y.data<double>()[i], std::tanh(kNegative.data<double>()[i]), 1e-15);
  }
  EXPECT_EQ(session.counters().plans_made, 1);
}

// Closed forms, and central differences of the loss.
TEST(LateIf, GradientIsThatOfTheBranchThatRan) {
  Choice choice;
  Session session({.threads = 1});
  for (const Tensor& x : {kPositive, kNegative}) {
    const Results results = choice.run(session, x, true);
    const double* dx = results["grad:x"].tensor.data<double>();
    const double* dw = results["grad:w"].tensor.data<double>();
    for (std::int64_t i = 0; i < 3; ++i) {
      const double v = x.data<double>()[i], w = choice.w.data<double>()[i], t = std::tanh(v);
      const bool then_ran = x.data<double>()[0] > 0;
      EXPECT_NEAR(dx[i], then_ran ? 2 * v * w * w : 2 * t * (1 - t * t), 1e-14);
      EXPECT_NEAR(dw[i], then_ran ? 2 * v * v * w : 0, 1e-14);
      const auto loss_at = [&](double by) {
        Tensor moved = x.copy();
        moved.mutable_data<double>()[i] += by;
        double sum = 0;
        for (const double l : choice.run(session, moved)["loss"].tensor.to_f64()) sum += l;
        return sum;
      };
      EXPECT_NEAR(dx[i], (loss_at(1e-6) - loss_at(-1e-6)) / 2e-6, 1e-7);
    }
  }
}

TEST(LateIf, GivesTheSameBytesWithAnyThreads) {
  Choice choice;
  Session one({.threads = 1});
  for (const int threads : {2, 4}) {
    Session many({.threads = threads});
    for (const Tensor& x : {kPositive, kNegative}) {
      const Results a = choice.run(one, x, true), b = choice.run(many, x, true);
      for (const auto& [name, feed] : a.feeds) EXPECT_TRUE(identical(feed.tensor, b[name].tensor)) << name;
    }
  }
}

// What is kept is known by all that it was computed from: inputs, captured parameters, and what the branches hold.
TEST(LateIf, IsRecomputedWhenSomethingThatItReadsChanged) {
  Choice choice, scaled(3);
  Session session({.threads = 1});
  const auto executed = [&](Choice& c, const Tensor& x) {
    session.reset_counters();
    c.run(session, x, false, Request::Cache::kUse);
    return session.counters().nodes_executed;
  };
  EXPECT_GT(executed(choice, kPositive), 0);
  EXPECT_EQ(executed(choice, kPositive), 0);
  EXPECT_GT(executed(choice, kNegative), 0);
  EXPECT_GT(executed(scaled, kPositive), 0) << "another body";
  choice.w = Tensor::of<double>({3}, {1, 1, 1});
  EXPECT_GT(executed(choice, kPositive), 0) << "another captured parameter";
  EXPECT_TRUE(identical(choice.run(session, kPositive, false, Request::Cache::kUse)["y"].tensor, kPositive));
}

// if sum(x) > 0 then x else [x, x]: a shape that depends on values.
std::string uneven(Session& session, bool by_parameter, const std::vector<std::string>& wrt, Shape* shape = nullptr) {
  Graph g;
  GraphBuilder b(g);
  const ValueId x = g.add_input("x", DType::kF64);
  const ValueId p = g.add_parameter("p", DType::kF64, {3}, "m.onnx", "p");
  const ValueId sum = b.op("ReduceSum", {by_parameter ? p : x}, {{"keepdims", std::int64_t{0}}});
  Node node{.op = "If", .name = "/uneven", .inputs = {b.op("Greater", {sum, b.scalar(0, DType::kF64)}), x, x}};
  node.attributes.set("then_branch",
                      body({}, {"x"}, [](GraphBuilder& t) { return std::vector{t.op("Neg", {named(t, "x")})}; }));
  node.attributes.set("else_branch", body({}, {"x"}, [](GraphBuilder& e) {
                        return std::vector{e.op("Concat", {named(e, "x"), named(e, "x")}, {{"axis", std::int64_t{0}}})};
                      }));
  g.add_node(std::move(node), {"y"});
  Request request;
  request.inputs["x"] = {kNegative};
  request.outputs = {"y"};
  request.wrt = wrt;
  if (!wrt.empty()) request.loss = "y";
  try {
    const Results results = session.run(std::make_shared<const Graph>(std::move(g)), {{"p", {kPositive}}}, request);
    if (shape != nullptr) *shape = results["y"].tensor.shape();
    return "no error";
  } catch (const Error& error) {
    EXPECT_EQ(std::string(error.what()).find('\n'), std::string::npos);
    return error.what();
  }
}

TEST(LateIf, BranchesOfTwoShapesAreForAConditionThatIsKnownWhilePlanning) {
  Session session({.threads = 1});
  Shape shape;
  EXPECT_EQ(uneven(session, false, {}, &shape), "no error");
  EXPECT_EQ(shape, Shape{6});
  const std::string message = uneven(session, true, {});
  for (const char* part : {"If node '/uneven'", "f64 [3]", "f64 [6]", "not supported"})
    EXPECT_THAT(message, HasSubstr(part));
  EXPECT_THAT(uneven(session, false, {"x"}), HasSubstr("'x' has no gradient here"));
}

// A late If in each trip of an unrolled loop: h <- if sum(h) > 0 then h * w else -h.
TEST(LateIf, StandsInLoops) {
  const Body trip = body({"trip", "go", "h"}, {"w"}, [](GraphBuilder& t) {
    const ValueId sum = t.op("ReduceSum", {named(t, "h")}, {{"keepdims", std::int64_t{0}}});
    const ValueId positive = t.op("Greater", {sum, t.sub(sum, sum)});  // zero of any type
    const ValueId h = named(t, "h");
    Node choice{.op = "If", .inputs = {positive, h, named(t, "w"), h}};
    choice.attributes.set("then_branch", body({}, {"h", "w"}, [](GraphBuilder& b) {
                            return std::vector{b.mul(named(b, "h"), named(b, "w"))};
                          }));
    choice.attributes.set("else_branch",
                          body({}, {"h"}, [](GraphBuilder& b) { return std::vector{b.neg(named(b, "h"))}; }));
    return std::vector{named(t, "go"), t.graph().add_node(std::move(choice), {"chosen"})[0]};
  });
  for (const double first : {1.0, -1.0})
    check({.op = "Loop",
           .version = 13,
           .inputs = {Tensor::scalar<std::int64_t>(3), Tensor(), Tensor::of<double>({2}, {first, 2 * first}),
                      Tensor::of<double>({2}, {-2, -3})},
           .constants = {0},
           .attributes = {{"body", trip}},
           .reference =
               [](const std::vector<Tensor>& in) {
                 std::vector<double> h = in[2].to_f64(), w = in[3].to_f64();
                 for (int t = 0; t < 3; ++t) {
                   const bool positive = h[0] + h[1] > 0;
                   for (std::size_t i = 0; i < 2; ++i) h[i] = positive ? h[i] * w[i] : -h[i];
                 }
                 return std::vector<Tensor>{Tensor::vector(h)};
               },
           .gradients = {2, 3}});
}

}  // namespace
}  // namespace retune
