#include "graph/graph_copy.h"

#include <string>

namespace retune {

GraphCopy::GraphCopy(const Graph& source) : source_(source), ids_(source.values().size(), kNoValue) {
  result_.name = source.name;
}

void GraphCopy::leaf(ValueId id) {
  const Value& value = source_.value(id);
  ValueId copied = kNoValue;
  if (value.kind == ValueKind::kInput) {
    copied = result_.add_input(value.name, value.dtype);
    result_.value(copied).shape = value.shape;
  } else if (value.kind == ValueKind::kParameter) {
    copied = result_.add_parameter(value.name, value.dtype, *value.shape, value.file, value.initializer);
  } else {
    copied = result_.add_constant(value.constant, value.name);
  }
  set(id, copied);
}

void GraphCopy::leaves() {
  for (std::size_t i = 0; i < source_.values().size(); ++i)
    if (source_.values()[i].kind != ValueKind::kComputed) leaf(static_cast<ValueId>(i));
}

void GraphCopy::node(std::size_t index) {
  const Node& node = source_.nodes()[index];
  Node copy = node;
  for (ValueId& id : copy.inputs) id = at(id);
  std::vector<std::string> names;
  names.reserve(node.outputs.size());
  for (const ValueId id : node.outputs) names.push_back(id == kNoValue ? std::string() : source_.value(id).name);
  const std::vector<ValueId> outputs = result_.add_node(std::move(copy), names);
  for (std::size_t i = 0; i < outputs.size(); ++i) {
    if (node.outputs[i] == kNoValue) {
      result_.node(result_.nodes().size() - 1).outputs[i] = kNoValue;
      continue;
    }
    const Value& origin = source_.value(node.outputs[i]);
    result_.value(outputs[i]).dtype = origin.dtype;
    result_.value(outputs[i]).shape = origin.shape;
    set(node.outputs[i], outputs[i]);
  }
}

Graph GraphCopy::finish() {
  result_.outputs.clear();
  for (const ValueId id : source_.outputs) result_.outputs.push_back(at(id));
  result_.inputs.clear();  // in their own order, which need not be that of the values
  for (const ValueId id : source_.inputs) result_.inputs.push_back(at(id));
  return std::move(result_);
}

}  // namespace retune
