// If, Loop and Scan whose course is known while planning. What runs late is tested in ops/control_test.cc.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "graph/graph_builder.h"
#include "graph/node_by_node.h"
#include "graph/op_case.h"
#include "graph/session.h"
#include "graph/specialize.h"
#include "tensor/error.h"

namespace retune {
namespace {

using testing::HasSubstr;

using Body = std::shared_ptr<const Graph>;

// A body of a Loop: trip number, condition and one state of any type are there; `write` adds the nodes and names the
// outputs after the condition.
Body loop_body(const std::vector<std::string>& captured,
               const std::function<std::vector<ValueId>(GraphBuilder&, ValueId trip, ValueId state)>& write,
               const std::function<ValueId(GraphBuilder&, ValueId trip)>& condition = {}) {
  Graph graph;
  graph.name = "body";
  GraphBuilder b(graph);
  const ValueId trip = graph.add_input("trip", DType::kI64), go = graph.add_input("go", DType::kBool);
  const ValueId state = graph.add_input("state", DType::kUndefined);
  for (const std::string& name : captured) graph.add_input(name, DType::kUndefined);
  graph.captured = captured;
  graph.outputs = {condition ? condition(b, trip) : go};
  for (const ValueId id : write(b, trip, state)) graph.outputs.push_back(id);
  return std::make_shared<const Graph>(std::move(graph));
}

Tensor trips(std::int64_t count) { return Tensor::scalar(count); }

// h <- tanh(h * w + x[trip]), each h also a scan output: a recurrent layer as exporters write it.
Body recurrence() {
  return loop_body({"w", "x"}, [](GraphBuilder& b, ValueId trip, ValueId h) {
    const ValueId row = b.op("Gather", {b.graph().find("x"), trip});
    const ValueId next = b.op("Tanh", {b.add(b.mul(h, b.graph().find("w")), row)}, {}, "next");
    return std::vector<ValueId>{next, b.mul(next, next)};
  });
}

std::vector<Tensor> recurrence_by_hand(const std::vector<Tensor>& in, std::int64_t count) {
  std::vector<double> h = in[2].to_f64(), w = in[3].to_f64(), x = in[4].to_f64(), squares;
  const std::size_t d = h.size();
  for (std::int64_t t = 0; t < count; ++t)
    for (std::size_t i = 0; i < d; ++i) {
      h[i] = std::tanh(h[i] * w[i] + x[static_cast<std::size_t>(t) * d + i]);
      squares.push_back(h[i] * h[i]);
    }
  const auto width = static_cast<std::int64_t>(d);
  return {Tensor::of<double>({width}, h), Tensor::of<double>({count, width}, squares)};
}

TEST(Loop, StackedScansAndStatesAreThoseOfAPlainLoop) {
  for (const std::int64_t count : {1, 5}) {
    check(
        {.op = "Loop",
         .version = 13,
         .inputs = {trips(count), Tensor::scalar(true), random_f64({3}, 1), random_f64({3}, 2), random_f64({5, 3}, 3)},
         .constants = {0, 1},
         .attributes = {{"body", recurrence()}},
         .outputs = 2,
         .reference = [count](const auto& in) { return recurrence_by_hand(in, count); },
         .gradients = {2, 3, 4}});
  }
}

TEST(Loop, MayLeaveOutItsTripCountOrItsCondition) {
  const Body until_three = loop_body(
      {}, [](GraphBuilder& b, ValueId, ValueId x) { return std::vector{b.add(x, x)}; },
      [](GraphBuilder& b, ValueId trip) {
        return b.op("Less", {trip, b.constant(Tensor::scalar<std::int64_t>(3))});
      });
  const auto times = [](double factor) {
    return [factor](const std::vector<Tensor>& in) {
      std::vector<double> x = in[2].to_f64();
      for (double& v : x) v *= factor;
      return std::vector<Tensor>{Tensor::of<double>(in[2].shape(), x)};
    };
  };
  // The condition is asked after a trip, so that it runs with the numbers 0 to 3.
  check({.op = "Loop",
         .version = 11,
         .inputs = {Tensor(), Tensor(), random_f64({2}, 1)},
         .attributes = {{"body", until_three}},
         .reference = times(16),
         .gradients = {2}});
  check({.op = "Loop",
         .version = 1,
         .inputs = {trips(2), Tensor(), random_f64({2}, 1)},
         .constants = {0},
         .attributes = {{"body", until_three}},
         .reference = times(4),
         .gradients = {2}});
}

TEST(Loop, WithoutATripGivesItsFirstStateAndEmptyScans) {
  for (const auto& [count, go] : {std::pair{0, true}, std::pair{-3, true}, std::pair{5, false}})
    check({.op = "Loop",
           .version = 16,
           .inputs = {trips(count), Tensor::scalar(go), random_f64({3}, 1), random_f64({3}, 2), random_f64({5, 3}, 3)},
           .constants = {0, 1},
           .attributes = {{"body", recurrence()}},
           .outputs = 2,
           .reference = [](const auto& in) { return recurrence_by_hand(in, 0); },
           .gradients = {2, 3}});
}

TEST(Loop, PlansForTheTripCountThatARequestGives) {
  Graph graph;
  std::vector<ValueId> inputs{graph.add_input("count", DType::kI64), kNoValue};
  for (const char* name : {"h", "w", "x"}) inputs.push_back(graph.add_input(name, DType::kF64));
  graph.add_node({.op = "Loop", .inputs = inputs, .attributes = {{"body", recurrence()}}}, {"last", "squares"});
  const auto shared = std::make_shared<const Graph>(std::move(graph));
  Session session({.threads = 1});
  const std::vector<Tensor> in{{}, {}, random_f64({3}, 1), random_f64({3}, 2), random_f64({5, 3}, 3)};
  for (const std::int64_t count : {2, 4, 0, 2}) {
    Request request;
    request.inputs = {{"count", {trips(count)}}, {"h", {in[2]}}, {"w", {in[3]}}, {"x", {in[4]}}};
    request.outputs = {"last", "squares"};
    const Results results = session.run(shared, {}, request);
    const std::vector<Tensor> want = recurrence_by_hand(in, count);
    EXPECT_LT(relative_difference(results["last"].tensor, want[0]), 1e-14);
    EXPECT_EQ(results["squares"].tensor.shape(), want[1].shape());
  }
}

// The same nodes written out: the same bytes, and the same graph for whoever reads it.
TEST(Loop, IsTheGraphThatUnrollingByHandGives) {
  Graph by_hand;
  GraphBuilder b(by_hand);
  ValueId h = by_hand.add_input("h", DType::kF32), w = by_hand.add_input("w", DType::kF32);
  const ValueId x = by_hand.add_input("x", DType::kF32);
  std::vector<ValueId> squares;
  for (std::int64_t t = 0; t < 4; ++t) {
    const ValueId row = b.op("Gather", {x, b.constant(trips(t))});
    h = b.op("Tanh", {b.add(b.mul(h, w), row)});
    squares.push_back(b.op("Unsqueeze", {b.mul(h, h), b.ints({0})}));
  }
  by_hand.rename(h, "last");
  b.op("Concat", squares, {{"axis", std::int64_t{0}}}, "squares");
  Graph looped;
  std::vector<ValueId> inputs{looped.add_constant(trips(4)), kNoValue};
  for (const char* name : {"h", "w", "x"}) inputs.push_back(looped.add_input(name, DType::kF32));
  looped.add_node({.op = "Loop", .inputs = inputs, .attributes = {{"body", recurrence()}}}, {"last", "squares"});

  const Leaves leaves = {{"h", normal_f32({8}, 1)}, {"w", normal_f32({8}, 2)}, {"x", normal_f32({4, 8}, 3)}};
  const Graph one = specialize_to(by_hand, leaves, {"last", "squares"});
  const Graph other = specialize_to(looped, leaves, {"last", "squares"});
  EXPECT_EQ(one.nodes().size(), other.nodes().size());
  const std::vector<Tensor> want = run_node_by_node(one, leaves, one.outputs);
  const std::vector<Tensor> got = run_node_by_node(other, leaves, other.outputs);
  for (std::size_t i = 0; i < 2; ++i) EXPECT_TRUE(identical(got[i], want[i]));
}

// A state that grows is a shape for each trip.
TEST(Loop, AStateMayGrow) {
  const Body append = loop_body({"x"}, [](GraphBuilder& b, ValueId, ValueId state) {
    return std::vector{b.op("Concat", {state, b.graph().find("x")}, {{"axis", std::int64_t{0}}})};
  });
  check({.op = "Loop",
         .version = 13,
         .inputs = {trips(3), Tensor(), random_f64({1}, 1), random_f64({2}, 2)},
         .constants = {0},
         .attributes = {{"body", append}},
         .reference =
             [](const std::vector<Tensor>& in) {
               std::vector<double> all = in[2].to_f64(), x = in[3].to_f64();
               for (int i = 0; i < 3; ++i) all.insert(all.end(), x.begin(), x.end());
               return std::vector<Tensor>{Tensor::vector(all)};
             },
         .gradients = {2, 3}});
}

// Shape arithmetic in a loop folds: what it comes to steers a Reshape.
TEST(Loop, FoldsToAShape) {
  const Body halve = loop_body({}, [](GraphBuilder& b, ValueId, ValueId n) {
    return std::vector{b.op("Div", {n, b.ints({2})})};
  });
  Graph graph;
  GraphBuilder b(graph);
  const ValueId x = graph.add_input("x", DType::kF32, {{-1, "n"}});
  const ValueId count = graph.add_constant(trips(2));
  const ValueId part = graph.add_node(
      {.op = "Loop", .inputs = {count, kNoValue, b.op("Shape", {x})}, .attributes = {{"body", halve}}}, {"part"})[0];
  graph.add_node({.op = "Reshape", .inputs = {x, b.op("Concat", {part, b.ints({-1})}, {{"axis", std::int64_t{0}}})}},
                 {"y"});
  const Graph result = specialize_to(graph, {{"x", normal_f32({12}, 1)}}, {"y"});
  EXPECT_EQ(*result.value(result.outputs[0]).shape, (Shape{3, 4}));
  EXPECT_EQ(result.nodes().size(), 1U);
}

// Two states and two scanned inputs, cut and stacked along other axes and backwards.
Body scan_body() {
  Graph graph;
  GraphBuilder b(graph);
  const ValueId sum = graph.add_input("sum", DType::kUndefined), count = graph.add_input("product", DType::kUndefined);
  const ValueId p = graph.add_input("p", DType::kUndefined), q = graph.add_input("q", DType::kUndefined);
  graph.captured = {"w"};
  const ValueId w = graph.add_input("w", DType::kUndefined);
  const ValueId next = b.add(sum, b.mul(p, w));
  graph.outputs = {next, b.mul(count, q), b.add(next, q), b.mul(p, q)};
  return std::make_shared<const Graph>(std::move(graph));
}

TEST(Scan, CutsAndStacksAlongItsAxesInItsDirections) {
  constexpr std::size_t kTrips = 4, kWidth = 3;
  const auto reference = [](const std::vector<Tensor>& in) {
    std::vector<double> sum = in[0].to_f64(), product = in[1].to_f64(), w = in[4].to_f64();
    const std::vector<double> p = in[2].to_f64(), q = in[3].to_f64();  // [width, trips], [trips, width]
    std::vector<double> first(kWidth * kTrips), second(kTrips * kWidth);
    for (std::size_t t = 0; t < kTrips; ++t)
      for (std::size_t i = 0; i < kWidth; ++i) {
        const double a = p[i * kTrips + t], b = q[(kTrips - 1 - t) * kWidth + i];
        sum[i] += a * w[i];
        product[i] *= b;
        first[i * kTrips + t] = sum[i] + b;
        second[(kTrips - 1 - t) * kWidth + i] = a * b;
      }
    return std::vector<Tensor>{Tensor::vector(sum), Tensor::vector(product), Tensor::of<double>({3, 4}, first),
                               Tensor::of<double>({4, 3}, second)};
  };
  for (const int version : {9, 11, 19})
    check({.op = "Scan",
           .version = version,
           .inputs = {random_f64({3}, 1), random_f64({3}, 2, 0.5, 2), random_f64({3, 4}, 3), random_f64({4, 3}, 4),
                      random_f64({3}, 5)},
           .attributes = {{"body", scan_body()},
                          {"num_scan_inputs", std::int64_t{2}},
                          {"scan_input_axes", std::vector<std::int64_t>{-1, 0}},
                          {"scan_input_directions", std::vector<std::int64_t>{0, 1}},
                          {"scan_output_axes", std::vector<std::int64_t>{-1, 0}},
                          {"scan_output_directions", std::vector<std::int64_t>{0, 1}}},
           .outputs = 4,
           .reference = reference,
           .gradients = {0, 1, 2, 3, 4}});
}

// Operator set 8 scans every item of a batch, as many steps as each has.
TEST(Scan, OfABatchIsAScanOfEveryItem) {
  constexpr std::int64_t kBatch = 2, kSteps = 4, kWidth = 3;
  for (const bool own_lengths : {false, true}) {
    const std::vector<std::int64_t> lengths{own_lengths ? 2 : kSteps, kSteps};
    const auto reference = [lengths](const std::vector<Tensor>& in) {
      Tensor sum = in[1].copy(), product = in[2].copy();
      Tensor first = Tensor::zeros(DType::kF64, {kBatch, kSteps, kWidth}), second = first.copy();
      for (std::int64_t b = 0; b < kBatch; ++b) {
        const std::int64_t length = lengths[static_cast<std::size_t>(b)];
        for (std::int64_t t = 0; t < length; ++t)
          for (std::int64_t i = 0; i < kWidth; ++i) {
            const double p = in[3].data<double>()[(b * kSteps + t) * kWidth + i],
                         q = in[4].data<double>()[(b * kSteps + length - 1 - t) * kWidth + i];
            double& total = sum.mutable_data<double>()[b * kWidth + i];
            total += p * in[5].data<double>()[i];
            product.mutable_data<double>()[b * kWidth + i] *= q;
            first.mutable_data<double>()[(b * kSteps + t) * kWidth + i] = total + q;
            second.mutable_data<double>()[(b * kSteps + t) * kWidth + i] = p * q;
          }
      }
      return std::vector<Tensor>{sum, product, first, second};
    };
    check({.op = "Scan",
           .version = 8,
           .inputs = {own_lengths ? Tensor::vector<std::int64_t>(lengths) : Tensor(), random_f64({kBatch, kWidth}, 1),
                      random_f64({kBatch, kWidth}, 2, 0.5, 2), random_f64({kBatch, kSteps, kWidth}, 3),
                      random_f64({kBatch, kSteps, kWidth}, 4), random_f64({kWidth}, 5)},
           .constants = {0},
           .attributes = {{"body", scan_body()},
                          {"num_scan_inputs", std::int64_t{2}},
                          {"directions", std::vector<std::int64_t>{0, 1}}},
           .outputs = 4,
           .reference = reference,
           .gradients = {1, 2, 3, 4, 5}});
  }
}

TEST(Scan, OfNothingIsEmpty) {
  check({.op = "Scan",
         .version = 9,
         .inputs = {random_f64({3}, 1), random_f64({3}, 2), Tensor::zeros(DType::kF64, {0, 3}),
                    Tensor::zeros(DType::kF64, {0, 3}), random_f64({3}, 5)},
         .attributes = {{"body", scan_body()},
                        {"num_scan_inputs", std::int64_t{2}},
                        {"scan_output_axes", std::vector<std::int64_t>{1, 0}}},
         .outputs = 4,
         .reference =
             [](const std::vector<Tensor>& in) {
               return std::vector<Tensor>{in[0], in[1], Tensor::zeros(DType::kF64, {3, 0}),
                                          Tensor::zeros(DType::kF64, {0, 3})};
             },
         .gradients = {0, 1}});
}

// for a in 0..3: for b in 0..2: s <- if a == 1 then s * w else s + w. The inner body sees the outer one's trip.
TEST(Loop, BodiesHoldLoopsAndBranchesThatSeeWhatIsAround) {
  const auto branch = [](const char* op) {
    Graph graph;
    graph.captured = {"s", "w"};
    const ValueId s = graph.add_input("s", DType::kUndefined), w = graph.add_input("w", DType::kUndefined);
    graph.outputs = {graph.add_node({.op = op, .inputs = {s, w}}, {"changed"})[0]};
    return std::make_shared<const Graph>(std::move(graph));
  };
  Graph inner;
  GraphBuilder b(inner);
  inner.add_input("b", DType::kI64);
  const ValueId go = inner.add_input("inner_go", DType::kBool), s = inner.add_input("s", DType::kUndefined);
  inner.captured = {"trip", "w"};
  const ValueId a = inner.add_input("trip", DType::kI64), w = inner.add_input("w", DType::kUndefined);
  const ValueId is_one = b.op("Equal", {a, b.constant(trips(1))});
  Node choice{.op = "If", .inputs = {is_one, s, w, s, w}};
  choice.attributes.set("then_branch", branch("Mul"));
  choice.attributes.set("else_branch", branch("Add"));
  inner.outputs = {go, inner.add_node(choice, {"chosen"})[0]};
  const Body inner_body = std::make_shared<const Graph>(std::move(inner));
  const Body outer = loop_body({"w"}, [&](GraphBuilder& o, ValueId trip, ValueId state) {
    const ValueId twice = o.constant(trips(2));
    return o.graph().add_node({.op = "Loop",
                               .inputs = {twice, kNoValue, state, trip, o.graph().find("w")},
                               .attributes = {{"body", inner_body}}},
                              {"inner result"});
  });
  check({.op = "Loop",
         .version = 13,
         .inputs = {trips(3), Tensor(), random_f64({2}, 1), random_f64({2}, 2)},
         .constants = {0},
         .attributes = {{"body", outer}},
         .reference =
             [](const std::vector<Tensor>& in) {
               std::vector<double> x = in[2].to_f64(), v = in[3].to_f64();
               for (std::size_t i = 0; i < x.size(); ++i) x[i] = (x[i] + 2 * v[i]) * v[i] * v[i] + 2 * v[i];
               return std::vector<Tensor>{Tensor::vector(x)};
             },
         .gradients = {2, 3}});
}

// One value may be two outputs; a state may come out as it went in.
TEST(Loop, OutputsHaveTheirOwnNames) {
  const Body body = loop_body({}, [](GraphBuilder& b, ValueId, ValueId x) {
    const ValueId same = b.op("Identity", {b.op("Neg", {x})}, {}, "state output");
    return std::vector{x, same, same};
  });
  Graph graph;
  const ValueId x = graph.add_input("x", DType::kF32);
  graph.add_node({.op = "Loop", .inputs = {graph.add_constant(trips(1)), kNoValue, x}, .attributes = {{"body", body}}},
                 {"through", "first", "second"});
  const Graph result = specialize_to(graph, {{"x", normal_f32({2}, 1)}}, {"through", "first", "second"});
  std::size_t i = 0;
  for (const char* name : {"through", "first", "second"}) EXPECT_EQ(result.find(name), result.outputs[i++]) << name;
}

TEST(Loop, InnerNamesDoNotShadowThoseOfTheGraph) {
  Graph graph;
  const ValueId h = graph.add_input("h", DType::kF32), w = graph.add_input("w", DType::kF32);
  const ValueId x = graph.add_input("x", DType::kF32);
  graph.add_node({.op = "Loop",
                  .inputs = {graph.add_constant(trips(2)), kNoValue, h, w, x},
                  .attributes = {{"body", recurrence()}}},
                 {"last"});
  graph.add_node({.op = "Neg", .inputs = {h}}, {"next"});
  const Graph result = specialize_to(
      graph, {{"h", normal_f32({2}, 1)}, {"w", normal_f32({2}, 2)}, {"x", normal_f32({2, 2}, 3)}}, {"last", "next"});
  EXPECT_EQ(result.producer(result.find("next"))->op, "Neg");
}

std::string refused(const OpCase& op_case) {
  Graph graph;
  Node node{.op = op_case.op, .version = op_case.version, .name = "/loop", .attributes = op_case.attributes};
  Request request;
  for (std::size_t i = 0; i < op_case.inputs.size(); ++i) {
    if (!op_case.inputs[i].defined()) {
      node.inputs.push_back(kNoValue);
      continue;
    }
    const std::string name = fmt::format("x{}", i);
    node.inputs.push_back(graph.add_input(name, op_case.inputs[i].dtype()));
    request.inputs[name] = {op_case.inputs[i]};
  }
  graph.add_node(std::move(node), {"y"});
  request.outputs = {"y"};
  Session session({.threads = 1});
  return refusal_of(session, std::move(graph), request);
}

TEST(Loop, RefusesWhatDoesNotFit) {
  const Attributes body = {{"body", recurrence()}};
  const Tensor h = random_f64({3}, 1), x = random_f64({5, 3}, 3);
  EXPECT_THAT(refused({.op = "Loop", .inputs = {trips(2), Tensor(), h}, .attributes = body}), HasSubstr("'/loop'"));
  EXPECT_THAT(refused({.op = "Loop", .inputs = {trips(2), Tensor(), h, h, h, x}, .attributes = body}),
              HasSubstr("does not fit"));
  EXPECT_THAT(
      refused({.op = "Loop", .inputs = {Tensor::vector<std::int64_t>({1, 2}), Tensor(), h, h, x}, .attributes = body}),
      HasSubstr("the trip count must be one number"));
  EXPECT_THAT(refused({.op = "Loop", .inputs = {h}}), HasSubstr("body is missing"));
  const Body retypes = loop_body({}, [](GraphBuilder& b, ValueId, ValueId state) {
    return std::vector{b.op("Cast", {state}, {{"to", std::int64_t{7}}})};
  });
  EXPECT_THAT(refused({.op = "Loop", .inputs = {trips(2), Tensor(), h}, .attributes = {{"body", retypes}}}),
              HasSubstr("f64 before a trip and i64 after"));
}

// A condition of another type was read as its truth, which ONNX does not know.
TEST(ControlFlow, AConditionMustBeBool) {
  const Tensor h = random_f64({3}, 1), x = random_f64({5, 3}, 3);
  const auto branch = [] {
    Graph graph;
    GraphBuilder b(graph);
    graph.outputs = {b.op("Neg", {b.scalar(1, DType::kF64)})};
    return std::make_shared<const Graph>(std::move(graph));
  };
  const Attributes branches = {{"then_branch", branch()}, {"else_branch", branch()}};
  for (const Tensor& condition : {Tensor::scalar<std::int64_t>(1), Tensor::scalar<double>(1)}) {
    const std::string want =
        fmt::format("node '/loop': its condition must be bool, got {}", dtype_name(condition.dtype()));
    EXPECT_THAT(refused({.op = "If", .inputs = {condition}, .attributes = branches}), HasSubstr("If " + want));
    EXPECT_THAT(
        refused({.op = "Loop", .inputs = {trips(2), condition, h, h, x}, .attributes = {{"body", recurrence()}}}),
        HasSubstr("Loop " + want));
  }
}

TEST(Scan, RefusesWhatDoesNotFit) {
  const Tensor v = random_f64({3}, 1), rows = random_f64({4, 3}, 2), others = random_f64({5, 3}, 3);
  const auto with = [](std::int64_t scanned) {
    return Attributes{{"body", scan_body()}, {"num_scan_inputs", scanned}};
  };
  EXPECT_THAT(refused({.op = "Scan", .inputs = {v, v, rows, others, v}, .attributes = with(2)}),
              HasSubstr("has 4 slices, another 5"));
  EXPECT_THAT(refused({.op = "Scan", .inputs = {v, v, rows, rows, v}, .attributes = with(9)}),
              HasSubstr("num_scan_inputs"));
  EXPECT_THAT(refused({.op = "Scan", .version = 8, .inputs = {Tensor(), v, v, rows, rows, v}, .attributes = with(2)}),
              HasSubstr("batches of 4 and of 3"));
  Attributes axes = with(2);
  axes.set("scan_input_axes", std::vector<std::int64_t>{0, 0, 0});
  EXPECT_THAT(refused({.op = "Scan", .inputs = {v, v, rows, rows, v}, .attributes = axes}),
              HasSubstr("3 entries for 2"));
}

// A state that doubles is 2^62 elements after 62 trips: an error, not an allocation.
TEST(Loop, AStateThatExplodesIsOneLine) {
  const Body doubles = loop_body({}, [](GraphBuilder& b, ValueId, ValueId state) {
    return std::vector{b.op("Concat", {state, state}, {{"axis", std::int64_t{0}}})};
  });
  EXPECT_THAT(
      refused({.op = "Loop", .inputs = {trips(1000), Tensor(), random_f64({2}, 1)}, .attributes = {{"body", doubles}}}),
      HasSubstr("Concat node"));
  // The same of a constant, which folds while it is small.
  EXPECT_THAT(refused({.op = "Loop",
                       .inputs = {trips(1000), Tensor(), Tensor::scalar<std::int64_t>(2).reshaped({1})},
                       .attributes = {{"body", doubles}}}),
              HasSubstr("Concat node"));
}

}  // namespace
}  // namespace retune
