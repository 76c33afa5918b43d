#include <gtest/gtest.h>

#include <cmath>
#include <optional>
#include <string>
#include <vector>

#include "graph/op_case.h"

namespace retune {
namespace {

struct Setting {
  std::string reduction = "mean";
  bool weighted = false;
  std::optional<std::int64_t> ignored{};
};

// x [2, 3, 4] or so, labels [2, 4]; an element at a time.
std::vector<Tensor> loop(const Setting& s, const std::vector<Tensor>& in, bool softmax) {
  const Shape& shape = in[0].shape();
  const std::int64_t classes = shape[1], inner = shape.product(2, shape.rank());
  Tensor logs = in[0].copy(), loss = Tensor::zeros(DType::kF64, in[1].shape());
  double total = 0, weights = 0;
  for (std::int64_t i = 0; i < loss.numel(); ++i) {
    const auto at = [&](std::int64_t c) { return (i / inner * classes + c) * inner + i % inner; };
    double sum = 0;
    for (std::int64_t c = 0; c < classes; ++c) sum += std::exp(in[0].data<double>()[at(c)]);
    for (std::int64_t c = 0; softmax && c < classes; ++c) logs.mutable_data<double>()[at(c)] -= std::log(sum);
    const std::int64_t label = in[1].data<std::int64_t>()[i];
    if (label == s.ignored) continue;
    const double weight = s.weighted ? in[2].data<double>()[label] : 1;
    loss.mutable_data<double>()[i] = -weight * logs.data<double>()[at(label)];
    total += loss.data<double>()[i];
    weights += weight;
  }
  if (s.reduction == "sum") loss = Tensor::scalar<double>(total);
  if (s.reduction == "mean") loss = Tensor::scalar<double>(total / weights);
  if (softmax) return {loss, logs};
  return {loss};
}

void loses(const Setting& s, const Shape& x, const std::vector<std::int64_t>& labels) {
  std::vector<std::int64_t> shape = x.extents();
  shape.erase(shape.begin() + 1);
  std::vector<Tensor> inputs{random_f64(x, 3), Tensor::of<std::int64_t>(Shape(shape), labels)};
  if (s.weighted) inputs.push_back(random_f64({x[1]}, 4, 0.5, 2));
  Attributes attributes{{"reduction", s.reduction}};
  if (s.ignored) attributes.set("ignore_index", *s.ignored);
  for (const bool softmax : {false, true})
    check({.op = softmax ? "SoftmaxCrossEntropyLoss" : "NegativeLogLikelihoodLoss",
           .version = 13,
           .inputs = inputs,
           .attributes = attributes,
           .outputs = softmax ? 2 : 1,
           .reference = [=](const std::vector<Tensor>& in) { return loop(s, in, softmax); },
           .gradients = s.weighted ? std::vector<int>{0, 2} : std::vector<int>{0}});
}

TEST(LabelLoss, FollowsALoopOverElements) {
  for (const char* reduction : {"none", "sum", "mean"})
    for (const bool weighted : {false, true}) {
      loses({reduction, weighted}, {3, 4}, {1, 0, 3});
      loses({reduction, weighted}, {2, 3, 2}, {2, 0, 1, 1});
      loses({reduction, weighted, 1}, {2, 3, 2}, {2, 0, 1, 1});
      loses({reduction, weighted, -1}, {2, 3, 1, 2}, {2, -1, 1, 0});
      loses({reduction, weighted, 10}, {3, 4}, {10, 0, 3});
    }
}

TEST(LabelLoss, OfNoElements) { loses({"sum", false}, {0, 3}, {}); }

}  // namespace
}  // namespace retune
