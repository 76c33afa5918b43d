// If whose condition is known only at run time: its branches become graphs of their own, which the private operator of
// ops/control.cc runs.
#include <algorithm>
#include <deque>

#include "graph/canonicalize.h"
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
  for (const ValueId root : roots) result_.outputs.push_back(leaf_or(body, inner, root));
  return std::move(result_);
}

void Specializer::append_late_if(const Graph& source, const Node& node, const Node& mapped, Ids& ids) {
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
        "must "
        "be known while planning",
        node.text(), text_of(a), text_of(b));
  }
}

}  // namespace retune
