#include "graph/plan.h"

#include <algorithm>
#include <utility>

#include "graph/canonicalize.h"
#include "graph/differentiate.h"
#include "graph/evaluate.h"
#include "graph/graph_builder.h"
#include "graph/graph_copy.h"
#include "graph/op_registry.h"
#include "graph/rematerialize.h"
#include "graph/row_selection.h"
#include "graph/specialize.h"

namespace retune {

namespace {

std::map<std::string, InputSpec> input_specs(const Request& request) {
  std::map<std::string, InputSpec> specs;
  for (const auto& [name, feed] : request.inputs) {
    const bool pinned = std::find(request.pinned.begin(), request.pinned.end(), name) != request.pinned.end();
    specs[name] = {{feed.tensor.dtype(), feed.tensor.shape()}, pinned ? feed.tensor : Tensor()};
  }
  return specs;
}

// Everything that the final graph must still hold: outputs, the loss, values intervened on and leaves of gradients.
std::vector<std::string> roots_of(const Graph& graph, const Request& request) {
  std::vector<std::string> roots = request.outputs;
  if (!request.loss.empty()) roots.push_back(request.loss);
  for (const Intervention& change : request.interventions) graph.require(change.value);
  return roots;
}

// Rebuilds the graph with an AddRows or ReplaceRows node after the value; every reader, and whoever asks for the value
// by its name, gets the changed one.
Graph intervene(const Graph& source, const Request& request) {
  GraphCopy copy(source);
  Graph& result = copy.result();
  GraphBuilder builder(result);
  std::vector<ValueId> deltas;
  const auto change = [&](ValueId original) {
    for (const Intervention& intervention : request.interventions) {
      const ValueId id = copy.at(original);
      if (id == kNoValue || source.value(original).name != intervention.value) continue;
      result.rename(id, intervention.value + " before " + intervention.name);
      ValueId delta = result.find(intervention.name);
      if (delta == kNoValue) {
        delta = result.add_input(intervention.name, intervention.delta.dtype());
        result.value(delta).shape = intervention.delta.shape();
        deltas.push_back(delta);
      }
      const char* op = intervention.kind == Intervention::Kind::kAdd ? "AddRows" : "ReplaceRows";
      copy.set(original,
               builder.ops("retune", op, {id, delta, builder.ints(intervention.rows)}, {}, {intervention.value})[0]);
    }
  };
  for (std::size_t i = 0; i < source.values().size(); ++i) {
    if (source.values()[i].kind == ValueKind::kComputed) continue;
    copy.leaf(static_cast<ValueId>(i));
    change(static_cast<ValueId>(i));
  }
  for (std::size_t index = 0; index < source.nodes().size(); ++index) {
    copy.node(index);
    for (const ValueId id : source.nodes()[index].outputs)
      if (id != kNoValue) change(id);
  }
  Graph changed = copy.finish();
  changed.inputs.insert(changed.inputs.end(), deltas.begin(), deltas.end());
  return changed;
}

// Puts the chosen rows in the place of outputs of which only some are wanted. The outputs come first among the graph's.
void choose_rows(Graph& graph, const Request& request) {
  GraphBuilder builder(graph);
  for (std::size_t i = 0; i < request.outputs.size(); ++i) {
    const auto chosen = request.rows.find(request.outputs[i]);
    if (chosen == request.rows.end()) continue;
    const Shape whole = *graph.value(graph.outputs[i]).shape;
    if (whole.rank() == 0) throw user_error("'{}' is a scalar and has no rows", request.outputs[i]);
    const std::int64_t rows = whole.numel() / std::max<std::int64_t>(whole.back(), 1);
    const ValueId flat = builder.reshape(graph.outputs[i], {rows, whole.back()});
    graph.outputs[i] = builder.op("Gather", {flat, builder.ints(chosen->second)}, {}, "rows of " + request.outputs[i]);
  }
}

Version signature(const Node& node, const std::vector<TypeShape>& types) {
  Hasher hasher;
  Graph single;  // hashing a one-node graph covers attributes of every kind
  Node copy = node;
  copy.inputs.clear();
  single.add_node(copy, std::vector<std::string>(node.outputs.size()));
  hasher.add(single.structure_hash());
  for (const TypeShape& type : types) {
    hasher.add(static_cast<std::int64_t>(type.dtype));
    for (const std::int64_t extent : type.shape) hasher.add(extent);
  }
  return version_of(hasher.finish());
}

// What depends on a leaf that later requests vary.
std::vector<bool> varying_values(const Graph& graph, const Request& request) {
  std::vector<bool> varies(graph.values().size(), false);
  for (const std::string& name : request.varying)
    if (const ValueId id = graph.find(name); id != kNoValue) varies[static_cast<std::size_t>(id)] = true;
  for (const Node& node : graph.nodes()) {
    const bool any = std::any_of(node.inputs.begin(), node.inputs.end(),
                                 [&](ValueId id) { return id != kNoValue && varies[static_cast<std::size_t>(id)]; });
    for (const ValueId id : node.outputs)
      if (any && id != kNoValue) varies[static_cast<std::size_t>(id)] = true;
  }
  return varies;
}

void mark_kept(Plan& plan, const Request& request) {
  const Graph& graph = plan.graph;
  plan.kept.assign(graph.values().size(), false);
  if (request.cache == Request::Cache::kOff) return;
  if (!request.varying.empty()) {
    const std::vector<bool> varies = varying_values(graph, request);
    for (const Node& node : graph.nodes()) {
      const bool reads_varying = std::any_of(node.inputs.begin(), node.inputs.end(), [&](ValueId id) {
        return id != kNoValue && varies[static_cast<std::size_t>(id)];
      });
      if (!reads_varying) continue;
      for (const ValueId id : node.inputs)
        if (id != kNoValue && !varies[static_cast<std::size_t>(id)] && graph.value(id).kind == ValueKind::kComputed)
          plan.kept[static_cast<std::size_t>(id)] = true;
    }
    for (const ValueId id : plan.outputs)
      if (!varies[static_cast<std::size_t>(id)]) plan.kept[static_cast<std::size_t>(id)] = true;
  }
  if (request.keep_outputs)
    for (const ValueId id : plan.outputs) plan.kept[static_cast<std::size_t>(id)] = true;
}

}  // namespace

Plan make_plan(const Graph& graph, const Request& request, ThreadPool& pool, std::int64_t activation_bytes) {
  Graph concrete = specialize(graph, input_specs(request), roots_of(graph, request), pool);
  if (!request.interventions.empty()) concrete = intervene(concrete, request);
  choose_rows(concrete, request);
  concrete = prune(select_rows(canonicalize(concrete, request.wrt)));

  Plan plan;
  const std::size_t output_count = request.outputs.size();
  plan.outputs.assign(concrete.outputs.begin(), concrete.outputs.begin() + static_cast<std::ptrdiff_t>(output_count));
  const std::size_t forward = concrete.nodes().size();
  if (!request.loss.empty()) {
    std::vector<ValueId> present;
    for (const std::string& name : request.wrt)
      if (const ValueId id = concrete.find(name); id != kNoValue) present.push_back(id);
    const std::vector<ValueId> gradients = differentiate(concrete, concrete.outputs.back(), present);
    std::size_t next = 0;
    for (const std::string& name : request.wrt)
      plan.gradients.push_back(concrete.find(name) == kNoValue ? kNoValue : gradients[next++]);
  }
  concrete.outputs = plan.outputs;
  for (const ValueId id : plan.gradients)
    if (id != kNoValue) concrete.outputs.push_back(id);
  if (!request.loss.empty()) concrete = rematerialize(std::move(concrete), forward, activation_bytes);
  plan.graph = prune(concrete);
  std::size_t next = 0;
  for (ValueId& id : plan.outputs) id = plan.graph.outputs[next++];
  for (ValueId& id : plan.gradients)
    if (id != kNoValue) id = plan.graph.outputs[next++];

  for (const Node& node : plan.graph.nodes()) {
    plan.ops.push_back(&OpRegistry::standard().require(node));
    std::vector<TypeShape> types;
    for (const ValueId id : node.outputs)
      types.push_back(id == kNoValue ? TypeShape{}
                                     : TypeShape{plan.graph.value(id).dtype, *plan.graph.value(id).shape});
    require_room(node, types);
    if (request.cache == Request::Cache::kUse) plan.signatures.push_back(signature(node, types));
    plan.output_types.push_back(std::move(types));
  }
  if (request.cache == Request::Cache::kUse)
    for (const Value& value : plan.graph.values())
      plan.constants.push_back(value.kind == ValueKind::kConstant ? version_of(value.constant) : Version{});
  mark_kept(plan, request);
  return plan;
}

}  // namespace retune
