#include "learning/answer_loss.h"

#include "graph/graph_builder.h"

namespace retune {

namespace {

// Rows of the logits, f32 [rows, V]: losses of 16-bit models are too coarse for an optimiser in 16 bits. Only the rows
// that count reach the softmax; full logits at a vocabulary of 150,000 exhaust memory.
ValueId logits_at(GraphBuilder& builder, ValueId logits, ValueId rows) {
  const ValueId vocabulary = builder.op(
      "Slice", {builder.op("Shape", {logits}), builder.ints({-1}), builder.ints({INT64_MAX}), builder.ints({0})});
  const ValueId flat = builder.op("Concat", {builder.ints({-1}), vocabulary}, {{"axis", std::int64_t{0}}});
  const ValueId chosen = builder.op("Gather", {builder.op("Reshape", {logits, flat}), rows});
  return is_half(builder.dtype(logits)) ? builder.cast(chosen, DType::kF32) : chosen;
}

// Log-probabilities of the rows that count, and those that they are compared with, f32 [K, V].
struct Compared {
  ValueId log_p, reference;
};
Compared compare(GraphBuilder& builder, const std::string& inputs) {
  Graph& graph = builder.graph();
  const ValueId logits = graph.require("logits");
  const ValueId rows = graph.add_input(inputs + "_rows", DType::kI64, {{-1, "compared"}});
  const ValueId reference = graph.add_input(inputs + "_reference", DType::kF32, {{-1, "compared"}, {-1, "vocabulary"}});
  return {builder.op("LogSoftmax", {logits_at(builder, logits, rows)}, {{"axis", std::int64_t{-1}}}), reference};
}

void mean_of_rows(GraphBuilder& builder, ValueId terms, const std::string& name) {
  const ValueId per_row = builder.op("ReduceSum", {terms, builder.ints({1})}, {{"keepdims", std::int64_t{0}}});
  builder.op("ReduceMean", {per_row}, {{"axes", std::vector<std::int64_t>{0}}, {"keepdims", std::int64_t{0}}}, name);
}

}  // namespace

void append_answer_loss(Graph& graph, const std::string& loss) {
  GraphBuilder builder(graph);
  const ValueId logits = graph.require("logits");
  const ValueId rows = graph.add_input("label_rows", DType::kI64, {{-1, "labels"}});
  const ValueId labels = graph.add_input("labels", DType::kI64, {{-1, "labels"}});
  const ValueId weights = graph.add_input("label_weights", DType::kF32, {{-1, "labels"}});
  builder.ops("retune", "CrossEntropy", {logits_at(builder, logits, rows), labels, weights}, {}, {loss, "nll"});
}

void append_divergence_loss(Graph& graph, const std::string& divergence) {
  GraphBuilder builder(graph);
  const Compared compared = compare(builder, "divergence");
  const ValueId terms =
      builder.mul(builder.op("Exp", {compared.log_p}), builder.sub(compared.log_p, compared.reference));
  mean_of_rows(builder, terms, divergence);
}

void append_retention_loss(Graph& graph, const std::string& retention) {
  GraphBuilder builder(graph);
  const Compared compared = compare(builder, "retention");
  const ValueId terms =
      builder.mul(builder.op("Exp", {compared.reference}), builder.sub(compared.reference, compared.log_p));
  mean_of_rows(builder, terms, retention);
}

}  // namespace retune
