#include "graph/infer.h"

namespace retune {

namespace {

// Runs f, whose user errors then begin with the node.
template <class F>
auto named(const Node& node, F&& f) {
  try {
    return f();
  } catch (const Error& error) {
    throw Error(error.code(), node.text() + ": " + error.what());
  }
}

}  // namespace

std::vector<InferContext::Result> infer(const Graph& graph, const Node& node, const Op& op) {
  InferContext context(graph, node);
  if (op.body) {
    const Graph body = body_of(graph, node, op);
    for (std::size_t i = 0; i < body.outputs.size(); ++i) {
      const Value& output = body.value(body.outputs[i]);
      context.set(static_cast<int>(i), output.dtype, *output.shape);
    }
    return context.results();
  }
  return named(node, [&] {
    op.infer(context);
    for (std::size_t i = 0; i < context.results().size(); ++i)
      if (node.outputs[i] != kNoValue && !context.results()[i].set)
        throw user_error("output {} does not exist for {} in operator set {}", i, node.op, node.version);
    return context.results();
  });
}

Graph body_of(const Graph& graph, const Node& node, const Op& op) {
  return named(node, [&] {
    Graph body = op.body(InferContext(graph, node));
    if (body.outputs.size() < node.outputs.size())
      throw user_error("{} has {} outputs here, the node names {}", node.op, body.outputs.size(), node.outputs.size());
    return body;
  });
}

}  // namespace retune
