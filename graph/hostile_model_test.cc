// Model files that are made to hurt, read and run in a process that may take no more than a GiB and a second.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <google/protobuf/text_format.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "graph/confined.h"
#include "graph/import.h"
#include "graph/session.h"
#include "tensor/error.h"
#include "weights/onnx_proto.h"
#include "weights/onnx_wire.h"

namespace retune {
namespace {

namespace fs = std::filesystem;
using testing::AnyOf;
using testing::HasSubstr;

constexpr const char* kTooLarge = "larger than this machine's memory";
constexpr const char* kOverflow = "more elements than fit in 63 bits";

class HostileModel : public testing::Test {
 protected:
  HostileModel()
      : file_(fs::path(testing::TempDir()) /
              fmt::format("retune_hostile_{}_{}.onnx", ::getpid(),
                          testing::UnitTest::GetInstance()->current_test_info()->name())) {}
  ~HostileModel() override { fs::remove(file_); }

  // A model of operator set 18 that takes x (f32 [2]), go (bool) and n (i64) and gives y; the rest of the graph as text
  // of its protocol.
  static onnx::ModelProto model(const std::string& graph) {
    onnx::ModelProto made;
    const std::string text = R"(
      ir_version: 8 opset_import { version: 18 } opset_import { domain: "mine" version: 1 }
      graph {
        name: "g"
        input { name: "x" type { tensor_type { elem_type: 1 shape { dim { dim_value: 2 } } } } }
        input { name: "go" type { tensor_type { elem_type: 9 shape {} } } }
        input { name: "n" type { tensor_type { elem_type: 7 shape {} } } }
        output { name: "y" }
        initializer { name: "one" data_type: 1 float_data: 1 }
        initializer { name: "million" data_type: 7 int64_data: 1048576 }
        initializer { name: "large" data_type: 7 dims: 2 int64_data: 1048576 int64_data: 1048576 }
        initializer { name: "larger" data_type: 7 dims: 2 int64_data: 1099511627776 int64_data: 1099511627776 }
      )" + graph + "}";
    EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(text, &made)) << graph;
    return made;
  }

  std::string outcome_of_bytes(const std::string& bytes) const {
    std::ofstream(file_, std::ios::binary) << bytes;
    return confined_message([this] {
      const OnnxModel opened = OnnxModel::open(file_);
      const auto graph = std::make_shared<const Graph>(import_onnx(opened, "model.onnx"));
      const Parameters parameters = parameters_of(*graph, opened);
      Session session({.threads = 1});
      Request request;
      request.inputs = {{"x", {Tensor::of<float>({2}, {-1, 2})}},
                        {"go", {Tensor::scalar(true)}},
                        {"n", {Tensor::scalar<std::int64_t>(std::int64_t{1} << 40)}}};
      request.outputs = {"y"};
      session.run(graph, parameters, request);
    });
  }
  std::string outcome(const onnx::ModelProto& made) const { return outcome_of_bytes(made.SerializeAsString()); }
  std::string outcome(const std::string& graph) const { return outcome(model(graph)); }

  fs::path file_;
};

std::string node(const std::string& op, const std::vector<std::string>& inputs, const std::string& output,
                 const std::string& attributes = "") {
  std::string text = fmt::format("node {{ op_type: '{}' output: '{}' ", op, output);
  for (const std::string& input : inputs) text += fmt::format("input: '{}' ", input);
  return text + attributes + "}\n";
}

std::string integer(const std::string& name, std::int64_t value) {
  return fmt::format("attribute {{ name: '{}' type: INT i: {} }} ", name, value);
}

std::string subgraph(const std::string& name, const std::string& graph) {
  return fmt::format("attribute {{ name: '{}' type: GRAPH g {{ name: 'sub' {}}} }} ", name, graph);
}

