// FlexAttention of ai.onnx.preview (1): attention whose scores and weights may be changed by graphs of the model.
//
//   q [B, H, L, D], k [B, Hkv, S, D], v [B, Hkv, S, Dv], H a multiple of Hkv  ->  y [B, H, L, Dv]
//
//   y = prob_mod(softmax(score_mod(scale q k^T))) v
//
// with scores [B, H, L, S] in f32 for 16-bit inputs, or in softmax_precision. Without the two graphs it is the private
// Attention; with one of them its scores are spelled out and the graph's nodes stand between.
#include <cmath>

#include "graph/ops/attention_body.h"
#include "graph/ops/families.h"
#include "graph/ops/kernel.h"

namespace retune {

namespace {

void require_heads(const InferContext& c) {
  require_inputs(c, 3);
  require_float(c, 0);
  require_same_dtype(c, 0, 1);
  require_same_dtype(c, 0, 2);
  const Shape &q = c.shape(0), &k = c.shape(1), &v = c.shape(2);
  const bool fits = q.rank() == 4 && k.rank() == 4 && v.rank() == 4 && q[0] == k[0] && k[0] == v[0] && k[1] == v[1] &&
                    k[2] == v[2] && q[3] == k[3] && k[1] > 0 && q[1] % k[1] == 0;
  if (!fits)
    throw user_error("Q {}, K {} and V {} must be [B, H, L, D], [B, Hkv, S, D], [B, Hkv, S, Dv], H a multiple of Hkv",
                     q.text(), k.text(), v.text());
}

// The nodes of `graph`, a function of one value, put on x.
ValueId apply(Body& body, const Graph& graph, const char* name, ValueId x) {
  if (!graph.captured.empty())
    throw user_error("{} reads '{}' of the graph around it; this is not supported", name, graph.captured[0]);
  if (graph.inputs.size() != 1 || graph.outputs.size() != 1)
    throw user_error("{} has {} inputs and {} outputs, expected one of each", name, graph.inputs.size(),
                     graph.outputs.size());
  Graph& into = body.builder().graph();
  std::vector<ValueId> ids(graph.values().size(), kNoValue);
  for (std::size_t i = 0; i < ids.size(); ++i) {
    const Value& value = graph.value(static_cast<ValueId>(i));
    if (value.kind == ValueKind::kConstant) ids[i] = into.add_constant(value.constant);
    if (value.kind == ValueKind::kParameter)
      ids[i] = into.add_parameter(value.name, value.dtype, *value.shape, value.file, value.initializer);
  }
  ids[static_cast<std::size_t>(graph.inputs[0])] = x;
  for (const Node& node : graph.nodes()) {
    Node copy = node;
    copy.outputs.clear();
    for (ValueId& input : copy.inputs)
      if (input != kNoValue) input = ids[static_cast<std::size_t>(input)];
    const std::vector<ValueId> made = into.add_node(std::move(copy), std::vector<std::string>(node.outputs.size()));
    for (std::size_t i = 0; i < made.size(); ++i)
      if (node.outputs[i] != kNoValue) ids[static_cast<std::size_t>(node.outputs[i])] = made[i];
  }
  const ValueId result = ids[static_cast<std::size_t>(graph.outputs[0])];
  into.value(result).dtype = into.value(x).dtype;
  return result;
}

DType precision_of(const InferContext& c) {
  const auto standard = static_cast<std::int64_t>(c.dtype(0) == DType::kF64 ? DType::kF64 : DType::kF32);
  const auto dtype = static_cast<DType>(c.attributes().i("softmax_precision", standard));
  if (!is_float(dtype))
    throw user_error("softmax_precision {} is not a float type", c.attributes().i("softmax_precision", 0));
  return dtype;
}

Graph flex_attention_body(const InferContext& c) {
  require_heads(c);
  const Attributes& a = c.attributes();
  const Shape q = c.shape(0), k = c.shape(1), v = c.shape(2);
  const double scale = a.f("scale", 1 / std::sqrt(static_cast<double>(q[3])));
  const auto score_mod = a.graph("score_mod"), prob_mod = a.graph("prob_mod");
  const DType precision = precision_of(c);
  Body body(c);
  if (!score_mod && !prob_mod)
    return body.finish({attend(body, body.in(0), body.in(1), body.in(2), kNoValue, {.scale = scale})});
  GraphBuilder& b = body.builder();
  const std::int64_t group = q[1] / k[1];
  const ValueId queries = b.reshape(b.cast(body.in(0), precision), {q[0], k[1], group * q[2], q[3]});
  const ValueId product =
      b.matmul(queries, b.cast(body.in(1), precision), GraphBuilder::Swap::kNone, GraphBuilder::Swap::kLastTwo);
  ValueId scores = b.mul(b.reshape(product, {q[0], q[1], q[2], k[2]}), scale);
  if (score_mod) scores = apply(body, *score_mod, "score_mod", scores);
  ValueId weights = b.op("Softmax", {scores}, {{"axis", std::int64_t{-1}}});
  if (prob_mod) weights = apply(body, *prob_mod, "prob_mod", weights);
  // Shapes behind a model's own nodes are not known here.
  const ValueId grouped =
      b.op("Reshape", {weights, b.ints({q[0], k[1], group * q[2], k[2]})}, {{"allowzero", std::int64_t{1}}});
  const ValueId y = b.op("MatMul", {grouped, b.cast(body.in(2), precision)});
  const ValueId joined = b.op("Reshape", {y, b.ints({q[0], q[1], q[2], v[3]})}, {{"allowzero", std::int64_t{1}}});
  return body.finish({b.cast(joined, c.dtype(0))});
}

}  // namespace

std::vector<Op> flex_attention_ops() {
  return {{.domain = "ai.onnx.preview", .name = "FlexAttention", .body = flex_attention_body}};
}

}  // namespace retune
