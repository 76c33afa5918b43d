// If, Loop and Scan whose course is decided at run time: their bodies become graphs of their own, which the private
// operators of ops/control.cc run.
#include <algorithm>
#include <deque>
#include <limits>

#include "graph/canonicalize.h"
#include "graph/ops/control.h"
#include "graph/specializer.h"
#include "tensor/error.h"

namespace retune {

namespace {

// A finished body: inputs are named by their position, so that bodies that read the same values in another order are
// told apart by their hash.
std::shared_ptr<const Graph> finished(Graph body) {
  std::vector<std::string> names;
  for (const ValueId id : body.inputs) {
    names.push_back(std::to_string(names.size()));
    body.rename(id, names.back());
  }
  return std::make_shared<const Graph>(canonicalize(body, names));
}

TypeShape type_of(const Graph& graph, ValueId id) { return {graph.value(id).dtype, *graph.value(id).shape}; }

std::string text_of(const TypeShape& type) { return fmt::format("{} {}", dtype_name(type.dtype), type.shape.text()); }

bool same(const TypeShape& a, const TypeShape& b) { return a.dtype == b.dtype && a.shape == b.shape; }

}  // namespace

Specializer::Specializer(Specializer* outer)
    : inputs_(outer->inputs_),
      pool_(outer->pool_),
      root_(outer->root_),
      outer_(outer),
      depth_(outer->depth_),
      budget_(outer->budget_) {
  result_.name = outer->result_.name;
}

// A value from outside: a constant is one here too, so that shapes fold; anything else is an input of this body.
ValueId Specializer::capture(ValueId outer) {
  const auto [entry, is_new] = captured_.try_emplace(outer, kNoValue);
  if (!is_new) return entry->second;
  const Value& value = outer_->result_.value(outer);
  if (value.kind == ValueKind::kConstant) return entry->second = result_.add_constant(value.constant);
  captures_.push_back(outer);
  return entry->second = carry({value.dtype, *value.shape});
}

// An input of this body that no outer value is yet.
ValueId Specializer::carry(const TypeShape& type) {
  const ValueId id = result_.add_input("", type.dtype);
  result_.value(id).shape = type.shape;
  return id;
}

// Specialises the body; `inner` says which values its own inputs are, `captures` what of the outer graph it captures.
Graph Specializer::body_apart(const Node& node, const Graph& body, Ids& inner, std::span<const ValueId> captures,
                              const std::vector<ValueId>& roots) {
  enter(node.text());
  const std::vector<bool> needed = needed_nodes(body, roots);
  std::set<ValueId> read(roots.begin(), roots.end());
  for (std::size_t i = 0; i < needed.size(); ++i)
    if (needed[i]) read.insert(body.nodes()[i].inputs.begin(), body.nodes()[i].inputs.end());
  for (std::size_t i = 0; i < captures.size(); ++i) {
    const ValueId id = body.find(body.captured[i]);
    if (!read.contains(id)) continue;
    if (captures[i] == kNoValue)
      throw user_error("{}: it reads '{}', which is not there yet", node.text(), body.captured[i]);
    inner[static_cast<std::size_t>(id)] = capture(captures[i]);
  }
  append(body, needed, inner);
  for (const ValueId root : roots) {
    result_.outputs.push_back(leaf_or(body, inner, root));
    if (is_list(result_.outputs.back()))
      throw user_error("{}: a body that runs late gives a sequence, which is not supported", node.text());
  }
  return std::move(result_);
}

void Specializer::append_late_if(const Graph& source, const Node& node, const Node& mapped, Ids& ids) {
  require_tensors(mapped);
  const std::size_t first = result_.values().size();
  const std::span<const ValueId> captured = std::span(mapped.inputs).subspan(1);
  std::vector<ValueId> captures;
  std::deque<Specializer> inside;
  std::vector<Graph> bodies;
  std::size_t offset = 0;
  for (const char* name : {"then_branch", "else_branch"}) {
    const Graph& branch = *mapped.attributes.graph(name);
    std::vector<ValueId> roots;
    for (std::size_t i = 0; i < node.outputs.size(); ++i)
      if (node.outputs[i] != kNoValue) roots.push_back(branch.outputs.at(i));
    Ids inner(branch.values().size(), kNoValue);
    inside.emplace_back(this);
    bodies.push_back(
        inside.back().body_apart(mapped, branch, inner, captured.subspan(offset, branch.captured.size()), roots));
    offset += branch.captured.size();
    for (const ValueId id : inside.back().captures_)
      if (std::find(captures.begin(), captures.end(), id) == captures.end()) captures.push_back(id);
  }
  // Both branches read the same values, in the same order.
  for (std::size_t b = 0; b < bodies.size(); ++b) {
    const std::map<ValueId, ValueId>& known = inside[b].captured_;
    std::vector<ValueId> inputs;
    for (const ValueId id : captures) {
      const auto own = known.find(id);
      const TypeShape type = type_of(result_, id);
      inputs.push_back(own != known.end() ? own->second : bodies[b].add_input("", type.dtype));
      bodies[b].value(inputs.back()).shape = type.shape;
    }
    bodies[b].inputs = inputs;
  }
  require_same_types(mapped, bodies[0], bodies[1]);

  Node late{.domain = "retune", .op = "If", .version = 1, .name = node.name, .file = node.file};
  late.inputs = {mapped.inputs[0]};
  late.inputs.insert(late.inputs.end(), captures.begin(), captures.end());
  late.outputs.assign(bodies[0].outputs.size(), 0);
  late.attributes.set("then_branch", finished(std::move(bodies[0])));
  late.attributes.set("else_branch", finished(std::move(bodies[1])));
  const std::vector<ValueId> outputs = place(late, std::vector<std::string>(late.outputs.size()));
  std::vector<ValueId> made(node.outputs.size(), kNoValue);
  for (std::size_t i = 0, next = 0; i < made.size(); ++i)
    if (node.outputs[i] != kNoValue) made[i] = outputs[next++];
  publish(source, node, made, first, ids);
}

// Shapes are known while planning: branches that differ in them need a condition that is known then too.
void Specializer::require_same_types(const Node& node, const Graph& one, const Graph& other) const {
  for (std::size_t i = 0; i < one.outputs.size(); ++i) {
    const TypeShape a = type_of(one, one.outputs[i]), b = type_of(other, other.outputs[i]);
    if (same(a, b)) continue;
    const Origins origins = origins_of(node.inputs[0]);
    if (origins.pinnable()) ask_for(origins.inputs);
    throw user_error(
        "{}: its branches give {} and {}, and its condition is known only at run time; this is not supported: a shape "
        "must be known while planning",
        node.text(), text_of(a), text_of(b));
  }
}

// How often the body runs: -1 if only running it tells. `again` is the condition that the body gives.
std::int64_t Specializer::exact_trips(const Repetition& loop, const Value& again) const {
  const auto known = [&](ValueId id, const char* what) -> std::optional<std::int64_t> {
    const Value& value = result_.value(id);
    if (value.kind != ValueKind::kConstant) return std::nullopt;
    return single_integer(value.constant, loop.node, what);
  };
  if (!loop.counted) {
    const Shape& shape = *result_.value(loop.scanned[0]).shape;
    return shape[normalize_axis(loop.cuts[0].axis, shape.rank())];
  }
  std::int64_t trips = std::numeric_limits<std::int64_t>::max();
  if (loop.trips != kNoValue) {
    const auto count = known(loop.trips, "the trip count");
    if (!count) return -1;
    trips = std::max<std::int64_t>(*count, 0);
  }
  if (loop.condition != kNoValue) {
    const auto condition = known(loop.condition, "the condition");
    if (!condition) return -1;
    if (*condition == 0) return 0;
  }
  if (again.kind != ValueKind::kConstant) return -1;
  const bool goes_on = single_integer(again.constant.cast(DType::kBool), loop.node, "the condition") != 0;
  return goes_on ? trips : std::min<std::int64_t>(trips, 1);
}

// The body of a late loop: reads the trip's number, the states, what it captures; gives a condition, the states, the
// wanted scan outputs.
Graph Specializer::late_body(const Repetition& loop, Specializer& inside) {
  const Graph& body = *loop.body;
  Ids inner(body.values().size(), kNoValue);
  std::size_t next = 0;
  const bool listed = loop.counted && body.value(loop.parameters[0]).declared.size() == 1;
  const ValueId number = inside.carry({DType::kI64, listed ? Shape{1} : Shape{}});
  if (loop.counted) {
    inner[static_cast<std::size_t>(loop.parameters[next++])] = number;
    // A trip is made only if its condition is true.
    const Shape shape = body.value(loop.parameters[next]).declared.size() == 1 ? Shape{1} : Shape{};
    inner[static_cast<std::size_t>(loop.parameters[next++])] =
        inside.result_.add_constant(Tensor::scalar(true).reshaped(shape));
  }
  for (const ValueId state : loop.states)
    inner[static_cast<std::size_t>(loop.parameters[next++])] = inside.carry(type_of(result_, state));
  for (std::size_t i = 0; i < loop.scanned.size(); ++i) {
    const ValueId whole = inside.capture(loop.scanned[i]);
    const Shape shape = *inside.result_.value(whole).shape;
    const int axis = normalize_axis(loop.cuts[i].axis, shape.rank());
    ValueId at = number;
    if (loop.cuts[i].reversed) {
      const ValueId last = inside.result_.add_constant(Tensor::scalar<std::int64_t>(shape[axis] - 1));
      at = inside.place({.op = "Sub", .inputs = {last, number}, .outputs = {0}}, {""})[0];
    }
    Node gather{.op = "Gather", .name = loop.node.name, .file = loop.node.file, .inputs = {whole, at}, .outputs = {0}};
    gather.attributes.set("axis", std::int64_t{axis});
    inner[static_cast<std::size_t>(loop.parameters[next++])] = inside.place(gather, {""})[0];
  }
  Graph made = inside.body_apart(loop.node, body, inner, loop.captures, loop.roots());
  if (!loop.counted) made.outputs.insert(made.outputs.begin(), made.add_constant(Tensor::scalar(true)));
  for (std::size_t i = 0; i < loop.states.size(); ++i) {
    const TypeShape before = type_of(result_, loop.states[i]), after = type_of(made, made.outputs[1 + i]);
    if (!same(before, after))
      throw user_error(
          "{}: {}, and a state is {} before a trip and {} after it; this is not supported: a shape must be known while "
          "planning",
          loop.node.text(), loop.why_late, text_of(before), text_of(after));
  }
  // The trip's number and the states first, then what was captured, whichever was met first.
  std::vector<ValueId> inputs(made.inputs.begin(),
                              made.inputs.begin() + 1 + static_cast<std::ptrdiff_t>(loop.states.size()));
  for (const ValueId id : inside.captures_) inputs.push_back(inside.captured_.at(id));
  made.inputs = inputs;
  return made;
}

void Specializer::append_late_loop(const Graph& source, const Node& node, const Repetition& loop, Ids& ids) {
  const std::size_t first = result_.values().size(), states = loop.states.size();
  Specializer inside(this);
  Graph body = late_body(loop, inside);
  // All shapes are known here, so that the run need not look.
  const Shape condition = type_of(body, body.outputs[0]).shape;
  if (condition.numel() != 1)
    throw user_error("{}: the condition must be one truth value, got {}", loop.node.text(), condition.text());
  const std::int64_t trips = exact_trips(loop, body.value(body.outputs[0]));
  if (trips < 0 && body.outputs.size() > 1 + states) ask_for_trips(loop);
  const auto nodes = static_cast<std::int64_t>(body.nodes().size());
  if (trips > kControlStepLimit / (1 + nodes))
    throw user_error("{}: {} trips of {} nodes are more than the {} nodes that a loop may run", loop.node.text(),
                     loop.trips == kNoValue ? "endless" : std::to_string(trips), nodes, kControlStepLimit);

  Node late{.domain = "retune", .op = node.op, .version = 1, .name = node.name, .file = node.file};
  late.inputs = {loop.trips, loop.condition};
  if (!loop.counted) late.inputs[0] = result_.add_constant(Tensor::scalar(trips));
  late.inputs.insert(late.inputs.end(), loop.states.begin(), loop.states.end());
  late.inputs.insert(late.inputs.end(), inside.captures_.begin(), inside.captures_.end());
  late.outputs.assign(body.outputs.size() - 1, 0);
  late.attributes.set("states", static_cast<std::int64_t>(states));
  late.attributes.set("trips", trips);
  late.attributes.set("why", loop.why_late);
  late.attributes.set("body", finished(std::move(body)));
  const std::vector<ValueId> outputs = place(late, std::vector<std::string>(late.outputs.size()));
  std::vector<ValueId> made(node.outputs.size(), kNoValue);
  for (std::size_t i = 0, next = 0; i < made.size(); ++i) {
    if (i < states || loop.wants(i)) made[i] = outputs[next++];
    if (i >= states && loop.wants(i)) made[i] = laid_along(loop, i - states, made[i]);
  }
  publish(source, node, made, first, ids);
}

// How many scan outputs there are is a shape, so everything that might decide it must be known.
void Specializer::ask_for_trips(const Repetition& loop) const {
  Origins all;
  for (const ValueId id : loop.node.inputs) {
    if (id == kNoValue) continue;
    const Origins origins = origins_of(id);
    all.inputs.insert(origins.inputs.begin(), origins.inputs.end());
    all.carried = all.carried || origins.carried;
    if (!origins.parameter.empty()) all.parameter = origins.parameter;
  }
  if (all.pinnable()) ask_for(all.inputs);
  throw user_error("{}: how many scan outputs it stacks is known only at run time; this is not supported",
                   loop.node.text());
}

// Late loops stack along the first axis, in the order of the trips; this is where the node wants them.
ValueId Specializer::laid_along(const Repetition& loop, std::size_t scan, ValueId stacked) {
  const int rank = result_.value(stacked).shape->rank();
  const int axis = normalize_axis(loop.stacks[scan].axis, rank);
  if (loop.stacks[scan].reversed) {
    std::vector<ValueId> inputs{stacked};
    for (const std::int64_t number :
         {std::int64_t{-1}, std::numeric_limits<std::int64_t>::min(), std::int64_t{0}, std::int64_t{-1}})
      inputs.push_back(result_.add_constant(Tensor::vector<std::int64_t>({number})));
    stacked = place({.op = "Slice", .name = loop.node.name, .file = loop.node.file, .inputs = inputs, .outputs = {0}},
                    {""})[0];
  }
  if (axis == 0) return stacked;
  std::vector<std::int64_t> order;
  for (int i = 1; i < rank; ++i) order.push_back(i);
  order.insert(order.begin() + axis, 0);
  Node transpose{
      .op = "Transpose", .name = loop.node.name, .file = loop.node.file, .inputs = {stacked}, .outputs = {0}};
  transpose.attributes.set("perm", order);
  return place(transpose, {""})[0];
}

}  // namespace retune