TEST_F(HostileModel, ATinyFileAsksForMoreThanAnyMachineHas) {
  const std::string plane = node("ConstantOfShape", {"large"}, "plane");
  const std::string cases[] = {
      node("Expand", {"x", "wide"}, "y") +
          "initializer { name: 'wide' data_type: 7 dims: 2 int64_data: 1099511627776 int64_data: 2 }",
      node("ConstantOfShape", {"large"}, "y"),
      node("Range", {"zero", "n", "step"}, "y") +
          "initializer { name: 'zero' data_type: 7 int64_data: 0 } initializer { name: 'step' data_type: 7 int64_data: "
          "1 }",
      node("Tile", {"x", "times"}, "y") +
          "initializer { name: 'times' data_type: 7 dims: 1 int64_data: 1099511627776 }",
      node("Pad", {"x", "pads"}, "y") +
          "initializer { name: 'pads' data_type: 7 dims: 2 int64_data: 1099511627776 int64_data: 0 }",
      node("OneHot", {"zero", "n", "values"}, "y") + "initializer { name: 'zero' data_type: 7 int64_data: 0 }" +
          "initializer { name: 'values' data_type: 1 dims: 2 float_data: 0 float_data: 1 }",
      node("EyeLike", {"plane"}, "y") + plane,
      node("Trilu", {"plane"}, "y") + plane,
      node("Exp", {"plane"}, "y") + plane,
      node("MatMul", {"plane", "plane"}, "y") + plane,
      node("Resize", {"x", "", "scale"}, "y") + "initializer { name: 'scale' data_type: 1 dims: 1 float_data: 1e12 }",
      node("Resize", {"x", "", "", "size"}, "y") +
          "initializer { name: 'size' data_type: 7 dims: 1 int64_data: 1099511627776 }",
      node("RandomNormalLike", {"plane"}, "y") + plane,
  };
  for (const std::string& graph : cases) {
    EXPECT_THAT(outcome(graph), AnyOf(HasSubstr(kTooLarge), HasSubstr("expected"), HasSubstr("not supported")))
        << graph;
  }
}

TEST_F(HostileModel, ProductsOfExtentsOverflow) {
  EXPECT_THAT(outcome(node("Expand", {"x", "larger"}, "y")), HasSubstr(kOverflow));
  EXPECT_THAT(outcome(node("ConstantOfShape", {"larger"}, "y")), HasSubstr(kOverflow));
  EXPECT_THAT(outcome(node("Tile", {"xs", "larger"}, "y") + node("Reshape", {"x", "row"}, "xs") +
                      "initializer { name: 'row' data_type: 7 dims: 2 int64_data: 1 int64_data: 2 }"),
              HasSubstr("63 bits"));
  onnx::ModelProto weights = model(node("Identity", {"w"}, "y"));
  onnx::TensorProto& w = *weights.mutable_graph()->add_initializer();
  w.set_name("w");
  w.set_data_type(1);
  for (int i = 0; i < 3; ++i) w.add_dims(std::int64_t{1} << 40);
  EXPECT_THAT(outcome(weights), HasSubstr("'w'"));
  w.set_dims(0, -1);
  EXPECT_THAT(outcome(weights), HasSubstr("'w'"));
}

// Doubled fifty times. Each of the first thirty would have been made before one did not fit.
TEST_F(HostileModel, AChainThatDoublesIsRefusedBeforeItRuns) {
  std::string graph, last = "x";
  for (int i = 0; i < 50; ++i) {
    const std::string next = i == 49 ? "y" : fmt::format("v{}", i);
    graph += node("Concat", {last, last}, next, integer("axis", 0));
    last = next;
  }
  EXPECT_THAT(outcome(graph), HasSubstr(kTooLarge));
}

TEST_F(HostileModel, BrokenWiring) {
  EXPECT_THAT(outcome(node("Neg", {"b"}, "y") + node("Neg", {"y"}, "b")), HasSubstr("cycle"));
  EXPECT_THAT(outcome(node("Neg", {"y"}, "y")), HasSubstr("cycle"));
  EXPECT_THAT(outcome(node("Neg", {"ghost"}, "y")), HasSubstr("'ghost', which no node produces"));
  EXPECT_THAT(outcome(node("Neg", {"x"}, "y") + node("Abs", {"x"}, "y")), HasSubstr("produced by two nodes"));
  EXPECT_THAT(outcome(node("Neg", {"x"}, "x") + node("Abs", {"x"}, "y")), HasSubstr("'x'"));
  EXPECT_THAT(outcome(node("Neg", {}, "y")), HasSubstr("input 0 is missing"));
  EXPECT_THAT(outcome(node("Neg", {"x"}, "y") + "input { name: 'x' }"), HasSubstr("'x'"));
  EXPECT_THAT(outcome(node("Neg", {"x"}, "y") + "initializer { name: 'one' data_type: 1 float_data: 2 }"),
              HasSubstr("'one'"));
  EXPECT_THAT(outcome("node { op_type: 'Neg' input: 'x' }"), HasSubstr("'y'"));
}

