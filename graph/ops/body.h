// Operators that are compositions of others (Op::body): the graph that stands in a node's place.
#pragma once

#include <vector>

#include "graph/graph_builder.h"
#include "graph/op.h"

namespace retune {

// A body (Op::body) under construction: a graph with an input for each input of the node that is there.
class Body {
 public:
  explicit Body(const InferContext& context);
  Body(const Body&) = delete;
  Body& operator=(const Body&) = delete;

  GraphBuilder& builder() { return builder_; }
  // The body's value for input i of the node; kNoValue if it is absent.
  ValueId in(int i) const {
    return i < static_cast<int>(inputs_.size()) ? inputs_[static_cast<std::size_t>(i)] : kNoValue;
  }
  Shape shape(ValueId id) const { return builder_.shape(id); }
  Graph finish(std::vector<ValueId> outputs);

 private:
  Graph graph_;
  GraphBuilder builder_;
  std::vector<ValueId> inputs_;
};

}  // namespace retune
