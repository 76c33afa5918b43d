#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "graph/graph_builder.h"
#include "graph/import.h"
#include "graph/node_by_node.h"
#include "tensor/error.h"

namespace retune {
namespace {

namespace fs = std::filesystem;

class Export : public testing::Test {
 protected:
  Export() {
    folder_ = fs::path(testing::TempDir()) / fmt::format("retune_export_{}_{}", ::getpid(),
                                                         testing::UnitTest::GetInstance()->current_test_info()->name());
    fs::create_directories(folder_);
    GraphBuilder b(graph_);
    graph_.name = "model";
    const ValueId x = graph_.add_input("x", DType::kF32, {{-1, "batch"}, {-1, "rows + 1"}, {6, ""}});
    const ValueId w = graph_.add_parameter("layer.weight", DType::kF32, {6, 4}, "", "layer.weight");
    parameters_["layer.weight"] = {normal_f32({6, 4}, 1), {}};
    const ValueId half = graph_.add_parameter("half.bias", DType::kF16, {4}, "", "half.bias");
    parameters_["half.bias"] = {normal_f32({4}, 2).cast(DType::kF16), {}};
    const ValueId product = b.op("MatMul", {x, w}, {}, "product");
    const ValueId sum = b.op("Add", {product, b.op("Cast", {half}, {{"to", std::int64_t{1}}})});
    const ValueId gelu = b.ops("com.microsoft", "Gelu", {sum}, {}, {"gelu"})[0];
    const ValueId norm = b.op("LayerNormalization", {gelu, b.constant(normal_f32({4}, 3))}, {{"epsilon", 1e-3}});
    const ValueId y = b.op("Softmax", {norm}, {{"axis", std::int64_t{1}}}, "y");
    graph_.value(y).declared = {{-1, "batch"}, {-1, ""}, {4, ""}};
    graph_.outputs = {y, gelu};
  }
  ~Export() override { fs::remove_all(folder_); }

  Results run(const Graph& graph, const Parameters& parameters) {
    Request request;
    request.inputs["x"] = {normal_f32({2, 3, 6}, 4), {}};
    request.outputs = {"y", "gelu"};
    return session_.run(std::make_shared<const Graph>(graph), parameters, request);
  }

  fs::path folder_;
  Graph graph_;
  Parameters parameters_;
  Session session_{SessionOptions{.threads = 1}};
};

TEST_F(Export, ReadsBackToTheSameComputation) {
  for (const std::uint64_t external_from : {std::numeric_limits<std::uint64_t>::max(), std::uint64_t{16}}) {
    const fs::path path = folder_ / fmt::format("model{}.onnx", external_from);
    export_onnx(graph_, parameters_, path, {.external_from = external_from});
    EXPECT_EQ(fs::exists(path.string() + "_data"), external_from == 16);
    const OnnxModel model = OnnxModel::open(path);
    const Graph back = import_onnx(model, "model.onnx");
    const Parameters read = parameters_of(back, model);
    EXPECT_TRUE(identical(read.at("half.bias").tensor, parameters_["half.bias"].tensor));
    const Results expected = run(graph_, parameters_), got = run(back, read);
    for (const char* name : {"y", "gelu"})
      EXPECT_TRUE(identical(got[name].tensor, expected[name].tensor)) << name << " " << external_from;
    EXPECT_EQ(back.value(back.inputs[0]).declared[1].symbol, "rows + 1");
    EXPECT_EQ(back.value(back.outputs[0]).declared[2].extent, 4);
  }
}

TEST_F(Export, TheSameGraphGivesTheSameBytes) {
  const auto bytes = [&](const char* name) {
    export_onnx(graph_, parameters_, folder_ / name);
    std::ifstream file(folder_ / name, std::ios::binary);
    return std::string(std::istreambuf_iterator<char>(file), {});
  };
  EXPECT_EQ(bytes("a.onnx"), bytes("b.onnx"));
}

// A graph may hold a value that is named like one that the writer would make up for a value without a name.
TEST_F(Export, MadeUpNamesNeverMeetRealOnes) {
  Graph graph;
  GraphBuilder b(graph);
  ValueId x = graph.add_input("x", DType::kF32, {{3, ""}});
  for (int i = 0; i < 6; ++i) x = b.op("Exp", {b.op("Neg", {x}, {}, fmt::format("value_{}", 2 * i + 2))});
  graph.rename(x, "y");
  graph.outputs = {x};
  export_onnx(graph, {}, folder_ / "named.onnx");
  const OnnxModel model = OnnxModel::open(folder_ / "named.onnx");
  const Graph back = import_onnx(model, "named.onnx");
  const Leaves leaves = {{"x", normal_f32({3}, 1)}};
  const Graph a = specialize_to(graph, leaves, {"y"}), c = specialize_to(back, leaves, {"y"});
  EXPECT_TRUE(identical(run_node_by_node(c, leaves, c.outputs)[0], run_node_by_node(a, leaves, a.outputs)[0]));
}

TEST_F(Export, RefusesWhatNoOtherRuntimeCouldRead) {
  GraphBuilder b(graph_);
  b.private_op("AddRows", {graph_.find("product"), graph_.find("product"), b.ints({0})});
  EXPECT_THROW(export_onnx(graph_, parameters_, folder_ / "private.onnx"), Error);
  EXPECT_FALSE(fs::exists(folder_ / "private.onnx"));
}

TEST_F(Export, NamesTheParameterThatHasNoTensor) {
  parameters_.erase("layer.weight");
  try {
    export_onnx(graph_, parameters_, folder_ / "incomplete.onnx");
    FAIL();
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), testing::HasSubstr("layer.weight"));
  }
  EXPECT_TRUE(fs::is_empty(folder_));
}

}  // namespace
}  // namespace retune
