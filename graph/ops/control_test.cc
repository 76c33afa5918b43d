// If, Loop and Scan that are decided at run time.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <functional>

#include "graph/graph_builder.h"
#include "graph/node_by_node.h"
#include "graph/op_case.h"
#include "graph/op_coverage.h"
#include "graph/op_registry.h"
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

// The running test checks this of the private operator that stands for what is decided at run time.
void note_late(const char* op, Checked what) { note(*OpRegistry::standard().find("retune", op, 1), what); }

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
  note_late("If", Checked::kForward);
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
  note_late("If", Checked::kGradient);
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

// (h, n) <- (h * w, n + 1) while sum(h) < 100, at most `count` times.
Graph growth(std::optional<std::int64_t> count) {
  Graph g;
  GraphBuilder b(g);
  const ValueId h = g.add_input("h", DType::kF64), w = g.add_input("w", DType::kF64);
  Node node{.op = "Loop", .version = 13, .name = "/grow", .file = "m.onnx"};
  node.inputs = {count ? g.add_constant(Tensor::scalar(*count)) : kNoValue, kNoValue, h,
                 g.add_constant(Tensor::scalar<std::int64_t>(0)), w};
  node.attributes.set(
      "body", body({"trip", "go", "h", "n"}, {"w"}, [](GraphBuilder& t) {
        const ValueId next = t.mul(named(t, "h"), named(t, "w"));
        const ValueId sum = t.op("ReduceSum", {next}, {{"keepdims", std::int64_t{0}}});
        const ValueId one = t.constant(Tensor::scalar<std::int64_t>(1));
        return std::vector{t.op("Less", {sum, t.scalar(100, DType::kF64)}), next, t.add(named(t, "n"), one)};
      }));
  g.add_node(std::move(node), {"last", "trips"});
  return g;
}

Request growth_request(double factor) {
  Request request;
  request.inputs = {{"h", {Tensor::of<double>({2}, {1, 2})}}, {"w", {Tensor::of<double>({2}, {factor, factor})}}};
  request.outputs = {"last", "trips"};
  return request;
}

TEST(LateLoop, RunsUntilItsConditionIsFalse) {
  note_late("Loop", Checked::kForward);
  Session session({.threads = 1});
  const auto graph = std::make_shared<const Graph>(growth(std::nullopt));
  for (const double factor : {2.0, 10.0, 1.5}) {
    double a = 1, b = 2;
    std::int64_t trips = 0;
    do {
      a *= factor;
      b *= factor;
      ++trips;
    } while (a + b < 100);
    const Results results = session.run(graph, {}, growth_request(factor));
    EXPECT_TRUE(identical(results["last"].tensor, Tensor::of<double>({2}, {a, b})));
    EXPECT_EQ(results["trips"].tensor.to_i64()[0], trips);
  }
  EXPECT_EQ(session.counters().plans_made, 1);
}

TEST(LateLoop, GradientIsAnErrorThatSaysWhatToDo) {
  Session session({.threads = 1});
  Request request = growth_request(2);
  request.loss = "last";
  request.wrt = {"h"};
  const std::string message = refusal_of(session, growth(20), request);
  for (const char* part : {"Loop node '/grow' in m.onnx has no gradient", "condition is known only at run time",
                           "unrolls", "make its trip count a constant"})
    EXPECT_THAT(message, HasSubstr(part));
}

// h <- h + 1 while `condition`, a trip count times that is known only at run time.
Graph counted_late(const std::function<ValueId(GraphBuilder&, ValueId h)>& condition) {
  Graph g;
  GraphBuilder b(g);
  const ValueId h = g.add_input("h", DType::kF64), count = g.add_input("count", DType::kF64);
  const ValueId trips = b.op("Cast", {count}, {{"to", std::int64_t{7}}});
  Node node{.op = "Loop", .version = 13, .name = "/late", .inputs = {trips, kNoValue, h}};
  node.attributes.set("body", body({"trip", "go", "h"}, {}, [&](GraphBuilder& t) {
                        const ValueId next = t.add(named(t, "h"), t.scalar(1, DType::kF64));
                        return std::vector{condition(t, next), next};
                      }));
  g.add_node(std::move(node), {"last"});
  return g;
}

