#include "lalm/graph_structure.h"

#include <algorithm>

namespace retune {

namespace {

bool is_standard(const Node* node, std::initializer_list<const char*> ops) {
  return node && node->domain.empty() &&
         std::any_of(ops.begin(), ops.end(), [&](const char* op) { return node->op == op; });
}

bool is_fused_norm(const Node& node) {
  return node.op == "LayerNormalization" || node.op == "RMSNormalization" || node.op == "SimplifiedLayerNormalization";
}

bool is_skip_norm(const Node& node) {
  return node.op == "SkipLayerNormalization" || node.op == "SkipSimplifiedLayerNormalization";
}

// alpha A B' + beta C is y = W x + b with neither factor, as exporters write it: a method that solves for W would miss
// by alpha.
bool is_plain_product(const Node& gemm) {
  const bool biased = gemm.inputs.size() > 2 && gemm.inputs[2] != kNoValue;
  return gemm.attributes.i("transA", 0) == 0 && gemm.attributes.f("alpha", 1) == 1 &&
         (!biased || gemm.attributes.f("beta", 1) == 1);
}

}  // namespace

GraphStructure::GraphStructure(const Graph& graph)
    : graph_(graph), linear_of_value_(graph.values().size(), -1), consumers_(graph.consumers()) {
  for (std::size_t index = 0; index < graph.nodes().size(); ++index) {
    auto layer = read_linear(static_cast<std::int32_t>(index));
    if (!layer) layer = read_blocks(static_cast<std::int32_t>(index));
    if (!layer) layer = read_integers(static_cast<std::int32_t>(index));
    if (!layer) continue;
    const auto at = static_cast<std::int32_t>(linears_.size());
    linear_of_value_[static_cast<std::size_t>(graph.nodes()[index].outputs[0])] = at;
    linear_of_value_[static_cast<std::size_t>(layer->output)] = at;
    linears_.push_back(*layer);
  }
}

std::optional<LinearLayer> GraphStructure::read_linear(std::int32_t index) const {
  const Node& node = graph_.nodes()[static_cast<std::size_t>(index)];
  if (!is_standard(&node, {"MatMul", "Gemm"}) || node.inputs.size() < 2) return std::nullopt;
  LinearLayer layer;
  layer.node = index;
  layer.input = node.inputs[0];
  layer.weight = node.inputs[1];
  layer.weight_is_transposed = node.op == "MatMul" || node.attributes.i("transB", 0) == 0;
  if (const Node* turn = graph_.producer(seen_through(layer.weight)); is_standard(turn, {"Transpose"})) {
    layer.weight = turn->inputs[0];
    layer.weight_is_transposed = !layer.weight_is_transposed;
  }
  layer.weight = seen_through(layer.weight);
  if (const Node* codes = graph_.producer(layer.weight); is_standard(codes, {"DequantizeLinear"}))
    layer.weight = codes->inputs[0];
  const Value& weight = graph_.value(layer.weight);
  if (weight.kind != ValueKind::kParameter || weight.shape->rank() != 2) return std::nullopt;
  if (node.op == "Gemm" && !is_plain_product(node)) return std::nullopt;
  layer.in = (*weight.shape)[layer.weight_is_transposed ? 0 : 1];
  layer.out = (*weight.shape)[layer.weight_is_transposed ? 1 : 0];
  layer.output = node.outputs[0];
  if (node.op == "Gemm" && node.inputs.size() > 2 && node.inputs[2] != kNoValue)
    layer.bias = seen_through(node.inputs[2]);
  take_bias(layer);
  return layer;
}

void GraphStructure::take_bias(LinearLayer& layer) const {
  const auto& readers = consumers_[static_cast<std::size_t>(layer.output)];
  if (readers.size() != 1) return;
  const Node& reader = graph_.nodes()[static_cast<std::size_t>(readers[0])];
  if (!is_standard(&reader, {"Add"})) return;
  for (const ValueId operand : reader.inputs) {
    const ValueId bias = seen_through(operand);
    const Value& value = graph_.value(bias);
    if (value.kind != ValueKind::kParameter || value.shape->rank() != 1 || (*value.shape)[0] != layer.out) continue;
    layer.bias = bias;
    layer.output = reader.outputs[0];
  }
}

std::optional<LinearLayer> GraphStructure::read_blocks(std::int32_t index) const {
  const Node& node = graph_.nodes()[static_cast<std::size_t>(index)];
  if (node.domain != "com.microsoft" || (node.op != "MatMulNBits" && node.op != "MatMulBnb4")) return std::nullopt;
  if (node.inputs.size() < 3 || node.attributes.i("transB", 1) == 0) return std::nullopt;
  LinearLayer layer{.node = index, .input = node.inputs[0], .output = node.outputs[0], .weight = node.inputs[1]};
  if (graph_.value(layer.weight).kind != ValueKind::kParameter) return std::nullopt;
  layer.in = node.attributes.i("K", 0);
  layer.out = node.attributes.i("N", 0);
  if (node.inputs.size() > 5 && node.inputs[5] != kNoValue) layer.bias = seen_through(node.inputs[5]);
  take_bias(layer);
  return layer;
}

ValueId GraphStructure::only_reader(ValueId id, std::initializer_list<const char*> ops) const {
  const auto& readers = consumers_[static_cast<std::size_t>(id)];
  if (readers.size() != 1) return kNoValue;
  const Node& reader = graph_.nodes()[static_cast<std::size_t>(readers[0])];
  return is_standard(&reader, ops) ? reader.outputs[0] : kNoValue;
}

std::optional<LinearLayer> GraphStructure::read_integers(std::int32_t index) const {
  const Node& node = graph_.nodes()[static_cast<std::size_t>(index)];
  if (!is_standard(&node, {"MatMulInteger"}) || node.inputs.size() < 2) return std::nullopt;
  const Node* rounded = graph_.producer(node.inputs[0]);
  const Value& weight = graph_.value(node.inputs[1]);
  if (!is_standard(rounded, {"DynamicQuantizeLinear"}) || weight.kind != ValueKind::kParameter ||
      weight.shape->rank() != 2)
    return std::nullopt;
  const ValueId wide = only_reader(node.outputs[0], {"Cast"});
  const ValueId scaled = wide == kNoValue ? kNoValue : only_reader(wide, {"Mul"});
  if (scaled == kNoValue) return std::nullopt;
  LinearLayer layer{.node = index, .input = rounded->inputs[0], .output = scaled, .weight = node.inputs[1]};
  layer.weight_is_transposed = true;
  layer.in = (*weight.shape)[0];
  layer.out = (*weight.shape)[1];
  take_bias(layer);
  return layer;
}

ValueId GraphStructure::seen_through(ValueId id) const {
  for (const Node* node = graph_.producer(id); is_standard(node, {"Cast", "Identity", "Dropout"});
       node = graph_.producer(id))
    id = node->inputs[0];
  return id;
}

const LinearLayer* GraphStructure::linear_at(ValueId id) const {
  const std::int32_t index = linear_of_value_[static_cast<std::size_t>(seen_through(id))];
  return index < 0 ? nullptr : &linears_[static_cast<std::size_t>(index)];
}

std::vector<const LinearLayer*> GraphStructure::nearest_linears(ValueId id, const std::set<std::int32_t>& nodes) const {
  std::vector<const LinearLayer*> found;
  std::set<ValueId> seen;
  std::vector<ValueId> pending{id};
  while (!pending.empty()) {
    const ValueId next = pending.back();
    pending.pop_back();
    if (next == kNoValue || !seen.insert(next).second) continue;
    const std::int32_t producer = graph_.value(next).producer;
    if (producer < 0 || !nodes.contains(producer)) continue;
    if (const std::int32_t index = linear_of_value_[static_cast<std::size_t>(next)]; index >= 0) {
      const LinearLayer* layer = &linears_[static_cast<std::size_t>(index)];
      if (std::find(found.begin(), found.end(), layer) == found.end()) found.push_back(layer);
      continue;
    }
    const Node& node = graph_.nodes()[static_cast<std::size_t>(producer)];
    pending.insert(pending.end(), node.inputs.begin(), node.inputs.end());
  }
  std::sort(found.begin(), found.end(), [](const auto* a, const auto* b) { return a->node < b->node; });
  return found;
}

ValueId GraphStructure::norm_input(ValueId id) const {
  id = seen_through(id);
  const Node* node = graph_.producer(id);
  if (node && is_fused_norm(*node)) return node->inputs[0];
  // Scale and bias of a decomposed norm: products and sums with parameters of rank one.
  for (int steps = 0; steps < 2 && is_standard(node, {"Mul", "Add"}); ++steps) {
    ValueId other = kNoValue;
    for (int i = 0; i < 2; ++i) {
      const Value& operand = graph_.value(seen_through(node->inputs[static_cast<std::size_t>(i)]));
      if (operand.kind == ValueKind::kParameter && operand.shape->rank() == 1)
        other = node->inputs[static_cast<std::size_t>(1 - i)];
    }
    if (other == kNoValue) break;
    id = seen_through(other);
    node = graph_.producer(id);
  }
  if (!is_standard(node, {"Mul", "Div"})) return kNoValue;
  // x * f(mean(x^2)), (x - mean(x)) / sqrt(...): the operand whose partner is computed from it by way of a mean.
  for (int i = 0; i < 2; ++i) {
    ValueId x = seen_through(node->inputs[static_cast<std::size_t>(i)]);
    const ValueId partner = node->inputs[static_cast<std::size_t>(1 - i)];
    if (graph_.value(partner).kind != ValueKind::kComputed || graph_.value(x).kind == ValueKind::kParameter ||
        !depends_on(partner, {x}))
      continue;
    const auto between = nodes_between(partner, {x});
    const bool has_mean = std::any_of(between.begin(), between.end(), [&](std::int32_t n) {
      return graph_.nodes()[static_cast<std::size_t>(n)].op == "ReduceMean";
    });
    if (!has_mean) continue;
    if (const Node* centred = graph_.producer(x); is_standard(centred, {"Sub"})) x = seen_through(centred->inputs[0]);
    return x;
  }
  return kNoValue;
}

std::set<ValueId> GraphStructure::readings_of(ValueId stream) const {
  std::set<ValueId> readings{stream};
  const Node* node = graph_.producer(stream);
  if (node && is_skip_norm(*node)) readings.insert(node->outputs.begin(), node->outputs.end());
  readings.erase(kNoValue);
  return readings;
}

bool GraphStructure::depends_on(ValueId id, const std::set<ValueId>& on) const {
  // Nodes stand in topological order, so nothing before the producer of `on` can lead back to it.
  const std::int32_t earliest = graph_.value(*on.begin()).producer;
  std::set<ValueId> seen;
  std::vector<ValueId> pending{id};
  while (!pending.empty()) {
    const ValueId next = pending.back();
    pending.pop_back();
    if (on.contains(next)) return true;
    if (next == kNoValue || graph_.value(next).producer <= earliest || !seen.insert(next).second) continue;
    const Node* node = graph_.producer(next);
    pending.insert(pending.end(), node->inputs.begin(), node->inputs.end());
  }
  return false;
}

std::set<std::int32_t> GraphStructure::nodes_between(ValueId from, const std::set<ValueId>& until) const {
  std::set<std::int32_t> nodes;
  std::vector<ValueId> pending{from};
  while (!pending.empty()) {
    const ValueId next = pending.back();
    pending.pop_back();
    if (next == kNoValue || until.contains(next)) continue;
    const std::int32_t producer = graph_.value(next).producer;
    if (producer < 0 || !nodes.insert(producer).second) continue;
    const Node& node = graph_.nodes()[static_cast<std::size_t>(producer)];
    if (node.op != "Shape") pending.insert(pending.end(), node.inputs.begin(), node.inputs.end());
  }
  if (until.empty()) return nodes;
  // Masks and position tables are computed beside the stream, once for all blocks: what does not come from `until` is
  // no part of this one.
  std::set<std::int32_t> kept;
  for (const std::int32_t index : nodes) {
    const Node& node = graph_.nodes()[static_cast<std::size_t>(index)];
    const bool inside = node.op != "Shape" && std::any_of(node.inputs.begin(), node.inputs.end(), [&](ValueId id) {
                          return id != kNoValue && (until.contains(id) || until.contains(seen_through(id)) ||
                                                    kept.contains(graph_.value(id).producer));
                        });
    if (inside) kept.insert(index);
  }
  return kept;
}

std::optional<ResidualSum> GraphStructure::sum_at(ValueId id) const {
  id = seen_through(id);
  const Node* node = graph_.producer(id);
  if (!node) return std::nullopt;
  const bool skip = is_skip_norm(*node);
  if (!skip && !is_standard(node, {"Add"})) return std::nullopt;
  const ValueId a = seen_through(node->inputs[0]);
  const ValueId b = seen_through(node->inputs[1]);
  if (graph_.value(a).kind == ValueKind::kParameter || graph_.value(b).kind == ValueKind::kParameter)
    return std::nullopt;
  // The branch is computed from the stream; the stream is not computed from the branch.
  ResidualSum sum;
  if (depends_on(a, readings_of(b)))
    sum = {kNoValue, b, a, {}};
  else if (depends_on(b, readings_of(a)))
    sum = {kNoValue, a, b, {}};
  else
    return std::nullopt;
  sum.nodes = nodes_between(sum.branch, readings_of(sum.stream));
  const bool learns = std::any_of(linears_.begin(), linears_.end(),
                                  [&](const LinearLayer& layer) { return sum.nodes.contains(layer.node); });
  if (!learns) return std::nullopt;  // x + g(x) inside an activation, say
  if (!skip)
    sum.sum = id;
  else if (node->outputs.size() > 3)
    sum.sum = node->outputs[3];
  return sum;
}

std::vector<ResidualSum> GraphStructure::spine(ValueId id) const {
  std::vector<ResidualSum> sums;
  while (auto sum = sum_at(id)) {
    id = sum->stream;
    sums.push_back(std::move(*sum));
  }
  return sums;
}

}  // namespace retune
