#include "graph/graph.h"

#include <algorithm>

#include "tensor/error.h"
#include "tensor/nearest_word.h"
#include "weights/external_data.h"

namespace retune {

namespace {

template <class T>
const T* typed(const std::map<std::string, AttributeValue, std::less<>>& items, std::string_view name,
               const char* expected) {
  const auto it = items.find(name);
  if (it == items.end()) return nullptr;
  if (const T* value = std::get_if<T>(&it->second)) return value;
  throw user_error("attribute '{}' has the wrong type: expected {}", name, expected);
}

void hash_tensor(Hasher& hasher, const Tensor& tensor) {
  hasher.add(static_cast<std::int64_t>(tensor.dtype()));
  for (const std::int64_t extent : tensor.shape()) hasher.add(extent);
  hasher.add(static_cast<std::int64_t>(tensor.bytes())).raw({tensor.raw(), tensor.bytes()});
}

struct HashAttribute {
  Hasher& hasher;
  void operator()(std::int64_t v) const { hasher.add("i").add(v); }
  void operator()(double v) const { hasher.add("f").add(std::bit_cast<std::int64_t>(v)); }
  void operator()(const std::string& v) const { hasher.add("s").add(v); }
  void operator()(const std::vector<std::int64_t>& v) const {
    hasher.add("I").add(static_cast<std::int64_t>(v.size()));
    for (const std::int64_t x : v) hasher.add(x);
  }
  void operator()(const std::vector<double>& v) const {
    hasher.add("F").add(static_cast<std::int64_t>(v.size()));
    for (const double x : v) hasher.add(std::bit_cast<std::int64_t>(x));
  }
  void operator()(const std::vector<std::string>& v) const {
    hasher.add("S").add(static_cast<std::int64_t>(v.size()));
    for (const std::string& x : v) hasher.add(x);
  }
  void operator()(const Tensor& v) const { hash_tensor(hasher.add("t"), v); }
  void operator()(const std::shared_ptr<const Graph>& v) const { hasher.add("g").add(v->structure_hash()); }
};

}  // namespace

std::int64_t Attributes::i(std::string_view name, std::int64_t fallback) const {
  const auto* value = typed<std::int64_t>(items_, name, "an integer");
  return value ? *value : fallback;
}

double Attributes::f(std::string_view name, double fallback) const {
  const auto* value = typed<double>(items_, name, "a float");
  return value ? *value : fallback;
}

std::string Attributes::s(std::string_view name, std::string_view fallback) const {
  const auto* value = typed<std::string>(items_, name, "a string");
  return value ? *value : std::string(fallback);
}

std::vector<std::int64_t> Attributes::ints(std::string_view name, std::vector<std::int64_t> fallback) const {
  const auto* value = typed<std::vector<std::int64_t>>(items_, name, "integers");
  return value ? *value : std::move(fallback);
}

std::vector<double> Attributes::floats(std::string_view name, std::vector<double> fallback) const {
  const auto* value = typed<std::vector<double>>(items_, name, "floats");
  return value ? *value : std::move(fallback);
}

std::optional<Tensor> Attributes::tensor(std::string_view name) const {
  const auto* value = typed<Tensor>(items_, name, "a tensor");
  return value ? std::optional<Tensor>(*value) : std::nullopt;
}

std::shared_ptr<const Graph> Attributes::graph(std::string_view name) const {
  const auto* value = typed<std::shared_ptr<const Graph>>(items_, name, "a graph");
  return value ? *value : nullptr;
}

std::string Node::text() const {
  constexpr std::size_t kShown = 200;  // bytes of a name
  std::string result = printable(domain.empty() ? op : domain + "." + op);
  result += " node";
  if (!name.empty()) result += " '" + printable(name, kShown) + "'";
  if (!file.empty()) result += " in " + file;
  return result;
}

ValueId Graph::add_value(Value value) {
  const auto id = static_cast<ValueId>(values_.size());
  if (!value.name.empty() && !by_name_.emplace(value.name, id).second)
    throw user_error("two values are named '{}' in graph '{}': every value may be produced once", value.name, name);
  values_.push_back(std::move(value));
  return id;
}

ValueId Graph::add_input(std::string value_name, DType dtype, std::vector<Dim> declared) {
  Value value;
  value.name = std::move(value_name);
  value.kind = ValueKind::kInput;
  value.dtype = dtype;
  value.declared = std::move(declared);
  const bool concrete =
      std::all_of(value.declared.begin(), value.declared.end(), [](const Dim& d) { return d.extent >= 0; });
  if (concrete && !value.declared.empty()) {
    std::vector<std::int64_t> extents;
    for (const Dim& dim : value.declared) extents.push_back(dim.extent);
    value.shape = Shape(std::move(extents));
  }
  const ValueId id = add_value(std::move(value));
  inputs.push_back(id);
  return id;
}

ValueId Graph::add_parameter(std::string value_name, DType dtype, Shape shape, std::string file,
                             std::string initializer) {
  Value value;
  value.name = std::move(value_name);
  value.kind = ValueKind::kParameter;
  value.dtype = dtype;
  value.shape = std::move(shape);
  value.file = std::move(file);
  value.initializer = std::move(initializer);
  return add_value(std::move(value));
}

ValueId Graph::add_constant(Tensor tensor, std::string value_name) {
  Value value;
  value.name = std::move(value_name);
  value.kind = ValueKind::kConstant;
  value.dtype = tensor.dtype();
  value.shape = tensor.shape();
  value.constant = std::move(tensor);
  return add_value(std::move(value));
}

std::vector<ValueId> Graph::add_node(Node node, const std::vector<std::string>& output_names) {
  node.outputs.clear();
  for (const std::string& output : output_names) {
    Value value;
    value.name = output;
    value.producer = static_cast<std::int32_t>(nodes_.size());
    node.outputs.push_back(add_value(std::move(value)));
  }
  nodes_.push_back(std::move(node));
  return nodes_.back().outputs;
}

void Graph::replace_node(std::size_t index, Node node, int extra_outputs) {
  for (int i = 0; i < extra_outputs; ++i) {
    Value value;
    value.producer = static_cast<std::int32_t>(index);
    node.outputs.push_back(add_value(std::move(value)));
  }
  nodes_[index] = std::move(node);
}

void Graph::cut_back(std::size_t value_count, std::size_t node_count) {
  for (std::size_t i = value_count; i < values_.size(); ++i)
    if (!values_[i].name.empty()) by_name_.erase(values_[i].name);
  values_.resize(value_count);
  nodes_.resize(node_count);
  std::erase_if(inputs, [&](ValueId id) { return static_cast<std::size_t>(id) >= value_count; });
}

void Graph::rename(ValueId id, std::string value_name) {
  Value& target = value(id);
  if (target.name == value_name) return;
  if (!value_name.empty() && !by_name_.emplace(value_name, id).second)
    throw user_error("two values are named '{}' in graph '{}': every value may be produced once", value_name, name);
  if (!target.name.empty()) by_name_.erase(target.name);
  target.name = std::move(value_name);
}

const Node* Graph::producer(ValueId id) const {
  const std::int32_t index = value(id).producer;
  return index < 0 ? nullptr : &nodes_[static_cast<std::size_t>(index)];
}

ValueId Graph::find(std::string_view value_name) const {
  const auto it = by_name_.find(std::string(value_name));
  return it == by_name_.end() ? kNoValue : it->second;
}

ValueId Graph::require(std::string_view value_name) const {
  const ValueId id = find(value_name);
  if (id != kNoValue) return id;
  std::vector<std::string> candidates;
  for (const auto& [candidate, unused] : by_name_)
    if (candidate.size() < 256) candidates.push_back(candidate);
  std::sort(candidates.begin(), candidates.end());
  throw user_error("no value is named '{}' in graph '{}'; the nearest are {}", value_name, name,
                   nearest_words(value_name, candidates));
}

std::vector<std::vector<std::int32_t>> Graph::consumers() const {
  std::vector<std::vector<std::int32_t>> result(values_.size());
  for (std::size_t index = 0; index < nodes_.size(); ++index) {
    for (const ValueId input : nodes_[index].inputs) {
      if (input == kNoValue) continue;
      auto& readers = result[static_cast<std::size_t>(input)];
      if (readers.empty() || readers.back() != static_cast<std::int32_t>(index))
        readers.push_back(static_cast<std::int32_t>(index));
    }
  }
  return result;
}

ContentHash Graph::structure_hash() const {
  Hasher hasher;
  for (const Value& v : values_) {
    hasher.add(static_cast<std::int64_t>(v.kind));
    if (v.kind == ValueKind::kComputed) continue;
    hasher.add(static_cast<std::int64_t>(v.dtype));
    if (v.kind == ValueKind::kConstant)
      hash_tensor(hasher, v.constant);
    else
      hasher.add(v.name);
  }
  for (const Node& node : nodes_) {
    hasher.add(node.domain).add(node.op).add(std::int64_t{node.version});
    for (const ValueId id : node.inputs) hasher.add(std::int64_t{id});
    hasher.add(static_cast<std::int64_t>(node.outputs.size()));
    for (const auto& [attribute, content] : node.attributes.items()) {
      hasher.add(attribute);
      std::visit(HashAttribute{hasher}, content);
    }
  }
  for (const ValueId id : outputs) hasher.add(std::int64_t{id}).add(value(id).name);
  return hasher.finish();
}

}  // namespace retune
