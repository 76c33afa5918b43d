#include "bench/lalm/products.h"

#include <gtest/gtest.h>

#include "graph/graph_builder.h"
#include "tensor/error.h"

namespace retune::bench {
namespace {

Tensor ones(const Shape& shape) {
  Tensor tensor = Tensor::empty(DType::kF32, shape);
  std::fill_n(tensor.mutable_data<float>(), tensor.numel(), 1.0f);
  return tensor;
}

// y = relu(x W1) W2, x [3, 4], W1 [4, 5], W2 [5, 6].
Graph two_layers() {
  Graph graph;
  const ValueId x = graph.add_input("x", DType::kF32);
  GraphBuilder b(graph);
  graph.value(x).shape = Shape{3, 4};
  const ValueId w1 = graph.add_parameter("w1", DType::kF32, {4, 5}, "", "w1");
  const ValueId w2 = graph.add_parameter("w2", DType::kF32, {5, 6}, "", "w2");
  const ValueId hidden = b.op("Relu", {b.op("MatMul", {x, w1})});
  const ValueId y = b.ops("", "MatMul", {hidden, w2}, {}, {"y"})[0];
  graph.outputs = {y};
  const ValueId loss = b.ops("", "ReduceSum", {y}, {{"keepdims", std::int64_t{0}}}, {"loss"})[0];
  graph.outputs.push_back(loss);
  return graph;
}

Request request_for(std::vector<std::string> wrt) {
  Request request;
  request.inputs["x"] = {ones({3, 4})};
  if (wrt.empty())
    request.outputs = {"y"};
  else
    request.loss = "loss";
  request.wrt = std::move(wrt);
  return request;
}

PlannedProducts planned(const Request& request) {
  ThreadPool pool(1);
  return products_of(make_plan(two_layers(), request, pool));
}

TEST(Products, CountTwoOperationsAMultiplication) {
  const PlannedProducts forward = planned(request_for({}));
  EXPECT_EQ(forward.products.size(), 2u);
  EXPECT_EQ(forward.operations, 2 * (3 * 4 * 5 + 3 * 5 * 6));
}

TEST(Products, OfAGradientAreThoseThatItNeeds) {
  // Both weights: two products forward (the loss needs the second no more than its gradient does), x^T g twice, and the
  // gradient that passes through the second layer.
  const PlannedProducts both = planned(request_for({"w1", "w2"}));
  const double first = 2 * 3 * 4 * 5, second = 2 * 3 * 5 * 6;
  EXPECT_GE(both.operations, 2 * first + 2 * second);
  EXPECT_LE(both.operations, 2 * first + 3 * second);
}

TEST(Products, RunAlone) {
  const PlannedProducts forward = planned(request_for({}));
  Session session({.threads = 1});
  const Parameters parameters = {{"w1", {ones({4, 5})}}, {"w2", {ones({5, 6})}}};
  Request request;
  request.inputs["operand 0"] = {ones({3, 4})};
  request.outputs = {"product"};
  const Results results = session.run(forward.products[0].graph, parameters, request);
  EXPECT_EQ(results["product"].tensor.shape(), (Shape{3, 5}));
  EXPECT_EQ(results["product"].tensor.data<float>()[0], 4.0f);
}

TEST(Products, RefuseAnOperatorWhoseProductsNobodyCounts) {
  Plan plan;
  const ValueId w = plan.graph.add_parameter("w", DType::kF32, {4, 4}, "", "w");
  plan.graph.add_node({.domain = "retune", .op = "Mystery", .inputs = {w}, .outputs = {kNoValue}}, {"y"});
  EXPECT_THROW(products_of(plan), Error);
}

}  // namespace
}  // namespace retune::bench
