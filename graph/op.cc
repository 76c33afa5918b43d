#include "graph/op.h"

#include "graph/graph_builder.h"

namespace retune {

bool InferContext::has(int i) const {
  return i < input_count() && node_.inputs[static_cast<std::size_t>(i)] != kNoValue;
}

namespace {

const Value& input_value(const Graph& graph, const Node& node, int i) {
  if (i >= static_cast<int>(node.inputs.size()) || node.inputs[static_cast<std::size_t>(i)] == kNoValue)
    throw user_error("input {} is missing", i);
  return graph.value(node.inputs[static_cast<std::size_t>(i)]);
}

}  // namespace

DType InferContext::dtype(int i) const { return input_value(graph_, node_, i).dtype; }

const Shape& InferContext::shape(int i) const {
  const Value& value = input_value(graph_, node_, i);
  if (!value.shape) throw user_error("the shape of input {} ('{}') is not known", i, value.name);
  return *value.shape;
}

const Tensor* InferContext::constant(int i) const {
  if (!has(i)) return nullptr;
  const Value& value = input_value(graph_, node_, i);
  return value.kind == ValueKind::kConstant ? &value.constant : nullptr;
}

const Tensor& InferContext::require_constant(int i) const {
  if (const Tensor* known = constant(i)) return *known;
  input_value(graph_, node_, i);
  throw NeedsValue{node_.inputs[static_cast<std::size_t>(i)]};
}

std::optional<std::vector<std::int64_t>> InferContext::ints_from(int i, std::string_view attribute) const {
  if (has(i)) return require_constant(i).to_i64();
  if (attributes().has(attribute)) return attributes().ints(attribute);
  return std::nullopt;
}

void InferContext::set(int output, DType dtype, Shape shape) {
  if (output >= output_count()) return;  // an optional output that nobody named
  results_[static_cast<std::size_t>(output)] = {true, {dtype, std::move(shape)}, std::nullopt};
}

void InferContext::set_constant(int output, Tensor value) {
  if (output >= output_count()) return;
  results_[static_cast<std::size_t>(output)] = {true, {value.dtype(), value.shape()}, value};
}

void InferContext::same_as_input() { set(0, dtype(0), shape(0)); }

bool ForwardContext::wants(int i) const {
  return i < output_count() && node_.outputs[static_cast<std::size_t>(i)] != kNoValue;
}

Tensor& ForwardContext::out(int i) {
  Tensor& output = outputs_[static_cast<std::size_t>(i)];
  if (!output.defined()) output = allocate_(out_type(i).dtype, out_type(i).shape);
  return output;
}

void ForwardContext::set_out(int i, Tensor tensor) {
  const TypeShape& expected = out_type(i);
  if (tensor.dtype() != expected.dtype || !(tensor.shape() == expected.shape))
    throw std::logic_error(fmt::format("{}: output {} is {}, inferred {} {}", node_.text(), i, tensor.text(),
                                       dtype_name(expected.dtype), expected.shape.text()));
  outputs_[static_cast<std::size_t>(i)] = std::move(tensor);
}

Shape VjpContext::shape(ValueId id) const { return builder_.shape(id); }

DType VjpContext::dtype(ValueId id) const { return builder_.dtype(id); }

}  // namespace retune
