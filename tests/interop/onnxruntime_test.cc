// The road to ONNX Runtime and back: what the other interop tests rely on.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "tensor/error.h"
#include "tests/interop/node_oracle.h"
#include "tests/oracle.h"
#include "weights/onnx_proto.h"

namespace retune {
namespace {

// A model of one Identity node per tensor: inputs a, b, ... and outputs out_a, out_b, ...
onnx::ModelProto identities(const NamedTensors& tensors) {
  onnx::ModelProto model;
  model.set_ir_version(8);
  model.add_opset_import()->set_version(17);
  onnx::GraphProto& graph = *model.mutable_graph();
  graph.set_name("identities");
  for (const auto& [name, tensor] : tensors) {
    onnx::NodeProto& node = *graph.add_node();
    node.set_op_type("Identity");
    node.add_input(name);
    node.add_output("out_" + name);
    for (onnx::ValueInfoProto* value : {graph.add_input(), graph.add_output()}) {
      auto& type = *value->mutable_type()->mutable_tensor_type();
      type.set_elem_type(static_cast<int>(tensor.dtype()));
      for (const std::int64_t extent : tensor.shape()) type.mutable_shape()->add_dim()->set_dim_value(extent);
    }
    graph.mutable_input()->rbegin()->set_name(name);
    graph.mutable_output()->rbegin()->set_name("out_" + name);
  }
  return model;
}

std::filesystem::path save(const onnx::ModelProto& model, const std::string& name) {
  auto path = std::filesystem::path(testing::TempDir()) / name;
  std::ofstream stream(path, std::ios::binary);
  model.SerializeToOstream(&stream);
  return path;
}

TEST(OnnxRuntime, ReturnsEveryTypeUnchanged) {
  if (const std::string reason = node_is_missing(); !reason.empty()) RETUNE_ORACLE_MISSING(reason);
  const NamedTensors inputs = {
      {"f32", Tensor::of<float>({2, 2}, {1.5f, -0.0f, 3e38f, 1e-40f})},
      {"f64", Tensor::of<double>({1}, {1.0 / 3})},
      {"f16", Tensor::of<F16>({3}, {F16::from(0.1f), F16::from(-2), F16::from(65504)})},
      {"i64", Tensor::of<std::int64_t>({2}, {-1, std::int64_t{1} << 53 | 1})},
      {"i32", Tensor::scalar<std::int32_t>(-7)},
      {"bool", Tensor::of<bool>({2}, {true, false})},
      {"none", Tensor::zeros(DType::kF32, {1, 0, 4})},
  };
  const NamedTensors outputs = run_in_onnxruntime(save(identities(inputs), "identities.onnx"), inputs);
  ASSERT_EQ(outputs.size(), inputs.size());
  for (const auto& [name, tensor] : inputs) EXPECT_TRUE(identical(outputs.at("out_" + name), tensor)) << name;
}

TEST(OnnxRuntime, TellsWhyItRefusesAModel) {
  if (const std::string reason = node_is_missing(); !reason.empty()) RETUNE_ORACLE_MISSING(reason);
  const NamedTensors inputs = {{"x", Tensor::scalar(1.0f)}};
  onnx::ModelProto model = identities(inputs);
  model.mutable_graph()->mutable_node(0)->set_op_type("NoSuchOperator");
  const auto path = save(model, "refused.onnx");
  EXPECT_THAT([&] { run_in_onnxruntime(path, inputs); },
              testing::ThrowsMessage<Error>(testing::HasSubstr("NoSuchOperator")));
}

}  // namespace
}  // namespace retune
