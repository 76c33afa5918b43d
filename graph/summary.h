// What a graph holds, counted: for people who look at a model before they use it.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "graph/graph.h"

namespace retune {

struct GraphSummary {
  struct Port {
    std::string name;
    std::string type;  // "i64 [batch, sequence]", extents as the file declares them, "?" where it is silent
  };
  struct Tensors {
    std::int64_t tensors = 0;
    std::int64_t elements = 0;
    std::int64_t bytes = 0;
  };
  std::vector<Port> inputs, outputs;
  std::int64_t nodes = 0;                           // those of subgraphs included
  std::map<std::string, std::int64_t> operators;    // "MatMul", "com.microsoft.FusedMatMul" to nodes
  std::map<std::string, std::int64_t> unsupported;  // of them, those that no operator of Retune's implements
  std::map<std::string, Tensors> parameters;        // by element type: "f32"
};

GraphSummary summarise(const Graph& graph);

}  // namespace retune
