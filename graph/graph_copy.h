// Rebuilding a graph value by value: what passes that add, replace or leave out nodes have in common.
//
//   GraphCopy copy(source);
//   copy.leaves();
//   for (std::size_t i = 0; i < source.nodes().size(); ++i) copy.node(i);   // or something else in its place
//   return copy.finish();
#pragma once

#include <vector>

#include "graph/graph.h"

namespace retune {

class GraphCopy {
 public:
  // `source` outlives the copy.
  explicit GraphCopy(const Graph& source);

  Graph& result() { return result_; }
  // What stands for a value of the source: kNoValue for kNoValue and for what was not copied.
  ValueId at(ValueId id) const { return id == kNoValue ? kNoValue : ids_[static_cast<std::size_t>(id)]; }
  void set(ValueId id, ValueId copied) { ids_[static_cast<std::size_t>(id)] = copied; }

  // Copies an input, parameter or constant under its name.
  void leaf(ValueId id);
  void leaves();  // all of them
  // Copies node `index` with its outputs' names, types and shapes; its inputs are what stands for them.
  void node(std::size_t index);
  // The copy with the source's outputs and inputs, in their order.
  Graph finish();

 private:
  const Graph& source_;
  Graph result_;
  std::vector<ValueId> ids_;
};

}  // namespace retune
