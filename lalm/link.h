// Links the graphs of a bundle into one: features to encoder and connector, token embeddings, the scatter of audio rows
// into the prompt, decoder, logits. Fine-tuning the connector, tracing through the encoder and editing a decoder MLP
// are then the same operation at different sites.
//
// Values of a file keep their names behind a prefix that says which: "encoder/", "embed/", "decoder/". The linked
// graph's own inputs are
//   input_ids     i64 [B, S]         placeholders included
//   audio_values  f32 [N, mels, F]   clips, in the order of their placeholders
//   audio_rows    i64 [R, 1]         for each row of audio features its position in the prompt, rows of the batch
//   flattened: b * S + s
// and whatever else the decoder declares (attention_mask, position_ids, past_key_values.*, num_logits_to_keep,
// use_cache_branch), under its own names. Outputs are the decoder's (logits, present.*), under their own names;
// "audio_features" [R, H] and "inputs_embeds" [B, S, H] can be asked for as well.
#pragma once

#include <string>

#include "graph/graph.h"

namespace retune {

struct BundleGraphs {
  const Graph* encoder = nullptr;  // null: text only, no audio inputs
  const Graph* embed = nullptr;
  const Graph* decoder = nullptr;
};

inline constexpr const char* kEncoderPrefix = "encoder/";
inline constexpr const char* kEmbedPrefix = "embed/";
inline constexpr const char* kDecoderPrefix = "decoder/";

// User errors: a graph lacks the inputs or outputs that its role has (onnx-layouts.md 1.1), named with what it has.
Graph link(const BundleGraphs& graphs);

}  // namespace retune
