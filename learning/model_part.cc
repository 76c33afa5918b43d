#include "learning/model_part.h"

#include <algorithm>
#include <functional>

#include "graph/canonicalize.h"
#include "graph/graph_builder.h"
#include "graph/graph_copy.h"
#include "tensor/error.h"

namespace retune {

namespace {

// Which values depend on one of `roots`, over the nodes that `passes` lets through.
std::vector<bool> reached_from(const Graph& graph, const std::vector<ValueId>& roots,
                               const std::function<bool(const Node&)>& passes) {
  std::vector<bool> reached(graph.values().size(), false);
  for (const ValueId root : roots) reached[static_cast<std::size_t>(root)] = true;
  for (const Node& node : graph.nodes()) {
    const bool any = std::any_of(node.inputs.begin(), node.inputs.end(),
                                 [&](ValueId id) { return id != kNoValue && reached[static_cast<std::size_t>(id)]; });
    if (!any || !passes(node)) continue;
    for (const ValueId id : node.outputs)
      if (id != kNoValue) reached[static_cast<std::size_t>(id)] = true;
  }
  return reached;
}

// Nodes that `value` is computed from and that depend on the parameters.
std::vector<bool> nodes_behind(const Graph& graph, ValueId value, const std::vector<bool>& depends) {
  std::vector<bool> behind(graph.nodes().size(), false);
  std::vector<ValueId> pending{value};
  while (!pending.empty()) {
    const ValueId id = pending.back();
    pending.pop_back();
    if (id == kNoValue || !depends[static_cast<std::size_t>(id)]) continue;
    const std::int32_t producer = graph.value(id).producer;
    if (producer < 0 || behind[static_cast<std::size_t>(producer)]) continue;
    behind[static_cast<std::size_t>(producer)] = true;
    const auto& inputs = graph.nodes()[static_cast<std::size_t>(producer)].inputs;
    pending.insert(pending.end(), inputs.begin(), inputs.end());
  }
  return behind;
}

void append_loss(Graph& graph, ValueId value) {
  GraphBuilder builder(graph);
  const ValueId targets = graph.add_input(kPartTargets, DType::kF32);
  const ValueId weights = graph.add_input(kPartRowWeights, DType::kF32);
  const ValueId wide = builder.op("Cast", {value}, {{"to", static_cast<std::int64_t>(DType::kF32)}});
  const ValueId apart = builder.sub(wide, targets);
  const ValueId terms = builder.mul(builder.mul(apart, apart), weights);
  builder.op("ReduceSum", {terms}, {{"keepdims", std::int64_t{0}}}, kPartLoss);
  graph.inputs.insert(graph.inputs.end(), {targets, weights});
}

}  // namespace

ModelPart cut_part(const Graph& linked, const std::string& value, const std::vector<std::string>& parameters) {
  std::vector<ValueId> roots;
  for (const std::string& name : parameters) roots.push_back(linked.require(name));
  const ValueId end = linked.require(value);
  const std::vector<bool> depends = reached_from(linked, roots, [](const Node&) { return true; });
  if (!depends[static_cast<std::size_t>(end)])
    throw user_error("'{}' does not depend on the weights that are to be trained", value);
  // A shape tells nothing of the prompt's content.
  const std::vector<bool> reads = reached_from(linked, {linked.require("inputs_embeds")}, [](const Node& node) {
    return node.op != "Shape" && node.op != "Size";
  });
  const std::vector<bool> behind = nodes_behind(linked, end, depends);
  std::vector<bool> is_leaf(linked.values().size(), false);
  for (std::size_t index = 0; index < behind.size(); ++index)
    if (behind[index])
      for (const ValueId id : linked.nodes()[index].inputs)
        if (id != kNoValue && reads[static_cast<std::size_t>(id)] && !depends[static_cast<std::size_t>(id)])
          is_leaf[static_cast<std::size_t>(id)] = true;

  ModelPart part{nullptr, value, {}};
  GraphCopy copy(linked);
  copy.leaves();
  std::vector<ValueId> inputs;
  for (std::size_t index = 0; index < linked.nodes().size(); ++index) {
    copy.node(index);
    for (const ValueId id : linked.nodes()[index].outputs) {
      if (id == kNoValue || !is_leaf[static_cast<std::size_t>(id)]) continue;
      const Value& whole = linked.value(id);
      copy.result().rename(copy.at(id), whole.name + " as the whole model computes it");
      inputs.push_back(copy.result().add_input(whole.name, whole.dtype));
      copy.set(id, inputs.back());
      part.leaves.push_back(whole.name);
    }
  }
  Graph graph = copy.finish();
  graph.inputs.insert(graph.inputs.end(), inputs.begin(), inputs.end());
  append_loss(graph, copy.at(end));
  graph.outputs = {copy.at(end), graph.require(kPartLoss)};
  part.graph = std::make_shared<const Graph>(prune(graph));
  return part;
}

std::vector<Site> sites_acting_through(const Graph& linked, const std::vector<Site>& sites, const std::string& value,
                                       const std::string& before) {
  const ValueId end = linked.require(value), logits = linked.require("logits");
  const ValueId start = before.empty() ? kNoValue : linked.require(before);
  std::vector<Site> own;
  for (const Site& site : sites) {
    if (site.weight.empty()) continue;
    const ValueId weight = linked.find(site.weight);
    if (weight == kNoValue) continue;
    // Past the value nothing counts: its only way to the logits is closed.
    const std::vector<bool> reached = reached_from(linked, {weight}, [&](const Node& node) {
      return std::find(node.outputs.begin(), node.outputs.end(), end) == node.outputs.end();
    });
    const bool elsewhere =
        reached[static_cast<std::size_t>(logits)] || (start != kNoValue && reached[static_cast<std::size_t>(start)]);
    if (!elsewhere) own.push_back(site);
  }
  return own;
}

}  // namespace retune
