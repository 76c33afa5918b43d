// Scan of operator set 8: a scan for every item of a batch. States are [B, ...] and sequences [B, T, ...], along their
// second axis; sequence_lens, the first input, may say how many steps an item has. Each item is one unrolled scan, and
// what they give is stacked; scan outputs behind an item's last step are 0.
#include <algorithm>

#include "graph/specializer.h"
#include "tensor/error.h"

namespace retune {

namespace {

std::int64_t extent_of(const Graph& graph, ValueId id, int axis, const Node& node) {
  const Shape& shape = *graph.value(id).shape;
  if (shape.rank() <= axis) throw user_error("{}: an input is {}, expected a batch of them", node.text(), shape.text());
  return shape[axis];
}

}  // namespace

// The first `count` steps of [T, ...].
ValueId Specializer::first_steps(const Node& origin, ValueId sequence, std::int64_t count) {
  if ((*result_.value(sequence).shape)[0] == count) return sequence;
  const auto number = [&](std::int64_t value) {
    return result_.add_constant(Tensor::vector(std::vector<std::int64_t>{value}));
  };
  Node slice{.op = "Slice",
             .name = origin.name,
             .file = origin.file,
             .inputs = {sequence, number(0), number(count), number(0)},
             .outputs = {0}};
  return place(slice, {""})[0];
}

// [t, ...] with zeros behind, up to `count` steps.
ValueId Specializer::padded_steps(const Node& origin, ValueId sequence, std::int64_t count) {
  const Shape shape = *result_.value(sequence).shape;
  if (shape[0] == count) return sequence;
  std::vector<std::int64_t> pads(static_cast<std::size_t>(2 * shape.rank()), 0);
  pads[static_cast<std::size_t>(shape.rank())] = count - shape[0];
  Node pad{.op = "Pad",
           .name = origin.name,
           .file = origin.file,
           .inputs = {sequence, result_.add_constant(Tensor::vector(pads))},
           .outputs = {0}};
  return place(pad, {""})[0];
}

void Specializer::append_batched_scan(const Graph& source, const Node& node, const Node& mapped, Ids& ids) {
  require_tensors(mapped);
  Node modern = mapped;
  modern.version = 9;
  if (modern.inputs.empty()) throw user_error("{}: inputs are missing", mapped.text());
  const ValueId lengths = modern.inputs[0];
  modern.inputs.erase(modern.inputs.begin());
  if (modern.attributes.has("directions"))
    modern.attributes.set("scan_input_directions", modern.attributes.ints("directions"));
  const Repetition all = read_repetition(modern);
  const std::int64_t batch = extent_of(result_, all.scanned.at(0), 0, mapped),
                     steps = extent_of(result_, all.scanned[0], 1, mapped);
  for (const auto* values : {&all.states, &all.scanned})
    for (const ValueId value : *values)
      if (extent_of(result_, value, 0, mapped) != batch)
        throw user_error("{}: batches of {} and of {}", mapped.text(), batch, extent_of(result_, value, 0, mapped));
  if (batch < 1) throw user_error("{}: Scan of operator set 8 with an empty batch is not supported", mapped.text());
  std::vector<std::int64_t> counts(static_cast<std::size_t>(batch), steps);
  if (lengths != kNoValue) {
    const auto known = steering(lengths);
    if (!known || known->numel() != batch)
      throw user_error("{}: sequence_lens that are known only at run time are not supported", mapped.text());
    counts = known->to_i64();
    for (const std::int64_t count : counts)
      if (count < 1 || count > steps)
        throw user_error("{}: sequence_lens holds {}, expected 1 to {}", mapped.text(), count, steps);
  }
  const std::size_t first = result_.values().size();
  std::vector<std::vector<ValueId>> states, scanned, made(mapped.outputs.size());
  for (const ValueId value : all.states) states.push_back(split_along(mapped, value, 0));
  for (const ValueId value : all.scanned) scanned.push_back(split_along(mapped, value, 0));
  for (std::size_t item = 0; item < counts.size(); ++item) {
    Repetition loop = all;
    loop.needed = needed_nodes(*loop.body, loop.roots());
    for (std::size_t i = 0; i < states.size(); ++i) loop.states[i] = states[i][item];
    for (std::size_t i = 0; i < scanned.size(); ++i)
      loop.scanned[i] = first_steps(mapped, scanned[i][item], counts[item]);
    std::vector<ValueId> outputs;
    if (const auto why = unroll(loop, outputs))
      throw user_error("{}: Scan of operator set 8 is unrolled, and {}; this is not supported", mapped.text(), *why);
    for (std::size_t i = 0; i < made.size(); ++i) {
      if (!all.wants(i)) continue;
      made[i].push_back(i < states.size() ? outputs[i] : padded_steps(mapped, outputs[i], steps));
    }
  }
  std::vector<ValueId> stacked;
  for (const std::vector<ValueId>& values : made)
    stacked.push_back(values.empty() ? kNoValue : stack_along(mapped, values, 0));
  publish(source, node, stacked, first, ids);
}

}  // namespace retune
