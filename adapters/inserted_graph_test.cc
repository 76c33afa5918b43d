#include "adapters/inserted_graph.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "graph/import.h"
#include "tensor/error.h"
#include "weights/export_proof.h"
#include "weights/onnx_export.h"

namespace retune {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

void set_type(onnx::ValueInfoProto& info, const std::string& name, int type, bool vector) {
  info.set_name(name);
  auto& tensor = *info.mutable_type()->mutable_tensor_type();
  tensor.set_elem_type(type);
  if (vector) tensor.mutable_shape()->add_dim()->set_dim_value(2);
  tensor.mutable_shape();
}

void add_node(onnx::GraphProto& graph, const std::string& op, const std::vector<std::string>& inputs,
              const std::string& output) {
  onnx::NodeProto& node = *graph.add_node();
  node.set_op_type(op);
  for (const std::string& input : inputs) node.add_input(input);
  node.add_output(output);
}

// y = relu(x); z = go ? y : -y, by an If whose branches read y from around them; w = y + x. No tensor in it.
onnx::ModelProto model_with_branches() {
  onnx::ModelProto model;
  model.set_ir_version(8);
  model.add_opset_import()->set_version(17);
  onnx::GraphProto& graph = *model.mutable_graph();
  graph.set_name("branches");
  set_type(*graph.add_input(), "x", onnx::TensorProto::FLOAT, true);
  set_type(*graph.add_input(), "go", onnx::TensorProto::BOOL, false);
  for (const char* name : {"z", "w"}) set_type(*graph.add_output(), name, onnx::TensorProto::FLOAT, true);
  add_node(graph, "Relu", {"x"}, "y");
  add_node(graph, "If", {"go"}, "z");
  for (const auto& [branch, op] : {std::pair{"then_branch", "Identity"}, {"else_branch", "Neg"}}) {
    onnx::AttributeProto& attribute = *graph.mutable_node(1)->add_attribute();
    attribute.set_name(branch);
    attribute.set_type(onnx::AttributeProto::GRAPH);
    attribute.mutable_g()->set_name(branch);
    add_node(*attribute.mutable_g(), op, {"y"}, std::string(branch) + "_out");
    set_type(*attribute.mutable_g()->add_output(), std::string(branch) + "_out", onnx::TensorProto::FLOAT, true);
  }
  add_node(graph, "Add", {"y", "x"}, "w");
  return model;
}

class InsertedGraphs : public testing::Test {
 protected:
  InsertedGraphs() {
    fs::create_directories(folder_);
    std::ofstream stream(folder_ / "model.onnx", std::ios::binary);
    model_with_branches().SerializeToOstream(&stream);
    stream.close();
    model_.emplace(OnnxModel::open(folder_ / "model.onnx"));
    host_ = {std::make_shared<const Graph>(import_onnx(*model_, "model.onnx")), 17, {}};
  }
  ~InsertedGraphs() override { fs::remove_all(folder_); }

  // value + 10 (a vector) in the value's place.
  static StackedInsert shift(const std::string& value, const std::string& name = "shift") {
    Graph body;
    const ValueId tap = body.add_input(value, DType::kUndefined);
    const ValueId by = body.add_constant(Tensor::vector<float>({10, 20}), "by");
    body.outputs = body.add_node({.op = "Add", .inputs = {tap, by}}, {"sum"});
    GraphInsert insert{name, "model.onnx", std::make_shared<const Graph>(std::move(body)), {value}, false};
    return {std::make_shared<const GraphInsert>(std::move(insert)), ContentHash::of(name)};
  }

  static std::vector<double> run(const std::shared_ptr<const Graph>& graph, const Parameters& parameters, bool go,
                                 const std::string& output) {
    Session session({.threads = 1});
    Request request;
    request.inputs["x"] = {Tensor::vector<float>({1, -1}), {}};
    request.inputs["go"] = {Tensor::scalar<bool>(go), {}};
    request.outputs = {output};
    return session.run(graph, parameters, request)[output].tensor.to_f64();
  }