// The body's condition was never checked to be one element: none was read out of bounds, of several the first one.
TEST(LateLoop, ConditionOfItsBodyIsOneTruthValue) {
  Session session({.threads = 1});
  for (const std::int64_t size : {0, 3, 1}) {
    Request request;
    request.inputs = {{"h", {Tensor::zeros(DType::kF64, {size})}}, {"count", {Tensor::scalar(2.0)}}};
    request.outputs = {"last"};
    const auto computed = [](GraphBuilder& t, ValueId h) { return t.op("Less", {h, t.scalar(100, DType::kF64)}); };
    const auto constant = [size](GraphBuilder& t, ValueId) { return t.constant(Tensor::zeros(DType::kBool, {size})); };
    const std::string want =
        size == 1 ? "no error"
                  : fmt::format("Loop node '/late': the condition must be one truth value, got [{}]", size);
    EXPECT_THAT(refusal_of(session, counted_late(computed), request), HasSubstr(want));
    EXPECT_THAT(refusal_of(session, counted_late(constant), request), HasSubstr(want));
  }
}

// A trip count or condition without an element was read out of bounds once a planner had given up unrolling.
TEST(LateLoop, WhatStartsItIsOneNumberAlsoWhenUnrollingIsGivenUp) {
  const Body idle = body({"trip", "go", "h"}, {}, [](GraphBuilder& t) {
    return std::vector{named(t, "go"), named(t, "h")};
  });
  Session session({.threads = 1});
  for (const std::int64_t size : {0, 3})
    for (const bool count : {true, false}) {
      Graph g;
      const ValueId h = g.add_input("h", DType::kF64);
      const ValueId many = g.add_constant(Tensor::scalar<std::int64_t>(100000));  // more than a planner looks at
      const ValueId bad = g.add_constant(Tensor::zeros(count ? DType::kI64 : DType::kBool, {size}));
      Node first{.op = "Loop", .inputs = {many, kNoValue, h}, .attributes = {{"body", idle}}};
      const ValueId middle = g.add_node(std::move(first), {"middle"})[0];
      Node second{.op = "Loop", .name = "/bad", .inputs = {count ? bad : many, count ? kNoValue : bad, middle}};
      second.attributes.set("body", idle);
      g.add_node(std::move(second), {"last"});
      Request request;
      request.inputs["h"] = {random_f64({2}, 1)};
      request.outputs = {"last"};
      EXPECT_THAT(refusal_of(session, g, request), HasSubstr(fmt::format("Loop node '/bad': {} must be one number, got",
                                                                         count ? "the trip count" : "the condition")));
    }
}

TEST(LateLoop, WithoutEndIsAnError) {
  Session session({.threads = 1});
  EXPECT_THAT(refusal_of(session, growth(std::nullopt), growth_request(0.5)), HasSubstr("has not ended"));
}

// h <- h * w + x[trip], for a count of trips; each h is a scan output.
Graph long_loop(std::int64_t count) {
  Graph g;
  const ValueId h = g.add_input("h", DType::kF64), x = g.add_input("x", DType::kF64);
  Node node{.op = "Loop", .version = 13, .name = "/long"};
  node.inputs = {g.add_constant(Tensor::scalar(count)), kNoValue, h, x};
  node.attributes.set("body", body({"trip", "go", "h"}, {"x"}, [](GraphBuilder& t) {
                        const ValueId rows = t.op("Shape", {named(t, "x")}, {{"end", std::int64_t{1}}});
                        const ValueId row = t.op("Mod", {named(t, "trip"), rows});
                        const ValueId picked = t.op("Squeeze", {t.op("Gather", {named(t, "x"), row}), t.ints({0})});
                        const ValueId next = t.add(t.mul(named(t, "h"), t.scalar(0.5, DType::kF64)), picked);
                        return std::vector{named(t, "go"), next, next};
                      }));
  g.add_node(std::move(node), {"last", "all"});
  return g;
}

