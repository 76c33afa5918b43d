// Gradients of casts. Their values are in selection_test.cc.
#include <gtest/gtest.h>

#include "graph/graph_builder.h"
#include "graph/op_case.h"
#include "graph/session.h"

namespace retune {
namespace {

Attributes to(DType dtype) { return {{"to", static_cast<std::int64_t>(dtype)}}; }

TEST(Cast, HasTheSlopeOne) {
  check({.op = "Cast",
         .inputs = {random_f64({3, 5}, 1)},
         .attributes = to(DType::kF64),
         .reference = [](const std::vector<Tensor>& in) { return std::vector<Tensor>{in[0]}; },
         .gradients = {0}});
  check({.op = "CastLike",
         .inputs = {random_f64({3, 5}, 2), random_f64({2}, 3)},
         .reference = [](const std::vector<Tensor>& in) { return std::vector<Tensor>{in[0]}; },
         .gradients = {0}});
}

// sum(w cast(cast(x, through), f64)) with respect to x.
Tensor slope(DType from, DType through, const Tensor& w) {
  auto graph = std::make_shared<Graph>();
  GraphBuilder b(*graph);
  const ValueId x = graph->add_input("x", from);
  const ValueId wide = b.op("Cast", {b.op("Cast", {x}, to(through))}, to(DType::kF64));
  b.op("Mul", {wide, graph->add_input("w", DType::kF64)}, {}, "loss");
  Session session({.threads = 1});
  const Tensor at = Tensor::of<float>({3}, {-1.5f, 0.25f, 3.f}).cast(from);
  return session.run(graph, {}, {.inputs = {{"x", {at}}, {"w", {w}}}, .loss = "loss", .wrt = {"x"}})["grad:x"].tensor;
}

TEST(Cast, GivesBackAGradientOfTheInputsType) {
  const Tensor w = Tensor::of<double>({3}, {0.5, -1.0 / 3, 7});
  for (const DType from : {DType::kF32, DType::kF16, DType::kBF16})
    EXPECT_TRUE(identical(slope(from, DType::kF64, w), w.cast(from))) << slope(from, DType::kF64, w).text();
  // Rounded where it comes through the narrower type.
  EXPECT_TRUE(identical(slope(DType::kF64, DType::kF16, w), w.cast(DType::kF16).cast(DType::kF64)));
}

TEST(Cast, StopsAGradientAtIntegers) {
  const Tensor w = Tensor::of<double>({3}, {1, 2, 3});
  for (const DType through : {DType::kI64, DType::kI8, DType::kBool})
    EXPECT_TRUE(identical(slope(DType::kF32, through, w), Tensor::zeros(DType::kF32, {3})));
}

}  // namespace
}  // namespace retune