  std::string refusal(const std::vector<StackedInsert>& inserts) const {
    try {
      insert_into(host_, inserts);
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kUser);
      return error.what();
    }
    return "no error";
  }

  const fs::path folder_ = fs::path(testing::TempDir()) / ("retune-inserted-graph-" + std::to_string(getpid()));
  std::optional<OnnxModel> model_;
  InsertHost host_;
};

TEST_F(InsertedGraphs, ReachTheBranchesOfAnIf) {
  const std::vector<StackedInsert> inserts = {shift("y")};
  const InsertedGraph inserted = insert_into(host_, inserts);
  EXPECT_EQ(run(inserted.graph, inserted.parameters, true, "z"), (std::vector<double>{11, 20}));
  EXPECT_EQ(run(inserted.graph, inserted.parameters, false, "z"), (std::vector<double>{-11, -20}));
  EXPECT_EQ(run(inserted.graph, inserted.parameters, true, "w"), (std::vector<double>{12, 19}));
  EXPECT_EQ(run(inserted.graph, inserted.parameters, true, "y"), (std::vector<double>{1, 0})) << "the module's own";

  write_edited(*model_, {}, folder_ / "out.onnx", inserted.addition);
  prove_export(*model_, folder_ / "out.onnx", {}, ProofMode::kFull, inserted.addition);
  const OnnxModel written = OnnxModel::open(folder_ / "out.onnx");
  const auto graph = std::make_shared<const Graph>(import_onnx(written, "out.onnx"));
  const Parameters parameters = parameters_of(*graph, written);
  EXPECT_EQ(run(graph, parameters, false, "z"), (std::vector<double>{-11, -20}));
  EXPECT_EQ(run(graph, parameters, true, "w"), (std::vector<double>{12, 19}));
  const InsertRecord record = InsertRecord::of(written, *graph);
  EXPECT_EQ(record.stand_ins, (std::map<std::string, std::string>{{"shift/own/y", "y"}}));
  EXPECT_EQ(record.unknown, 0U);
}

TEST_F(InsertedGraphs, MayReplaceWhatAnIfGives) {
  const std::vector<StackedInsert> inserts = {shift("z")};
  const InsertedGraph inserted = insert_into(host_, inserts);
  EXPECT_EQ(run(inserted.graph, inserted.parameters, false, "z"), (std::vector<double>{9, 20}));
  EXPECT_EQ(inserted.own_names, (std::map<std::string, std::string>{{"z", "shift/own/z"}}));
  write_edited(*model_, {}, folder_ / "out.onnx", inserted.addition);
  const OnnxModel written = OnnxModel::open(folder_ / "out.onnx");
  const auto graph = std::make_shared<const Graph>(import_onnx(written, "out.onnx"));
  EXPECT_EQ(run(graph, parameters_of(*graph, written), false, "z"), (std::vector<double>{9, 20}));
}

// An insert that does not tap what it replaces stood before it, and the module's own value took its readers back.
TEST_F(InsertedGraphs, NeedNothingOfWhatTheyReplace) {
  Graph body;
  const ValueId tap = body.add_input("x", DType::kUndefined);
  body.outputs = body.add_node({.op = "Neg", .inputs = {tap}}, {"minus"});
  const std::vector<StackedInsert> inserts = {
      {std::make_shared<const GraphInsert>(
           GraphInsert{"minus", "model.onnx", std::make_shared<const Graph>(std::move(body)), {"y"}, false}),
       ContentHash::of("minus")}};
  const InsertedGraph inserted = insert_into(host_, inserts);
  EXPECT_EQ(run(inserted.graph, inserted.parameters, true, "z"), (std::vector<double>{-1, 1}));
  EXPECT_EQ(run(inserted.graph, inserted.parameters, true, "w"), (std::vector<double>{0, 0}));
  EXPECT_EQ(run(inserted.graph, inserted.parameters, true, "y"), (std::vector<double>{1, 0})) << "the module's own";
}

