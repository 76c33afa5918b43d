#include "learning/model_part.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "graph/graph_builder.h"
#include "graph/session.h"
#include "tensor/error.h"

namespace retune {
namespace {

// Two "blocks", each of a table that both read and a weight of its own: stream -> x * table * w_i.
class TwoBlocks : public testing::Test {
 protected:
  TwoBlocks() {
    GraphBuilder b(graph_);
    const ValueId ids = graph_.add_input("input_ids", DType::kF32, {{-1, ""}, {-1, ""}, {2, ""}});
    ValueId x = b.op("Identity", {ids}, {}, "inputs_embeds");
    // The length of the prompt counts too, as it does in a mask.
    const ValueId length = b.op("Cast", {b.op("Size", {x})}, {{"to", std::int64_t{1}}}, "length");
    const ValueId table = graph_.add_parameter("table", DType::kF32, {2}, "f", "table");
    for (const std::string name : {"0", "1"}) {
      const ValueId weight = graph_.add_parameter("w" + name, DType::kF32, {2}, "f", "w" + name);
      x = b.op("Mul", {b.mul(x, table), length}, {}, "before " + name);
      x = b.op("Mul", {x, weight}, {}, "after " + name);
    }
    graph_.outputs = {b.op("Identity", {x}, {}, "logits")};
    parameters_["table"] = {Tensor::vector<float>({2, 3}), {}};
    parameters_["w0"] = {Tensor::vector<float>({5, 7}), {}};
    parameters_["w1"] = {Tensor::vector<float>({-1, 4}), {}};
  }

  static Site site(const std::string& weight) {
    Site site;
    site.name = site.weight = weight;
    site.kind = Site::Kind::kParameter;
    return site;
  }

  Graph graph_;
  Parameters parameters_;
  Session session_{SessionOptions{.threads = 1}};
};

TEST_F(TwoBlocks, WhatOtherBlocksReadIsNotTheBlocksOwn) {
  const std::vector<Site> all = {site("table"), site("w0"), site("w1")};
  const auto names = [](const std::vector<Site>& sites) {
    std::vector<std::string> result;
    for (const Site& one : sites) result.push_back(one.name);
    return result;
  };
  EXPECT_THAT(names(sites_acting_through(graph_, all, "after 0", "")), testing::ElementsAre("w0"));
  EXPECT_THAT(names(sites_acting_through(graph_, all, "after 1", "after 0")), testing::ElementsAre("w1"));
}

TEST_F(TwoBlocks, APartReadsTheStreamAndComputesWhatOnlyShapesDetermine) {
  const ModelPart part = cut_part(graph_, "after 1", {"w1"});
  ASSERT_THAT(part.leaves, testing::ElementsAre("before 1"));
  Request whole;
  whole.inputs["input_ids"] = {Tensor::of<float>({1, 2, 2}, {1, 2, 3, 4}), {}};
  whole.outputs = {part.leaves[0], "after 1"};
  const auto graph = std::make_shared<const Graph>(graph_);
  const Results results = session_.run(graph, parameters_, whole);
  Request alone;
  alone.inputs[part.leaves[0]] = results[part.leaves[0]];
  alone.inputs[kPartTargets] = {Tensor::of<float>({1, 2, 2}, {0, 0, 0, 0}), {}};
  alone.inputs[kPartRowWeights] = {Tensor::of<float>({1, 2, 1}, {0.5F, 0}), {}};
  alone.outputs = {"after 1", kPartLoss};
  alone.loss = kPartLoss;
  alone.wrt = {"w1"};
  const Results fitted = session_.run(part.graph, parameters_, alone);
  const Tensor& value = fitted["after 1"].tensor;
  EXPECT_TRUE(identical(value, results["after 1"].tensor));
  // x * 2 * 4 * 5 * 2 * 4 * -1 and x * 3 * 4 * 7 * 3 * 4 * 4 of the first row, which alone counts.
  const double first = 1.0 * 8 * 5 * 8 * -1, second = 2.0 * 12 * 7 * 12 * 4;
  EXPECT_EQ(value.data<float>()[0], first);
  EXPECT_EQ(value.data<float>()[1], second);
  const double loss = 0.5 * (first * first + second * second);
  EXPECT_NEAR(fitted[kPartLoss].tensor.data<float>()[0], loss, 1e-6 * loss);
  EXPECT_NEAR(fitted["grad:w1"].tensor.data<float>()[0], first * (1.0 * 8 * 5 * 8), 1e-6 * first * first);
}

TEST_F(TwoBlocks, AValueThatTheWeightsDoNotReachIsRefused) {
  EXPECT_THROW(cut_part(graph_, "after 0", {"w1"}), Error);
  EXPECT_THROW(cut_part(graph_, "after 2", {"w1"}), Error);
}

}  // namespace
}  // namespace retune
