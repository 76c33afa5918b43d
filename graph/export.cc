#include <algorithm>

#include "graph/import.h"
#include "graph/onnx_node.h"
#include "tensor/error.h"
#include "weights/onnx_writer.h"

namespace retune {

namespace {

std::string exported_name(const Graph& graph, ValueId id) {
  const Value& value = graph.value(id);
  if (!value.name.empty()) return value.name;
  std::string made_up = fmt::format("value_{}", id);
  while (graph.find(made_up) != kNoValue) made_up += '_';
  return made_up;
}

void set_value_info(onnx::ValueInfoProto& info, const Value& value) {
  info.set_name(value.name);
  auto* type = info.mutable_type()->mutable_tensor_type();
  type->set_elem_type(static_cast<int>(value.dtype));
  auto* shape = type->mutable_shape();
  std::vector<Dim> dims = value.declared;
  if (dims.empty() && value.shape)
    for (const std::int64_t extent : *value.shape) dims.push_back({extent, ""});
  for (const Dim& dim : dims) {
    auto* written = shape->add_dim();
    if (dim.extent >= 0)
      written->set_dim_value(dim.extent);
    else if (!dim.symbol.empty())
      written->set_dim_param(dim.symbol);
  }
}

}  // namespace

void export_onnx(const Graph& graph, const Parameters& parameters, const std::filesystem::path& path,
                 const GraphWriteOptions& options) {
  onnx::ModelProto model;
  model.set_ir_version(options.ir_version);
  model.set_producer_name(options.producer);
  auto* opset = model.add_opset_import();
  opset->set_domain("");
  opset->set_version(options.opset);
  const bool contrib = std::any_of(graph.nodes().begin(), graph.nodes().end(),
                                   [](const Node& n) { return n.domain == "com.microsoft"; });
  if (contrib) {
    auto* microsoft = model.add_opset_import();
    microsoft->set_domain("com.microsoft");
    microsoft->set_version(1);
  }
  onnx::GraphProto& proto = *model.mutable_graph();
  proto.set_name(graph.name);
  for (const ValueId id : graph.inputs) set_value_info(*proto.add_input(), graph.value(id));
  for (const ValueId id : graph.outputs) set_value_info(*proto.add_output(), graph.value(id));
  for (const Node& node : graph.nodes())
    *proto.add_node() = onnx_node(node, [&](ValueId id) { return exported_name(graph, id); });

  std::vector<std::pair<std::string, Tensor>> initializers;
  for (std::size_t i = 0; i < graph.values().size(); ++i) {
    const Value& value = graph.values()[i];
    if (value.kind == ValueKind::kConstant) {
      initializers.emplace_back(exported_name(graph, static_cast<ValueId>(i)), value.constant);
    } else if (value.kind == ValueKind::kParameter) {
      const auto it = parameters.find(value.name);
      if (it == parameters.end()) throw user_error("parameter '{}' has no tensor to write", value.name);
      initializers.emplace_back(value.name, it->second.tensor);
    }
  }
  write_onnx(model, initializers, path, {.external_from = options.external_from});
}

}  // namespace retune
