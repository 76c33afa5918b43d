// The spellings of composite operations that exporters write, recognised by structure (onnx-layouts.md 1.6). Each
// matcher looks at the last node of its pattern and walks backwards; operand order never matters where the operator
// commutes.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "graph/graph.h"

namespace retune {

// What replaces the last node of a pattern: a node whose inputs are values of the same graph and whose first output is
// the last node's first output; `extra_outputs` unnamed outputs follow it.
struct Replacement {
  Node node;
  int extra_outputs = 0;
};

// Facts about a specialised graph that several patterns ask for.
struct PatternGraph {
  const Graph& graph;
  std::vector<bool> learnt;  // values that depend on a parameter or on a float input

  // Leaves named in `wrt` are learnt whatever they are.
  explicit PatternGraph(const Graph& g, const std::vector<std::string>& wrt = {});
  // The producer of a value if it is the standard operator `op`; null otherwise.
  const Node* made_by(ValueId id, const char* op) const;
  // The value of a scalar float constant (one element of any rank).
  std::optional<double> scalar(ValueId id) const;
};

// w * x / sqrt(mean(x^2) + eps), statistics over the last axis -> RMSNormalization(x, w)
std::optional<Replacement> match_rms_normalization(const PatternGraph& p, const Node& last);
// x * sigmoid(x) -> com.microsoft.QuickGelu(x), alpha 1
std::optional<Replacement> match_silu(const PatternGraph& p, const Node& last);
// x/2 * (1 + erf(x / sqrt 2)) -> com.microsoft.Gelu(x)
std::optional<Replacement> match_gelu(const PatternGraph& p, const Node& last);
// x * cos + concat(-x2, x1) * sin -> retune.Rotary(x, cos, sin)
std::optional<Replacement> match_rotary(const PatternGraph& p, const Node& last);
// softmax(scale * q k^T + mask) v, also with keys and values repeated for grouped heads -> retune.Attention(q, k, v,
// mask)
std::optional<Replacement> match_attention(const PatternGraph& p, const Node& last);
// a b^T spelled with a Transpose of the last two axes -> com.microsoft.FusedMatMul
std::optional<Replacement> match_transposed_product(const PatternGraph& p, const Node& last);

}  // namespace retune