TEST(LateLoop, StacksMoreTripsThanArePlannedOneByOne) {
  constexpr std::int64_t kTrips = 3000;
  Request request;
  const Tensor x = random_f64({5, 2}, 1);
  request.inputs = {{"h", {random_f64({2}, 2)}}, {"x", {x}}};
  request.outputs = {"last", "all"};
  Session session({.threads = 1});
  const Results results = session.run(std::make_shared<const Graph>(long_loop(kTrips)), {}, request);
  std::vector<double> h = request.inputs["h"].tensor.to_f64();
  ASSERT_EQ(results["all"].tensor.shape(), (Shape{kTrips, 2}));
  const double* all = results["all"].tensor.data<double>();
  for (std::int64_t t = 0; t < kTrips; ++t)
    for (std::size_t i = 0; i < 2; ++i) {
      h[i] = h[i] * 0.5 + x.data<double>()[static_cast<std::size_t>(t % 5) * 2 + i];
      EXPECT_DOUBLE_EQ(all[static_cast<std::size_t>(t) * 2 + i], h[i]);
    }
  EXPECT_DOUBLE_EQ(results["last"].tensor.data<double>()[1], h[1]);
  request.loss = "last";
  request.wrt = {"h"};
  EXPECT_THAT(refusal_of(session, long_loop(kTrips), request), HasSubstr("4096 nodes"));
}

TEST(LateLoop, TripsWithoutMeasureAreRefusedWhilePlanning) {
  Session session({.threads = 1});
  Request request;
  request.inputs = {{"h", {random_f64({2}, 2)}}, {"x", {random_f64({5, 2}, 1)}}};
  request.outputs = {"last", "all"};
  const std::string message = refusal_of(session, long_loop(std::int64_t{1} << 62), request);
  for (const char* part : {"'/long'", "4611686018427387904 trips"}) EXPECT_THAT(message, HasSubstr(part));
  EXPECT_LT(session.peak_bytes(), 1 << 20);
}

// How many scan outputs there are depends on floats: they are known while planning, or it is refused.
TEST(LateLoop, ACountOfScansIsPlannedFromTheInputs) {
  Graph g = growth(std::nullopt);
  Node node = g.nodes()[0];
  node.attributes.set("body", body({"trip", "go", "h", "n"}, {"w"}, [](GraphBuilder& t) {
                        const ValueId next = t.mul(named(t, "h"), named(t, "w"));
                        const ValueId sum = t.op("ReduceSum", {next}, {{"keepdims", std::int64_t{0}}});
                        return std::vector{t.op("Less", {sum, t.scalar(100, DType::kF64)}), next, named(t, "n"), next};
                      }));
  g.add_node(std::move(node), {"other", "count", "all"});
  Session session({.threads = 1});
  Request request = growth_request(2);
  request.outputs = {"all"};
  const auto graph = std::make_shared<const Graph>(std::move(g));
  EXPECT_EQ(session.run(graph, {}, request)["all"].tensor.shape(), (Shape{6, 2}));
}

TEST(LateScan, CutsAndStacksAsAnUnrolledOne) {
  note_late("Scan", Checked::kForward);
  constexpr std::int64_t kTrips = 2500;
  const Body running = body({"sum", "p"}, {"w"}, [](GraphBuilder& t) {
    const ValueId next = t.add(named(t, "sum"), t.mul(named(t, "p"), named(t, "w")));
    return std::vector{next, next, t.mul(next, t.scalar(2, DType::kF64))};
  });
  Graph g;
  Node node{.op = "Scan", .version = 11, .name = "/scan"};
  for (const char* name : {"sum", "x", "w"}) node.inputs.push_back(g.add_input(name, DType::kF64));
  node.attributes = {{"body", running},
                     {"num_scan_inputs", std::int64_t{1}},
                     {"scan_input_axes", std::vector<std::int64_t>{1}},
                     {"scan_input_directions", std::vector<std::int64_t>{1}},
                     {"scan_output_axes", std::vector<std::int64_t>{-1, 0}},
                     {"scan_output_directions", std::vector<std::int64_t>{0, 1}}};
  g.add_node(std::move(node), {"last", "along", "backwards"});
  Request request;
  request.inputs = {{"sum", {random_f64({2}, 1)}}, {"x", {random_f64({2, kTrips}, 2)}}, {"w", {random_f64({2}, 3)}}};
  request.outputs = {"last", "along", "backwards"};
  Session session({.threads = 1});
  const auto graph = std::make_shared<const Graph>(std::move(g));
  const Results results = session.run(graph, {}, request);
  std::vector<double> sum = request.inputs["sum"].tensor.to_f64(), w = request.inputs["w"].tensor.to_f64();
  const double* x = request.inputs["x"].tensor.data<double>();
  const double *along = results["along"].tensor.data<double>(), *backwards = results["backwards"].tensor.data<double>();
  ASSERT_EQ(results["along"].tensor.shape(), (Shape{2, kTrips}));
  ASSERT_EQ(results["backwards"].tensor.shape(), (Shape{kTrips, 2}));
  for (std::int64_t t = 0; t < kTrips; ++t)
    for (std::int64_t i = 0; i < 2; ++i) {
      double& s = sum[static_cast<std::size_t>(i)];
      s += x[i * kTrips + kTrips - 1 - t] * w[static_cast<std::size_t>(i)];
      EXPECT_DOUBLE_EQ(along[i * kTrips + t], s);
      EXPECT_DOUBLE_EQ(backwards[(kTrips - 1 - t) * 2 + i], 2 * s);
    }
  request.loss = "last";
  request.wrt = {"w"};
  try {
    session.run(graph, {}, request);
    FAIL();
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("Scan node '/scan' has no gradient"));
  }
}

