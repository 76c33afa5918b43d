#include "graph/graph_builder.h"

#include <gtest/gtest.h>

#include "graph/node_by_node.h"

namespace retune {
namespace {

class Building : public testing::Test {
 protected:
  ValueId input(const std::string& name, const Shape& shape) {
    std::vector<Dim> dims;
    for (const std::int64_t extent : shape) dims.push_back({extent, ""});
    leaves_[name] = normal_f32(shape, leaves_.size() + 1);
    return graph_.add_input(name, DType::kF32, dims);
  }
  Tensor value(ValueId id) { return run_node_by_node(graph_, leaves_, {id})[0]; }

  Graph graph_;
  GraphBuilder b_{graph_};
  Leaves leaves_;
};

TEST_F(Building, InfersShapesWhereTheyAreConcrete) {
  const ValueId x = input("x", {2, 3, 4});
  EXPECT_EQ(b_.shape(b_.transpose(x, {2, 0, 1})), (Shape{4, 2, 3}));
  EXPECT_EQ(b_.dtype(b_.op("ArgMax", {x})), DType::kI64);
  EXPECT_EQ(b_.shape(b_.reduce_sum(x, {1}, GraphBuilder::KeepDims::kYes)), (Shape{2, 1, 4}));
  EXPECT_EQ(b_.shape(b_.reduce_sum(x, {1}, GraphBuilder::KeepDims::kNo)), (Shape{2, 4}));
}

TEST_F(Building, KnowsTypesWhereShapesAreSymbolic) {
  const ValueId x = graph_.add_input("x", DType::kF16, {{-1, "batch"}, {4, ""}});
  const ValueId y = b_.op("Relu", {x});
  EXPECT_EQ(b_.dtype(y), DType::kF16);
  EXPECT_EQ(b_.dtype(b_.op("Shape", {y})), DType::kI64);
  EXPECT_EQ(b_.dtype(b_.op("Less", {y, x})), DType::kBool);
  EXPECT_THROW(b_.shape(y), std::logic_error);
}

TEST_F(Building, EmitsNothingForWhatIsAlreadySo) {
  const ValueId x = input("x", {2, 3});
  EXPECT_EQ(b_.reshape(x, {2, 3}), x);
  EXPECT_EQ(b_.cast(x, DType::kF32), x);
  EXPECT_EQ(b_.sum_to(x, {2, 3}), x);
  EXPECT_TRUE(graph_.nodes().empty());
}

TEST_F(Building, SumsABroadcastBack) {
  const ValueId x = input("x", {2, 3, 4});
  const Tensor got = value(b_.sum_to(x, {3, 1}));
  const Tensor& from = leaves_["x"];
  ASSERT_EQ(got.shape(), (Shape{3, 1}));
  for (std::int64_t j = 0; j < 3; ++j) {
    double sum = 0;
    for (std::int64_t i = 0; i < 2; ++i)
      for (std::int64_t k = 0; k < 4; ++k) sum += static_cast<double>(from.data<float>()[(i * 3 + j) * 4 + k]);
    EXPECT_NEAR(got.data<float>()[j], sum, 1e-5);
  }
}

TEST_F(Building, ReshapesToExtentsOfZero) {
  const ValueId x = input("x", {0, 5});
  EXPECT_EQ(value(b_.reshape(x, {5, 0, 2})).shape(), (Shape{5, 0, 2}));
}

TEST_F(Building, MultipliesWithSwappedOperands) {
  using Swap = GraphBuilder::Swap;
  const ValueId a = input("a", {3, 2}), b = input("b", {4, 3});
  const Tensor got = value(b_.matmul(a, b, Swap::kLastTwo, Swap::kLastTwo));
  ASSERT_EQ(got.shape(), (Shape{2, 4}));
  for (std::int64_t i = 0; i < 2; ++i)
    for (std::int64_t j = 0; j < 4; ++j) {
      double sum = 0;
      for (std::int64_t k = 0; k < 3; ++k)
        sum += static_cast<double>(leaves_["a"].data<float>()[k * 2 + i]) *
               static_cast<double>(leaves_["b"].data<float>()[j * 3 + k]);
      EXPECT_NEAR(got.data<float>()[i * 4 + j], sum, 1e-6);
    }
}

TEST_F(Building, MakesZerosLikeAnything) {
  EXPECT_TRUE(identical(value(b_.zeros_like(input("x", {2, 3}))), Tensor::zeros(DType::kF32, {2, 3})));
}

}  // namespace
}  // namespace retune
