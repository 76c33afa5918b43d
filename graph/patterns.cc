#include "graph/patterns.h"

#include <cmath>
#include <numbers>
#include <utility>

namespace retune {

namespace {

bool near(std::optional<double> value, double expected) {
  return value && std::abs(*value - expected) <= 1e-5 * std::abs(expected);
}

// Both ways of reading a commutative node's operands.
using Operands = std::pair<ValueId, ValueId>;
std::vector<Operands> both_orders(const Node& node) {
  if (node.inputs.size() != 2) return {};
  return {{node.inputs[0], node.inputs[1]}, {node.inputs[1], node.inputs[0]}};
}

// x + c, c + x
std::optional<std::pair<ValueId, double>> plus_scalar(const PatternGraph& p, ValueId id) {
  if (const Node* add = p.made_by(id, "Add"))
    for (const auto& [x, c] : both_orders(*add))
      if (const auto value = p.scalar(c)) return std::pair{x, *value};
  return std::nullopt;
}

// x * c, c * x, x / (1/c)
std::optional<std::pair<ValueId, double>> times_scalar(const PatternGraph& p, ValueId id) {
  if (const Node* mul = p.made_by(id, "Mul"))
    for (const auto& [x, c] : both_orders(*mul))
      if (const auto value = p.scalar(c)) return std::pair{x, *value};
  if (const Node* div = p.made_by(id, "Div"))
    if (const auto value = p.scalar(div->inputs[1]); value && *value != 0)
      return std::pair{div->inputs[0], 1.0 / *value};
  return std::nullopt;
}

std::vector<std::int64_t> constant_ints(const PatternGraph& p, ValueId id) {
  const Value& value = p.graph.value(id);
  return value.kind == ValueKind::kConstant && !is_float(value.dtype) ? value.constant.to_i64()
                                                                      : std::vector<std::int64_t>{};
}

// mean over the last axis of x^2, kept: gives x.
std::optional<ValueId> mean_square(const PatternGraph& p, ValueId id) {
  const Node* mean = p.made_by(id, "ReduceMean");
  if (!mean || mean->attributes.i("keepdims", 1) != 1) return std::nullopt;
  const std::vector<std::int64_t> axes =
      mean->inputs.size() > 1 ? constant_ints(p, mean->inputs[1]) : mean->attributes.ints("axes");
  const int rank = p.graph.value(mean->inputs[0]).shape->rank();
  if (axes.size() != 1 || (axes[0] != -1 && axes[0] != rank - 1)) return std::nullopt;
  if (const Node* pow = p.made_by(mean->inputs[0], "Pow"); pow && near(p.scalar(pow->inputs[1]), 2.0))
    return pow->inputs[0];
  if (const Node* mul = p.made_by(mean->inputs[0], "Mul"); mul && mul->inputs[0] == mul->inputs[1])
    return mul->inputs[0];
  return std::nullopt;
}

struct RootMeanSquare {
  ValueId x;
  double epsilon;
};

// sqrt(mean(x^2) + eps)
std::optional<RootMeanSquare> root_mean_square(const PatternGraph& p, ValueId id) {
  const Node* root = p.made_by(id, "Sqrt");
  if (!root) return std::nullopt;
  const auto sum = plus_scalar(p, root->inputs[0]);
  if (!sum) return std::nullopt;
  const auto x = mean_square(p, sum->first);
  return x ? std::optional(RootMeanSquare{*x, sum->second}) : std::nullopt;
}

// x / rms(x), x * (1 / rms(x))
std::optional<RootMeanSquare> normalized(const PatternGraph& p, ValueId id) {
  if (const Node* div = p.made_by(id, "Div"))
    if (const auto rms = root_mean_square(p, div->inputs[1]); rms && rms->x == div->inputs[0]) return rms;
  const Node* mul = p.made_by(id, "Mul");
  if (!mul) return std::nullopt;
  for (const auto& [x, inverse] : both_orders(*mul)) {
    std::optional<RootMeanSquare> rms;
    if (const Node* div = p.made_by(inverse, "Div"); div && near(p.scalar(div->inputs[0]), 1.0))
      rms = root_mean_square(p, div->inputs[1]);
    if (const Node* reciprocal = p.made_by(inverse, "Reciprocal")) rms = root_mean_square(p, reciprocal->inputs[0]);
    if (rms && rms->x == x) return rms;
  }
  return std::nullopt;
}

struct SliceRange {
  ValueId source;
  std::int64_t begin, end;
};

// x[..., begin:end], step 1
std::optional<SliceRange> last_axis_slice(const PatternGraph& p, ValueId id) {
  const Node* slice = p.made_by(id, "Slice");
  if (!slice || slice->inputs.size() < 4) return std::nullopt;
  const auto starts = constant_ints(p, slice->inputs[1]);
  const auto ends = constant_ints(p, slice->inputs[2]);
  const auto axes = constant_ints(p, slice->inputs[3]);
  const Shape& shape = *p.graph.value(slice->inputs[0]).shape;
  if (starts.size() != 1 || ends.size() != 1 || axes.size() != 1) return std::nullopt;
  if (axes[0] != -1 && axes[0] != shape.rank() - 1) return std::nullopt;
  if (slice->inputs.size() > 4 && slice->inputs[4] != kNoValue &&
      constant_ints(p, slice->inputs[4]) != std::vector<std::int64_t>{1})
    return std::nullopt;
  const std::int64_t width = shape.back();
  return SliceRange{slice->inputs[0], starts[0], std::min(ends[0], width)};
}

// concat(-x[half:], x[:half]) gives x.
std::optional<ValueId> rotated_half(const PatternGraph& p, ValueId id) {
  const Node* concat = p.made_by(id, "Concat");
  if (!concat || concat->inputs.size() != 2) return std::nullopt;
  const int rank = p.graph.value(id).shape->rank();
  const std::int64_t axis = concat->attributes.i("axis", 0);
  if (axis != -1 && axis != rank - 1) return std::nullopt;
  const Node* negative = p.made_by(concat->inputs[0], "Neg");
  if (!negative) return std::nullopt;
  const auto high = last_axis_slice(p, negative->inputs[0]);
  const auto low = last_axis_slice(p, concat->inputs[1]);
  if (!high || !low || high->source != low->source) return std::nullopt;
  const std::int64_t width = p.graph.value(high->source).shape->back();
  if (width % 2 != 0 || low->begin != 0 || low->end != width / 2 || high->begin != width / 2 || high->end != width)
    return std::nullopt;
  return high->source;
}

// cos and sin of rank 4 that the rotary kernel broadcasts over heads: [B or 1, 1, S, D].
bool rotary_table(const PatternGraph& p, ValueId x, ValueId table) {
  const Shape& shape = *p.graph.value(table).shape;
  const Shape& data = *p.graph.value(x).shape;
  if (data.rank() != 4 || shape.rank() != 4 || p.learnt[static_cast<std::size_t>(table)]) return false;
  return (shape[0] == 1 || shape[0] == data[0]) && shape[1] == 1 && shape[2] == data[2] && shape[3] == data[3];
}

// Keys or values repeated for grouped heads: Reshape(Expand(Unsqueeze(kv, 2))) gives kv; anything else gives itself.
ValueId ungrouped(const PatternGraph& p, ValueId id) {
  const Node* reshape = p.made_by(id, "Reshape");
  const Node* expand = reshape ? p.made_by(reshape->inputs[0], "Expand") : nullptr;
  const Node* unsqueeze = expand ? p.made_by(expand->inputs[0], "Unsqueeze") : nullptr;
  if (!unsqueeze) return id;
  const ValueId source = unsqueeze->inputs[0];
  const Shape& kv = *p.graph.value(source).shape;
  const Shape& wide = *p.graph.value(reshape->inputs[0]).shape;
  const Shape& out = *p.graph.value(id).shape;
  const bool grouped = kv.rank() == 4 && wide.rank() == 5 && out.rank() == 4 && wide[0] == kv[0] && wide[1] == kv[1] &&
                       wide[3] == kv[2] && wide[4] == kv[3] && out[0] == kv[0] && out[1] == kv[1] * wide[2] &&
                       out[2] == kv[2] && out[3] == kv[3];
  return grouped ? source : id;
}

// The last two axes swapped: gives the operand.
std::optional<ValueId> swapped(const PatternGraph& p, ValueId id) {
  const Node* transpose = p.made_by(id, "Transpose");
  if (!transpose) return std::nullopt;
  const int rank = p.graph.value(id).shape->rank();
  std::vector<std::int64_t> permutation = transpose->attributes.ints("perm");
  if (permutation.empty())
    for (int i = rank; i-- > 0;) permutation.push_back(i);
  if (rank < 2) return std::nullopt;
  for (int i = 0; i < rank - 2; ++i)
    if (permutation[static_cast<std::size_t>(i)] != i) return std::nullopt;
  const auto n = static_cast<std::size_t>(rank);
  if (permutation[n - 2] != rank - 1 || permutation[n - 1] != rank - 2) return std::nullopt;
  return transpose->inputs[0];
}

struct Scores {
  ValueId q, k;
  double scale;
};

// scale * q k^T, the scale before or after the product, or its root on each side.
std::optional<Scores> scores(const PatternGraph& p, ValueId id) {
  double scale = 1.0;
  if (const auto scaled = times_scalar(p, id)) {
    id = scaled->first;
    scale *= scaled->second;
  }
  const Node* product = p.made_by(id, "MatMul");
  if (!product) return std::nullopt;
  ValueId q = product->inputs[0];
  ValueId k = product->inputs[1];
  if (const auto scaled = times_scalar(p, q)) {
    q = scaled->first;
    scale *= scaled->second;
  }
  if (const auto scaled = times_scalar(p, k)) {
    k = scaled->first;
    scale *= scaled->second;
  }
  const auto untransposed = swapped(p, k);
  if (!untransposed) return std::nullopt;
  return Scores{q, ungrouped(p, *untransposed), scale};
}

Node replacement(const Node& last, std::string domain, std::string op, int version, std::vector<ValueId> inputs,
                 Attributes attributes) {
  Node node{.domain = std::move(domain), .op = std::move(op), .version = version, .name = last.name, .file = last.file};
  node.inputs = std::move(inputs);
  node.attributes = std::move(attributes);
  return node;
}

}  // namespace

PatternGraph::PatternGraph(const Graph& g, const std::vector<std::string>& wrt)
    : graph(g), learnt(g.values().size(), false) {
  for (std::size_t i = 0; i < g.values().size(); ++i) {
    const Value& value = g.values()[i];
    learnt[i] = value.kind == ValueKind::kParameter || (value.kind == ValueKind::kInput && is_float(value.dtype));
  }
  // Tables such as rotary frequencies are parameters of the file that gradients never need; what is computed from them
  // and integers alone counts as learnt only if it is of a matrix parameter.
  for (std::size_t i = 0; i < g.values().size(); ++i)
    if (g.values()[i].kind == ValueKind::kParameter && g.values()[i].shape->rank() <= 1) learnt[i] = false;
  for (const std::string& name : wrt)
    if (const ValueId id = g.find(name); id != kNoValue) learnt[static_cast<std::size_t>(id)] = true;
  for (const Node& node : g.nodes()) {
    bool any = false;
    for (const ValueId id : node.inputs) any = any || (id != kNoValue && learnt[static_cast<std::size_t>(id)]);
    for (const ValueId id : node.outputs)
      if (any && id != kNoValue && is_float(g.value(id).dtype)) learnt[static_cast<std::size_t>(id)] = true;
  }
}

const Node* PatternGraph::made_by(ValueId id, const char* op) const {
  const Node* node = id == kNoValue ? nullptr : graph.producer(id);
  return node && node->domain.empty() && node->op == op ? node : nullptr;
}

std::optional<double> PatternGraph::scalar(ValueId id) const {
  const Value& value = graph.value(id);
  if (value.kind != ValueKind::kConstant || !is_float(value.dtype) || value.constant.numel() != 1) return std::nullopt;
  return value.constant.to_f64()[0];
}

std::optional<Replacement> match_rms_normalization(const PatternGraph& p, const Node& last) {
  if (last.op != "Mul" || !last.domain.empty()) return std::nullopt;
  for (const auto& [weight, normal] : both_orders(last)) {
    const auto rms = normalized(p, normal);
    if (!rms) continue;
    const Shape& scale = *p.graph.value(weight).shape;
    if (scale.rank() != 1 || scale[0] != p.graph.value(rms->x).shape->back()) continue;
    return Replacement{replacement(last, "", "RMSNormalization", 23, {rms->x, weight},
                                   {{"axis", std::int64_t{-1}}, {"epsilon", rms->epsilon}})};
  }
  return std::nullopt;
}

std::optional<Replacement> match_silu(const PatternGraph& p, const Node& last) {
  if (last.op != "Mul" || !last.domain.empty()) return std::nullopt;
  for (const auto& [x, gate] : both_orders(last))
    if (const Node* sigmoid = p.made_by(gate, "Sigmoid"); sigmoid && sigmoid->inputs[0] == x)
      return Replacement{replacement(last, "com.microsoft", "QuickGelu", 1, {x}, {{"alpha", 1.0}})};
  return std::nullopt;
}

std::optional<Replacement> match_gelu(const PatternGraph& p, const Node& last) {
  if (last.op != "Mul" || !last.domain.empty() || last.inputs.size() != 2) return std::nullopt;
  // Three factors in any grouping: x, 1/2 and 1 + erf(x / sqrt 2).
  for (const auto& [a, b] : both_orders(last)) {
    const Node* inner = p.made_by(b, "Mul");
    if (!inner) continue;
    for (const auto& [c, d] : both_orders(*inner)) {
      ValueId factors[3] = {a, c, d};
      for (int half = 0; half < 3; ++half) {
        if (!near(p.scalar(factors[half]), 0.5)) continue;
        for (int swap = 0; swap < 2; ++swap) {
          const ValueId x = factors[(half + 1 + swap) % 3];
          const auto sum = plus_scalar(p, factors[(half + 2 - swap) % 3]);
          if (!sum || !near(sum->second, 1.0)) continue;
          const Node* erf = p.made_by(sum->first, "Erf");
          const auto scaled = erf ? times_scalar(p, erf->inputs[0]) : std::nullopt;
          if (scaled && scaled->first == x && near(scaled->second, 1.0 / std::numbers::sqrt2))
            return Replacement{replacement(last, "com.microsoft", "Gelu", 1, {x}, {})};
        }
      }
    }
  }
  return std::nullopt;
}

std::optional<Replacement> match_rotary(const PatternGraph& p, const Node& last) {
  if (last.op != "Add" || !last.domain.empty()) return std::nullopt;
  for (const auto& [straight, turned] : both_orders(last)) {
    const Node* first = p.made_by(straight, "Mul");
    const Node* second = p.made_by(turned, "Mul");
    if (!first || !second) continue;
    for (const auto& [half, sin] : both_orders(*second)) {
      const auto x = rotated_half(p, half);
      if (!x) continue;
      for (const auto& [same, cos] : both_orders(*first))
        if (same == *x && rotary_table(p, *x, cos) && rotary_table(p, *x, sin))
          return Replacement{replacement(last, "retune", "Rotary", 1, {*x, cos, sin}, {})};
    }
  }
  return std::nullopt;
}

std::optional<Replacement> match_attention(const PatternGraph& p, const Node& last) {
  if (last.op != "MatMul" || !last.domain.empty()) return std::nullopt;
  const Node* softmax = p.made_by(last.inputs[0], "Softmax");
  if (!softmax || p.graph.value(last.outputs[0]).shape->rank() != 4) return std::nullopt;
  const std::int64_t axis = softmax->attributes.i("axis", softmax->version >= 13 ? -1 : 1);
  if (axis != -1 && axis != 3) return std::nullopt;
  ValueId mask = kNoValue;
  std::optional<Scores> found = scores(p, softmax->inputs[0]);
  if (const Node* add = p.made_by(softmax->inputs[0], "Add"); add && !found)
    for (const auto& [product, other] : both_orders(*add))
      if (!found && !p.learnt[static_cast<std::size_t>(other)] && (found = scores(p, product))) mask = other;
  if (!found) return std::nullopt;
  const ValueId v = ungrouped(p, last.inputs[1]);
  const Shape& q_shape = *p.graph.value(found->q).shape;
  const Shape& k_shape = *p.graph.value(found->k).shape;
  const Shape& v_shape = *p.graph.value(v).shape;
  if (q_shape.rank() != 4 || k_shape.rank() != 4 || v_shape.rank() != 4 || q_shape[0] != k_shape[0] ||
      v_shape[0] != k_shape[0] || k_shape[1] != v_shape[1] || q_shape[1] % k_shape[1] != 0 ||
      k_shape[3] != v_shape[3] || k_shape[2] == 0)
    return std::nullopt;
  if (mask != kNoValue && p.graph.value(mask).shape->rank() > 4) return std::nullopt;
  std::vector<ValueId> inputs{found->q, found->k, v};
  if (mask != kNoValue) inputs.push_back(mask);
  return Replacement{replacement(last, "retune", "Attention", 1, std::move(inputs), {{"scale", found->scale}}), 1};
}

std::optional<Replacement> match_transposed_product(const PatternGraph& p, const Node& last) {
  if (last.op != "MatMul" || !last.domain.empty()) return std::nullopt;
  const auto a = swapped(p, last.inputs[0]);
  const auto b = swapped(p, last.inputs[1]);
  if (!a && !b) return std::nullopt;
  return Replacement{replacement(last, "com.microsoft", "FusedMatMul", 1,
                                 {a.value_or(last.inputs[0]), b.value_or(last.inputs[1])},
                                 {{"transA", std::int64_t{a.has_value()}}, {"transB", std::int64_t{b.has_value()}}})};
}

}  // namespace retune
