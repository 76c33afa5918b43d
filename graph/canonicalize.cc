#include "graph/canonicalize.h"

#include <algorithm>
#include <optional>

#include "graph/infer.h"
#include "graph/op_registry.h"
#include "graph/patterns.h"

namespace retune {

Graph prune(const Graph& graph) {
  std::vector<bool> needed(graph.values().size(), false);
  for (const ValueId id : graph.outputs) needed[static_cast<std::size_t>(id)] = true;
  for (std::size_t index = graph.nodes().size(); index-- > 0;) {
    const Node& node = graph.nodes()[index];
    const bool used = std::any_of(node.outputs.begin(), node.outputs.end(),
                                  [&](ValueId id) { return id != kNoValue && needed[static_cast<std::size_t>(id)]; });
    if (!used) continue;
    for (const ValueId id : node.outputs)
      if (id != kNoValue) needed[static_cast<std::size_t>(id)] = true;
    for (const ValueId id : node.inputs)
      if (id != kNoValue) needed[static_cast<std::size_t>(id)] = true;
  }
  Graph result;
  result.name = graph.name;
  std::vector<ValueId> ids(graph.values().size(), kNoValue);
  for (std::size_t i = 0; i < graph.values().size(); ++i) {
    const Value& value = graph.values()[i];
    if (value.kind == ValueKind::kComputed || (!needed[i] && value.kind != ValueKind::kInput)) continue;
    if (value.kind == ValueKind::kInput) {
      ids[i] = result.add_input(value.name, value.dtype);
      result.value(ids[i]).shape = value.shape;
    } else if (value.kind == ValueKind::kParameter) {
      ids[i] = result.add_parameter(value.name, value.dtype, *value.shape, value.file, value.initializer);
    } else {
      ids[i] = result.add_constant(value.constant, value.name);
    }
  }
  for (const Node& node : graph.nodes()) {
    if (std::none_of(node.outputs.begin(), node.outputs.end(),
                     [&](ValueId id) { return id != kNoValue && needed[static_cast<std::size_t>(id)]; }))
      continue;
    Node copy = node;
    for (ValueId& id : copy.inputs)
      if (id != kNoValue) id = ids[static_cast<std::size_t>(id)];
    std::vector<std::string> names;
    for (const ValueId id : node.outputs) names.push_back(id == kNoValue ? std::string() : graph.value(id).name);
    const std::vector<ValueId> outputs = result.add_node(std::move(copy), names);
    for (std::size_t i = 0; i < outputs.size(); ++i) {
      if (node.outputs[i] == kNoValue) {
        result.node(result.nodes().size() - 1).outputs[i] = kNoValue;
        continue;
      }
      const Value& origin = graph.value(node.outputs[i]);
      result.value(outputs[i]).dtype = origin.dtype;
      result.value(outputs[i]).shape = origin.shape;
      ids[static_cast<std::size_t>(node.outputs[i])] = outputs[i];
    }
  }
  for (const ValueId id : graph.outputs) result.outputs.push_back(ids[static_cast<std::size_t>(id)]);
  result.inputs.clear();  // in their own order, which need not be that of the values
  for (const ValueId id : graph.inputs) result.inputs.push_back(ids[static_cast<std::size_t>(id)]);
  return result;
}

namespace {

std::optional<Replacement> match_any(const PatternGraph& p, const Node& node) {
  // The larger patterns first: attention holds a transposed product.
  for (const auto matcher :
       {match_attention, match_rotary, match_rms_normalization, match_gelu, match_silu, match_transposed_product})
    if (auto found = matcher(p, node)) return found;
  return std::nullopt;
}

}  // namespace

Graph canonicalize(const Graph& source, const std::vector<std::string>& wrt) {
  Graph graph = source;
  const PatternGraph patterns(source, wrt);
  for (std::size_t index = 0; index < source.nodes().size(); ++index) {
    const Node& last = source.nodes()[index];
    auto found = match_any(patterns, last);
    if (!found) continue;
    found->node.outputs = {last.outputs[0]};
    graph.replace_node(index, std::move(found->node), found->extra_outputs);
    const Node& fused = graph.nodes()[index];
    const auto results = infer(graph, fused, OpRegistry::standard().require(fused));
    for (std::size_t i = 0; i < fused.outputs.size(); ++i) {
      graph.value(fused.outputs[i]).dtype = results[i].type.dtype;
      graph.value(fused.outputs[i]).shape = results[i].type.shape;
    }
  }
  return prune(graph);
}

}  // namespace retune
