#include "graph/import.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <functional>

#include "graph/graph_builder.h"
#include "graph/node_by_node.h"
#include "tensor/error.h"
#include "weights/onnx_proto.h"

namespace retune {
namespace {

namespace fs = std::filesystem;
using testing::ElementsAre;
using testing::HasSubstr;

class Import : public testing::Test {
 protected:
  Import() {
    folder_ = fs::path(testing::TempDir()) / fmt::format("retune_import_{}_{}", ::getpid(),
                                                         testing::UnitTest::GetInstance()->current_test_info()->name());
    fs::create_directories(folder_);
    model_.set_ir_version(8);
    model_.add_opset_import()->set_version(17);
    model_.mutable_graph()->set_name("g");
  }
  ~Import() override { fs::remove_all(folder_); }

  static void add_value(onnx::ValueInfoProto& info, const std::string& name, std::vector<std::int64_t> dims) {
    info.set_name(name);
    auto* type = info.mutable_type()->mutable_tensor_type();
    type->set_elem_type(1);
    for (const std::int64_t dim : dims) type->mutable_shape()->add_dim()->set_dim_value(dim);
  }
  void input(const std::string& name, std::vector<std::int64_t> dims) {
    add_value(*model_.mutable_graph()->add_input(), name, std::move(dims));
  }
  void output(const std::string& name) { add_value(*model_.mutable_graph()->add_output(), name, {2}); }
  static onnx::NodeProto& node(onnx::GraphProto& graph, const std::string& op, const std::vector<std::string>& inputs,
                               const std::vector<std::string>& outputs) {
    onnx::NodeProto& made = *graph.add_node();
    made.set_op_type(op);
    made.set_name(fmt::format("/{}", outputs[0]));
    for (const std::string& name : inputs) made.add_input(name);
    for (const std::string& name : outputs) made.add_output(name);
    return made;
  }
  onnx::NodeProto& node(const std::string& op, const std::vector<std::string>& inputs,
                        const std::vector<std::string>& outputs) {
    return node(*model_.mutable_graph(), op, inputs, outputs);
  }
  static void floats(onnx::GraphProto& graph, const std::string& name, std::vector<std::int64_t> dims,
                     const std::vector<float>& values) {
    onnx::TensorProto& tensor = *graph.add_initializer();
    tensor.set_name(name);
    tensor.set_data_type(onnx::TensorProto::FLOAT);
    for (const std::int64_t dim : dims) tensor.add_dims(dim);
    tensor.set_raw_data(values.data(), values.size() * sizeof(float));
  }

  OnnxModel write() const {
    const fs::path path = folder_ / "model.onnx";
    std::ofstream(path, std::ios::binary) << model_.SerializeAsString();
    return OnnxModel::open(path);
  }
  Graph import() const { return import_onnx(write(), "onnx/model.onnx"); }
  std::string refused() const {
    const auto start = std::chrono::steady_clock::now();
    try {
      import();
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kUser) << error.what();
      EXPECT_EQ(std::string(error.what()).find('\n'), std::string::npos) << error.what();
      EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(5));
      return error.what();
    }
    return "no error";
  }

  fs::path folder_;
  onnx::ModelProto model_;
};

TEST_F(Import, FloatTensorsAreParametersScalarsAndIntegersConstants) {
  floats(*model_.mutable_graph(), "w", {2}, {1, 2});
  floats(*model_.mutable_graph(), "scale", {}, {0.5f});
  onnx::TensorProto& axes = *model_.mutable_graph()->add_initializer();
  axes.set_name("axes");
  axes.set_data_type(onnx::TensorProto::INT64);
  axes.add_dims(2);
  axes.add_int64_data(1);
  axes.add_int64_data(0);
  onnx::NodeProto& constant = node("Constant", {}, {"table"});
  onnx::AttributeProto& value = *constant.add_attribute();
  value.set_name("value");
  value.set_type(onnx::AttributeProto::TENSOR);
  value.mutable_t()->set_data_type(onnx::TensorProto::FLOAT);
  value.mutable_t()->add_dims(2);
  value.mutable_t()->add_float_data(3);
  value.mutable_t()->add_float_data(4);
  node("Add", {"w", "table"}, {"y"});
  output("y");

  const OnnxModel model = write();
  const Graph graph = import_onnx(model, "onnx/model.onnx");
  const Value& w = graph.value(graph.require("w"));
  EXPECT_EQ(w.kind, ValueKind::kParameter);
  EXPECT_EQ(w.file, "onnx/model.onnx");
  EXPECT_EQ(w.initializer, "w");
  EXPECT_EQ(graph.value(graph.require("table")).kind, ValueKind::kParameter);
  EXPECT_EQ(graph.value(graph.require("scale")).kind, ValueKind::kConstant);
  EXPECT_THAT(graph.value(graph.require("axes")).constant.to_i64(), ElementsAre(1, 0));
  const Parameters parameters = parameters_of(graph, model);
  EXPECT_EQ(parameters.size(), 2U);
  EXPECT_TRUE(identical(parameters.at("table").tensor, Tensor::of<float>({2}, {3, 4})));
  EXPECT_NE(parameters.at("w").version, parameters.at("table").version);
}

