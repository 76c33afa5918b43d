#include "graph/ops/body.h"

#include <string>

namespace retune {

Body::Body(const InferContext& context) : builder_(graph_) {
  const std::vector<ValueId>& given = context.node().inputs;
  for (int i = 0; i < static_cast<int>(given.size()); ++i) {
    inputs_.push_back(kNoValue);
    if (!context.has(i)) continue;
    inputs_.back() = graph_.add_input(std::to_string(i), context.dtype(i));
    graph_.value(inputs_.back()).shape = context.shape(i);
    graph_.inputs.push_back(inputs_.back());
  }
}

Graph Body::finish(std::vector<ValueId> outputs) {
  graph_.outputs = std::move(outputs);
  return graph_;
}

}  // namespace retune
