#include "graph/canonicalize.h"

#include <algorithm>
#include <optional>

#include "graph/graph_copy.h"
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
  GraphCopy copy(graph);
  for (std::size_t i = 0; i < graph.values().size(); ++i) {
    const ValueKind kind = graph.values()[i].kind;
    if (kind == ValueKind::kInput || (kind != ValueKind::kComputed && needed[i])) copy.leaf(static_cast<ValueId>(i));
  }
  for (std::size_t index = 0; index < graph.nodes().size(); ++index) {
    const auto& outputs = graph.nodes()[index].outputs;
    if (std::any_of(outputs.begin(), outputs.end(),
                    [&](ValueId id) { return id != kNoValue && needed[static_cast<std::size_t>(id)]; }))
      copy.node(index);
  }
  return copy.finish();
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
