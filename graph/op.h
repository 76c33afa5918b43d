// What an operator is: shape inference, forward, and the vector-Jacobian product (vjp) that emits its gradient as graph
// nodes.
//
// One operator family a file: opset versions, attributes, inference, forward, vjp, with the equation and its source. A
// family file exports one function that lists its operators (`std::vector<Op> softmax_ops();`) and op_registry.cc has
// one line for it.
//
// A vjp runs on a graph whose shapes are concrete, so it may read them. It must emit nodes only for the inputs that ask
// (`wants`). Where a composed gradient would be slow, a private operator of domain "retune" stands in the same file.
#pragma once

#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "graph/graph.h"
#include "tensor/error.h"
#include "tensor/thread_pool.h"

namespace retune {

class GraphBuilder;

struct TypeShape {
  DType dtype = DType::kUndefined;
  Shape shape;
};

// Concrete shapes in, concrete shapes out. Errors thrown here are prefixed with the node's text by the caller.
class InferContext {
 public:
  InferContext(const Graph& graph, const Node& node) : graph_(graph), node_(node), results_(node.outputs.size()) {}

  const Node& node() const { return node_; }
  const Attributes& attributes() const { return node_.attributes; }
  int version() const { return node_.version; }
  int input_count() const { return static_cast<int>(node_.inputs.size()); }
  int output_count() const { return static_cast<int>(node_.outputs.size()); }
  // Whether input i is given (optional inputs may be missing at the end or empty).
  bool has(int i) const;
  DType dtype(int i) const;
  const Shape& shape(int i) const;
  // The value of input i if it is known while planning (constants, folded shape arithmetic); null otherwise.
  const Tensor* constant(int i) const;
  // As constant, but asks the planner to plan again with the value of the integer input that it depends on, where it is
  // not known.
  const Tensor& require_constant(int i) const;
  // constant(i) as integers, or the attribute `name` when input i is absent; nothing if neither is there.
  // (For operators whose axes, pads, ... moved from an attribute to an input.)
  std::optional<std::vector<std::int64_t>> ints_from(int i, std::string_view attribute) const;

  void set(int output, DType dtype, Shape shape);
  // The output's value is known now (Shape, Size, ...).
  void set_constant(int output, Tensor value);
  // Output 0 gets input 0's type and shape.
  void same_as_input();

  struct Result {
    bool set = false;
    TypeShape type;
    std::optional<Tensor> constant;
  };
  const std::vector<Result>& results() const { return results_; }

 private:
  const Graph& graph_;
  const Node& node_;
  std::vector<Result> results_;
};

// Thrown by InferContext::require_constant; the planner pins the inputs behind `value` and starts again.
struct NeedsValue {
  ValueId value;
};

// Computes. Outputs have the inferred types and shapes. Inputs with f16 or bf16 arrive as f32 unless the operator says
// `takes_half`; outputs are then rounded by the caller. Elements of 2 and 4 bits are refused unless the operator takes
// them as they are stored, or only moves elements: as codes, one a byte (u8), which the caller packs again.
class ForwardContext {
 public:
  using Allocate = std::function<Tensor(DType, const Shape&)>;
  ForwardContext(const Node& node, std::span<const Tensor> inputs, std::span<const TypeShape> output_types,
                 ThreadPool& pool, const Allocate& allocate)
      : node_(node),
        inputs_(inputs),
        output_types_(output_types),
        outputs_(output_types.size()),
        pool_(pool),
        allocate_(allocate) {}

