// Where the messages of a model's main graph lie in its file: what is needed to put nodes into it, and to see that
// nothing else was.
#pragma once

#include <string>
#include <vector>

#include "weights/onnx_wire.h"

namespace retune {

// A field and what it is known by: an output by its name, an initializer by its name, a metadata entry by its key.
struct OutlineField {
  std::string name;
  Span whole;  // tag, length and content
};

struct NodeOutline {
  Span whole, length, body;  // of the NodeProto; length is the varint before the body
  std::vector<OutlineField> outputs;
};

struct GraphOutline {
  Span length, body;  // of the GraphProto
  std::vector<NodeOutline> nodes;
  std::vector<OutlineField> initializers;
  std::vector<OutlineField> metadata;  // of the model
};

// Of a file that scan_model() accepted. User error naming `label` where it holds no graph.
GraphOutline outline_of(Bytes file, const std::string& label);

}  // namespace retune