TEST_F(InsertedGraphs, StandInTheirOrder) {
  const std::vector<StackedInsert> inserts = {shift("y", "a"), shift("y", "b"), shift("y", "c")};
  const InsertedGraph inserted = insert_into(host_, inserts);
  EXPECT_EQ(run(inserted.graph, inserted.parameters, true, "z"), (std::vector<double>{31, 60}));
  EXPECT_EQ(run(inserted.graph, inserted.parameters, true, "a/sum"), (std::vector<double>{11, 20}));
  EXPECT_EQ(inserted.addition.renamed.size(), 1U);
}

// y' = y now + y as its node gives it.
TEST_F(InsertedGraphs, MayReadWhatAModuleItselfGives) {
  Graph body;
  const ValueId now = body.add_input("y", DType::kUndefined), own = body.add_input("mine", DType::kUndefined);
  body.outputs = body.add_node({.op = "Add", .inputs = {now, own}}, {"sum"});
  const GraphInsert twice{"twice", "model.onnx", std::make_shared<const Graph>(std::move(body)),
                          {"y"},   false,        {{"mine", "y"}}};
  const std::vector<StackedInsert> inserts = {shift("y"),
                                              {std::make_shared<const GraphInsert>(twice), ContentHash::of("twice")}};
  const InsertedGraph inserted = insert_into(host_, inserts);
  EXPECT_EQ(run(inserted.graph, inserted.parameters, true, "z"), (std::vector<double>{12, 20}));
  write_edited(*model_, {}, folder_ / "own.onnx", inserted.addition);
  const OnnxModel written = OnnxModel::open(folder_ / "own.onnx");
  const auto graph = std::make_shared<const Graph>(import_onnx(written, "own.onnx"));
  EXPECT_EQ(run(graph, parameters_of(*graph, written), true, "z"), (std::vector<double>{12, 20}));
}

TEST_F(InsertedGraphs, ThatNeedThemselvesAreRefused) {
  // y' = y + w, but w is computed from y'.
  Graph body;
  const ValueId y = body.add_input("y", DType::kUndefined), w = body.add_input("w", DType::kUndefined);
  body.outputs = body.add_node({.op = "Add", .inputs = {y, w}}, {"sum"});
  const GraphInsert circle{"circle", "model.onnx", std::make_shared<const Graph>(std::move(body)), {"y"}, false};
  EXPECT_THAT(refusal({{std::make_shared<const GraphInsert>(circle), ContentHash::of("circle")}}),
              HasSubstr("'circle' does not fit model.onnx"));
  EXPECT_THAT(refusal({shift("v")}), HasSubstr("'v'"));
  EXPECT_THAT(refusal({shift("x")}), HasSubstr("not computed by a node"));
  EXPECT_THAT(refusal({shift("then_branch_out")}), HasSubstr("then_branch_out"));
}

TEST_F(InsertedGraphs, ARecordThatIsNoneIsSaid) {
  onnx::ModelProto model = model_with_branches();
  auto& entry = *model.add_metadata_props();
  entry.set_key(kInsertRecordKey);
  const auto opened = [&](const std::string& value) {
    entry.set_value(value);
    std::ofstream(folder_ / "record.onnx", std::ios::binary) << model.SerializeAsString();
    const OnnxModel file = OnnxModel::open(folder_ / "record.onnx");
    return InsertRecord::of(file, import_onnx(file, "record.onnx"));
  };
  EXPECT_EQ(opened(R"({"per_call": true, "stand_ins": {}})").per_call, true);
  // Names that there are not, and a module that comes after its stand-in.
  EXPECT_EQ(opened(R"({"per_call": false, "stand_ins": {"no": "y", "y": 3, "w": "y"}})").unknown, 3U);
  EXPECT_EQ(opened(R"({"per_call": false, "stand_ins": {"y": "w"}})").stand_ins.size(), 1U);
  for (const char* damaged : {"", "[]", "{", R"({"per_call": 1, "stand_ins": {}})", R"({"per_call": true})"})
    EXPECT_THROW(opened(damaged), Error) << damaged;
}

}  // namespace
}  // namespace retune
