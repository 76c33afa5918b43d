#include "learning/answer_loss.h"

#include "graph/graph_builder.h"

namespace retune {

void append_answer_loss(Graph& graph, const std::string& loss) {
  GraphBuilder builder(graph);
  const ValueId logits = graph.require("logits");
  const ValueId rows = graph.add_input("label_rows", DType::kI64, {{-1, "labels"}});
  const ValueId labels = graph.add_input("labels", DType::kI64, {{-1, "labels"}});
  const ValueId weights = graph.add_input("label_weights", DType::kF32, {{-1, "labels"}});
  const ValueId vocabulary = builder.op("Slice", {builder.op("Shape", {logits}), builder.ints({-1}), builder.ints({INT64_MAX}), builder.ints({0})});
  const ValueId target = builder.op("Concat", {builder.ints({-1}), vocabulary}, {{"axis", std::int64_t{0}}});
  // Only the rows that count reach the softmax; full logits at a vocabulary of 150,000 exhaust memory.
  const ValueId counted = builder.op("Gather", {builder.op("Reshape", {logits, target}), rows});
  builder.ops("retune", "CrossEntropy", {counted, labels, weights}, {}, {loss, "nll"});
}

}  // namespace retune
