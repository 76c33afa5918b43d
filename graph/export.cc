#include <algorithm>

#include "graph/import.h"
#include "tensor/error.h"
#include "weights/onnx_writer.h"

namespace retune {

namespace {

std::string exported_name(const Graph& graph, ValueId id) {
  if (id == kNoValue) return {};
  const Value& value = graph.value(id);
  if (!value.name.empty()) return value.name;
  std::string made_up = fmt::format("value_{}", id);
  while (graph.find(made_up) != kNoValue) made_up += '_';
  return made_up;
}

void set_tensor(onnx::TensorProto& proto, const Tensor& tensor) {
  proto.set_data_type(static_cast<int>(tensor.dtype()));
  for (const std::int64_t extent : tensor.shape()) proto.add_dims(extent);
  proto.set_raw_data(tensor.raw(), tensor.bytes());
}

struct SetAttribute {
  onnx::AttributeProto& proto;
  void operator()(std::int64_t v) const {
    proto.set_type(onnx::AttributeProto::INT);
    proto.set_i(v);
  }
  void operator()(double v) const {
    proto.set_type(onnx::AttributeProto::FLOAT);
    proto.set_f(static_cast<float>(v));
  }
  void operator()(const std::string& v) const {
    proto.set_type(onnx::AttributeProto::STRING);
    proto.set_s(v);
  }
  void operator()(const std::vector<std::int64_t>& v) const {
    proto.set_type(onnx::AttributeProto::INTS);
    for (const std::int64_t x : v) proto.add_ints(x);
  }
  void operator()(const std::vector<double>& v) const {
    proto.set_type(onnx::AttributeProto::FLOATS);
    for (const double x : v) proto.add_floats(static_cast<float>(x));
  }
  void operator()(const std::vector<std::string>& v) const {
    proto.set_type(onnx::AttributeProto::STRINGS);
    for (const std::string& x : v) proto.add_strings(x);
  }
  void operator()(const Tensor& v) const {
    proto.set_type(onnx::AttributeProto::TENSOR);
    set_tensor(*proto.mutable_t(), v);
  }
  void operator()(const std::shared_ptr<const Graph>&) const {
    throw user_error("attribute '{}': writing subgraphs is not supported", proto.name());
  }
};

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

void add_nodes(const Graph& graph, onnx::GraphProto& proto) {
  for (const Node& node : graph.nodes()) {
    if (node.domain == "retune")
      throw user_error("{}: a private operator cannot be written to an ONNX file", node.text());
    auto* written = proto.add_node();
    written->set_op_type(node.op);
    written->set_domain(node.domain);
    written->set_name(node.name);
    for (const ValueId id : node.inputs) written->add_input(exported_name(graph, id));
    for (const ValueId id : node.outputs) written->add_output(exported_name(graph, id));
    for (const auto& [name, content] : node.attributes.items()) {
      auto* attribute = written->add_attribute();
      attribute->set_name(name);
      std::visit(SetAttribute{*attribute}, content);
    }
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
  add_nodes(graph, proto);

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
