#include "graph/specialize.h"

#include <algorithm>
#include <set>

#include "graph/evaluate.h"
#include "graph/infer.h"
#include "graph/op_registry.h"

namespace retune {

namespace {

// Shape arithmetic is tiny; a hostile graph must not make the planner compute large tensors.
constexpr std::int64_t kFoldLimit = 65536;

class Specializer {
 public:
  Specializer(const std::map<std::string, InputSpec>& inputs, ThreadPool& pool) : inputs_(inputs), pool_(pool) {}

  Graph run(const Graph& source, const std::vector<std::string>& outputs) {
    result_.name = source.name;
    std::vector<ValueId> roots;
    for (const std::string& name : outputs) roots.push_back(source.require(name));
    std::vector<ValueId> ids(source.values().size(), kNoValue);
    append(source, needed_nodes(source, roots), ids);
    for (const ValueId root : roots) result_.outputs.push_back(leaf_or(source, ids, root));
    return std::move(result_);
  }

 private:
  static std::vector<bool> needed_nodes(const Graph& source, const std::vector<ValueId>& roots) {
    std::vector<bool> needed(source.nodes().size(), false);
    std::vector<ValueId> pending = roots;
    while (!pending.empty()) {
      const ValueId id = pending.back();
      pending.pop_back();
      if (id == kNoValue) continue;
      const std::int32_t producer = source.value(id).producer;
      if (producer < 0 || needed[static_cast<std::size_t>(producer)]) continue;
      needed[static_cast<std::size_t>(producer)] = true;
      const Node& node = source.nodes()[static_cast<std::size_t>(producer)];
      pending.insert(pending.end(), node.inputs.begin(), node.inputs.end());
    }
    return needed;
  }

  void append(const Graph& source, const std::vector<bool>& needed, std::vector<ValueId>& ids) {
    for (std::size_t index = 0; index < source.nodes().size(); ++index) {
      if (!needed[index]) continue;
      const Node& node = source.nodes()[index];
      Node mapped = node;
      for (ValueId& id : mapped.inputs)
        if (id != kNoValue) id = leaf_or(source, ids, id);
      if (node.op == "If" && node.domain.empty())
        append_if(source, node, mapped, ids);
      else
        append_node(source, node, mapped, ids);
    }
  }

  // The result's value for a source value: inputs, parameters and constants are brought over when first met.
  ValueId leaf_or(const Graph& source, std::vector<ValueId>& ids, ValueId id) {
    ValueId& mapped = ids[static_cast<std::size_t>(id)];
    if (mapped != kNoValue) return mapped;
    const Value& value = source.value(id);
    switch (value.kind) {
      case ValueKind::kInput:
        mapped = bring_input(value);
        break;
      case ValueKind::kParameter:
        mapped = bring_parameter(value);
        break;
      case ValueKind::kConstant:
        mapped = result_.add_constant(value.constant, unused_name(value.name));
        break;
      case ValueKind::kComputed:
        throw std::logic_error("value '" + value.name + "' is read before it is computed");
    }
    return mapped;
  }

  // Two branches may hold an initializer of one name; the importer has seen to it that it is the same tensor.
  ValueId bring_parameter(const Value& value) {
    const ValueId known = result_.find(value.name);
    if (known != kNoValue && result_.value(known).kind == ValueKind::kParameter) return known;
    return result_.add_parameter(value.name, value.dtype, *value.shape, value.file, value.initializer);
  }

  ValueId bring_input(const Value& value) {
    const auto it = inputs_.find(value.name);
    if (it == inputs_.end()) throw user_error("input '{}' of graph '{}' was not given", value.name, result_.name);
    const InputSpec& spec = it->second;
    check_declared(value, spec.type);
    if (spec.pinned.defined()) return result_.add_constant(spec.pinned, value.name);
    const ValueId id = result_.add_input(value.name, spec.type.dtype);
    result_.value(id).shape = spec.type.shape;
    return id;
  }

