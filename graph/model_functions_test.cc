#include "graph/model_functions.h"

#include <gmock/gmock.h>
#include <google/protobuf/unknown_field_set.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>
#include <filesystem>
#include <fstream>

#include "graph/import.h"
#include "graph/session.h"
#include "tensor/error.h"

namespace retune {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

constexpr int kNodeOverload = 8, kFunctionOverload = 13, kFunctionDefaults = 11;

// A length-delimited field that the compiled protocol does not have.
template <class Proto>
void add_young_field(Proto& proto, int number, const std::string& bytes) {
  proto.mutable_unknown_fields()->AddLengthDelimited(number, bytes);
}

class ModelFunctionsTest : public testing::Test {
 protected:
  ModelFunctionsTest() {
    model_.set_ir_version(8);
    import(*model_.add_opset_import(), "", 17);
    import(*model_.add_opset_import(), "mine", 1);
    auto& graph = *model_.mutable_graph();
    graph.set_name("g");
    for (auto* value : {graph.add_input(), graph.add_output()})
      value->mutable_type()->mutable_tensor_type()->set_elem_type(1);
    graph.mutable_input(0)->set_name("x");
    graph.mutable_output(0)->set_name("y");
  }

  static void import(onnx::OperatorSetIdProto& set, const std::string& domain, int version) {
    set.set_domain(domain);
    set.set_version(version);
  }
  static onnx::NodeProto& node(google::protobuf::RepeatedPtrField<onnx::NodeProto>& nodes, const std::string& op,
                               const std::vector<std::string>& inputs, const std::vector<std::string>& outputs,
                               const std::string& domain = "") {
    onnx::NodeProto& made = *nodes.Add();
    made.set_op_type(op);
    made.set_domain(domain);
    for (const auto& name : inputs) made.add_input(name);
    for (const auto& name : outputs) made.add_output(name);
    return made;
  }
  onnx::NodeProto& call(const std::string& op, const std::vector<std::string>& inputs,
                        const std::vector<std::string>& outputs) {
    return node(*model_.mutable_graph()->mutable_node(), op, inputs, outputs, "mine");
  }
  onnx::FunctionProto& function(const std::string& name, const std::vector<std::string>& inputs,
                                const std::vector<std::string>& outputs, int opset = 17) {
    onnx::FunctionProto& made = *model_.add_functions();
    made.set_name(name);
    made.set_domain("mine");
    import(*made.add_opset_import(), "", opset);
    import(*made.add_opset_import(), "mine", 1);
    for (const auto& input : inputs) made.add_input(input);
    for (const auto& output : outputs) made.add_output(output);
    return made;
  }
  static void refer(onnx::NodeProto& node, const std::string& attribute, const std::string& outer) {
    onnx::AttributeProto& made = *node.add_attribute();
    made.set_name(attribute);
    made.set_type(onnx::AttributeProto::FLOAT);
    made.set_ref_attr_name(outer);
  }
  static onnx::AttributeProto number(const std::string& name, float value) {
    onnx::AttributeProto made;
    made.set_name(name);
    made.set_type(onnx::AttributeProto::FLOAT);
    made.set_f(value);
    return made;
  }

  // y of x = [-1, 2].
  std::vector<double> run() {
    const fs::path file = fs::path(testing::TempDir()) / fmt::format("retune_functions_{}.onnx", ::getpid());
    std::ofstream(file, std::ios::binary) << model_.SerializeAsString();
    const OnnxModel model = OnnxModel::open(file);
    const auto graph = std::make_shared<const Graph>(import_onnx(model, "model.onnx"));
    Session session({.threads = 1});
    Request request;
    request.inputs["x"] = {Tensor::of<float>({2}, {-1, 2})};
    request.outputs = {"y"};
    const std::vector<double> y = session.run(graph, parameters_of(*graph, model), request)["y"].tensor.to_f64();
    fs::remove(file);
    return y;
  }
  std::string refused() {
    try {
      run();
    } catch (const Error& error) {
      return error.what();
    }
    return "accepted";
  }

