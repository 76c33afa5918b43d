#include "graph/row_selection.h"

#include <gtest/gtest.h>

#include <cmath>
#include <memory>

#include "graph/graph_builder.h"
#include "graph/session.h"
#include "tensor/error.h"
#include "tensor/rng.h"

namespace retune {
namespace {

constexpr std::int64_t kBatch = 3, kRows = 7, kWidth = 6, kHidden = 10, kVocabulary = 11;

Tensor noise(const Shape& shape, std::uint64_t seed) {
  Rng rng(seed);
  Tensor tensor = Tensor::empty(DType::kF64, shape);
  for (std::int64_t i = 0; i < tensor.numel(); ++i) tensor.mutable_data<double>()[i] = rng.normal();
  return tensor;
}

// The end of a decoder: a residual MLP, a norm and an output layer, of which some rows are read.
class RowSelection : public ::testing::Test {
 protected:
  RowSelection() : builder_(graph_) {
    x_ = input("x", {kBatch, kRows, kWidth});
    indices_ = graph_.add_input("indices", DType::kI64, {{-1, "chosen"}});
    const ValueId up = parameter("up", {kWidth, kHidden}, 1), down = parameter("down", {kHidden, kWidth}, 2);
    hidden_ = builder_.op("Sigmoid", {builder_.op("MatMul", {x_, up})}, {}, "hidden");
    residual_ = builder_.op("Add", {x_, builder_.op("MatMul", {hidden_, down}, {}, "mlp")}, {}, "residual");
    const ValueId normal =
        builder_.op("LayerNormalization", {residual_, parameter("scale", {kWidth}, 3), parameter("bias", {kWidth}, 4)},
                    {{"axis", std::int64_t{-1}}});
    logits_ = builder_.op("MatMul", {normal, parameter("head", {kWidth, kVocabulary}, 5)}, {}, "logits");
    const ValueId flat = builder_.reshape(logits_, {kBatch * kRows, kVocabulary});
    const ValueId chosen = builder_.op("Gather", {flat, indices_}, {}, "chosen");
    builder_.op("ReduceSum", {builder_.mul(chosen, chosen)}, {{"keepdims", std::int64_t{0}}}, "loss");
  }

  ValueId input(const std::string& name, const Shape& shape) {
    const ValueId id = graph_.add_input(name, DType::kF64);
    graph_.value(id).shape = shape;
    return id;
  }
  ValueId parameter(const std::string& name, const Shape& shape, std::uint64_t seed) {
    parameters_[name] = {noise(shape, seed), {}};
    return graph_.add_parameter(name, DType::kF64, shape, "m.onnx", name);
  }

  Results run(const std::vector<std::int64_t>& indices, std::vector<std::string> outputs,
              std::vector<std::string> wrt = {"x", "up", "down", "scale", "bias", "head"}) {
    Session session({.threads = 2});
    Request request;
    request.inputs["x"] = {noise({kBatch, kRows, kWidth}, 9), {}};
    request.inputs["indices"] = {Tensor::vector<std::int64_t>(indices), {}};
    request.outputs = std::move(outputs);
    request.loss = "loss";
    request.wrt = std::move(wrt);
    session.trace(true);
    Results results = session.run(std::make_shared<const Graph>(graph_), parameters_, request);
    named_executions_ = session.counters().executions_by_value;
    return results;
  }

