// Private operators for control flow that is decided at run time; the planner (graph/late_control_flow.cc) makes them.
//
//   If(condition, captured...)                       the outputs of then_branch or else_branch, which both read the
//                                                    captured values
//   Loop(trips?, condition?, state..., captured...)  the states after the last trip, and what each trip gave besides,
//                                                    stacked; Scan is the same, for messages
//
// A body is an attribute, a specialised graph. Parameters that it reads are among the captured values, so that the
// version of an output covers all it was computed from. Attributes of Loop: `body`, from (trip's number, state...,
// captured...) to (condition, state..., scan...); `states`, how many; `trips`, how many it will be if that is known
// (always with scans), -1 otherwise; `why`, why it was not unrolled.
//
// The gradient of If is an If, whose branches compute theirs again and from it the gradients of the captured values;
// zero for those that a branch does not use. A Loop that was not unrolled has none.
#include "graph/ops/control.h"

#include <cstring>
#include <limits>

#include "graph/canonicalize.h"
#include "graph/differentiate.h"
#include "graph/evaluate.h"
#include "graph/graph_builder.h"
#include "graph/op_registry.h"
#include "graph/ops/families.h"
#include "graph/ops/kernel.h"

namespace retune {

namespace {

// One execution of a control operator, with everything that it runs inside.
struct Run {
  ThreadPool& pool;
  const ForwardContext::Allocate& allocate;
  std::int64_t left = kControlStepLimit;

  void step(std::int64_t nodes) {
    left -= nodes;
    if (left < 0) throw user_error("it ran {} nodes and has not ended; shorten the loop", kControlStepLimit);
  }
};

std::vector<Tensor> run_control(const Node& node, std::span<const Tensor> inputs, Run& run);

bool is_control(const Node& node) {
  return node.domain == "retune" && (node.op == "If" || node.op == "Loop" || node.op == "Scan");
}

TypeShape type_of(const Graph& graph, ValueId id) {
  return id == kNoValue ? TypeShape{} : TypeShape{graph.value(id).dtype, *graph.value(id).shape};
}

// A body made ready to run, once for all trips.
class Program {
 public:
  Program(const Graph& graph, Run& run) : graph_(graph), uses_(graph.values().size(), 0) {
    run.step(1 + static_cast<std::int64_t>(graph.nodes().size()));  // work also where no trip follows
    for (const Node& node : graph.nodes()) {
      ops_.push_back(&OpRegistry::standard().require(node));
      types_.emplace_back();
      for (const ValueId id : node.outputs) types_.back().push_back(type_of(graph, id));
      for (const ValueId id : node.inputs)
        if (id != kNoValue) ++uses_[static_cast<std::size_t>(id)];
    }
    for (const ValueId id : graph.outputs) ++uses_[static_cast<std::size_t>(id)];
  }

  std::vector<Tensor> operator()(std::span<const Tensor> inputs, Run& run) const {
    run.step(1 + static_cast<std::int64_t>(graph_.nodes().size()));
    std::vector<Tensor> tensors(graph_.values().size());
    for (std::size_t i = 0; i < tensors.size(); ++i)
      if (graph_.values()[i].kind == ValueKind::kConstant) tensors[i] = graph_.values()[i].constant;
    for (std::size_t i = 0; i < graph_.inputs.size(); ++i)
      tensors[static_cast<std::size_t>(graph_.inputs[i])] = inputs[i];
    std::vector<std::int32_t> uses = uses_;
    for (std::size_t index = 0; index < ops_.size(); ++index) {
      const Node& node = graph_.nodes()[index];
      std::vector<Tensor> given;
      for (const ValueId id : node.inputs)
        given.push_back(id == kNoValue ? Tensor() : tensors[static_cast<std::size_t>(id)]);
      std::vector<Tensor> outputs = is_control(node)
                                        ? run_control(node, given, run)
                                        : evaluate(node, *ops_[index], given, types_[index], run.pool, run.allocate);
      for (std::size_t i = 0; i < node.outputs.size(); ++i)
        if (node.outputs[i] != kNoValue) tensors[static_cast<std::size_t>(node.outputs[i])] = std::move(outputs[i]);
      for (const ValueId id : node.inputs)
        if (id != kNoValue && --uses[static_cast<std::size_t>(id)] == 0)
          tensors[static_cast<std::size_t>(id)] = Tensor();
    }
    std::vector<Tensor> results;
    for (const ValueId id : graph_.outputs) results.push_back(tensors[static_cast<std::size_t>(id)]);
    return results;
  }

