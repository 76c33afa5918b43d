#include "graph/onnx_node.h"

#include "tensor/error.h"

namespace retune {

namespace {

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
    onnx::TensorProto& tensor = *proto.mutable_t();
    tensor.set_data_type(static_cast<int>(v.dtype()));
    for (const std::int64_t extent : v.shape()) tensor.add_dims(extent);
    tensor.set_raw_data(v.raw(), v.bytes());
  }
  void operator()(const std::shared_ptr<const Graph>&) const {
    throw user_error("attribute '{}': writing subgraphs is not supported", proto.name());
  }
};

}  // namespace

onnx::NodeProto onnx_node(const Node& node, const std::function<std::string(ValueId)>& name_of) {
  if (node.domain == "retune")
    throw user_error("{}: a private operator cannot be written to an ONNX file", node.text());
  const auto name = [&](ValueId id) { return id == kNoValue ? std::string() : name_of(id); };
  onnx::NodeProto proto;
  proto.set_op_type(node.op);
  proto.set_domain(node.domain);
  proto.set_name(node.name);
  for (const ValueId id : node.inputs) proto.add_input(name(id));
  for (const ValueId id : node.outputs) proto.add_output(name(id));
  for (const auto& [attribute_name, content] : node.attributes.items()) {
    onnx::AttributeProto& attribute = *proto.add_attribute();
    attribute.set_name(attribute_name);
    std::visit(SetAttribute{attribute}, content);
  }
  return proto;
}

}  // namespace retune
