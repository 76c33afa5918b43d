#include "graph/infer.h"

namespace retune {

std::vector<InferContext::Result> infer(const Graph& graph, const Node& node, const Op& op) {
  InferContext context(graph, node);
  try {
    op.infer(context);
    for (std::size_t i = 0; i < context.results().size(); ++i)
      if (node.outputs[i] != kNoValue && !context.results()[i].set)
        throw user_error("output {} does not exist for {} in operator set {}", i, node.op, node.version);
  } catch (const Error& error) {
    throw Error(error.code(), node.text() + ": " + error.what());
  }
  return context.results();
}

}  // namespace retune