  onnx::ModelProto model_;
};

TEST_F(ModelFunctionsTest, CallsBecomeTheFunctionsNodes) {
  auto& twice = function("Twice", {"a"}, {"b"});
  node(*twice.mutable_node(), "Add", {"a", "a"}, {"inner"});
  node(*twice.mutable_node(), "Identity", {"inner"}, {"b"});
  auto& both = function("FourTimes", {"a"}, {"b"});
  node(*both.mutable_node(), "Twice", {"a"}, {"inner"}, "mine");
  node(*both.mutable_node(), "Twice", {"inner"}, {"b"}, "mine");
  call("FourTimes", {"x"}, {"inner"});
  call("Twice", {"inner"}, {"y"});
  EXPECT_EQ(run(), (std::vector<double>{-8, 16}));
}

TEST_F(ModelFunctionsTest, AttributesComeFromTheCallOrTheDefaults) {
  auto& leaky = function("Leaky", {"a"}, {"b"});
  leaky.add_attribute("slope");
  refer(node(*leaky.mutable_node(), "LeakyRelu", {"a"}, {"b"}), "alpha", "slope");
  *call("Leaky", {"x"}, {"y"}).add_attribute() = number("slope", 0.5f);
  EXPECT_EQ(run(), (std::vector<double>{-0.5, 2}));
  // Neither given nor a default: LeakyRelu's own.
  model_.mutable_graph()->mutable_node(0)->clear_attribute();
  EXPECT_NEAR(run()[0], -0.01, 1e-7);
  add_young_field(leaky, kFunctionDefaults, number("slope", 0.25f).SerializeAsString());
  EXPECT_EQ(run(), (std::vector<double>{-0.25, 2}));
}

TEST_F(ModelFunctionsTest, OverloadsOfOneNameAreDifferentFunctions) {
  auto& one = function("F", {"a"}, {"b"});
  node(*one.mutable_node(), "Neg", {"a"}, {"b"});
  auto& other = function("F", {"a"}, {"b"});
  add_young_field(other, kFunctionOverload, "absolute");
  node(*other.mutable_node(), "Abs", {"a"}, {"b"});
  call("F", {"x"}, {"negative"});
  add_young_field(call("F", {"negative"}, {"y"}), kNodeOverload, "absolute");
  EXPECT_EQ(run(), (std::vector<double>{1, 2}));
  add_young_field(one, kFunctionOverload, "absolute");
  EXPECT_THAT(refused(), HasSubstr("function 'F' of domain 'mine' is there twice"));
}

TEST_F(ModelFunctionsTest, HaveTheirOwnOperatorSets) {
  // Softmax of operator set 11 flattens from axis 1 on; of 17 it takes the last axis.
  auto& old = function("Old", {"a"}, {"b"}, 11);
  onnx::AttributeProto& axis = *node(*old.mutable_node(), "Softmax", {"a"}, {"b"}).add_attribute();
  axis.set_name("axis");
  axis.set_type(onnx::AttributeProto::INT);
  axis.set_i(0);
  call("Old", {"x"}, {"y"});
  EXPECT_NEAR(run()[1], 1 / (1 + std::exp(-3.0)), 1e-6);
  old.mutable_opset_import(0)->set_version(99);
  EXPECT_THAT(refused(), HasSubstr("operator set 99 of domain 'ai.onnx'"));
}

TEST_F(ModelFunctionsTest, MayHoldConstantsAndBranchesThatReadTheirValues) {
  auto& chosen = function("Chosen", {"a"}, {"b"});
  onnx::AttributeProto& value = *node(*chosen.mutable_node(), "Constant", {}, {"three"}).add_attribute();
  value.set_name("value");
  value.set_type(onnx::AttributeProto::TENSOR);
  value.mutable_t()->set_data_type(1);
  value.mutable_t()->add_dims(2);
  value.mutable_t()->add_float_data(3);
  value.mutable_t()->add_float_data(4);
  onnx::AttributeProto& truth = *node(*chosen.mutable_node(), "Constant", {}, {"yes"}).add_attribute();
  truth.set_name("value");
  truth.set_type(onnx::AttributeProto::TENSOR);
  truth.mutable_t()->set_data_type(9);
  truth.mutable_t()->add_int32_data(1);
  auto& branch = node(*chosen.mutable_node(), "If", {"yes"}, {"b"});
  for (const char* name : {"then_branch", "else_branch"}) {
    onnx::AttributeProto& side = *branch.add_attribute();
    side.set_name(name);
    side.set_type(onnx::AttributeProto::GRAPH);
    node(*side.mutable_g()->mutable_node(), "Mul", {"a", "three"}, {"product"});
    side.mutable_g()->add_output()->set_name("product");
  }
  call("Chosen", {"x"}, {"inner"});
  call("Chosen", {"inner"}, {"y"});
  EXPECT_EQ(run(), (std::vector<double>{-9, 32}));
}

TEST_F(ModelFunctionsTest, PassOnAnInputThatIsTheirOutput) {
  function("Same", {"a"}, {"a"});
  call("Same", {"x"}, {"y"});
  EXPECT_EQ(run(), (std::vector<double>{-1, 2}));
}

TEST_F(ModelFunctionsTest, RecursionIsRefused) {
  auto& ping = function("Ping", {"a"}, {"b"});
  node(*ping.mutable_node(), "Pong", {"a"}, {"b"}, "mine");
  auto& pong = function("Pong", {"a"}, {"b"});
  node(*pong.mutable_node(), "Ping", {"a"}, {"b"}, "mine");
  call("Ping", {"x"}, {"y"});
  EXPECT_THAT(refused(), HasSubstr("function 'Ping' of domain 'mine' calls itself"));
}

// Each calls the one before twice: 2^40 nodes from forty lines.
TEST_F(ModelFunctionsTest, GrowthIsBounded) {
  for (int i = 0; i < 40; ++i) {
    auto& next = function(fmt::format("F{}", i), {"a"}, {"b"});
    const std::string inner = i == 0 ? "Neg" : fmt::format("F{}", i - 1), domain = i == 0 ? "" : "mine";
    node(*next.mutable_node(), inner, {"a"}, {"c"}, domain);
    node(*next.mutable_node(), inner, {"c"}, {"b"}, domain);
  }
  call("F39", {"x"}, {"y"});
  EXPECT_THAT(refused(), HasSubstr("with its functions the model has more than 1000000 nodes"));
}

}  // namespace
}  // namespace retune
