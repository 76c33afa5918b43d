// If, Loop and Scan: bodies put in the place of their nodes.
#include <algorithm>
#include <limits>

#include "graph/specializer.h"
#include "tensor/error.h"

namespace retune {

namespace {

// Unrolled bodies are ordinary graph, so gradients go through them; this many nodes of them, in one graph.
constexpr std::int64_t kUnrollLimit = 4096;
// Bodies may fold away trip after trip; nodes that may be looked at before a planner gives up.
constexpr std::int64_t kVisitLimit = 65536;
// The importer's nesting and that of operators that are compositions.
constexpr int kDepthLimit = 64;

constexpr const char* kTooLong = "unrolled, it is more than the 4096 nodes that a plan takes";
constexpr const char* kLateCount = "its trip count is known only at run time";
constexpr const char* kLateCondition = "its condition is known only at run time";

// The inputs of `body` that are not captured, in order.
std::vector<ValueId> own_inputs(const Graph& body) {
  const std::set<std::string> captured(body.captured.begin(), body.captured.end());
  std::vector<ValueId> own;
  for (const ValueId id : body.inputs)
    if (!captured.contains(body.value(id).name)) own.push_back(id);
  return own;
}

// A list of axes and a list of directions, an entry for each of `count` values; ONNX leaves out a list of zeros.
std::vector<ScanAxis> scan_axes(const Node& node, const char* axes, const char* directions, std::size_t count) {
  const std::vector<std::int64_t> at = node.attributes.ints(axes), reversed = node.attributes.ints(directions);
  for (const auto& [name, list] : {std::pair{axes, &at}, std::pair{directions, &reversed}})
    if (!list->empty() && list->size() != count)
      throw user_error("{}: {} has {} entries for {} values", node.text(), name, list->size(), count);
  std::vector<ScanAxis> result(count);
  for (std::size_t i = 0; i < count; ++i) result[i] = {at.empty() ? 0 : at[i], !reversed.empty() && reversed[i] != 0};
  return result;
}

}  // namespace

// Splits the node's inputs into those of its own and what its body captures.
Repetition read_repetition(const Node& node) {
  Repetition loop{.node = node, .body = node.attributes.graph("body"), .counted = node.op == "Loop"};
  if (!loop.body) throw user_error("{}: the body is missing", node.text());
  const std::size_t captured = loop.body->captured.size();
  if (node.inputs.size() < captured) throw user_error("{}: inputs are missing", node.text());
  std::vector<ValueId> own(node.inputs.begin(), node.inputs.end() - static_cast<std::ptrdiff_t>(captured));
  loop.captures.assign(node.inputs.end() - static_cast<std::ptrdiff_t>(captured), node.inputs.end());
  loop.parameters = own_inputs(*loop.body);
  std::size_t scanned = 0;
  if (loop.counted) {
    own.resize(std::max<std::size_t>(own.size(), 2), kNoValue);
    loop.trips = own[0];
    loop.condition = own[1];
    own.erase(own.begin(), own.begin() + 2);
  } else {
    const std::int64_t given = node.attributes.i("num_scan_inputs", 0);
    if (given < 1 || given > static_cast<std::int64_t>(own.size()))
      throw user_error("{}: num_scan_inputs is {} for {} inputs", node.text(), given, own.size());
    scanned = static_cast<std::size_t>(given);
  }
  if (std::find(own.begin(), own.end(), kNoValue) != own.end())
    throw user_error("{}: an input is missing", node.text());
  loop.states.assign(own.begin(), own.end() - static_cast<std::ptrdiff_t>(scanned));
  loop.scanned.assign(own.end() - static_cast<std::ptrdiff_t>(scanned), own.end());
  const std::size_t reads = own.size() + (loop.counted ? 2 : 0), gives = loop.states.size() + (loop.counted ? 1 : 0);
  if (loop.parameters.size() != reads || loop.body->outputs.size() < gives ||
      loop.body->outputs.size() < node.outputs.size() + (loop.counted ? 1 : 0))
    throw user_error("{}: a body with {} inputs and {} outputs does not fit {} states, {} scanned inputs, {} outputs",
                     node.text(), loop.parameters.size(), loop.body->outputs.size(), loop.states.size(), scanned,
                     node.outputs.size());
  loop.cuts = scan_axes(node, "scan_input_axes", "scan_input_directions", scanned);
  loop.stacks = scan_axes(node, "scan_output_axes", "scan_output_directions", loop.scan_count());
  return loop;
}

namespace {

Shape with_axis(const Shape& shape, int axis, std::int64_t extent) {
  std::vector<std::int64_t> extents = shape.extents();
  extents.insert(extents.begin() + axis, extent);
  return Shape(std::move(extents));
}

Shape without_axis(const Shape& shape, int axis) {
  std::vector<std::int64_t> extents = shape.extents();
  extents.erase(extents.begin() + axis);
  return Shape(std::move(extents));
}

}  // namespace

std::vector<ValueId> Repetition::roots() const {
  std::vector<ValueId> result;
  const std::size_t leading = counted ? 1 : 0;
  for (std::size_t i = 0; i < body->outputs.size(); ++i)
    if (i < leading + states.size() || wants(i - leading)) result.push_back(body->outputs[i]);
  return result;
}

bool is_control_flow(const Node& node) {
  return node.domain.empty() && (node.op == "If" || node.op == "Loop" || node.op == "Scan");
}

std::int64_t single_integer(const Tensor& tensor, const Node& node, const char* what) {
  if (tensor.numel() != 1) throw user_error("{}: {} must be one number, got {}", node.text(), what, tensor.text());
  return tensor.cast(DType::kI64).data<std::int64_t>()[0];
}

void Specializer::require_truth(const Node& node, ValueId condition) const {
  const DType given = result_.value(condition).dtype;
  if (given != DType::kBool) throw user_error("{}: its condition must be bool, got {}", node.text(), dtype_name(given));
}

bool Specializer::append_control(const Graph& source, const Node& node, const Node& mapped, Ids& ids) {
  if (!is_control_flow(node)) return false;
  if (node.op == "If")
    append_if(source, node, mapped, ids);
  else
    append_repetition(source, node, mapped, ids);
  return true;
}

void Specializer::enter(const std::string& name) {
  if (++depth_ > kDepthLimit) throw user_error("{}: graphs are nested deeper than {}", name, kDepthLimit);
}

// The value if it is known; asks for pins where they would make it known.
std::optional<Tensor> Specializer::steering(ValueId id) {
  if (is_list(id)) throw user_error("a sequence cannot be a condition, a count or a position");
  if (result_.value(id).kind == ValueKind::kConstant) return result_.value(id).constant;
  if (reach_of(id) == Reach::kInputs) ask_for(origins_of(id).inputs);
  return std::nullopt;
}

// Inputs of an If: the condition, then what its branches capture, in the order of then_branch.captured,
// else_branch.captured.
void Specializer::append_if(const Graph& source, const Node& node, const Node& mapped, Ids& ids) {
  const auto then_branch = mapped.attributes.graph("then_branch");
  const auto else_branch = mapped.attributes.graph("else_branch");
  if (!then_branch || !else_branch) throw user_error("{}: a branch is missing", mapped.text());
  if (mapped.inputs.size() != 1 + then_branch->captured.size() + else_branch->captured.size() ||
      mapped.inputs[0] == kNoValue)
    throw user_error("{}: an input is missing", mapped.text());
  if (then_branch->outputs.size() < node.outputs.size() || else_branch->outputs.size() < node.outputs.size())
    throw user_error("{}: a branch has too few outputs", mapped.text());
  require_truth(mapped, mapped.inputs[0]);
  const auto condition = steering(mapped.inputs[0]);
  if (!condition) return append_late_if(source, node, mapped, ids);
  const bool taken = single_integer(condition->cast(DType::kBool), mapped, "the condition") != 0;
  const Graph& branch = taken ? *then_branch : *else_branch;

  Ids inner(branch.values().size(), kNoValue);
  const std::size_t offset = 1 + (taken ? 0 : then_branch->captured.size());
  for (std::size_t i = 0; i < branch.captured.size(); ++i)
    inner[static_cast<std::size_t>(branch.find(branch.captured[i]))] = mapped.inputs[offset + i];
  append_body(source, node, branch, inner, ids);
}

// The body's nodes in the place of `node`; `inner` says which values its inputs are.
void Specializer::append_body(const Graph& source, const Node& node, const Graph& body, Ids& inner, Ids& ids) {
  const std::size_t first = result_.values().size();
  enter(node.text());
  std::vector<ValueId> roots;
  for (std::size_t i = 0; i < node.outputs.size(); ++i)
    if (node.outputs[i] != kNoValue) roots.push_back(body.outputs[i]);
  append(body, needed_nodes(body, roots), inner);
  std::vector<ValueId> made(node.outputs.size(), kNoValue);
  for (std::size_t i = 0; i < made.size(); ++i)
    if (node.outputs[i] != kNoValue) made[i] = leaf_or(body, inner, body.outputs[i]);
  --depth_;
  publish(source, node, made, first, ids);
}

// What a body made, under the names of the node's own outputs. A value from outside (made before `first`), or that is
// two outputs, keeps its name and is passed on by Identity; constants stay constants, so that they fold on.
void Specializer::publish(const Graph& source, const Node& node, const std::vector<ValueId>& made, std::size_t first,
                          Ids& ids) {
  std::set<ValueId> named;
  for (std::size_t i = 0; i < node.outputs.size(); ++i) {
    if (node.outputs[i] == kNoValue) continue;
    if (is_list(made[i])) {
      ids[static_cast<std::size_t>(node.outputs[i])] = made[i];
      continue;
    }
    // Not unused_name(): this is the one that the graph calls by the name.
    std::string name = source.value(node.outputs[i]).name;
    if (result_.find(name) != kNoValue || (&source != root_ && root_->find(name) != kNoValue)) name.clear();
    const Value value = result_.value(made[i]);
    ValueId id = made[i];
    const bool own = value.kind == ValueKind::kComputed && static_cast<std::size_t>(id) >= first;
    if (value.kind == ValueKind::kConstant) {
      id = result_.add_constant(value.constant, name);
    } else if (!own || !named.insert(id).second) {
      id = result_.add_node({.op = "Identity", .name = node.name, .file = node.file, .inputs = {id}}, {name})[0];
      result_.value(id).dtype = value.dtype;
      result_.value(id).shape = value.shape;
    } else if (!name.empty()) {
      result_.rename(id, name);
    }
    ids[static_cast<std::size_t>(node.outputs[i])] = id;
  }
}

Specializer::Mark Specializer::begin_unrolling() {
  if (unrolling_++ == 0) first_unrolled_ = result_.nodes().size();
  return {result_.values().size(), result_.nodes().size(), budget_.unrolled};
}

void Specializer::take_back(const Mark& mark) {
  result_.cut_back(mark.values, mark.nodes);
  reach_.resize(std::min(reach_.size(), mark.values));
  std::erase_if(captured_, [&](const auto& entry) { return static_cast<std::size_t>(entry.second) >= mark.values; });
  std::erase_if(captures_, [&](ValueId id) { return !captured_.contains(id); });
  budget_.unrolled = mark.unrolled;
  --unrolling_;
}

bool Specializer::within_budget() const {
  const auto growing = static_cast<std::int64_t>(result_.nodes().size() - first_unrolled_);
  return budget_.unrolled + growing <= kUnrollLimit && budget_.visited <= kVisitLimit;
}

void Specializer::append_repetition(const Graph& source, const Node& node, const Node& mapped, Ids& ids) {
  if (mapped.op == "Scan" && mapped.version < 9) return append_batched_scan(source, node, mapped, ids);
  Repetition loop = read_repetition(mapped);
  if (std::any_of(loop.scanned.begin(), loop.scanned.end(), is_list))
    throw user_error("{}: a scanned input is a sequence", node.text());
  loop.needed = needed_nodes(*loop.body, loop.roots());
  const std::size_t first = result_.values().size();
  std::vector<ValueId> outputs;
  if (const auto why = unroll(loop, outputs)) {
    loop.why_late = *why;
    require_tensors(loop.node);
    return append_late_loop(source, node, loop, ids);
  }
  publish(source, node, outputs, first, ids);
}

// Appends every trip. Says why it cannot, with nothing appended.
std::optional<std::string> Specializer::unroll(const Repetition& loop, std::vector<ValueId>& outputs) {
  if (budget_.visited > kVisitLimit) return kTooLong;
  std::int64_t trips = std::numeric_limits<std::int64_t>::max();
  if (loop.trips != kNoValue) {
    const auto count = steering(loop.trips);
    if (!count) return kLateCount;
    trips = single_integer(*count, loop.node, "the trip count");
  }
  if (loop.condition != kNoValue) {
    require_truth(loop.node, loop.condition);
    const auto condition = steering(loop.condition);
    if (!condition) return kLateCondition;
    if (single_integer(condition->cast(DType::kBool), loop.node, "the condition") == 0) trips = 0;
  }
  for (std::size_t i = 0; i < loop.scanned.size(); ++i) {
    const Shape& shape = *result_.value(loop.scanned[i]).shape;
    const std::int64_t extent = shape[normalize_axis(loop.cuts[i].axis, shape.rank())];
    if (i > 0 && extent != trips)
      throw user_error("{}: one scanned input has {} slices, another {}", loop.node.text(), trips, extent);
    trips = extent;
  }
  if (!loop.scanned.empty() && trips > kUnrollLimit / static_cast<std::int64_t>(loop.scanned.size())) return kTooLong;

  const Mark mark = begin_unrolling();
  std::vector<std::vector<ValueId>> slices;
  for (std::size_t i = 0; i < loop.scanned.size(); ++i) slices.push_back(slices_of(loop, i));
  std::vector<ValueId> states = loop.states;
  std::vector<std::vector<ValueId>> scans(loop.scan_count());
  for (std::int64_t number = 0; number < trips; ++number) {
    std::vector<ValueId> current;
    for (const auto& of_input : slices) current.push_back(of_input[static_cast<std::size_t>(number)]);
    Trip trip = append_trip(loop, number, states, current);
    const bool late = loop.counted && result_.value(trip.condition).kind != ValueKind::kConstant;
    if (late) steering(trip.condition);
    if (late || !within_budget()) {
      take_back(mark);
      return late ? kLateCondition : kTooLong;
    }
    states = std::move(trip.states);
    for (std::size_t i = 0; i < scans.size(); ++i) scans[i].push_back(trip.scans[i]);
    if (loop.counted && single_integer(*steering(trip.condition), loop.node, "the condition") == 0) break;
  }
  const std::vector<ValueId> none = trips <= 0 ? empty_scans(loop) : std::vector<ValueId>();
  outputs = states;
  for (std::size_t i = 0; i < scans.size(); ++i)
    outputs.push_back(!loop.wants(states.size() + i) ? kNoValue : trips <= 0 ? none[i] : stack(loop, i, scans[i]));
  if (!within_budget()) {
    take_back(mark);
    return kTooLong;
  }
  if (--unrolling_ == 0) budget_.unrolled += static_cast<std::int64_t>(result_.nodes().size() - mark.nodes);
  return std::nullopt;
}

Specializer::Trip Specializer::append_trip(const Repetition& loop, std::int64_t number,
                                           const std::vector<ValueId>& states, const std::vector<ValueId>& slices) {
  enter(loop.node.text());
  ++budget_.visited;  // a body without nodes is work too
  const Graph& body = *loop.body;
  std::vector<ValueId> given;
  if (loop.counted) {
    // Some exporters declare these two as tensors of one element.
    const auto shaped = [&](std::size_t i) {
      return body.value(loop.parameters[i]).declared.size() == 1 ? Shape{1} : Shape{};
    };
    given.push_back(result_.add_constant(Tensor::scalar(number).reshaped(shaped(0))));
    given.push_back(result_.add_constant(Tensor::scalar(true).reshaped(shaped(1))));
  }
  given.insert(given.end(), states.begin(), states.end());
  given.insert(given.end(), slices.begin(), slices.end());
  Ids inner(body.values().size(), kNoValue);
  for (std::size_t i = 0; i < given.size(); ++i) inner[static_cast<std::size_t>(loop.parameters[i])] = given[i];
  for (std::size_t i = 0; i < loop.captures.size(); ++i)
    inner[static_cast<std::size_t>(body.find(body.captured[i]))] = loop.captures[i];
  append(body, loop.needed, inner);

  Trip trip;
  std::size_t next = 0;
  if (loop.counted) trip.condition = leaf_or(body, inner, body.outputs[next++]);
  for (const ValueId state : states) {
    trip.states.push_back(leaf_or(body, inner, body.outputs[next++]));
    if (is_list(state) != is_list(trip.states.back()))
      throw user_error("{}: a state is a sequence before or after a trip only", loop.node.text());
    if (is_list(state)) continue;
    const DType before = result_.value(state).dtype, after = result_.value(trip.states.back()).dtype;
    if (before != after)
      throw user_error("{}: a state is {} before a trip and {} after it", loop.node.text(), dtype_name(before),
                       dtype_name(after));
  }
  for (std::size_t i = 0; i < loop.scan_count(); ++i)
    trip.scans.push_back(loop.wants(states.size() + i) ? leaf_or(body, inner, body.outputs[next + i]) : kNoValue);
  if (std::any_of(trip.scans.begin(), trip.scans.end(), is_list))
    throw user_error("{}: a scan output is a sequence", loop.node.text());
  --depth_;
  return trip;
}

ValueId Specializer::reshaped(const Node& origin, ValueId value, const Shape& shape) {
  const ValueId target = result_.add_constant(Tensor::vector(shape.extents()));
  Node node{.op = "Reshape", .name = origin.name, .file = origin.file, .inputs = {value, target}, .outputs = {0}};
  node.attributes.set("allowzero", std::int64_t{1});
  return place(node, {""})[0];
}

// The slices of a value along an axis, without it. One Split, whose gradient is one Concat, rather than a Gather a
// slice, whose gradients are as large as the whole each.
std::vector<ValueId> Specializer::split_along(const Node& origin, ValueId whole, std::int64_t along) {
  const Shape shape = *result_.value(whole).shape;
  const int axis = normalize_axis(along, shape.rank());
  const auto count = static_cast<std::size_t>(shape[axis]);
  if (count == 0) return {};
  const ValueId sizes = result_.add_constant(Tensor::vector(std::vector<std::int64_t>(count, 1)));
  Node split{.op = "Split",
             .name = origin.name,
             .file = origin.file,
             .inputs = {whole, sizes},
             .outputs = std::vector<ValueId>(count, 0)};
  split.attributes.set("axis", std::int64_t{axis});
  std::vector<ValueId> slices = place(split, std::vector<std::string>(count));
  for (ValueId& slice : slices) slice = reshaped(origin, slice, without_axis(shape, axis));
  return slices;
}

// Values of one shape, at least one, along a new axis.
ValueId Specializer::stack_along(const Node& origin, std::vector<ValueId> values, std::int64_t along) {
  const Shape shape = *result_.value(values[0]).shape;
  const int axis = normalize_axis(along, shape.rank() + 1);
  for (ValueId& value : values) value = reshaped(origin, value, with_axis(shape, axis, 1));
  Node concat{.op = "Concat", .name = origin.name, .file = origin.file, .inputs = std::move(values), .outputs = {0}};
  concat.attributes.set("axis", std::int64_t{axis});
  return place(concat, {""})[0];
}

// The slices of a scanned input in the order of the trips.
std::vector<ValueId> Specializer::slices_of(const Repetition& loop, std::size_t index) {
  std::vector<ValueId> slices = split_along(loop.node, loop.scanned[index], loop.cuts[index].axis);
  if (loop.cuts[index].reversed) std::reverse(slices.begin(), slices.end());
  return slices;
}

// A scan output's values of all trips, at least one, along their new axis.
ValueId Specializer::stack(const Repetition& loop, std::size_t scan, std::vector<ValueId> values) {
  const Shape shape = *result_.value(values[0]).shape;
  for (const ValueId value : values)
    if (!(*result_.value(value).shape == shape))
      throw user_error("{}: scan output {} is {} on one trip and {} on another: they do not stack", loop.node.text(),
                       scan, shape.text(), result_.value(value).shape->text());
  if (loop.stacks[scan].reversed) std::reverse(values.begin(), values.end());
  return stack_along(loop.node, std::move(values), loop.stacks[scan].axis);
}

// What no trip at all stacks up to: a trip is appended to see the types, and taken back.
std::vector<ValueId> Specializer::empty_scans(const Repetition& loop) {
  std::vector<ValueId> empty(loop.scan_count(), kNoValue);
  std::vector<TypeShape> types(empty.size());
  const Mark mark = begin_unrolling();
  std::vector<ValueId> slices;
  for (std::size_t i = 0; i < loop.scanned.size(); ++i) {
    const Value whole = result_.value(loop.scanned[i]);
    slices.push_back(result_.add_input("", whole.dtype));
    result_.value(slices.back()).shape =
        without_axis(*whole.shape, normalize_axis(loop.cuts[i].axis, whole.shape->rank()));
  }
  const Trip trip = append_trip(loop, 0, loop.states, slices);
  for (std::size_t i = 0; i < types.size(); ++i)
    if (trip.scans[i] != kNoValue) types[i] = {result_.value(trip.scans[i]).dtype, *result_.value(trip.scans[i]).shape};
  take_back(mark);
  for (std::size_t i = 0; i < types.size(); ++i) {
    if (!loop.wants(loop.states.size() + i)) continue;
    const int axis = normalize_axis(loop.stacks[i].axis, types[i].shape.rank() + 1);
    empty[i] = result_.add_constant(Tensor::zeros(types[i].dtype, with_axis(types[i].shape, axis, 0)));
  }
  return empty;
}

}  // namespace retune
