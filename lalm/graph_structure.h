// Reading a transformer off a graph: linear layers, normalisations, and the residual stream with its branches
// (onnx-layouts.md section 4). Structure decides, never names. Works on linked graphs whose shapes are still symbolic.
#pragma once

#include <optional>
#include <set>
#include <string>
#include <vector>

#include "graph/graph.h"

namespace retune {

// y = W x (+ b) as some exporter wrote it: MatMul or Gemm (with no factors alpha or beta) with a weight, directly or
// through a Transpose, and an Add of a bias; either may be stored in 16 bits and cast where it is used. A quantised
// weight is one of codes: of MatMulNBits and MatMulBnb4, behind a DequantizeLinear, or of MatMulInteger between a
// DynamicQuantizeLinear and its factors.
struct LinearLayer {
  std::int32_t node = -1;             // of the product
  ValueId input = kNoValue;           // the key, [.., in]
  ValueId output = kNoValue;          // the value, bias included
  ValueId weight = kNoValue;          // a parameter, of codes if quantised
  bool weight_is_transposed = false;  // stored as [in, out]
  ValueId bias = kNoValue;            // a parameter, or kNoValue
  std::int64_t in = 0, out = 0;
};

// One x + f(x) of the residual stream.
struct ResidualSum {
  ValueId sum = kNoValue;        // the stream after it; kNoValue where a fused operator keeps it to itself
  ValueId stream = kNoValue;     // the stream before
  ValueId branch = kNoValue;     // what is added
  std::set<std::int32_t> nodes;  // of the branch, from the stream (exclusive) to the sum (exclusive)
};

class GraphStructure {
 public:
  explicit GraphStructure(const Graph& graph);

  // Every linear layer, in order of computation.
  const std::vector<LinearLayer>& linears() const { return linears_; }
  // The linear layer whose output (or product, before its bias) this is, seen through Cast, Identity and Dropout.
  const LinearLayer* linear_at(ValueId id) const;
  // The nearest linear layers that a value is computed from, within `nodes`.
  std::vector<const LinearLayer*> nearest_linears(ValueId id, const std::set<std::int32_t>& nodes) const;
  // The value that a normalisation's output normalises, fused or decomposed; kNoValue if `id` is no such output.
  ValueId norm_input(ValueId id) const;
  // The residual sums that end at `id`, last first: id is the last stream value (or the output of a fused
  // skip-normalisation).
  std::vector<ResidualSum> spine(ValueId id) const;
  // The residual sum that `id` is; nothing if it is none.
  std::optional<ResidualSum> sum_at(ValueId id) const;
  // Nodes on a path from a value of `until` to `from`; all that `from` is computed from if `until` is empty.
  std::set<std::int32_t> nodes_between(ValueId from, const std::set<ValueId>& until) const;
  // Steps back over Cast, Identity and Dropout.
  ValueId seen_through(ValueId id) const;
  const Graph& graph() const { return graph_; }

 private:
  std::optional<LinearLayer> read_linear(std::int32_t index) const;
  // The same with a weight of blocks of codes, and with a product of integers.
  std::optional<LinearLayer> read_blocks(std::int32_t index) const;
  std::optional<LinearLayer> read_integers(std::int32_t index) const;
  // The value that the only reader of `id` computes, if it is one of these standard operators; else kNoValue.
  ValueId only_reader(ValueId id, std::initializer_list<const char*> ops) const;
  // An Add of a bias after the product becomes part of the layer.
  void take_bias(LinearLayer& layer) const;
  // The values that are the stream to whoever reads them: a skip-normalisation gives it out twice, as it is and
  // normalised.
  std::set<ValueId> readings_of(ValueId stream) const;
  // Whether `id` is computed from one of `on`, outputs of one node.
  bool depends_on(ValueId id, const std::set<ValueId>& on) const;

  const Graph& graph_;
  std::vector<LinearLayer> linears_;
  std::vector<std::int32_t> linear_of_value_;  // index into linears_, -1
  std::vector<std::vector<std::int32_t>> consumers_;
};

}  // namespace retune
