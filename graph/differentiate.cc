#include "graph/differentiate.h"

#include <algorithm>

#include "graph/graph_builder.h"
#include "graph/op.h"
#include "graph/op_registry.h"

namespace retune {

namespace {

// Which values depend on one of `roots`.
std::vector<bool> reached_from(const Graph& graph, const std::vector<ValueId>& roots) {
  std::vector<bool> reached(graph.values().size(), false);
  for (const ValueId root : roots) reached[static_cast<std::size_t>(root)] = true;
  for (const Node& node : graph.nodes()) {
    const bool any = std::any_of(node.inputs.begin(), node.inputs.end(),
                                 [&](ValueId id) { return id != kNoValue && reached[static_cast<std::size_t>(id)]; });
    if (!any) continue;
    for (const ValueId id : node.outputs)
      if (id != kNoValue) reached[static_cast<std::size_t>(id)] = true;
  }
  return reached;
}

ValueId ones_like(GraphBuilder& builder, ValueId id) {
  return builder.op("ConstantOfShape", {builder.ints(builder.shape(id).extents())},
                    {{"value", Tensor::scalar<double>(1).cast(builder.dtype(id)).reshaped(Shape{1})}});
}

bool depends_on_any(const std::vector<bool>& depends, const Node& node) {
  return std::any_of(node.inputs.begin(), node.inputs.end(),
                     [&](ValueId id) { return id != kNoValue && depends[static_cast<std::size_t>(id)]; });
}

// Integers that a gradient was asked for: what reads them has a cotangent, and they depend on what it is taken with
// respect to. Most have the slope zero; those that an operator computed in place of floats are an error.
class ReachedIntegers {
 public:
  explicit ReachedIntegers(const Graph& graph) : marked_(graph.values().size(), false) {}

  // `node` is reached, itself or through its integer outputs.
  void reach(const Graph& graph, const Node& node, const std::vector<bool>& depends) {
    for (const ValueId id : node.inputs)
      if (id != kNoValue && depends[static_cast<std::size_t>(id)] && !is_float(graph.value(id).dtype))
        marked_[static_cast<std::size_t>(id)] = true;
  }
  bool among(const std::vector<ValueId>& outputs) const {
    return std::any_of(outputs.begin(), outputs.end(), [&](ValueId id) {
      return id != kNoValue && static_cast<std::size_t>(id) < marked_.size() && marked_[static_cast<std::size_t>(id)];
    });
  }

 private:
  std::vector<bool> marked_;
};

[[noreturn]] void refuse(const Node& node, const Op& op) {
  throw user_error("{} has no gradient: {}", node.text(), op.no_vjp.empty() ? "forward only" : op.no_vjp);
}

void check_gradient(const GraphBuilder& builder, const Node& node, ValueId input, ValueId gradient) {
  if (!(builder.shape(input) == builder.shape(gradient)))
    throw std::logic_error(fmt::format("{}: the gradient has shape {}, its input {}", node.text(),
                                       builder.shape(gradient).text(), builder.shape(input).text()));
}

}  // namespace

std::vector<ValueId> differentiate(Graph& graph, ValueId loss, const std::vector<ValueId>& wrt) {
  if (!is_float(graph.value(loss).dtype))
    throw user_error("cannot differentiate '{}': it is of type {}, not a float", graph.value(loss).name,
                     dtype_name(graph.value(loss).dtype));
  if (!reached_from(graph, wrt)[static_cast<std::size_t>(loss)]) return std::vector<ValueId>(wrt.size(), kNoValue);
  GraphBuilder builder(graph);
  return pull_back(graph, {{loss, ones_like(builder, loss)}}, wrt);
}

std::vector<ValueId> pull_back(Graph& graph, const std::vector<std::pair<ValueId, ValueId>>& seeds,
                               const std::vector<ValueId>& wrt) {
  const std::vector<bool> depends = reached_from(graph, wrt);
  std::vector<ValueId> cotangents(graph.values().size(), kNoValue);
  const std::size_t forward_nodes = graph.nodes().size();
  GraphBuilder builder(graph);
  for (const auto& [value, cotangent] : seeds) {
    ValueId& total = cotangents[static_cast<std::size_t>(value)];
    if (depends[static_cast<std::size_t>(value)]) total = total == kNoValue ? cotangent : builder.add(total, cotangent);
  }

  ReachedIntegers integers(graph);
  for (std::size_t index = forward_nodes; index-- > 0;) {
    const Node node = graph.nodes()[index];  // a copy: the builder grows the list
    std::vector<ValueId> incoming;
    for (const ValueId id : node.outputs)
      incoming.push_back(id == kNoValue ? kNoValue : cotangents[static_cast<std::size_t>(id)]);
    const bool is_reached = std::any_of(incoming.begin(), incoming.end(), [](ValueId id) { return id != kNoValue; });
    if (is_reached || integers.among(node.outputs)) {
      if (const Op& op = OpRegistry::standard().require(node); op.refuses_gradient && depends_on_any(depends, node))
        refuse(node, op);
      integers.reach(graph, node, depends);
    }
    if (!is_reached) continue;
    std::vector<bool> wanted;
    for (const ValueId id : node.inputs)
      wanted.push_back(id != kNoValue && depends[static_cast<std::size_t>(id)] && is_float(graph.value(id).dtype));
    if (std::none_of(wanted.begin(), wanted.end(), [](bool w) { return w; })) continue;
    const Op& op = OpRegistry::standard().require(node);
    if (op.vjp == nullptr) refuse(node, op);
    VjpContext context(builder, node, incoming, wanted);
    op.vjp(context);
    for (std::size_t i = 0; i < node.inputs.size(); ++i) {
      const ValueId gradient = context.gradients()[i];
      if (!wanted[i] || gradient == kNoValue) continue;
      check_gradient(builder, node, node.inputs[i], gradient);
      ValueId& total = cotangents[static_cast<std::size_t>(node.inputs[i])];
      total = total == kNoValue ? gradient : builder.add(total, gradient);
    }
  }
  std::vector<ValueId> result;
  for (const ValueId id : wrt) result.push_back(cotangents[static_cast<std::size_t>(id)]);
  return result;
}

}  // namespace retune