TEST_F(Import, SortsNodesThatStandInAnyOrder) {
  input("x", {2});
  node("Neg", {"b"}, {"y"});
  node("Exp", {"a"}, {"b"});
  node("Abs", {"x"}, {"a"});
  output("y");
  const Graph graph = import();
  std::vector<std::string> order;
  for (const Node& n : graph.nodes()) order.push_back(n.op);
  EXPECT_THAT(order, ElementsAre("Abs", "Exp", "Neg"));
}

TEST_F(Import, RefusesACycle) {
  input("x", {2});
  node("Add", {"x", "c"}, {"a"});
  node("Exp", {"a"}, {"b"});
  node("Neg", {"b"}, {"c"});
  output("c");
  EXPECT_THAT(refused(), HasSubstr("cycle"));
  model_.mutable_graph()->mutable_node(2)->set_input(0, "c");
  EXPECT_THAT(refused(), HasSubstr("cycle through value 'c'"));
}

TEST_F(Import, RefusesValuesThatNobodyOrTwoProduce) {
  input("x", {2});
  node("Add", {"x", "ghost"}, {"y"});
  output("y");
  const std::string missing = refused();
  for (const char* part : {"onnx/model.onnx", "/y", "'ghost'"}) EXPECT_THAT(missing, HasSubstr(part));
  model_.mutable_graph()->mutable_node(0)->set_input(1, "x");
  node("Neg", {"x"}, {"y"});
  EXPECT_THAT(refused(), HasSubstr("'y' is produced by two nodes"));
  model_.mutable_graph()->mutable_node(1)->set_output(0, "x");
  EXPECT_THAT(refused(), HasSubstr("'x'"));
  model_.mutable_graph()->mutable_node()->DeleteSubrange(1, 1);
  model_.mutable_graph()->mutable_output(0)->set_name("nowhere");
  EXPECT_THAT(refused(), HasSubstr("'nowhere'"));
}

TEST_F(Import, RefusesDomainsThatTheFileDoesNotImport) {
  input("x", {2});
  node("Gelu", {"x"}, {"y"}).set_domain("com.microsoft");
  output("y");
  EXPECT_THAT(refused(), HasSubstr("domain 'com.microsoft' is not imported"));
}

// Opset 99 and 2^40 + 17 ran in silence, the latter as opset 17 because its upper bits were lost.
TEST_F(Import, RefusesOperatorSetsThatItDoesNotKnow) {
  input("x", {2});
  node("Neg", {"x"}, {"y"});
  output("y");
  for (const std::int64_t version :
       {std::int64_t{99}, (std::int64_t{1} << 40) + 17, std::int64_t{0}, std::int64_t{-1}}) {
    model_.mutable_opset_import(0)->set_version(version);
    EXPECT_THAT(refused(), HasSubstr(fmt::format("operator set {} of domain 'ai.onnx': expected 1 to", version)));
  }
}

// The last of several imports of a domain counted, without a word.
TEST_F(Import, RefusesADomainImportedAsTwoOperatorSets) {
  input("x", {2});
  node("Neg", {"x"}, {"y"});
  output("y");
  onnx::OperatorSetIdProto& again = *model_.add_opset_import();
  again.set_domain("ai.onnx");
  again.set_version(17);
  EXPECT_EQ(import().nodes().at(0).version, 17);
  again.set_version(9);
  EXPECT_THAT(refused(), HasSubstr("domain 'ai.onnx' is imported twice, as operator sets 17 and 9"));
}

// An attribute that says it is a tensor and holds none was reported as a fault of Retune.
TEST_F(Import, RefusesTensorAttributesWithoutATensor) {
  input("x", {2});
  for (const char* op : {"Constant", "Identity"}) {
    model_.mutable_graph()->clear_node();
    onnx::AttributeProto& value = *node(op, {}, {"y"}).add_attribute();
    value.set_name("value");
    value.set_type(onnx::AttributeProto::TENSOR);
    EXPECT_THAT(refused(), HasSubstr("node '/y' in onnx/model.onnx: attribute 'value' should hold a tensor"));
  }
}

