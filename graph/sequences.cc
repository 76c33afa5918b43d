// Sequences and optional values, which exist while planning only: a sequence is a list of values whose length is known,
// an optional value a list of one or none. What makes them, reads them, measures them and joins them is resolved here,
// so that the graph that is run knows tensors alone, and gradients go through the elements.
//
//   SequenceConstruct SequenceEmpty SequenceInsert SequenceErase SequenceAt SequenceLength SplitToSequence
//   ConcatFromSequence SequenceMap, Optional OptionalHasElement OptionalGetElement, and Identity of lists
//
// Positions and lengths of splits must be known while planning. If with a known condition and loops that are unrolled
// pass lists on; a body that runs late, and the graph's own inputs and outputs, do not.
#include <algorithm>
#include <array>

#include "graph/specializer.h"
#include "tensor/error.h"

namespace retune {

namespace {

constexpr const char *kYes = "yes", *kCount = "its output is a count", *kTruth = "its output is a truth value";
constexpr std::array<ListOperator, 12> kListOperators{{{"ConcatFromSequence", 11, kYes},
                                                       {"Optional", 15, kYes},
                                                       {"OptionalGetElement", 15, kYes},
                                                       {"OptionalHasElement", 15, kTruth},
                                                       {"SequenceAt", 11, kYes},
                                                       {"SequenceConstruct", 11, kYes},
                                                       {"SequenceEmpty", 11, kYes},
                                                       {"SequenceErase", 11, kYes},
                                                       {"SequenceInsert", 11, kYes},
                                                       {"SequenceLength", 11, kCount},
                                                       {"SequenceMap", 17, kYes},
                                                       {"SplitToSequence", 11, kYes}}};

}  // namespace

std::span<const ListOperator> list_operators() { return kListOperators; }

bool is_list_operator(const Node& node) {
  return node.domain.empty() && std::any_of(kListOperators.begin(), kListOperators.end(),
                                            [&](const ListOperator& op) { return op.name == node.op; });
}

// Lists are numbered from below kNoValue.
bool Specializer::is_list(ValueId id) { return id < kNoValue; }

ValueId Specializer::add_list(std::vector<ValueId> elements, bool optional) {
  lists_.push_back({std::move(elements), optional});
  return kNoValue - static_cast<ValueId>(lists_.size());
}

const Specializer::List& Specializer::list(const Node& node, std::size_t input) const {
  if (input >= node.inputs.size() || !is_list(node.inputs[input]))
    throw user_error("{}: input {} is not a sequence", node.text(), input);
  return lists_[static_cast<std::size_t>(kNoValue - node.inputs[input] - 1)];
}

void Specializer::require_tensors(const Node& node) {
  if (std::any_of(node.inputs.begin(), node.inputs.end(), is_list))
    throw user_error("{}: a sequence as its input is not supported", node.text());
}

// Input `input` as a position among `count`, negative ones counted from the end; `fallback` where it is absent.
std::int64_t Specializer::list_position(const Node& node, std::size_t input, std::int64_t count,
                                        std::int64_t fallback) {
  if (input >= node.inputs.size() || node.inputs[input] == kNoValue) return fallback;
  if (is_list(node.inputs[input])) throw user_error("{}: the position is a sequence", node.text());
  const auto known = steering(node.inputs[input]);
  if (!known)
    throw user_error("{}: a position in a sequence that is known only at run time is not supported", node.text());
  const std::int64_t at = single_integer(*known, node, "the position");
  return at < 0 ? at + count : at;
}

// inputs tensor, split? (a length, or one for each part).
ValueId Specializer::split_to_list(const Node& node) {
  require_tensors(node);
  const ValueId whole = node.inputs.at(0);
  const Shape shape = *result_.value(whole).shape;
  const int axis = normalize_axis(node.attributes.i("axis", 0), shape.rank());
  if (node.inputs.size() < 2 || node.inputs[1] == kNoValue) {
    std::vector<ValueId> slices = split_along(node, whole, axis);
    if (node.attributes.i("keepdims", 1) == 0) return add_list(std::move(slices), false);
    std::vector<std::int64_t> extents = shape.extents();
    extents[static_cast<std::size_t>(axis)] = 1;
    for (ValueId& slice : slices) slice = reshaped(node, slice, Shape(extents));
    return add_list(std::move(slices), false);
  }
  const auto lengths = steering(node.inputs[1]);
  if (!lengths) throw user_error("{}: a split that is known only at run time is not supported", node.text());
  std::vector<std::int64_t> parts = lengths->to_i64();
  if (lengths->shape().rank() == 0) {
    const std::int64_t each = parts[0];
    if (each < 1) throw user_error("{}: parts of {} elements", node.text(), each);
    parts.clear();
    for (std::int64_t at = 0; at < shape[axis]; at += each) parts.push_back(std::min(each, shape[axis] - at));
  }
  if (parts.empty()) return add_list({}, false);
  Node split{.op = "Split",
             .name = node.name,
             .file = node.file,
             .inputs = {whole, result_.add_constant(Tensor::vector(parts))},
             .outputs = std::vector<ValueId>(parts.size(), 0)};
  split.attributes.set("axis", std::int64_t{axis});
  return add_list(place(split, std::vector<std::string>(parts.size())), false);
}

ValueId Specializer::join_list(const Node& node) {
  std::vector<ValueId> elements = list(node, 0).elements;
  if (elements.empty() || std::any_of(elements.begin(), elements.end(), is_list))
    throw user_error("{}: expected a sequence of one tensor or more", node.text());
  const std::int64_t axis = node.attributes.i("axis", 0);
  if (node.attributes.i("new_axis", 0) != 0) return stack_along(node, std::move(elements), axis);
  Node concat{.op = "Concat", .name = node.name, .file = node.file, .inputs = std::move(elements), .outputs = {0}};
  concat.attributes.set("axis", axis);
  return place(concat, {""})[0];
}

// SequenceMap: the body for every element; inputs that are sequences give theirs, tensors are the same each time.
std::vector<ValueId> Specializer::map_list(const Node& node) {
  const auto body = node.attributes.graph("body");
  if (!body || node.inputs.size() < body->captured.size())
    throw user_error("{}: the body or an input is missing", node.text());
  const std::size_t own = node.inputs.size() - body->captured.size(), count = list(node, 0).elements.size();
  std::vector<ValueId> parameters;
  for (const ValueId id : body->inputs)
    if (std::find(body->captured.begin(), body->captured.end(), body->value(id).name) == body->captured.end())
      parameters.push_back(id);
  if (parameters.size() != own || body->outputs.size() < node.outputs.size())
    throw user_error("{}: a body with {} inputs and {} outputs does not fit", node.text(), parameters.size(),
                     body->outputs.size());
  const std::vector<bool> needed = needed_nodes(*body, body->outputs);
  std::vector<std::vector<ValueId>> made(node.outputs.size());
  for (std::size_t element = 0; element < count; ++element) {
    enter(node.text());
    Ids inner(body->values().size(), kNoValue);
    for (std::size_t i = 0; i < own; ++i) {
      if (is_list(node.inputs[i]) && list(node, i).elements.size() != count)
        throw user_error("{}: sequences of {} and {} elements", node.text(), count, list(node, i).elements.size());
      inner[static_cast<std::size_t>(parameters[i])] =
          is_list(node.inputs[i]) ? list(node, i).elements[element] : node.inputs[i];
    }
    for (std::size_t i = 0; i < body->captured.size(); ++i)
      inner[static_cast<std::size_t>(body->find(body->captured[i]))] = node.inputs[own + i];
    append(*body, needed, inner);
    for (std::size_t i = 0; i < made.size(); ++i) made[i].push_back(leaf_or(*body, inner, body->outputs[i]));
    --depth_;
  }
  std::vector<ValueId> outputs;
  for (std::vector<ValueId>& elements : made) outputs.push_back(add_list(std::move(elements), false));
  return outputs;
}

// What one operator of lists gives.
std::vector<ValueId> Specializer::list_results(const Node& node) {
  const bool given = !node.inputs.empty() && node.inputs[0] != kNoValue;
  const auto constant = [this](Tensor value) { return result_.add_constant(std::move(value)); };
  if (node.op == "SequenceEmpty") return {add_list({}, false)};
  if (node.op == "SequenceMap") return map_list(node);
  if (node.op == "Optional")
    return {add_list(given ? std::vector<ValueId>{node.inputs[0]} : std::vector<ValueId>{}, true)};
  if (node.op == "OptionalHasElement") {
    const bool empty = !given || (is_list(node.inputs[0]) && list(node, 0).optional && list(node, 0).elements.empty());
    return {constant(Tensor::scalar<bool>(!empty))};
  }
  if (!given) throw user_error("{}: an input is missing", node.text());
  if (node.op == "OptionalGetElement") {
    if (!is_list(node.inputs[0]) || !list(node, 0).optional) return {node.inputs[0]};
    if (list(node, 0).elements.empty()) throw user_error("{}: the optional value is empty", node.text());
    return {list(node, 0).elements[0]};
  }
  if (node.op == "SequenceConstruct") return {add_list(node.inputs, false)};
  if (node.op == "SplitToSequence") return {split_to_list(node)};
  if (node.op == "ConcatFromSequence") return {join_list(node)};
  std::vector<ValueId> elements = list(node, 0).elements;
  const auto count = static_cast<std::int64_t>(elements.size());
  if (node.op == "SequenceLength") return {constant(Tensor::scalar<std::int64_t>(count))};
  const bool inserts = node.op == "SequenceInsert";
  const std::int64_t at = list_position(node, inserts ? 2 : 1, count, inserts ? count : count - 1);
  if (at < 0 || at >= count + (inserts ? 1 : 0))
    throw user_error("{}: position {} in a sequence of {}", node.text(), at, count);
  if (node.op == "SequenceAt") return {elements[static_cast<std::size_t>(at)]};
  if (inserts)
    elements.insert(elements.begin() + at, node.inputs.at(1));
  else
    elements.erase(elements.begin() + at);
  return {add_list(std::move(elements), false)};
}

bool Specializer::append_list(const Graph& source, const Node& node, const Node& mapped, Ids& ids) {
  const bool passes_on =
      mapped.domain.empty() && mapped.op == "Identity" && !mapped.inputs.empty() && is_list(mapped.inputs[0]);
  if (!passes_on && !is_list_operator(mapped)) return false;
  const std::size_t first = result_.values().size();
  const std::vector<ValueId> made = passes_on ? std::vector<ValueId>{mapped.inputs[0]} : list_results(mapped);
  if (made.size() < node.outputs.size())
    throw user_error("{}: it has {} outputs, expected {}", node.text(), node.outputs.size(), made.size());
  publish(source, node, made, first, ids);
  return true;
}

}  // namespace retune
