// Editable places of a model, found from the structure of its linked graph; names are labels and decide nothing
// (onnx-layouts.md section 4).
//
// Canonical names: decoder.block.8.mlp.down (also .gate, .up, .fc1, .fc2; .gate_up where one matrix holds both),
// decoder.block.8.attn.q (.k, .v, .o; .qkv or .kv where they are packed), decoder.block.8.residual,
// connector.0, connector.1 (its linear layers in order of computation), encoder.block.3.mlp.fc2,
// encoder.block.3.attn.o, ... node:NAME and init:NAME (with the file prefix where ambiguous) reach what the patterns
// miss.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "adapters/tensor_delta.h"
#include "graph/graph.h"

namespace retune {

struct Site {
  enum class Kind {
    kLinear,     // y = W x (+ b): has key, value and weight
    kResidual,   // the residual stream after a block: has a value only
    kParameter,  // init:NAME of any shape: has a weight only
  };

  std::string name;
  Kind kind = Kind::kLinear;
  std::string key;               // value name of the layer's input in the linked graph, [.., in]; empty if none
  std::string value;             // value name of its output, bias included, [.., out]
  std::int64_t in = 0, out = 0;  // extents of key and value; 0 for kParameter
  std::string weight;            // parameter name in the linked graph; empty for kResidual
  Shape delta_shape;             // of a TensorDelta for it: [out, in], or the parameter's own
  // Where the weight is stored, without hashes: file, initializer, orientation, slice, type. More than one for folded
  // duplicates.
  std::vector<DeltaTarget> targets;
  std::optional<std::string> bias;  // parameter name of the bias
};

// User error that names site, tensor, file and type where the weight is quantised: codes are read, not edited.
void require_editable(const Site& site);

// A parameter is edited through the sites whose weight it is; all parameters of a part of the model.
struct Blocks {
  std::int64_t decoder = 0;
  std::int64_t encoder = 0;
  std::int64_t connector_layers = 0;
};

struct SiteMap {
  std::vector<Site> sites;  // decoder, connector, encoder; each in order of computation
  Blocks blocks;
  std::int64_t decoder_width = 0, encoder_width = 0, decoder_hidden = 0;
  std::vector<std::string>
      unmatched;  // branches of the residual stream that no pattern explains, said rather than guessed
};

// Of a linked graph (lalm/link.h). Renaming every value but inputs and outputs changes no site.
SiteMap find_sites(const Graph& linked);

}  // namespace retune
