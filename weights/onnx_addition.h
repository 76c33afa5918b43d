// Nodes and tensors that an export adds to a model file, and values that they take over.
//
// Who reads a value is never rewritten, in subgraphs neither: the node that computes a value X gets another name for
// its output (`renamed`), and one of the added nodes computes X.
#pragma once

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "tensor/tensor.h"
#include "weights/onnx_proto.h"

namespace retune {

struct OnnxAddition {
  struct Nodes {
    std::string after;  // an output of the node of the main graph behind which they stand, as the source names it;
                        // empty: before all nodes
    std::vector<onnx::NodeProto> nodes;  // in order; without subgraphs
  };
  std::vector<Nodes> nodes;
  std::map<std::string, std::string> renamed;                 // outputs of nodes of the main graph, to what they become
  std::vector<std::pair<std::string, Tensor>> initializers;   // stored as raw_data
  std::vector<std::pair<std::string, std::string>> metadata;  // of the model; replaces an entry of the same key

  bool empty() const { return nodes.empty() && renamed.empty() && initializers.empty() && metadata.empty(); }
};

}  // namespace retune