  const Node& node() const { return node_; }
  const Attributes& attributes() const { return node_.attributes; }
  int version() const { return node_.version; }
  int input_count() const { return static_cast<int>(inputs_.size()); }
  int output_count() const { return static_cast<int>(output_types_.size()); }
  bool has(int i) const { return i < input_count() && inputs_[static_cast<std::size_t>(i)].defined(); }
  const Tensor& in(int i) const { return inputs_[static_cast<std::size_t>(i)]; }
  // Whether somebody reads output i (optional outputs may be unnamed).
  bool wants(int i) const;
  const TypeShape& out_type(int i) const { return output_types_[static_cast<std::size_t>(i)]; }
  // Output i, allocated uninitialised on first use.
  Tensor& out(int i);
  // Output i is this tensor, e.g. a view of an input; shape and type must be those inferred.
  void set_out(int i, Tensor tensor);
  ThreadPool& pool() const { return pool_; }
  // Scratch memory of `shape`.
  Tensor scratch(DType dtype, const Shape& shape) const { return allocate_(dtype, shape); }
  std::vector<Tensor>& outputs() { return outputs_; }

 private:
  const Node& node_;
  std::span<const Tensor> inputs_;
  std::span<const TypeShape> output_types_;
  std::vector<Tensor> outputs_;
  ThreadPool& pool_;
  const Allocate& allocate_;
};

// Emits the gradient of one node. Cotangents are gradients of the loss with respect to this node's outputs.
class VjpContext {
 public:
  VjpContext(GraphBuilder& builder, const Node& node, std::span<const ValueId> cotangents, std::vector<bool> wanted)
      : builder_(builder),
        node_(node),
        cotangents_(cotangents),
        wanted_(std::move(wanted)),
        gradients_(node_.inputs.size(), kNoValue) {}

  GraphBuilder& builder() const { return builder_; }
  const Node& node() const { return node_; }
  const Attributes& attributes() const { return node_.attributes; }
  int version() const { return node_.version; }
  bool has(int i) const { return i < static_cast<int>(node_.inputs.size()) && in(i) != kNoValue; }
  ValueId in(int i) const { return node_.inputs[static_cast<std::size_t>(i)]; }
  ValueId out(int i = 0) const { return node_.outputs[static_cast<std::size_t>(i)]; }
  // kNoValue if nothing downstream depends on output i.
  ValueId cotangent(int i = 0) const { return cotangents_[static_cast<std::size_t>(i)]; }
  bool wants(int i) const { return has(i) && wanted_[static_cast<std::size_t>(i)]; }
  Shape shape(ValueId id) const;
  DType dtype(ValueId id) const;
  // The gradient for input i; its shape must be the input's. Not giving one means zero.
  void give(int i, ValueId gradient) { gradients_[static_cast<std::size_t>(i)] = gradient; }
  const std::vector<ValueId>& gradients() const { return gradients_; }

 private:
  GraphBuilder& builder_;
  const Node node_;  // a copy: the builder grows the node list
  std::span<const ValueId> cotangents_;
  std::vector<bool> wanted_;
  std::vector<ValueId> gradients_;
};

struct Op {
  std::string domain;
  std::string name;
  int since = 1;  // the first version of its operator set with this meaning; the implementation reads node().version
                  // for details
  void (*infer)(InferContext&) = nullptr;
  void (*forward)(ForwardContext&) = nullptr;
  void (*vjp)(VjpContext&) = nullptr;
  std::string no_vjp{};     // why there is none, e.g. "its output is an index"; shown when a gradient reaches it
  bool takes_half = false;  // the kernel reads and writes f16 and bf16 itself
  enum class Packed : std::uint8_t { kRefused, kAsCodes, kAsStored };
  Packed packed = Packed::kRefused;  // how elements of 2 and 4 bits reach the kernel
  // A gradient that would have to pass is an error even where the outputs are integers, whose slope is zero elsewhere:
  // they stand for floats.
  bool refuses_gradient = false;
  // An operator that is a composition of others has a body instead of infer, forward and vjp: a graph for these input
  // shapes, whose inputs are named by the node's input index ("0", "1", ...; absent inputs have none) and whose outputs
  // stand in the node's order. It is planned in the node's place, so shapes are inferred, constants folded and
  // gradients taken through it.
  Graph (*body)(const InferContext&) = nullptr;
};

}  // namespace retune
