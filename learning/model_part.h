// The part of a model between some of its weights and a value behind them, as a graph of its own: whoever trains these
// weights toward targets at that value runs nothing else.
//
//   const ModelPart part = cut_part(*bundle.text_graph(), residual.value, {"decoder/layers.3.mlp.down_proj.weight",
//   ..});
//   // Once: what the part reads, from a run of the whole model.
//   whole.request.outputs = part.leaves;
//   // Then, at each step, the part alone, on prompts of the same or other lengths.
//   request.inputs[part.leaves[0]] = results[part.leaves[0]];
//   request.loss = kPartLoss;
//
// The leaves are the values that depend on the prompt's embeddings and on none of the weights, and that nodes behind
// the weights read: the residual stream before a block, usually, and what its norm makes of it before the scale. What
// depends on shapes, mask and positions alone (the attention's mask, rotary tables) is computed in the part, from the
// same inputs as in the whole model.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "graph/graph.h"
#include "lalm/site.h"

namespace retune {

// The loss of a part, appended behind its value: sum over rows of weight * ||value - target||^2, f32, with the inputs
// part_targets f32 of the value's shape and part_row_weights f32 of the same with a last extent of 1.
inline constexpr const char* kPartLoss = "part_loss";
inline constexpr const char* kPartTargets = "part_targets";
inline constexpr const char* kPartRowWeights = "part_row_weights";

struct ModelPart {
  std::shared_ptr<const Graph> graph;  // its outputs are the value and the loss
  std::string value;
  std::vector<std::string> leaves;  // values of the whole model by their names, inputs of the part
};

// `linked`: the graph of text, so that nothing before the embeddings stands in the part. User errors: no such value or
// parameter, a value that depends on none of the parameters.
ModelPart cut_part(const Graph& linked, const std::string& value, const std::vector<std::string>& parameters);

// Those of `sites` whose weights act on the logits through `value` alone, and not on `before` (a value before them;
// empty: none): the weights of a block itself, without tables and scales that other blocks read too.
std::vector<Site> sites_acting_through(const Graph& linked, const std::vector<Site>& sites, const std::string& value,
                                       const std::string& before);

}  // namespace retune