  static void check_declared(const Value& value, const TypeShape& given) {
    if (value.dtype != DType::kUndefined && value.dtype != given.dtype)
      throw user_error("input '{}': expected type {}, got {}", value.name, dtype_name(value.dtype),
                       dtype_name(given.dtype));
    if (value.declared.empty()) return;
    bool fits = static_cast<int>(value.declared.size()) == given.shape.rank();
    for (int i = 0; fits && i < given.shape.rank(); ++i) {
      const Dim& dim = value.declared[static_cast<std::size_t>(i)];
      fits = dim.extent < 0 || dim.extent == given.shape[i];
    }
    if (fits) return;
    std::string expected;
    for (const Dim& dim : value.declared)
      expected += (expected.empty() ? "" : ", ") +
                  (dim.extent < 0 ? (dim.symbol.empty() ? "?" : dim.symbol) : std::to_string(dim.extent));
    throw user_error("input '{}': expected shape [{}], got {}", value.name, expected, given.shape.text());
  }

  // Branches of two nodes may use the same inner names: the second has none here.
  std::string unused_name(const std::string& name) const {
    return result_.find(name) == kNoValue ? name : std::string();
  }

  void append_node(const Graph& source, const Node& node, Node& mapped, std::vector<ValueId>& ids) {
    const Op& op = OpRegistry::standard().require(mapped);
    std::vector<InferContext::Result> results;
    try {
      if (op.body) return append_composite(source, node, mapped, op, ids);
      results = infer(result_, mapped, op);
    } catch (const NeedsValue& needs) {
      throw NeedsInput{inputs_behind(needs.value, mapped)};
    }
    if (fold(source, node, mapped, op, results, ids)) return;
    std::vector<std::string> names;
    for (const ValueId id : node.outputs)
      names.push_back(id == kNoValue ? std::string() : unused_name(source.value(id).name));
    const std::vector<ValueId> outputs = result_.add_node(mapped, names);
    for (std::size_t i = 0; i < outputs.size(); ++i) {
      if (node.outputs[i] == kNoValue) {
        result_.node(result_.nodes().size() - 1).outputs[i] = kNoValue;
        continue;
      }
      result_.value(outputs[i]).dtype = results[i].type.dtype;
      result_.value(outputs[i]).shape = results[i].type.shape;
      ids[static_cast<std::size_t>(node.outputs[i])] = outputs[i];
    }
  }

  bool fold(const Graph& source, const Node& node, const Node& mapped, const Op& op,
            const std::vector<InferContext::Result>& results, std::vector<ValueId>& ids) {
    std::vector<Tensor> values;
    if (std::all_of(results.begin(), results.end(), [](const auto& r) { return r.constant.has_value(); })) {
      for (const auto& result : results) values.push_back(*result.constant);
    } else {
      std::int64_t elements = 0;
      for (const auto& result : results) elements = std::max(elements, result.type.shape.numel());
      if (elements > kFoldLimit) return false;
      std::vector<Tensor> inputs;
      for (const ValueId id : mapped.inputs) {
        if (id != kNoValue && result_.value(id).kind != ValueKind::kConstant) return false;
        inputs.push_back(id == kNoValue ? Tensor() : result_.value(id).constant);
      }
      std::vector<TypeShape> types;
      for (const auto& result : results) types.push_back(result.type);
      values = evaluate(mapped, op, inputs, types, pool_,
                        [](DType dtype, const Shape& shape) { return Tensor::empty(dtype, shape); });
    }
    for (std::size_t i = 0; i < values.size(); ++i)
      if (node.outputs[i] != kNoValue)
        ids[static_cast<std::size_t>(node.outputs[i])] =
            result_.add_constant(values[i], unused_name(source.value(node.outputs[i]).name));
    return true;
  }

