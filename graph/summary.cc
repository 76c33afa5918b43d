#include "graph/summary.h"

#include "graph/op_registry.h"
#include "graph/specialize.h"

namespace retune {

namespace {

std::string declared_type(const Value& value) {
  std::string text = std::string(dtype_name(value.dtype)) + " [";
  for (std::size_t i = 0; i < value.declared.size(); ++i) {
    const Dim& dim = value.declared[i];
    if (i > 0) text += ", ";
    text += dim.extent >= 0 ? std::to_string(dim.extent) : dim.symbol.empty() ? "?" : dim.symbol;
  }
  return text + "]";
}

void count(const Graph& graph, GraphSummary& summary) {
  for (const Value& value : graph.values()) {
    if (value.kind != ValueKind::kParameter) continue;
    auto& tensors = summary.parameters[std::string(dtype_name(value.dtype))];
    const std::int64_t elements = value.shape ? value.shape->numel() : 0;
    ++tensors.tensors;
    tensors.elements += elements;
    tensors.bytes += static_cast<std::int64_t>(storage_bytes(value.dtype, elements).value_or(0));
  }
  for (const Node& node : graph.nodes()) {
    const std::string name = node.domain.empty() ? node.op : node.domain + "." + node.op;
    ++summary.nodes;
    ++summary.operators[name];
    if (!is_control_flow(node) && !is_list_operator(node) &&
        OpRegistry::standard().find(node.domain, node.op, node.version) == nullptr)
      ++summary.unsupported[name];
    for (const auto& [key, attribute] : node.attributes.items())
      if (const auto* body = std::get_if<std::shared_ptr<const Graph>>(&attribute)) count(**body, summary);
  }
}

}  // namespace

GraphSummary summarise(const Graph& graph) {
  GraphSummary summary;
  for (const ValueId id : graph.inputs)
    summary.inputs.push_back({graph.value(id).name, declared_type(graph.value(id))});
  for (const ValueId id : graph.outputs)
    summary.outputs.push_back({graph.value(id).name, declared_type(graph.value(id))});
  count(graph, summary);
  return summary;
}

}  // namespace retune
