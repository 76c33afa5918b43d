#include "graph/specialize.h"

#include <algorithm>

#include "graph/evaluate.h"
#include "graph/op_registry.h"
#include "graph/specializer.h"

namespace retune {

namespace {

// Shape arithmetic is tiny; a hostile graph must not make the planner compute large tensors.
constexpr std::int64_t kFoldLimit = 65536;
// Nor many of them, trip after trip.
constexpr std::int64_t kFoldLimitOfBodies = std::int64_t{1} << 24;

void check_declared(const Value& value, const TypeShape& given) {
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

}  // namespace

Graph Specializer::run(const Graph& source, const std::vector<std::string>& outputs) {
  root_ = &source;
  result_.name = source.name;
  std::vector<ValueId> roots;
  for (const std::string& name : outputs) roots.push_back(source.require(name));
  Ids ids(source.values().size(), kNoValue);
  append(source, needed_nodes(source, roots), ids);
  for (const ValueId root : roots) {
    result_.outputs.push_back(leaf_or(source, ids, root));
    if (is_list(result_.outputs.back()))
      throw user_error("output '{}' is a sequence, which is not supported", source.value(root).name);
  }
  return std::move(result_);
}

std::vector<bool> Specializer::needed_nodes(const Graph& source, const std::vector<ValueId>& roots) {
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

void Specializer::append(const Graph& source, const std::vector<bool>& needed, Ids& ids) {
  for (std::size_t index = 0; index < source.nodes().size(); ++index) {
    if (!needed[index]) continue;
    if (unrolling_ > 0 || outer_ != nullptr) ++budget_.visited;
    const Node& node = source.nodes()[index];
    Node mapped = node;
    for (ValueId& id : mapped.inputs)
      if (id != kNoValue) id = leaf_or(source, ids, id);
    if (append_list(source, node, mapped, ids) || append_control(source, node, mapped, ids)) continue;
    require_tensors(mapped);
    append_node(source, node, mapped, ids);
  }
}

// The result's value for a source value: inputs, parameters and constants are brought over when first met.
ValueId Specializer::leaf_or(const Graph& source, Ids& ids, ValueId id) {
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
ValueId Specializer::bring_parameter(const Value& value) {
  if (outer_ != nullptr) return capture(outer_->bring_parameter(value));
  const ValueId known = result_.find(value.name);
  if (known != kNoValue && result_.value(known).kind == ValueKind::kParameter) return known;
  return result_.add_parameter(value.name, value.dtype, *value.shape, value.file, value.initializer);
}

ValueId Specializer::bring_input(const Value& value) {
  if (outer_ != nullptr) return capture(outer_->bring_input(value));
  const auto it = inputs_.find(value.name);
  if (it == inputs_.end()) throw user_error("input '{}' of graph '{}' was not given", value.name, result_.name);
  const InputSpec& spec = it->second;
  check_declared(value, spec.type);
  if (spec.pinned.defined()) return result_.add_constant(spec.pinned, value.name);
  const ValueId id = result_.add_input(value.name, spec.type.dtype);
  result_.value(id).shape = spec.type.shape;
  return id;
}

// Bodies of two nodes, and the trips of a loop, use the same inner names: the second has none here. What the graph
// itself calls by a name keeps it.
std::string Specializer::unused_name(const std::string& name) const {
  if (outer_ != nullptr) return {};  // nobody can ask for it
  const bool taken = result_.find(name) != kNoValue || (depth_ > 0 && root_->find(name) != kNoValue);
  return taken ? std::string() : name;
}

void Specializer::append_node(const Graph& source, const Node& node, const Node& mapped, Ids& ids) {
  const Op& op = OpRegistry::standard().require(mapped);
  std::vector<ValueId> outputs;
  try {
    if (op.body) return append_composite(source, node, mapped, op, ids);
    std::vector<std::string> names;
    for (const ValueId id : node.outputs)
      names.push_back(id == kNoValue ? std::string() : unused_name(source.value(id).name));
    outputs = place(mapped, names);
  } catch (const NeedsValue& needs) {
    throw NeedsInput{inputs_behind(needs.value, mapped)};
  }
  for (std::size_t i = 0; i < outputs.size(); ++i)
    if (node.outputs[i] != kNoValue) ids[static_cast<std::size_t>(node.outputs[i])] = outputs[i];
}

std::vector<ValueId> Specializer::place(const Node& mapped, const std::vector<std::string>& names) {
  const Op& op = OpRegistry::standard().require(mapped);
  const std::vector<InferContext::Result> results = infer(result_, mapped, op);
  std::vector<ValueId> outputs;
  if (const auto values = fold(mapped, op, results)) {
    for (std::size_t i = 0; i < values->size(); ++i)
      outputs.push_back(mapped.outputs[i] == kNoValue ? kNoValue : result_.add_constant((*values)[i], names[i]));
    return outputs;
  }
  outputs = result_.add_node(mapped, names);
  for (std::size_t i = 0; i < outputs.size(); ++i) {
    if (mapped.outputs[i] == kNoValue) {
      result_.node(result_.nodes().size() - 1).outputs[i] = kNoValue;
      continue;
    }
    result_.value(outputs[i]).dtype = results[i].type.dtype;
    result_.value(outputs[i]).shape = results[i].type.shape;
  }
  return outputs;
}

std::optional<std::vector<Tensor>> Specializer::fold(const Node& mapped, const Op& op,
                                                     const std::vector<InferContext::Result>& results) {
  std::vector<Tensor> values;
  if (std::all_of(results.begin(), results.end(), [](const auto& r) { return r.constant.has_value(); })) {
    for (const auto& result : results) values.push_back(*result.constant);
    return values;
  }
  // What runs bodies runs at run time: a planner must not wait for it.
  if (mapped.attributes.has("body") || mapped.attributes.has("then_branch")) return std::nullopt;
  std::int64_t elements = 0;
  for (const auto& result : results) elements = std::max(elements, result.type.shape.numel());
  if (elements > kFoldLimit) return std::nullopt;
  std::vector<Tensor> inputs;
  for (const ValueId id : mapped.inputs) {
    if (id != kNoValue && result_.value(id).kind != ValueKind::kConstant) return std::nullopt;
    inputs.push_back(id == kNoValue ? Tensor() : result_.value(id).constant);
  }
  if (unrolling_ > 0 || outer_ != nullptr) {
    if (budget_.folded > kFoldLimitOfBodies) return std::nullopt;
    budget_.folded += elements;
  }
  std::vector<TypeShape> types;
  for (const auto& result : results) types.push_back(result.type);
  return evaluate(mapped, op, inputs, types, pool_,
                  [](DType dtype, const Shape& shape) { return Tensor::empty(dtype, shape); });
}

void Specializer::append_composite(const Graph& source, const Node& node, const Node& mapped, const Op& op, Ids& ids) {
  Graph body = body_of(result_, mapped, op);
  for (std::size_t i = 0; i < body.nodes().size(); ++i) {
    // Messages name the node that the user knows.
    body.node(i).name = mapped.name;
    body.node(i).file = mapped.file;
  }
  Ids inner(body.values().size(), kNoValue);
  for (const ValueId input : body.inputs)
    inner[static_cast<std::size_t>(input)] = mapped.inputs.at(std::stoul(body.value(input).name));
  append_body(source, node, body, inner, ids);
}

Specializer::Origins Specializer::origins_of(ValueId id) const {
  Origins origins;
  std::set<ValueId> seen;
  std::vector<ValueId> pending{id};
  while (!pending.empty()) {
    const ValueId next = pending.back();
    pending.pop_back();
    if (next == kNoValue || !seen.insert(next).second) continue;
    const Value& value = result_.value(next);
    if (value.kind == ValueKind::kParameter) origins.parameter = value.name;
    if (value.kind == ValueKind::kInput && outer_ != nullptr) {
      const auto from =
          std::find_if(captured_.begin(), captured_.end(), [&](const auto& c) { return c.second == next; });
      Origins outer{.carried = true};
      if (from != captured_.end()) outer = outer_->origins_of(from->first);
      origins.inputs.merge(outer.inputs);
      origins.floats = origins.floats || outer.floats;
      origins.carried = origins.carried || outer.carried;
      if (!outer.parameter.empty()) origins.parameter = outer.parameter;
    } else if (value.kind == ValueKind::kInput) {
      origins.inputs.insert(value.name);
      origins.floats = origins.floats || is_float(value.dtype);
    }
    if (const Node* producer = result_.producer(next))
      pending.insert(pending.end(), producer->inputs.begin(), producer->inputs.end());
  }
  return origins;
}

Specializer::Reach Specializer::reach_of_leaf(ValueId id) {
  const Value& value = result_.value(id);
  if (value.kind == ValueKind::kConstant) return Reach::kConstants;
  if (value.kind == ValueKind::kParameter) return Reach::kBeyond;
  if (outer_ == nullptr) return is_float(value.dtype) ? Reach::kBeyond : Reach::kInputs;
  const auto from = std::find_if(captured_.begin(), captured_.end(), [&](const auto& c) { return c.second == id; });
  return from == captured_.end() ? Reach::kBeyond : outer_->reach_of(from->first);
}

Specializer::Reach Specializer::reach_of(ValueId id) {
  while (reach_.size() <= static_cast<std::size_t>(id)) {
    const auto next = static_cast<ValueId>(reach_.size());
    const Node* producer = result_.producer(next);
    Reach reach = producer == nullptr ? reach_of_leaf(next) : Reach::kConstants;
    if (producer != nullptr)
      for (const ValueId input : producer->inputs)
        if (input != kNoValue) reach = std::max(reach, reach_[static_cast<std::size_t>(input)]);
    reach_.push_back(reach);
  }
  return reach_[static_cast<std::size_t>(id)];
}

void Specializer::ask_for(const std::set<std::string>& inputs) { throw NeedsInput{{inputs.begin(), inputs.end()}}; }

std::vector<std::string> Specializer::inputs_behind(ValueId id, const Node& node) const {
  const Origins origins = origins_of(id);
  if (!origins.parameter.empty())
    throw user_error("{}: a shape depends on the values of parameter '{}'; this is not supported", node.text(),
                     origins.parameter);
  if (origins.carried)
    throw user_error("{}: a shape depends on what changes from trip to trip of a loop; this is not supported",
                     node.text());
  return {origins.inputs.begin(), origins.inputs.end()};
}

Graph specialize(const Graph& graph, const std::map<std::string, InputSpec>& inputs,
                 const std::vector<std::string>& outputs, ThreadPool& pool) {
  return Specializer(inputs, pool).run(graph, outputs);
}

}  // namespace retune