// Private operators trust that the planner made them: their kernels check nothing.
TEST_F(HostileModel, PrivateOperatorsStandInNoFile) {
  onnx::ModelProto made = model("node { op_type: 'Loop' domain: 'retune' input: 'x' output: 'y' }");
  made.add_opset_import()->set_domain("retune");
  made.mutable_opset_import(2)->set_version(1);
  EXPECT_THAT(outcome(made), HasSubstr("domain 'retune' is that of Retune's own operators"));
}

TEST_F(HostileModel, AMillionOfEverything) {
  constexpr int kMany = 1'000'000;
  for (const auto& [op, name] : {std::pair{"Transpose", "perm"},
                                 {"Squeeze", "axes"},
                                 {"ReduceSum", "axes"},
                                 {"Split", "split"},
                                 {"Conv", "pads"},
                                 {"MaxPool", "kernel_shape"}}) {
    onnx::ModelProto made = model(node(op, {"x", "x"}, "y"));
    made.mutable_opset_import(0)->set_version(11);
    onnx::AttributeProto& list = *made.mutable_graph()->mutable_node(0)->add_attribute();
    list.set_name(name);
    list.set_type(onnx::AttributeProto::INTS);
    for (int i = 0; i < kMany; ++i) list.add_ints(i);
    EXPECT_LT(outcome(made).size(), 2000U) << op;
  }
  for (const char* op : {"Concat", "Sum", "Neg"}) {
    onnx::ModelProto made = model(node(op, {}, "y", integer("axis", 0)));
    for (int i = 0; i < kMany; ++i) made.mutable_graph()->mutable_node(0)->add_input(std::string("x"));
    EXPECT_LT(outcome(made).size(), 2000U) << op;
    made.mutable_graph()->mutable_node(0)->add_input("ghost");
    EXPECT_THAT(outcome(made), HasSubstr("'ghost'"));
  }
}

// Loops that never end, or not in a lifetime.
TEST_F(HostileModel, LoopsWithoutMeasure) {
  const auto loop = [](const std::string& trips, const std::string& condition, const std::string& body) {
    return node("Loop", {trips, condition, "x"}, "y",
                subgraph("body",
                         "input { name: 'trip' } input { name: 'on' } input { name: 'h' } output { name: "
                         "'again' } output { name: 'next' }" +
                             body)) +
           "initializer { name: 'forever' data_type: 7 int64_data: 9223372036854775807 }";
  };
  const std::string on = node("Identity", {"on"}, "again"), turn = node("Sin", {"h"}, "next");
  EXPECT_THAT(outcome(loop("forever", "", on + turn)), HasSubstr("Loop node"));
  EXPECT_THAT(outcome(loop("n", "", on + turn)), HasSubstr("Loop node"));
  EXPECT_THAT(outcome(loop("", "go", on + turn)), HasSubstr("Loop node"));
  EXPECT_THAT(outcome(loop("", "", on + turn)), HasSubstr("Loop node"));
  const std::string late =
      node("ReduceMin", {"h"}, "least", integer("keepdims", 0)) + node("Less", {"least", "one"}, "again");
  EXPECT_THAT(outcome(loop("forever", "", late + node("Sin", {"h"}, "next"))), HasSubstr("has not ended"));
  // The state doubles: numbers end before the loop does.
  EXPECT_THAT(outcome(loop("forever", "", on + node("Concat", {"h", "h"}, "next", integer("axis", 0)))),
              HasSubstr("Concat node"));
}

TEST_F(HostileModel, LongChainsOfBranches) {
  std::string graph, last = "x";
  for (int i = 0; i < 2000; ++i) {
    const std::string sum = fmt::format("s{}", i), go = fmt::format("g{}", i),
                      next = i == 1999 ? "y" : fmt::format("v{}", i);
    graph += node("ReduceSum", {last}, sum, integer("keepdims", 0)) + node("Less", {sum, "one"}, go);
    graph += node("If", {go}, next,
                  subgraph("then_branch", fmt::format("output {{ name: 'r' }}{}", node("Neg", {last}, "r"))) +
                      subgraph("else_branch", fmt::format("output {{ name: 'r' }}{}", node("Abs", {last}, "r"))));
    last = next;
  }
  EXPECT_EQ(outcome(graph), "no error");
}