// A late If in each trip of an unrolled loop, and a late loop in a branch: h <- if sum(h) > 0 then h * w else -h.
TEST(LateIf, StandsInLoopsAndHoldsThem) {
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

TEST(LateIf, AGradientThroughALateLoopInABranchIsAnError) {
  const Graph inner = growth(std::nullopt);
  Graph g;
  GraphBuilder b(g);
  const ValueId h = g.add_input("h", DType::kF64), w = g.add_input("w", DType::kF64);
  const ValueId sum = b.op("ReduceSum", {h}, {{"keepdims", std::int64_t{0}}});
  Node node{.op = "If", .inputs = {b.op("Greater", {sum, b.scalar(0, DType::kF64)}), h, w, h}};
  node.attributes.set(
      "then_branch", body({}, {"h", "w"}, [&](GraphBuilder& t) {
        Node loop = inner.nodes()[0];
        loop.inputs = {kNoValue, kNoValue, named(t, "h"), t.constant(Tensor::scalar<std::int64_t>(0)), named(t, "w")};
        return std::vector{t.graph().add_node(std::move(loop), {"grown", "times"})[0]};
      }));
  node.attributes.set("else_branch",
                      body({}, {"h"}, [](GraphBuilder& e) { return std::vector{e.neg(named(e, "h"))}; }));
  g.add_node(std::move(node), {"last"});
  Request request = growth_request(2);
  request.outputs = {"last"};
  Session session({.threads = 1});
  EXPECT_EQ(refusal_of(session, g, request), "no error");
  request.loss = "last";
  request.wrt = {"h"};
  EXPECT_THAT(refusal_of(session, g, request), HasSubstr("Loop node '/grow' in m.onnx has no gradient"));
}

// Loops in loops in loops: each level would be tried trip by trip.
TEST(LateLoop, NestingDoesNotMultiplyThePlannersWork) {
  Body level = body({"trip", "go", "h"}, {}, [](GraphBuilder& t) {
    return std::vector{named(t, "go"), t.op("Tanh", {named(t, "h")})};
  });
  const auto loop_of = [](const Body& inner, ValueId h, ValueId count) {
    return Node{.op = "Loop", .name = "/nest", .inputs = {count, kNoValue, h}, .attributes = {{"body", inner}}};
  };
  for (int depth = 0; depth < 25; ++depth)
    level = body({"trip", "go", "h"}, {}, [&](GraphBuilder& t) {
      const ValueId count = t.constant(Tensor::scalar<std::int64_t>(1000));
      return std::vector{named(t, "go"), t.graph().add_node(loop_of(level, named(t, "h"), count), {"inner"})[0]};
    });
  Graph g;
  const ValueId h = g.add_input("h", DType::kF64);
  g.add_node(loop_of(level, h, g.add_constant(Tensor::scalar<std::int64_t>(1000))), {"last"});
  Request request;
  request.inputs["h"] = {random_f64({2}, 1)};
  request.outputs = {"last"};
  Session session({.threads = 1});
  EXPECT_THAT(refusal_of(session, g, request), HasSubstr("'/nest'"));
}

}  // namespace
}  // namespace retune
