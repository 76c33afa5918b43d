#include "graph/evaluate.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "graph/graph_builder.h"
#include "graph/node_by_node.h"
#include "graph/op_registry.h"
#include "graph/session.h"
#include "tensor/thread_pool.h"

namespace retune {
namespace {

Tensor evaluate_one(const Node& node, const std::vector<Tensor>& inputs, const TypeShape& type) {
  ThreadPool pool(1);
  const std::vector<TypeShape> types = {type};
  return evaluate(node, OpRegistry::standard().require(node), inputs, types, pool,
                  [](DType dtype, const Shape& shape) { return Tensor::empty(dtype, shape); })[0];
}

TEST(Evaluate, HalfTypesAreComputedInF32AndRoundedOnce) {
  const Tensor x = normal_f32({5, 7}, 1);
  for (const DType half : {DType::kF16, DType::kBF16}) {
    const Tensor narrow = x.cast(half);
    for (const char* op : {"Tanh", "Exp", "Sigmoid"}) {
      const Tensor got = evaluate_one({.op = op}, {narrow}, {half, {5, 7}});
      const Tensor wide = evaluate_one({.op = op}, {narrow.cast(DType::kF32)}, {DType::kF32, {5, 7}});
      EXPECT_TRUE(identical(got, wide.cast(half))) << op << " " << dtype_name(half);
    }
  }
}

TEST(Evaluate, PrefixesErrorsWithTheNode) {
  const Node node{.op = "Gather", .name = "lookup", .file = "embed.onnx"};
  try {
    evaluate_one(node, {normal_f32({3, 2}, 1), Tensor::of<std::int64_t>({1}, {7})}, {DType::kF32, {1, 2}});
    FAIL();
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), testing::StartsWith("Gather node 'lookup' in embed.onnx: "));
  }
}

// Two layers in a 16-bit type against the same in f32: each rounding is at most half a unit in the last place of the
// values it rounds, here 8 or 11 bits, and the sums of 64 products stay in f32.
TEST(Evaluate, HalfPrecisionParametersRunWithinTheirRounding) {
  for (const auto& [half, unit] : {std::pair{DType::kF16, 0x1p-11}, {DType::kBF16, 0x1p-8}}) {
    Graph graph;
    GraphBuilder b(graph);
    const ValueId x = graph.add_input("x", DType::kF32, {{-1, "rows"}, {64, ""}});
    const ValueId w = graph.add_parameter("w", half, {64, 32}, "m.onnx", "w");
    const ValueId bias = graph.add_parameter("bias", half, {32}, "m.onnx", "bias");
    const ValueId product = b.op("MatMul", {b.cast(x, half), w});
    const ValueId y = b.op("Cast", {b.op("Add", {bias, product})}, {{"to", std::int64_t{1}}}, "y");
    graph.outputs = {y};
    const Tensor input = normal_f32({9, 64}, 3), weight = normal_f32({64, 32}, 4), offset = normal_f32({32}, 5);
    Session session({.threads = 1});
    const Parameters parameters = {{"w", {weight.cast(half), {}}}, {"bias", {offset.cast(half), {}}}};
    Request request;
    request.inputs["x"] = {input, {}};
    request.outputs = {"y"};
    const Tensor got = session.run(std::make_shared<const Graph>(graph), parameters, request)["y"].tensor;
    ASSERT_EQ(got.dtype(), DType::kF32);
    for (std::int64_t r = 0; r < 9; ++r)
      for (std::int64_t c = 0; c < 32; ++c) {
        double sum = 0, size = 0;
        for (std::int64_t k = 0; k < 64; ++k) {
          const double term = static_cast<double>(input.data<float>()[r * 64 + k]) *
                              static_cast<double>(weight.data<float>()[k * 32 + c]);
          sum += term;
          size += std::abs(term);
        }
        const double expected = sum + static_cast<double>(offset.data<float>()[c]);
        // Both operands are rounded (2 units), the product and the sum once each.
        const double bound = unit * (2.1 * size + 2.1 * (std::abs(sum) + std::abs(expected)) + 3);
        EXPECT_NEAR(got.data<float>()[r * 32 + c], expected, bound) << dtype_name(half);
      }
  }
}

}  // namespace
}  // namespace retune