  Graph graph_;
  GraphBuilder builder_;
  Parameters parameters_;
  ValueId x_ = kNoValue, indices_ = kNoValue, hidden_ = kNoValue, residual_ = kNoValue, logits_ = kNoValue;
  std::map<std::string, std::int64_t> named_executions_;
};

void expect_close(const Tensor& a, const Tensor& b, const std::string& what) {
  ASSERT_EQ(a.shape(), b.shape()) << what;
  for (std::int64_t i = 0; i < a.numel(); ++i)
    ASSERT_NEAR(a.data<double>()[i], b.data<double>()[i], 1e-12 * (1 + std::abs(b.data<double>()[i]))) << what;
}

// A captured value is an output, and outputs stay whole: asking for the logits too is the computation without
// selection.
TEST_F(RowSelection, GivesTheLossAndGradientsOfTheWhole) {
  const std::vector<std::int64_t> indices = {20, 0, 7, 7};
  const Results some = run(indices, {"loss", "chosen"}), whole = run(indices, {"loss", "chosen", "logits", "residual"});
  for (const auto& [name, feed] : some.feeds) expect_close(feed.tensor, whole[name].tensor, name);
}

TEST_F(RowSelection, ComputesTheRowsThatAreReadAndNoOthers) {
  run({20, 0, 7, 7}, {"loss"}, {"head"});
  EXPECT_FALSE(named_executions_.contains("logits"));
  EXPECT_FALSE(named_executions_.contains("residual"));
  EXPECT_FALSE(named_executions_.contains("hidden"));
  run({20, 0, 7, 7}, {"loss", "residual"}, {"head"});
  EXPECT_FALSE(named_executions_.contains("logits"));
  EXPECT_TRUE(named_executions_.contains("residual"));
}

TEST_F(RowSelection, MostRowsAreComputedWhole) {
  std::vector<std::int64_t> most;
  for (std::int64_t i = 0; i < kBatch * kRows; i += 1)
    if (i % 3 != 0) most.push_back(i);
  run(most, {"loss"}, {"head"});
  EXPECT_TRUE(named_executions_.contains("logits"));
}

TEST_F(RowSelection, ARequestMayNameRowsOfAnOutput) {
  Session session({.threads = 1});
  Request request;
  request.inputs["x"] = {noise({kBatch, kRows, kWidth}, 9), {}};
  request.inputs["indices"] = {Tensor::vector<std::int64_t>({4, 5}), {}};
  request.outputs = {"logits", "residual"};
  const auto graph = std::make_shared<const Graph>(graph_);
  const Results whole = session.run(graph, parameters_, request);
  request.rows["logits"] = {20, 1};
  session.trace(true);
  const Results some = session.run(graph, parameters_, request);
  ASSERT_EQ(some["logits"].tensor.shape(), (Shape{2, kVocabulary}));
  const Tensor flat = whole["logits"].tensor.reshaped({kBatch * kRows, kVocabulary});
  expect_close(some["logits"].tensor.rows(0, 1), flat.rows(20, 1), "row 20");
  expect_close(some["logits"].tensor.rows(1, 1), flat.rows(1, 1), "row 1");
  expect_close(some["residual"].tensor, whole["residual"].tensor, "residual");
  EXPECT_FALSE(session.counters().executions_by_value.contains("logits"));
  // Rows beyond the output are an error, not another row.
  request.rows["logits"] = {kBatch * kRows};
  EXPECT_THROW(session.run(graph, parameters_, request), Error);
}

TEST_F(RowSelection, NegativeIndicesCountFromTheEnd) {
  const Results some = run({-1, 3}, {"loss"}), same = run({kBatch * kRows - 1, 3}, {"loss", "logits"});
  expect_close(some["loss"].tensor, same["loss"].tensor, "loss");
}

// A loop over positions reads a value both as rows and whole; then it must not be cut.
TEST_F(RowSelection, AValueThatSomebodyElseReadsWholeStaysWhole) {
  builder_.op("Add", {builder_.op("ReduceSum", {hidden_}, {{"keepdims", std::int64_t{0}}}), graph_.require("loss")}, {},
              "both");
  Session session({.threads = 1});
  Request request;
  request.inputs["x"] = {noise({kBatch, kRows, kWidth}, 9), {}};
  request.inputs["indices"] = {Tensor::vector<std::int64_t>({4, 5}), {}};
  request.outputs = {"both"};
  session.trace(true);
  const auto graph = std::make_shared<const Graph>(graph_);
  const double both = session.run(graph, parameters_, request)["both"].tensor.to_f64()[0];
  EXPECT_TRUE(session.counters().executions_by_value.contains("hidden"));
  request.outputs = {"loss", "hidden", "logits"};
  const Results whole = session.run(graph, parameters_, request);
  double sum = whole["loss"].tensor.to_f64()[0];
  for (const double h : whole["hidden"].tensor.to_f64()) sum += h;
  EXPECT_NEAR(both, sum, 1e-12 * std::abs(sum));
}

}  // namespace
}  // namespace retune