std::string field(std::uint32_t number, const std::string& content) {
  std::string result;
  append_varint(result, number << 3 | 2);
  append_varint(result, content.size());
  return result + content;
}

TEST_F(HostileModel, ThousandsOfGraphsInsideEachOther) {
  std::string graph;
  for (int i = 0; i < 3000; ++i) graph = field(1, field(5, field(6, graph)));
  EXPECT_THAT(outcome_of_bytes(field(7, graph)), HasSubstr("deeper than"));
}

void add_function(onnx::ModelProto& made, const std::string& name, const std::vector<std::string>& calls) {
  onnx::FunctionProto& function = *made.add_functions();
  function.set_name(name);
  function.set_domain("mine");
  function.add_input("a");
  function.add_output("b");
  for (const char* domain : {"", "mine"}) {
    function.add_opset_import()->set_domain(domain);
    function.mutable_opset_import()->rbegin()->set_version(domain[0] == 'm' ? 1 : 18);
  }
  std::string last = "a";
  for (std::size_t i = 0; i < calls.size(); ++i) {
    onnx::NodeProto& call = *function.add_node();
    call.set_op_type(calls[i]);
    call.set_domain(calls[i] == "Neg" ? "" : "mine");
    call.add_input(last);
    last = i + 1 == calls.size() ? "b" : fmt::format("c{}", i);
    call.add_output(last);
  }
}

TEST_F(HostileModel, FunctionsThatCallThemselvesOrMultiply) {
  const auto calling = [](const std::string& name) {
    return model(fmt::format("node {{ op_type: '{}' domain: 'mine' input: 'x' output: 'y' }}", name));
  };
  onnx::ModelProto ring = calling("F0");
  for (int i = 0; i < 100; ++i) add_function(ring, fmt::format("F{}", i), {fmt::format("F{}", (i + 1) % 100)});
  EXPECT_THAT(outcome(ring), HasSubstr("calls itself"));

  onnx::ModelProto powers = calling("F60");
  add_function(powers, "F0", {"Neg", "Neg"});
  for (int i = 1; i <= 60; ++i) {
    const std::string inner = fmt::format("F{}", i - 1);
    add_function(powers, fmt::format("F{}", i), {inner, inner});
  }
  EXPECT_THAT(outcome(powers), HasSubstr("with its functions the model has more than 1000000 nodes"));

  // Measured from the shallow end, so that no measuring by itself is deep.
  onnx::ModelProto deep = model("node { op_type: 'F0' domain: 'mine' input: 'x' output: 'y' }");
  add_function(deep, "F0", {"Neg"});
  for (int i = 1; i < 1000; ++i) {
    add_function(deep, fmt::format("F{}", i), {fmt::format("F{}", i - 1)});
    if (i % 100 != 0) continue;
    onnx::NodeProto& call = *deep.mutable_graph()->add_node();
    call.set_op_type(fmt::format("F{}", i));
    call.set_domain("mine");
    call.add_input("x");
    call.add_output(fmt::format("v{}", i));
  }
  EXPECT_THAT(outcome(deep), HasSubstr("functions are nested deeper than 128"));

  // Few nodes, each of which gets a copy of what is given to the call.
  onnx::ModelProto heavy = calling("F0");
  add_function(heavy, "F0", std::vector<std::string>(5000, "Neg"));
  onnx::AttributeProto& gift = *heavy.mutable_graph()->mutable_node(0)->add_attribute();
  gift.set_name("gift");
  gift.set_type(onnx::AttributeProto::STRING);
  gift.set_s(std::string(1 << 20, 's'));
  for (onnx::NodeProto& inner : *heavy.mutable_functions(0)->mutable_node()) {
    onnx::AttributeProto& refers = *inner.add_attribute();
    refers.set_name("gift");
    refers.set_type(onnx::AttributeProto::STRING);
    refers.set_ref_attr_name("gift");
  }
  EXPECT_THAT(outcome(heavy), HasSubstr("with its functions the model has more than 256 MB"));
}

}  // namespace
}  // namespace retune
