#include <gtest/gtest.h>

#include <vector>

#include "graph/graph_builder.h"
#include "graph/op_case.h"
#include "graph/session.h"
#include "tensor/error.h"

namespace retune {
namespace {

Tensor indices(Shape shape, const std::vector<std::int64_t>& values) {
  return Tensor::of<std::int64_t>(std::move(shape), values);
}

std::int64_t wrapped(std::int64_t index, std::int64_t extent) { return index < 0 ? index + extent : index; }

// y[outer, i, inner] = data[outer, index_i, inner]
Tensor naive_gather(const Tensor& data, const Tensor& index, int axis, Shape shape) {
  const std::int64_t outer = data.shape().product(0, axis), n = data.shape()[axis],
                     inner = data.shape().product(axis + 1, data.shape().rank());
  std::vector<double> y;
  for (std::int64_t o = 0; o < outer; ++o)
    for (const std::int64_t i : index.to_i64())
      for (std::int64_t k = 0; k < inner; ++k) y.push_back(data.data<double>()[(o * n + wrapped(i, n)) * inner + k]);
  return Tensor::of<double>(std::move(shape), y);
}

void check_gather(Shape data, Tensor index, std::int64_t axis, Shape result) {
  const int own = normalize_axis(axis, data.rank());
  check({.op = "Gather",
         .inputs = {random_f64(std::move(data), 1), std::move(index)},
         .attributes = {{"axis", axis}},
         .reference =
             [own, result](const std::vector<Tensor>& in) {
               return std::vector<Tensor>{naive_gather(in[0], in[1], own, result)};
             },
         .gradients = {0}});
}

TEST(Gather, TakesSlicesAlongAnAxisAndAddsTheirGradients) {
  check_gather({5, 3}, indices({4}, {4, 0, 0, -1}), 0, {4, 3});
  check_gather({5, 3}, indices({2, 2}, {2, 0, -3, 1}), 1, {5, 2, 2});
  check_gather({2, 5, 3}, indices({}, {-2}), -2, {2, 3});
  check_gather({2, 5, 3}, indices({0}, {}), 1, {2, 0, 3});
  check_gather({4}, Tensor::of<std::int32_t>({3}, {3, 3, -4}), 0, {3});
}

TEST(Gather, BytesOfALargeGradientDoNotDependOnThreads) {
  std::vector<std::int64_t> tokens;
  for (std::int64_t i = 0; i < 3000; ++i) tokens.push_back(i * i % 97);
  check({.op = "Gather", .inputs = {random_f64({97, 65}, 1), indices({30, 100}, tokens)}, .gradients = {0}});
}

TEST(GatherElements, TakesElementsAlongAnAxis) {
  for (const std::int64_t axis : {0, 1, -1}) {
    check({.op = "GatherElements",
           .inputs = {random_f64({3, 4}, 1), indices({2, 3}, {0, 2, -1, 1, -2, 1})},
           .attributes = {{"axis", axis}},
           .reference =
               [axis](const std::vector<Tensor>& in) {
                 std::vector<double> y;
                 for (std::int64_t i = 0; i < 2; ++i) {
                   for (std::int64_t j = 0; j < 3; ++j) {
                     const std::int64_t index =
                         wrapped(in[1].values<std::int64_t>()[static_cast<std::size_t>(i * 3 + j)], axis == 0 ? 3 : 4);
                     y.push_back(in[0].data<double>()[axis == 0 ? index * 4 + j : i * 4 + index]);
                   }
                 }
                 return std::vector<Tensor>{Tensor::of<double>({2, 3}, y)};
               },
           .gradients = {0}});
  }
}

TEST(GatherND, TakesSlicesByCoordinates) {
  check({.op = "GatherND",
         .inputs = {random_f64({3, 4, 2}, 1), indices({2, 2, 2}, {0, 1, -1, 3, 2, -4, 0, 1})},
         .reference =
             [](const std::vector<Tensor>& in) {
               std::vector<double> y;
               for (std::size_t t = 0; t < 4; ++t) {
                 const std::int64_t row = wrapped(in[1].values<std::int64_t>()[2 * t], 3),
                                    column = wrapped(in[1].values<std::int64_t>()[2 * t + 1], 4);
                 for (std::int64_t k = 0; k < 2; ++k) y.push_back(in[0].data<double>()[(row * 4 + column) * 2 + k]);
               }
               return std::vector<Tensor>{Tensor::of<double>({2, 2, 2}, y)};
             },
         .gradients = {0}});
  check({.op = "GatherND", .inputs = {random_f64({3, 4}, 1), indices({0, 1}, {})}, .gradients = {0}});
}

TEST(GatherND, KeepsBatchAxesTogether) {
  check({.op = "GatherND",
         .inputs = {random_f64({2, 3, 2}, 1), indices({2, 1}, {1, -1})},
         .attributes = {{"batch_dims", std::int64_t{1}}},
         .reference = [](const std::vector<Tensor>& in) {
           const double* x = in[0].data<double>();
           return std::vector<Tensor>{Tensor::of<double>({2, 2}, {x[2], x[3], x[10], x[11]})};
         }});
}

TEST(Gather, RefusesAnIndexOutOfRange) {
  for (const std::int64_t index : {std::int64_t{5}, std::int64_t{-6}}) {
    auto graph = std::make_shared<Graph>();
    GraphBuilder b(*graph);
    b.op("Gather", {graph->add_input("x", DType::kF32), graph->add_input("i", DType::kI64)}, {}, "y");
    Session session({.threads = 1});
    const Request request{.inputs = {{"x", {Tensor::zeros(DType::kF32, {5, 2})}}, {"i", {indices({1}, {index})}}},
                          .outputs = {"y"}};
    try {
      session.run(graph, {}, request);
      FAIL() << "expected an error for index " << index;
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kUser);
      EXPECT_NE(std::string(error.what()).find("out of range"), std::string::npos) << error.what();
    }
  }
}

}  // namespace
}  // namespace retune
