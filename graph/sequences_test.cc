#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "graph/graph_builder.h"
#include "graph/op_case.h"
#include "graph/session.h"
#include "tensor/error.h"

namespace retune {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

// A graph of x [2, 3] = 1 ... 6 and y [3] = 7 8 9 under construction.
class Sequences : public testing::Test {
 protected:
  Sequences() : b_(graph_), x_(graph_.add_input("x", DType::kF64)), y_(graph_.add_input("y", DType::kF64)) {}

  ValueId op(const char* name, std::vector<ValueId> inputs, Attributes attributes = {}) {
    return b_.op(name, std::move(inputs), std::move(attributes));
  }
  // A node without inputs, of which nothing can be inferred.
  ValueId source(const char* name) { return graph_.add_node({.op = name}, {""})[0]; }
  ValueId number(std::int64_t value) { return b_.constant(Tensor::scalar(value)); }

  Results run(ValueId result, const std::vector<std::string>& wrt = {}) {
    Graph graph = graph_;
    GraphBuilder b(graph);
    graph.rename(result, "result");
    if (!wrt.empty()) b.op("ReduceSum", {b.mul(result, result)}, {{"keepdims", std::int64_t{0}}}, "loss");
    Session session({.threads = 1});
    Request request;
    request.inputs["x"] = {Tensor::of<double>({2, 3}, {1, 2, 3, 4, 5, 6})};
    request.inputs["y"] = {Tensor::of<double>({3}, {7, 8, 9})};
    request.outputs = {"result"};
    if (!wrt.empty()) {
      request.loss = "loss";
      request.outputs.push_back("loss");
    }
    request.wrt = wrt;
    return session.run(std::make_shared<const Graph>(graph), {}, request);
  }
  std::vector<double> values(ValueId result) {
    const Tensor tensor = run(result)["result"].tensor;
    return tensor.cast(DType::kF64).to_f64();
  }
  std::string refused(ValueId result) {
    try {
      run(result);
    } catch (const Error& error) {
      return error.what();
    }
    return "accepted";
  }

  Graph graph_;
  GraphBuilder b_;
  ValueId x_, y_;
};

TEST_F(Sequences, AreMadeReadAndMeasured) {
  const ValueId two = op("SequenceConstruct", {x_, y_});
  EXPECT_THAT(values(op("SequenceAt", {two, number(-1)})), ElementsAre(7, 8, 9));
  EXPECT_THAT(values(op("SequenceLength", {two})), ElementsAre(2));
  const ValueId three = op("SequenceInsert", {two, b_.mul(y_, 2.0), number(0)});
  EXPECT_THAT(values(op("SequenceAt", {three, number(0)})), ElementsAre(14, 16, 18));
  EXPECT_THAT(values(op("SequenceAt", {op("SequenceErase", {three, number(1)}), number(1)})), ElementsAre(7, 8, 9));
  EXPECT_THAT(values(op("SequenceLength", {op("Identity", {source("SequenceEmpty")})})), ElementsAre(0));
}

TEST_F(Sequences, AreSplitAndJoined) {
  const ValueId rows = op("SplitToSequence", {x_}, {{"keepdims", std::int64_t{0}}});
  EXPECT_THAT(values(op("SequenceAt", {rows, number(1)})), ElementsAre(4, 5, 6));
  const ValueId parts = op("SplitToSequence", {x_, number(2)}, {{"axis", std::int64_t{1}}});
  EXPECT_THAT(values(op("SequenceAt", {parts, number(1)})), ElementsAre(3, 6));
  EXPECT_THAT(values(op("ConcatFromSequence", {parts}, {{"axis", std::int64_t{1}}})), ElementsAre(1, 2, 3, 4, 5, 6));
  EXPECT_THAT(values(op("ConcatFromSequence", {rows}, {{"axis", std::int64_t{1}}, {"new_axis", std::int64_t{1}}})),
              ElementsAre(1, 4, 2, 5, 3, 6));
}

TEST_F(Sequences, AreMappedElementByElement) {
  Graph body;
  GraphBuilder inside(body);
  const ValueId element = body.add_input("element", DType::kF64), same = body.add_input("same", DType::kF64);
  body.inputs = {element, same};
  body.outputs = {inside.mul(element, same)};
  const ValueId rows = op("SplitToSequence", {x_}, {{"keepdims", std::int64_t{0}}});
  const ValueId mapped = op("SequenceMap", {rows, y_}, {{"body", std::make_shared<const Graph>(body)}});
  EXPECT_THAT(values(op("SequenceAt", {mapped, number(1)})), ElementsAre(28, 40, 54));
}

TEST_F(Sequences, OptionalValuesHaveAnElementOrNone) {
  const ValueId full = op("Optional", {y_}), empty = source("Optional");
  EXPECT_THAT(values(op("OptionalGetElement", {full})), ElementsAre(7, 8, 9));
  EXPECT_THAT(values(op("OptionalHasElement", {full})), ElementsAre(1));
  EXPECT_THAT(values(op("OptionalHasElement", {empty})), ElementsAre(0));
  EXPECT_THAT(refused(op("OptionalGetElement", {empty})), HasSubstr("the optional value is empty"));
}

TEST_F(Sequences, GradientsGoThroughTheirElements) {
  const ValueId rows = op("SplitToSequence", {x_}, {{"keepdims", std::int64_t{0}}});
  const ValueId both = op("SequenceInsert", {rows, y_});
  const ValueId stacked = op("ConcatFromSequence", {both}, {{"axis", std::int64_t{0}}, {"new_axis", std::int64_t{1}}});
  const Results results = run(stacked, {"x", "y"});
  EXPECT_THAT(results["grad:x"].tensor.to_f64(), ElementsAre(2, 4, 6, 8, 10, 12));
  EXPECT_THAT(results["grad:y"].tensor.to_f64(), ElementsAre(14, 16, 18));
}

TEST_F(Sequences, WhatIsWrongIsSaid) {
  const ValueId two = op("SequenceConstruct", {x_, y_});
  EXPECT_THAT(refused(op("SequenceAt", {two, number(2)})), HasSubstr("position 2 in a sequence of 2"));
  EXPECT_THAT(refused(op("SequenceAt", {x_, number(0)})), HasSubstr("input 0 is not a sequence"));
  EXPECT_THAT(refused(op("Neg", {two})), HasSubstr("a sequence as its input is not supported"));
  EXPECT_THAT(refused(two), HasSubstr("'result' is a sequence, which is not supported"));
}

}  // namespace
}  // namespace retune
