// A change that adds nodes to a model: a branch beside a weight, a side memory with its routing, a steering vector.
//
// The body is a small graph of standard ONNX operators. Its inputs are named like values of one file of the model, the
// taps; its output i takes the place of the file's value `replaces[i]` for every node that reads it and for the graph's
// outputs. Nodes of the body go where their inputs are computed, so a body may tap a value that lies behind another one
// that it replaces (a decision made in one block and used in the next).
//
// Inserts of a stack of patches stand in the order of the stack: a later one taps and replaces what the earlier ones
// left ("the value as it is now"). One with the name of an earlier one takes its place instead, and the earlier is
// gone: so a codebook grows by a patch that holds it whole. lalm/insert_builder.h makes bodies, Bundle::with() puts
// them in.
//
//   InsertBuilder b(bundle, "steer", site.value);
//   b.replace(site.value, b.op("Add", {b.tap(site.value), b.tensor(vector)}));
//   patch.inserts.push_back(b.finish());
#pragma once

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "graph/graph.h"
#include "tensor/content_hash.h"

namespace retune {

struct GraphInsert {
  std::string name;  // 1 to 100 of a-z, A-Z, 0-9 and "._-:", with '/' between parts: "grace", "steer.2/gate"
  std::string file;  // relative to the bundle: "onnx/decoder_model_merged.onnx"
  // Inputs are taps, tensors are constants, every other value is computed by a node of domain "" whose `version` is the
  // file's operator set. No subgraphs and no tensors in attributes.
  std::shared_ptr<const Graph> body;
  std::vector<std::string> replaces;  // in the order of body->outputs; none twice
  // What it does depends on where a call of the graph begins or ends (its last row, whether it is the first call). Such
  // a model is read as a client reads it: the prompt in one call, then continuations with the cache (lalm/answer.h).
  bool per_call = false;
  // Inputs of the body that are no taps but read what a module itself gives, whatever the stack puts in its place; to
  // the file's value.
  std::map<std::string, std::string> own{};
};

// Two are the same insert if they do the same under the same name: payloads included.
ContentHash hash_of(const GraphInsert& insert);

// User error, one line, if an insert is unsound in itself: its name, no body, operators that are not standard ones that
// Retune runs, several operator sets, attributes as above, outputs that do not match `replaces`, more than 10,000
// nodes.
void check(const GraphInsert& insert);

// Bytes of the tensors that it brings.
std::int64_t stored_bytes(const GraphInsert& insert);

}  // namespace retune
