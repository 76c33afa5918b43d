#include <gtest/gtest.h>

#include <vector>

#include "graph/graph_builder.h"
#include "graph/op_case.h"
#include "graph/session.h"
#include "tensor/error.h"

namespace retune {
namespace {

// Y = alpha op(A) op(B) by NumPy's rules for matmul, an element at a time.
Tensor naive_product(const Tensor& left, const Tensor& right, bool transpose_a, bool transpose_b, double alpha) {
  const Tensor a = left.shape().rank() == 1 ? left.reshaped({1, left.numel()}) : left;
  const Tensor b = right.shape().rank() == 1 ? right.reshaped({right.numel(), 1}) : right;
  transpose_a = transpose_a && left.shape().rank() > 1;
  transpose_b = transpose_b && right.shape().rank() > 1;
  const auto leading = [](const Shape& s) { return Shape(std::vector<std::int64_t>(s.begin(), s.end() - 2)); };
  const Shape batch_a = leading(a.shape()), batch_b = leading(b.shape()), batch = broadcast(batch_a, batch_b);
  const std::int64_t m = a.shape().back(transpose_a ? 0 : 1), k = a.shape().back(transpose_a ? 1 : 0),
                     n = b.shape().back(transpose_b ? 1 : 0);
  const auto matrix_of = [&](const Shape& own, std::int64_t index) {
    std::int64_t result = 0, step = 1;
    for (int axis = batch.rank() - 1; axis >= 0; --axis) {
      const int source = axis - (batch.rank() - own.rank());
      if (source >= 0) {
        result += own[source] == 1 ? 0 : index % batch[axis] * step;
        step *= own[source];
      }
      index /= batch[axis];
    }
    return result;
  };
  std::vector<double> y;
  for (std::int64_t p = 0; p < batch.numel(); ++p) {
    const double* pa = a.data<double>() + matrix_of(batch_a, p) * m * k;
    const double* pb = b.data<double>() + matrix_of(batch_b, p) * k * n;
    for (std::int64_t i = 0; i < m; ++i) {
      for (std::int64_t j = 0; j < n; ++j) {
        double sum = 0;
        for (std::int64_t l = 0; l < k; ++l)
          sum += (transpose_a ? pa[l * m + i] : pa[i * k + l]) * (transpose_b ? pb[j * k + l] : pb[l * n + j]);
        y.push_back(alpha * sum);
      }
    }
  }
  std::vector<std::int64_t> extents = batch.extents();
  if (left.shape().rank() > 1) extents.push_back(m);
  if (right.shape().rank() > 1) extents.push_back(n);
  return Tensor::of<double>(Shape(extents), y);
}

void check_matmul(Shape a, Shape b) {
  check({.op = "MatMul",
         .inputs = {random_f64(std::move(a), 1), random_f64(std::move(b), 2)},
         .reference =
             [](const std::vector<Tensor>& in) {
               return std::vector<Tensor>{naive_product(in[0], in[1], false, false, 1)};
             },
         .gradients = {0, 1}});
}

TEST(MatMul, MultipliesVectorsMatricesAndStacks) {
  check_matmul({5}, {5});
  check_matmul({5}, {5, 3});
  check_matmul({4, 5}, {5});
  check_matmul({4, 5}, {5, 3});
  check_matmul({2, 4, 5}, {5, 3});
  check_matmul({2, 3, 4, 5}, {5, 3});
  check_matmul({2, 4, 5}, {2, 5, 3});
  check_matmul({2, 4, 5}, {5});
  check_matmul({5}, {2, 5, 3});
}

TEST(MatMul, BroadcastsLeadingAxes) {
  check_matmul({4, 5}, {2, 5, 3});
  check_matmul({2, 1, 4, 5}, {3, 5, 2});
  check_matmul({1, 4, 5}, {3, 5, 2});
  check_matmul({3, 4, 5}, {1, 5, 2});
  check_matmul({2, 1, 1, 4, 5}, {1, 3, 2, 5, 2});
}

TEST(MatMul, EmptyExtentsGiveZerosOrNothing) {
  check_matmul({4, 0}, {0, 3});
  check_matmul({0, 5}, {5, 3});
  check_matmul({0, 4, 5}, {5, 3});
  check_matmul({2, 4, 0}, {2, 0, 3});
}

TEST(MatMul, BytesOfALargeProductDoNotDependOnThreads) {
  check({.op = "MatMul", .inputs = {random_f64({3, 130, 70}, 1), random_f64({70, 301}, 2)}, .gradients = {0, 1}});
  check({.op = "MatMul", .inputs = {random_f64({1, 70}, 1), random_f64({70, 3001}, 2)}, .gradients = {0, 1}});
}

TEST(FusedMatMul, TransposesAndScales) {
  for (const bool ta : {false, true}) {
    for (const bool tb : {false, true}) {
      for (const auto& [a, b] : std::vector<std::pair<Shape, Shape>>{{{4, 5}, {5, 3}},
                                                                     {{2, 4, 5}, {2, 5, 3}},
                                                                     {{2, 4, 5}, {5, 3}},
                                                                     {{4, 5}, {2, 5, 3}},
                                                                     {{2, 1, 4, 5}, {3, 5, 2}}}) {
        const auto swapped = [](Shape s, bool swap) {
          std::vector<std::int64_t> e = s.extents();
          if (swap) std::swap(e[e.size() - 1], e[e.size() - 2]);
          return Shape(e);
        };
        check({.domain = "com.microsoft",
               .op = "FusedMatMul",
               .version = 1,
               .inputs = {random_f64(swapped(a, ta), 1), random_f64(swapped(b, tb), 2)},
               .attributes = {{"transA", std::int64_t{ta}}, {"transB", std::int64_t{tb}}, {"alpha", -0.5}},
               .reference =
                   [ta, tb](const std::vector<Tensor>& in) {
                     return std::vector<Tensor>{naive_product(in[0], in[1], ta, tb, -0.5)};
                   },
               .gradients = {0, 1}});
      }
    }
  }
}

TEST(Gemm, AddsAScaledBroadcastC) {
  for (const bool ta : {false, true}) {
    for (const bool tb : {false, true}) {
      for (const Shape& c : {Shape{4, 3}, Shape{3}, Shape{4, 1}, Shape{1, 3}, Shape{}, Shape{1}}) {
        check(
            {.op = "Gemm",
             .inputs = {random_f64(ta ? Shape{5, 4} : Shape{4, 5}, 1), random_f64(tb ? Shape{3, 5} : Shape{5, 3}, 2),
                        random_f64(c, 3)},
             .attributes = {{"transA", std::int64_t{ta}}, {"transB", std::int64_t{tb}}, {"alpha", 1.5}, {"beta", -2.0}},
             .reference =
                 [ta, tb](const std::vector<Tensor>& in) {
                   Tensor y = naive_product(in[0], in[1], ta, tb, 1.5);
                   const Shape& shape = in[2].shape();
                   for (std::int64_t i = 0; i < 4; ++i) {
                     for (std::int64_t j = 0; j < 3; ++j) {
                       const std::int64_t columns = shape.rank() == 0 ? 1 : shape.back();
                       const std::int64_t rows = shape.rank() < 2 ? 1 : shape[0];
                       y.mutable_data<double>()[i * 3 + j] -=
                           2 * in[2].data<double>()[i % rows * columns + j % columns];
                     }
                   }
                   return std::vector<Tensor>{y};
                 },
             .gradients = {0, 1, 2}});
      }
    }
  }
}

TEST(Gemm, WorksWithoutC) {
  check({.op = "Gemm",
         .inputs = {random_f64({4, 5}, 1), random_f64({5, 3}, 2)},
         .reference =
             [](const std::vector<Tensor>& in) {
               return std::vector<Tensor>{naive_product(in[0], in[1], false, false, 1)};
             },
         .gradients = {0, 1}});
}

TEST(MatMul, NamesBothShapesWhereTheyDoNotFit) {
  Graph graph;
  GraphBuilder b(graph);
  const ValueId x = b.constant(random_f64({4, 5}, 1)), y = b.constant(random_f64({6, 3}, 2));
  try {
    b.op("MatMul", {x, y});
    FAIL() << "expected an error";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kUser);
    EXPECT_NE(std::string(error.what()).find("[4, 5] times [6, 3]"), std::string::npos) << error.what();
  }
}

TEST(MatMul, AWeightsGradientIsOneProductOverAllRows) {
  auto graph = std::make_shared<Graph>();
  GraphBuilder b(*graph);
  const ValueId x = graph->add_input("x", DType::kF64), w = graph->add_input("w", DType::kF64);
  b.ops("", "MatMul", {x, w}, {}, {"y"});
  Session session({.threads = 1});
  session.trace(true);
  const Results r = session.run(graph, {},
                                {.inputs = {{"x", {random_f64({2, 3, 4}, 1)}}, {"w", {random_f64({4, 5}, 2)}}},
                                 .outputs = {"y"},
                                 .loss = "y",
                                 .wrt = {"w"}});
  EXPECT_EQ(r["grad:w"].tensor.shape(), (Shape{4, 5}));
  // Forward, ones, and a single product (reshapes are views): nothing is transposed or reduced.
  for (const auto& [op, seconds] : session.counters().seconds_by_op)
    EXPECT_TRUE(op != "Transpose" && op != "ReduceSum") << op;
}

}  // namespace
}  // namespace retune
