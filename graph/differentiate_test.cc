#include "graph/differentiate.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "graph/graph_builder.h"
#include "graph/node_by_node.h"
#include "tensor/error.h"

namespace retune {
namespace {

using testing::HasSubstr;

class Differentiate : public testing::Test {
 protected:
  ValueId input(const std::string& name, const Shape& shape) {
    std::vector<Dim> dims;
    for (const std::int64_t extent : shape) dims.push_back({extent, ""});
    leaves_[name] = normal_f32(shape, leaves_.size() + 1);
    return graph_.add_input(name, DType::kF32, dims);
  }
  ValueId sum(ValueId x) { return b_.op("ReduceSum", {x}, {{"keepdims", std::int64_t{0}}}); }
  const float* at(const std::string& name) { return leaves_[name].data<float>(); }

  Graph graph_;
  GraphBuilder b_{graph_};
  Leaves leaves_;
};

// d/dx sum(x y + x x) = y + 2 x: three paths into x.
TEST_F(Differentiate, AddsWhatComesFromSeveralReaders) {
  const ValueId x = input("x", {5}), y = input("y", {5});
  const ValueId loss = sum(b_.add(b_.mul(x, y), b_.mul(x, x)));
  const std::vector<ValueId> gradients = differentiate(graph_, loss, {x, y});
  const std::vector<Tensor> got = run_node_by_node(graph_, leaves_, gradients);
  for (int i = 0; i < 5; ++i) {
    EXPECT_FLOAT_EQ(got[0].data<float>()[i], at("y")[i] + 2 * at("x")[i]);
    EXPECT_FLOAT_EQ(got[1].data<float>()[i], at("x")[i]);
  }
}

TEST_F(Differentiate, OfAnInnerValueStopsThere) {
  const ValueId x = input("x", {4});
  const ValueId h = b_.op("Exp", {x}), loss = sum(b_.mul(h, h));
  const std::size_t before = graph_.nodes().size();
  const std::vector<ValueId> gradients = differentiate(graph_, loss, {h});
  for (std::size_t i = before; i < graph_.nodes().size(); ++i)
    for (const ValueId id : graph_.nodes()[i].inputs) EXPECT_NE(id, x) << "nothing behind the leaf is differentiated";
  const Tensor got = run_node_by_node(graph_, leaves_, gradients)[0];
  for (int i = 0; i < 4; ++i) EXPECT_FLOAT_EQ(got.data<float>()[i], 2 * std::exp(at("x")[i]));
}

TEST_F(Differentiate, TheSumOfALossOfAnyShapeIsMeant) {
  const ValueId x = input("x", {2, 3});
  const std::vector<ValueId> gradients = differentiate(graph_, b_.mul(x, 3.0), {x});
  EXPECT_TRUE(
      identical(run_node_by_node(graph_, leaves_, gradients)[0], Tensor::of<float>({2, 3}, {3, 3, 3, 3, 3, 3})));
}

TEST_F(Differentiate, OfTheLossItselfIsOne) {
  const ValueId loss = sum(input("x", {3}));
  EXPECT_TRUE(
      identical(run_node_by_node(graph_, leaves_, differentiate(graph_, loss, {loss}))[0], Tensor::scalar(1.0f)));
}

TEST_F(Differentiate, GivesNothingForWhatTheLossDoesNotDependOn) {
  const ValueId x = input("x", {3}), other = input("other", {3});
  b_.op("Exp", {other});
  EXPECT_EQ(differentiate(graph_, sum(x), {other})[0], kNoValue);
}

TEST_F(Differentiate, NamesTheNodeThatHasNoGradientAndSaysWhy) {
  const ValueId x = input("x", {3});
  graph_.add_node({.op = "Range", .name = "/steps", .file = "decoder.onnx", .inputs = {x, x, x}}, {"r"});
  graph_.value(graph_.find("r")).dtype = DType::kF32;
  graph_.value(graph_.find("r")).shape = Shape{3};
  try {
    differentiate(graph_, graph_.find("r"), {x});
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kUser);
    EXPECT_THAT(error.what(), HasSubstr("Range node '/steps' in decoder.onnx has no gradient"));
    EXPECT_THAT(error.what(), HasSubstr("its extent depends on its inputs"));
  }
}

TEST_F(Differentiate, RefusesALossThatIsNoFloat) {
  const ValueId x = input("x", {3});
  EXPECT_THROW(differentiate(graph_, b_.op("ArgMax", {x}), {x}), Error);
}

TEST_F(Differentiate, DoesNotFlowThroughIntegers) {
  const ValueId x = input("x", {3});
  const ValueId rounded = b_.op("Cast", {b_.op("Cast", {x}, {{"to", std::int64_t{7}}})}, {{"to", std::int64_t{1}}});
  EXPECT_EQ(differentiate(graph_, sum(rounded), {x})[0], kNoValue);
}

}  // namespace
}  // namespace retune