// Escape sequences in an operator's name reached the terminal, and a NUL cut the message.
TEST_F(Import, NamesFromTheFileAreShownWithoutControlCharacters) {
  input("x", {2});
  node(std::string("Fr\x1b[31mob\0evil", 14), {"x"}, {"ghostly\x1b[2J"}).add_input("ghost\n");
  output("ghostly\x1b[2J");
  EXPECT_EQ(refused(), "onnx/model.onnx: Fr?[31mob?evil node '/ghostly?[2J' reads 'ghost?', which no node produces");
  model_.mutable_graph()->mutable_node(0)->mutable_input()->RemoveLast();
  EXPECT_EQ(import().nodes().at(0).text(), "Fr?[31mob?evil node '/ghostly?[2J' in onnx/model.onnx");
  model_.mutable_graph()->mutable_output(0)->set_name(std::string(1 << 20, 'n'));
  EXPECT_LT(refused().size(), 2000U);
}

// "Add node in t.onnx: ..." could be any of a thousand.
TEST_F(Import, AnUnnamedNodeIsCalledByWhatItMakes) {
  input("x", {2});
  node("Neg", {"x"}, {"y"}).clear_name();
  output("y");
  EXPECT_EQ(import().nodes().at(0).text(), "Neg node 'y' in onnx/model.onnx");
}

TEST_F(Import, LooksOperatorsUpOnlyWhenTheyAreNeeded) {
  input("x", {2});
  node("Magic", {"x"}, {"unread"});
  node("Neg", {"x"}, {"y"});
  output("y");
  const auto graph = std::make_shared<const Graph>(import());
  Session session({.threads = 1});
  Request request;
  request.inputs["x"] = {Tensor::of<float>({2}, {1, 2}), {}};
  request.outputs = {"y"};
  EXPECT_TRUE(identical(session.run(graph, {}, request)["y"].tensor, Tensor::of<float>({2}, {-1, -2})));
  request.outputs = {"unread"};
  try {
    session.run(graph, {}, request);
    FAIL();
  } catch (const Error& error) {
    for (const char* part : {"Magic", "/unread", "onnx/model.onnx", "opset 17"})
      EXPECT_THAT(error.what(), HasSubstr(part));
  }
}

// If(condition) { (x + w) * own } else { x - h }, with x an input, h computed outside, w and own initializers.
class ImportIf : public Import {
 protected:
  ImportIf() {
    input("x", {2});
    onnx::ValueInfoProto& condition = *model_.mutable_graph()->add_input();
    condition.set_name("condition");
    condition.mutable_type()->mutable_tensor_type()->set_elem_type(9);
    floats(*model_.mutable_graph(), "w", {2}, {10, 20});
    node("Neg", {"x"}, {"h"});
    onnx::NodeProto& choice = node("If", {"condition"}, {"y"});
    onnx::GraphProto& then_branch = add_branch(choice, "then_branch");
    floats(then_branch, "own", {2}, {3, 5});
    node(then_branch, "Add", {"x", "w"}, {"sum"});
    node(then_branch, "Mul", {"sum", "own"}, {"result"});
    onnx::GraphProto& else_branch = add_branch(choice, "else_branch");
    node(else_branch, "Sub", {"x", "h"}, {"result"});
    for (auto* branch : {&then_branch, &else_branch}) branch->add_output()->set_name("result");
    output("y");
  }
  static onnx::GraphProto& add_branch(onnx::NodeProto& owner, const std::string& name) {
    onnx::AttributeProto& attribute = *owner.add_attribute();
    attribute.set_name(name);
    attribute.set_type(onnx::AttributeProto::GRAPH);
    attribute.mutable_g()->set_name(name);
    return *attribute.mutable_g();
  }
};

TEST_F(ImportIf, BranchesSeeTheValuesAroundThem) {
  const OnnxModel model = write();
  const auto graph = std::make_shared<const Graph>(import_onnx(model, "model.onnx"));
  const Parameters parameters = parameters_of(*graph, model);
  EXPECT_TRUE(parameters.contains("own"));
  Session session({.threads = 1});
  for (const bool taken : {true, false}) {
    Request request;
    request.inputs["x"] = {Tensor::of<float>({2}, {1, 2}), {}};
    request.inputs["condition"] = {Tensor::scalar(taken), {}};
    request.outputs = {"y"};
    const Tensor y = session.run(graph, parameters, request)["y"].tensor;
    EXPECT_TRUE(identical(y, taken ? Tensor::of<float>({2}, {33, 110}) : Tensor::of<float>({2}, {2, 4})));
  }
}

