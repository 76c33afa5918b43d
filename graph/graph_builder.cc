#include "graph/graph_builder.h"

#include <algorithm>
#include <stdexcept>

#include "graph/infer.h"
#include "graph/op_registry.h"

namespace retune {

namespace {

// Where shapes are still symbolic only element types can be told; the model's writer needs them for scalars.
DType symbolic_dtype(const Graph& graph, const Node& node) {
  if (node.op == "Shape" || node.op == "Size" || node.op == "ArgMax" || node.op == "NonZero") return DType::kI64;
  if (node.op == "Cast") return static_cast<DType>(node.attributes.i("to", 1));
  if (node.op == "Equal" || node.op == "Less" || node.op == "Greater" || node.op == "LessOrEqual" ||
      node.op == "GreaterOrEqual" || node.op == "Not" || node.op == "And" || node.op == "Or")
    return DType::kBool;
  const std::size_t source = node.op == "Where" ? 1 : 0;
  return node.inputs.size() > source ? graph.value(node.inputs[source]).dtype : DType::kUndefined;
}

bool shapes_known(const Graph& graph, const Node& node) {
  return std::all_of(node.inputs.begin(), node.inputs.end(),
                     [&](ValueId id) { return id == kNoValue || graph.value(id).shape.has_value(); });
}

}  // namespace

Shape GraphBuilder::shape(ValueId id) const {
  const Value& value = graph_.value(id);
  if (!value.shape) throw std::logic_error("GraphBuilder::shape: value '" + value.name + "' has no concrete shape");
  return *value.shape;
}

std::vector<ValueId> GraphBuilder::ops(std::string_view domain, std::string_view op, std::vector<ValueId> inputs,
                                       Attributes attributes, const std::vector<std::string>& output_names) {
  Node node{.domain = std::string(domain), .op = std::string(op)};
  if (domain == "com.microsoft" || domain == "retune") node.version = 1;
  if (!output_names.empty()) node.name = output_names[0];
  node.inputs = std::move(inputs);
  node.attributes = std::move(attributes);
  const std::vector<ValueId> outputs = graph_.add_node(std::move(node), output_names);
  const Node& added = graph_.nodes().back();
  if (!shapes_known(graph_, added)) {
    const DType dtype = symbolic_dtype(graph_, added);
    for (const ValueId id : outputs) graph_.value(id).dtype = dtype;
    return outputs;
  }
  const auto results = infer(graph_, added, OpRegistry::standard().require(added));
  for (std::size_t i = 0; i < outputs.size(); ++i) {
    graph_.value(outputs[i]).dtype = results[i].type.dtype;
    graph_.value(outputs[i]).shape = results[i].type.shape;
  }
  return outputs;
}

ValueId GraphBuilder::op(std::string_view op, std::vector<ValueId> inputs, Attributes attributes, std::string name) {
  return ops("", op, std::move(inputs), std::move(attributes), {std::move(name)})[0];
}

ValueId GraphBuilder::private_op(std::string_view op, std::vector<ValueId> inputs, Attributes attributes) {
  return ops("retune", op, std::move(inputs), std::move(attributes), {""})[0];
}

std::vector<ValueId> GraphBuilder::private_ops(std::string_view op, std::vector<ValueId> inputs, Attributes attributes,
                                               int output_count) {
  return ops("retune", op, std::move(inputs), std::move(attributes),
             std::vector<std::string>(static_cast<std::size_t>(output_count)));
}

ValueId GraphBuilder::scalar(double value, DType dtype) { return constant(Tensor::scalar<double>(value).cast(dtype)); }

ValueId GraphBuilder::ints(const std::vector<std::int64_t>& values) {
  return constant(Tensor::vector<std::int64_t>(values));
}

ValueId GraphBuilder::matmul(ValueId a, ValueId b, Swap swap_a, Swap swap_b) {
  if (swap_a == Swap::kNone && swap_b == Swap::kNone) return op("MatMul", {a, b});
  return ops("com.microsoft", "FusedMatMul", {a, b},
             {{"transA", std::int64_t{swap_a == Swap::kLastTwo}}, {"transB", std::int64_t{swap_b == Swap::kLastTwo}}},
             {""})[0];
}

ValueId GraphBuilder::reshape(ValueId x, const Shape& target) {
  if (graph_.value(x).shape && *graph_.value(x).shape == target) return x;
  // A zero in the target means zero, not "copy".
  return op("Reshape", {x, ints(target.extents())}, {{"allowzero", std::int64_t{1}}});
}

ValueId GraphBuilder::transpose(ValueId x, const std::vector<std::int64_t>& permutation) {
  return op("Transpose", {x}, {{"perm", permutation}});
}

ValueId GraphBuilder::reduce_sum(ValueId x, const std::vector<std::int64_t>& axes, KeepDims keep) {
  return op("ReduceSum", {x, ints(axes)}, {{"keepdims", std::int64_t{keep == KeepDims::kYes}}});
}

ValueId GraphBuilder::cast(ValueId x, DType to) {
  if (dtype(x) == to) return x;
  return op("Cast", {x}, {{"to", static_cast<std::int64_t>(to)}});
}

ValueId GraphBuilder::sum_to(ValueId x, const Shape& target) {
  const Shape from = shape(x);
  if (from == target) return x;
  std::vector<std::int64_t> axes;
  const int extra = from.rank() - target.rank();
  for (int axis = 0; axis < from.rank(); ++axis)
    if (axis < extra || (target[axis - extra] == 1 && from[axis] != 1)) axes.push_back(axis);
  const ValueId summed = axes.empty() ? x : reduce_sum(x, axes, KeepDims::kYes);
  return reshape(summed, target);
}

ValueId GraphBuilder::zeros_like(ValueId x) {
  return op("ConstantOfShape", {ints(shape(x).extents())},
            {{"value", Tensor::scalar<double>(0).cast(dtype(x)).reshaped(Shape{1})}});
}

}  // namespace retune
