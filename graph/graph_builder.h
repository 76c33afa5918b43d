// Appends nodes to a graph. Two users: vector-Jacobian products, which emit into specialised graphs and so get every
// shape inferred at once, and code that writes models (the demo model, tests, bench), where input shapes may still be
// symbolic and only what can be inferred is.
//
//   GraphBuilder b(graph);
//   ValueId y = b.op("Softmax", {x}, {{"axis", std::int64_t{-1}}});
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "graph/graph.h"

namespace retune {

class GraphBuilder {
 public:
  explicit GraphBuilder(Graph& graph) : graph_(graph) {}

  Graph& graph() { return graph_; }
  // A copy: references into the graph do not survive appending. Throws a logic error where it is not known.
  Shape shape(ValueId id) const;
  DType dtype(ValueId id) const { return graph_.value(id).dtype; }

  // A node with one output. `name` names the output (and the node); empty for none.
  ValueId op(std::string_view op, std::vector<ValueId> inputs, Attributes attributes = {}, std::string name = {});
  // The same for another domain and for several outputs (names may be empty strings).
  std::vector<ValueId> ops(std::string_view domain, std::string_view op, std::vector<ValueId> inputs,
                           Attributes attributes, const std::vector<std::string>& output_names);
  ValueId private_op(std::string_view op, std::vector<ValueId> inputs, Attributes attributes = {});
  std::vector<ValueId> private_ops(std::string_view op, std::vector<ValueId> inputs, Attributes attributes,
                                   int output_count);

  ValueId constant(Tensor tensor, std::string name = {}) {
    return graph_.add_constant(std::move(tensor), std::move(name));
  }
  // A rank-0 constant of a float type.
  ValueId scalar(double value, DType dtype);
  ValueId ints(const std::vector<std::int64_t>& values);

  ValueId add(ValueId a, ValueId b) { return op("Add", {a, b}); }
  ValueId sub(ValueId a, ValueId b) { return op("Sub", {a, b}); }
  ValueId mul(ValueId a, ValueId b) { return op("Mul", {a, b}); }
  ValueId div(ValueId a, ValueId b) { return op("Div", {a, b}); }
  ValueId neg(ValueId a) { return op("Neg", {a}); }
  ValueId mul(ValueId a, double scalar_value) { return mul(a, scalar(scalar_value, dtype(a))); }
  ValueId add(ValueId a, double scalar_value) { return add(a, scalar(scalar_value, dtype(a))); }
  // op(A) op(B) with the last two axes of A or B swapped where asked (com.microsoft.FusedMatMul where either is, so
  // that other runtimes can run the graph too).
  enum class Swap { kNone, kLastTwo };
  ValueId matmul(ValueId a, ValueId b, Swap swap_a = Swap::kNone, Swap swap_b = Swap::kNone);
  ValueId reshape(ValueId x, const Shape& shape);
  ValueId transpose(ValueId x, const std::vector<std::int64_t>& permutation);
  enum class KeepDims { kNo, kYes };
  ValueId reduce_sum(ValueId x, const std::vector<std::int64_t>& axes, KeepDims keep);
  ValueId cast(ValueId x, DType dtype);
  // Sums a gradient over the axes along which `shape` was broadcast to it; x itself if there are none.
  ValueId sum_to(ValueId x, const Shape& shape);
  ValueId zeros_like(ValueId x);

 private:
  Graph& graph_;
};

}  // namespace retune