TEST_F(ImportIf, GradientsReachWhatABranchCaptures) {
  const OnnxModel model = write();
  const auto graph = std::make_shared<const Graph>(import_onnx(model, "model.onnx"));
  Session session({.threads = 1});
  Request request;
  request.inputs["x"] = {Tensor::of<float>({2}, {1, 2}), {}};
  request.inputs["condition"] = {Tensor::scalar(true), {}};
  request.loss = "y";
  request.wrt = {"x", "w", "own"};
  const Results results = session.run(graph, parameters_of(*graph, model), request);
  EXPECT_TRUE(identical(results["grad:x"].tensor, Tensor::of<float>({2}, {3, 5})));
  EXPECT_TRUE(identical(results["grad:w"].tensor, Tensor::of<float>({2}, {3, 5})));
  EXPECT_TRUE(identical(results["grad:own"].tensor, Tensor::of<float>({2}, {11, 22})));
}

TEST_F(ImportIf, RefusesBranchesThatReadWhatNobodyMakes) {
  model_.mutable_graph()->mutable_node(1)->mutable_attribute(1)->mutable_g()->mutable_node(0)->set_input(1, "ghost");
  EXPECT_THAT(refused(), HasSubstr("'ghost'"));
}

// A cycle through what a branch captures was reported as an input that was not given, which does not exist.
TEST_F(ImportIf, RefusesACycleThroughABranch) {
  onnx::GraphProto& then_branch = *model_.mutable_graph()->mutable_node(1)->mutable_attribute(0)->mutable_g();
  then_branch.mutable_node(0)->set_input(1, "y");
  EXPECT_THAT(refused(), HasSubstr("cycle through value 'y'"));
  then_branch.mutable_node(0)->set_input(1, "z");
  node("Neg", {"y"}, {"z"});
  EXPECT_THAT(refused(), HasSubstr("cycle through value"));
}

// A branch's outer values had to stand before the If: only its inputs were sorted.
TEST_F(ImportIf, SortsWhatBranchesCaptureBeforeTheirNode) {
  model_.mutable_graph()->mutable_node()->SwapElements(0, 1);
  const OnnxModel model = write();
  const auto graph = std::make_shared<const Graph>(import_onnx(model, "model.onnx"));
  EXPECT_EQ(graph->nodes().at(0).op, "Neg");
  Session session({.threads = 1});
  Request request;
  request.inputs["x"] = {Tensor::of<float>({2}, {1, 2}), {}};
  request.inputs["condition"] = {Tensor::scalar(false), {}};
  request.outputs = {"y"};
  const Tensor y = session.run(graph, parameters_of(*graph, model), request)["y"].tensor;
  EXPECT_TRUE(identical(y, Tensor::of<float>({2}, {2, 4})));
}

TEST_F(ImportIf, RefusesNestingWithoutEnd) {
  onnx::GraphProto body = model_.graph().node(1).attribute(0).g();
  for (int depth = 0; depth < 80; ++depth) {
    onnx::GraphProto outer;
    outer.set_name("level");
    onnx::NodeProto& choice = node(outer, "If", {"condition"}, {"result"});
    for (const char* name : {"then_branch", "else_branch"}) {
      onnx::AttributeProto& attribute = *choice.add_attribute();
      attribute.set_name(name);
      attribute.set_type(onnx::AttributeProto::GRAPH);
      // The other branch stays flat: two of each would be 2^80 graphs.
      *attribute.mutable_g() = name[0] == 't' ? body : model_.graph().node(1).attribute(1).g();
    }
    outer.add_output()->set_name("result");
    body = std::move(outer);
  }
  *model_.mutable_graph()->mutable_node(1)->mutable_attribute(0)->mutable_g() = body;
  EXPECT_THAT(refused(), HasSubstr("nest"));
}

TEST_F(Import, IsQuickOnLongChains) {
  input("x", {2});
  constexpr int kNodes = 100000;
  for (int i = kNodes; i-- > 0;)  // the worst order
    node("Neg", {i == 0 ? "x" : fmt::format("v{}", i - 1)}, {fmt::format("v{}", i)});
  output(fmt::format("v{}", kNodes - 1));
  const auto start = std::chrono::steady_clock::now();
  EXPECT_EQ(import().nodes().size(), static_cast<std::size_t>(kNodes));
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(20));
}

}  // namespace
}  // namespace retune