  // Inputs of an If: the condition, then what its branches capture, in the order of then_branch.captured,
  // else_branch.captured.
  void append_if(const Graph& source, const Node& node, const Node& mapped, std::vector<ValueId>& ids) {
    const Value& condition = result_.value(mapped.inputs[0]);
    if (condition.kind != ValueKind::kConstant) throw NeedsInput{inputs_behind(mapped.inputs[0], mapped)};
    const auto then_branch = mapped.attributes.graph("then_branch");
    const auto else_branch = mapped.attributes.graph("else_branch");
    if (!then_branch || !else_branch) throw user_error("{}: a branch is missing", mapped.text());
    const bool taken = condition.constant.numel() == 1 && condition.constant.cast(DType::kBool).data<bool>()[0];
    const Graph& branch = taken ? *then_branch : *else_branch;
    if (branch.outputs.size() < node.outputs.size())
      throw user_error("{}: the branch has too few outputs", mapped.text());
    std::vector<ValueId> inner(branch.values().size(), kNoValue);
    const std::size_t offset = 1 + (taken ? 0 : then_branch->captured.size());
    for (std::size_t i = 0; i < branch.captured.size(); ++i)
      inner[static_cast<std::size_t>(branch.find(branch.captured[i]))] = mapped.inputs.at(offset + i);
    append_body(source, node, branch, inner, ids);
  }

  void append_composite(const Graph& source, const Node& node, const Node& mapped, const Op& op,
                        std::vector<ValueId>& ids) {
    Graph body = body_of(result_, mapped, op);
    for (std::size_t i = 0; i < body.nodes().size(); ++i) {
      // Messages name the node that the user knows.
      body.node(i).name = mapped.name;
      body.node(i).file = mapped.file;
    }
    std::vector<ValueId> inner(body.values().size(), kNoValue);
    for (const ValueId input : body.inputs)
      inner[static_cast<std::size_t>(input)] = mapped.inputs.at(std::stoul(body.value(input).name));
    append_body(source, node, body, inner, ids);
  }

  // The body's nodes in the place of `node`; `inner` says which values its inputs are.
  void append_body(const Graph& source, const Node& node, const Graph& body, std::vector<ValueId>& inner,
                   std::vector<ValueId>& ids) {
    append(body, needed_nodes(body, body.outputs), inner);
    for (std::size_t i = 0; i < node.outputs.size(); ++i) {
      if (node.outputs[i] == kNoValue) continue;
      const ValueId made = leaf_or(body, inner, body.outputs[i]);
      ids[static_cast<std::size_t>(node.outputs[i])] = named(made, source.value(node.outputs[i]).name, i, body);
    }
  }

  // The body's output under the node's own output name; a value that came from outside keeps its name and is passed on
  // by Identity.
  ValueId named(ValueId made, const std::string& name, std::size_t output, const Graph& body) {
    const bool computed_inside =
        result_.value(made).kind == ValueKind::kComputed && body.producer(body.outputs[output]) != nullptr;
    if (computed_inside) {
      result_.rename(made, name);
      return made;
    }
    const Value origin = result_.value(made);
    const ValueId copy = result_.add_node({.op = "Identity", .inputs = {made}}, {name})[0];
    result_.value(copy).dtype = origin.dtype;
    result_.value(copy).shape = origin.shape;
    return copy;
  }

  std::vector<std::string> inputs_behind(ValueId id, const Node& node) const {
    std::set<std::string> names;
    std::set<ValueId> seen;
    std::vector<ValueId> pending{id};
    while (!pending.empty()) {
      const ValueId next = pending.back();
      pending.pop_back();
      if (next == kNoValue || !seen.insert(next).second) continue;
      const Value& value = result_.value(next);
      if (value.kind == ValueKind::kInput) names.insert(value.name);
      if (value.kind == ValueKind::kParameter)
        throw user_error("{}: a shape depends on the values of parameter '{}'; this is not supported", node.text(),
                         value.name);
      if (const Node* producer = result_.producer(next))
        pending.insert(pending.end(), producer->inputs.begin(), producer->inputs.end());
    }
    return {names.begin(), names.end()};
  }

  const std::map<std::string, InputSpec>& inputs_;
  ThreadPool& pool_;
  Graph result_;
};

}  // namespace

Graph specialize(const Graph& graph, const std::map<std::string, InputSpec>& inputs,
                 const std::vector<std::string>& outputs, ThreadPool& pool) {
  return Specializer(inputs, pool).run(graph, outputs);
}

}  // namespace retune
