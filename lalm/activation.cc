#include "lalm/activation.h"

#include <algorithm>
#include <map>
#include <set>

#include "lalm/graph_structure.h"
#include "lalm/inserted_bundle.h"
#include "tensor/error.h"

namespace retune {

namespace {

// Walks back from what the down-projection reads, over nodes whose only input that is computed leads to one value.
class ActivationFinder {
 public:
  ActivationFinder(const Graph& linked, const Site& down) : down_(down), graph_(linked), structure_(graph_) {}

  Graph find() {
    const ValueId key = structure_.seen_through(graph_.require(down_.key));
    const Node* product = graph_.producer(key);
    ValueId end = key;
    if (product != nullptr && product->domain.empty() && product->op == "Mul" && is_gated(*product))
      end = product->inputs[gate_of(*product)];
    walk(end);
    if (starts_.size() != 1 || nodes_.empty())
      throw user_error(
          "site '{}' does not read the activation of one linear layer ({} values lead to it over {} nodes); choose the "
          "down-projection of an MLP",
          down_.name, starts_.size(), nodes_.size());
    return copy(*starts_.begin(), end);
  }

 private:
  bool is_start(ValueId id) const {
    const LinearLayer* layer = structure_.linear_at(id);
    if (layer != nullptr && layer->output == id) return true;
    const Node* node = graph_.producer(id);
    return node == nullptr || node->op == "Split" || node->op == "Slice" || node->op == "Gather";
  }
  bool starts_at(ValueId id) const { return is_start(id) || is_start(structure_.seen_through(id)); }

  // A product of two factors that come from different places: x * sigmoid(x) is an activation itself.
  bool is_gated(const Node& product) const {
    const std::set<ValueId> a = sources(product.inputs[0]), b = sources(product.inputs[1]);
    return !a.empty() && !b.empty() && a != b;
  }
  // Without an up-projection that is multiplied as it is, the first factor is taken for the gate.
  std::size_t gate_of(const Node& product) const { return starts_at(product.inputs[0]) ? 1 : 0; }

  DType type_of(ValueId id) const { return float_type_of(graph_, graph_.value(id).name); }

  bool is_constant(ValueId id) const {
    const Value& value = graph_.value(id);
    return value.kind == ValueKind::kConstant || value.kind == ValueKind::kParameter;
  }

  std::set<ValueId> sources(ValueId end) const {
    std::set<ValueId> found, seen;
    std::vector<ValueId> pending{end};
    while (!pending.empty()) {
      const ValueId id = pending.back();
      pending.pop_back();
      if (id == kNoValue || is_constant(id) || !seen.insert(id).second) continue;
      if (is_start(id)) {
        found.insert(id);
        continue;
      }
      const Node* node = graph_.producer(id);
      pending.insert(pending.end(), node->inputs.begin(), node->inputs.end());
    }
    return found;
  }

  void walk(ValueId end) {
    starts_ = sources(end);
    std::vector<ValueId> pending{end};
    while (!pending.empty()) {
      const ValueId id = pending.back();
      pending.pop_back();
      if (id == kNoValue || is_constant(id) || starts_.contains(id)) continue;
      if (!nodes_.insert(graph_.value(id).producer).second) continue;
      const Node* node = graph_.producer(id);
      pending.insert(pending.end(), node->inputs.begin(), node->inputs.end());
    }
  }

  // A number that a node reads beside the activation's value; a vector would make the activation one of this layer
  // only.
  Tensor number(ValueId id, const Node& node) const {
    const Value& value = graph_.value(id);
    if (value.kind != ValueKind::kConstant || value.constant.numel() != 1)
      throw user_error("site '{}': the activation before it reads the tensor '{}' in {}, expected numbers only",
                       down_.name, value.name, node.text());
    return value.constant;
  }

  Graph copy(ValueId start, ValueId end) const {
    Graph result;
    result.name = "activation";
    std::map<ValueId, ValueId> made;
    made[start] = result.add_input("x", type_of(start));
    for (const std::int32_t index : nodes_) {  // in topological order
      Node node = graph_.nodes()[static_cast<std::size_t>(index)];
      if (!node.domain.empty())
        throw user_error("site '{}': the activation before it is {}, which is no standard operator", down_.name,
                         node.text());
      const std::vector<ValueId> outputs = node.outputs;
      for (ValueId& id : node.inputs)
        if (id != kNoValue) id = made.contains(id) ? made.at(id) : result.add_constant(number(id, node));
      node.outputs.clear();
      const auto added = result.add_node(std::move(node), std::vector<std::string>(outputs.size()));
      for (std::size_t i = 0; i < outputs.size(); ++i) made[outputs[i]] = added[i];
    }
    result.outputs = {made.at(end)};
    result.value(result.outputs[0]).dtype = type_of(end);
    return result;
  }

  const Site& down_;
  const Graph& graph_;
  GraphStructure structure_;
  std::set<ValueId> starts_;
  std::set<std::int32_t> nodes_;
};

}  // namespace

Graph find_activation(const Graph& linked, const Site& down) { return ActivationFinder(linked, down).find(); }

ValueId write_activation(const Graph& activation, ValueId x, const ActivationWriter& writer) {
  std::map<ValueId, ValueId> made{{activation.inputs.at(0), x}};
  for (const Node& node : activation.nodes()) {
    std::vector<ValueId> inputs;
    for (const ValueId id : node.inputs) {
      if (id != kNoValue && !made.contains(id)) made[id] = writer.constant(activation.value(id).constant);
      inputs.push_back(id == kNoValue ? kNoValue : made.at(id));
    }
    const std::vector<ValueId> outputs = writer.node(node, std::move(inputs));
    for (std::size_t i = 0; i < outputs.size(); ++i) made[node.outputs[i]] = outputs[i];
  }
  return made.at(activation.outputs.at(0));
}

ValueId append_activation(GraphBuilder& builder, const Graph& activation, ValueId x) {
  const DType type = activation.value(activation.inputs.at(0)).dtype;
  const ActivationWriter writer{
      .constant = [&](const Tensor& constant) { return builder.constant(constant); },
      .node =
          [&](const Node& node, std::vector<ValueId> inputs) {
            Node copy = node;
            copy.inputs = std::move(inputs);
            copy.outputs.clear();
            return builder.graph().add_node(std::move(copy), std::vector<std::string>(node.outputs.size()));
          },
  };
  const DType end = activation.value(activation.outputs.at(0)).dtype;
  const ValueId y = write_activation(activation, type == DType::kF32 ? x : builder.cast(x, type), writer);
  return end == DType::kF32 ? y : builder.cast(y, DType::kF32);
}

}  // namespace retune