 private:
  const Graph& graph_;
  std::vector<const Op*> ops_;
  std::vector<std::vector<TypeShape>> types_;
  std::vector<std::int32_t> uses_;
};

bool is_true(const Tensor& condition) { return condition.cast(DType::kBool).data<bool>()[0]; }

std::vector<Tensor> run_if(const Node& node, std::span<const Tensor> inputs, Run& run) {
  const auto branch = node.attributes.graph(is_true(inputs[0]) ? "then_branch" : "else_branch");
  return Program(*branch, run)(inputs.subspan(1), run);
}

Shape stacked(const Shape& shape, std::int64_t trips) {
  std::vector<std::int64_t> extents = shape.extents();
  extents.insert(extents.begin(), trips);
  return Shape(std::move(extents));
}

std::vector<Tensor> run_loop(const Node& node, std::span<const Tensor> inputs, Run& run) {
  const auto body = node.attributes.graph("body");
  const auto states = static_cast<std::size_t>(node.attributes.i("states", 0));
  const std::int64_t expected = node.attributes.i("trips", -1);
  const std::int64_t trips = inputs[0].defined() ? inputs[0].cast(DType::kI64).data<std::int64_t>()[0]
                                                 : std::numeric_limits<std::int64_t>::max();
  bool go = !inputs[1].defined() || is_true(inputs[1]);
  const Program program(*body, run);
  // The trip's number stands where the trip count and the condition stood.
  std::vector<Tensor> given(inputs.begin() + 1, inputs.end());
  std::vector<Tensor> scans;
  for (std::size_t i = 1 + states; i < body->outputs.size(); ++i) {
    const TypeShape type = type_of(*body, body->outputs[i]);
    if (is_packed(type.dtype))
      throw user_error("stacking elements of type {} is not supported", dtype_name(type.dtype));
    scans.push_back(run.allocate(type.dtype, stacked(type.shape, expected)));
  }
  const Shape number = *body->value(body->inputs[0]).shape;
  std::int64_t trip = 0;
  for (; trip < trips && go; ++trip) {
    given[0] = Tensor::scalar(trip).reshaped(number);
    const std::vector<Tensor> results = program(given, run);
    go = is_true(results[0]);
    for (std::size_t i = 0; i < states; ++i) given[1 + i] = results[1 + i];
    for (std::size_t i = 0; i < scans.size(); ++i) {
      const Tensor& row = results[1 + states + i];
      if (row.bytes() != 0)
        std::memcpy(scans[i].mutable_raw() + static_cast<std::size_t>(trip) * row.bytes(), row.raw(), row.bytes());
    }
  }
  if (!scans.empty() && trip != expected)
    throw std::logic_error(fmt::format("{}: {} trips, planned {}", node.text(), trip, expected));
  std::vector<Tensor> outputs(given.begin() + 1, given.begin() + 1 + static_cast<std::ptrdiff_t>(states));
  outputs.insert(outputs.end(), scans.begin(), scans.end());
  return outputs;
}

std::vector<Tensor> run_control(const Node& node, std::span<const Tensor> inputs, Run& run) {
  return node.op == "If" ? run_if(node, inputs, run) : run_loop(node, inputs, run);
}

void forward_control(ForwardContext& c) {
  std::vector<Tensor> inputs;
  for (int i = 0; i < c.input_count(); ++i) inputs.push_back(c.in(i));
  const ForwardContext::Allocate allocate = [&](DType dtype, const Shape& shape) { return c.scratch(dtype, shape); };
  Run run{c.pool(), allocate};
  std::vector<Tensor> outputs = run_control(c.node(), inputs, run);
  for (int i = 0; i < c.output_count(); ++i)
    if (c.wants(i)) c.set_out(i, outputs[static_cast<std::size_t>(i)]);
}

void infer_if(InferContext& c) {
  const auto branch = c.attributes().graph("then_branch");
  if (c.shape(0).numel() != 1) throw user_error("the condition must be one truth value, got {}", c.shape(0).text());
  for (int i = 0; i < c.output_count(); ++i) {
    const TypeShape type = type_of(*branch, branch->outputs[static_cast<std::size_t>(i)]);
    c.set(i, type.dtype, type.shape);
  }
}

void infer_loop(InferContext& c) {
  for (const int i : {0, 1})
    if (c.has(i) && c.shape(i).numel() != 1)
      throw user_error("{} must be one element, got {}", i == 0 ? "the trip count" : "the condition",
                       c.shape(i).text());
  const auto body = c.attributes().graph("body");
  const auto states = static_cast<int>(c.attributes().i("states", 0));
  for (int i = 0; i < c.output_count(); ++i) {
    const TypeShape type = type_of(*body, body->outputs[static_cast<std::size_t>(i) + 1]);
    c.set(i, type.dtype, i < states ? type.shape : stacked(type.shape, c.attributes().i("trips", -1)));
  }
}

// From (captured..., cotangents of the outputs `given`) to the gradients of the captured values `wanted`.
std::shared_ptr<const Graph> gradient_branch(const Graph& branch, const std::vector<std::size_t>& wanted,
                                             const std::vector<std::size_t>& given) {
  Graph graph = branch;
  std::vector<ValueId> captured = graph.inputs, wrt;
  for (const std::size_t i : wanted) wrt.push_back(captured[i]);
  std::vector<std::pair<ValueId, ValueId>> seeds;
  for (const std::size_t i : given) {
    const TypeShape type = type_of(graph, branch.outputs[i]);
    const ValueId cotangent = graph.add_input(std::to_string(graph.inputs.size()), type.dtype);
    graph.value(cotangent).shape = type.shape;
    seeds.emplace_back(branch.outputs[i], cotangent);
  }
  std::vector<ValueId> gradients = pull_back(graph, seeds, wrt);
  GraphBuilder b(graph);
  for (std::size_t i = 0; i < gradients.size(); ++i)
    if (gradients[i] == kNoValue) gradients[i] = b.zeros_like(wrt[i]);
  graph.outputs = gradients;
  return std::make_shared<const Graph>(prune(graph));
}

void vjp_if(VjpContext& c) {
  GraphBuilder& b = c.builder();
  std::vector<std::size_t> wanted, given;
  std::vector<ValueId> inputs = c.node().inputs;
  for (std::size_t i = 1; i < inputs.size(); ++i)
    if (c.wants(static_cast<int>(i))) wanted.push_back(i - 1);
  for (std::size_t i = 0; i < c.node().outputs.size(); ++i) {
    const ValueId cotangent = c.cotangent(static_cast<int>(i));
    if (cotangent == kNoValue) continue;
    given.push_back(i);
    inputs.push_back(cotangent);
  }
  Attributes branches;
  for (const char* name : {"then_branch", "else_branch"})
    branches.set(name, gradient_branch(*c.attributes().graph(name), wanted, given));
  const std::vector<ValueId> gradients = b.private_ops("If", inputs, branches, static_cast<int>(wanted.size()));
  Node& made = b.graph().node(b.graph().nodes().size() - 1);
  made.name = c.node().name;
  made.file = c.node().file;
  for (std::size_t i = 0; i < wanted.size(); ++i) c.give(static_cast<int>(wanted[i]) + 1, gradients[i]);
}

void vjp_loop(VjpContext& c) {
  throw user_error(
      "{} has no gradient: {}; only a loop that unrolls to at most 4096 nodes has one, so make its trip count a "
      "constant or an integer input, or the loop shorter",
      c.node().text(), c.attributes().s("why", "it was not unrolled"));
}

Op control(std::string name, void (*infer)(InferContext&), void (*vjp)(VjpContext&)) {
  return {.domain = "retune",
          .name = std::move(name),
          .infer = infer,
          .forward = forward_control,
          .vjp = vjp,
          .takes_half = true,
          .packed = Op::Packed::kAsStored};
}

}  // namespace

std::vector<Op> control_ops() {
  return {control("If", infer_if, vjp_if), control("Loop", infer_loop, vjp_loop),
          control("Scan", infer_loop, vjp_loop)};
}

}  // namespace retune
