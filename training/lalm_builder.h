// Writes the three ONNX graphs of a small audio-language model in the Ultravox / transformers.js layout: a
// Whisper-style encoder with a stacking connector, a token embedding, and a Llama-style decoder with a KV cache. The
// graphs are spelled as PyTorch's exporter at opset 17 spells them (decomposed RMS normalisation, rotary embedding and
// attention), so that nothing downstream can tell this model from an exported one.
//
// Letters: B batch, F mel frames, T encoder frames = floor((F-1)/2)+1, R audio rows = ceil(T/stack)+1, S new tokens, P
// past tokens, H decoder width.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "graph/graph.h"
#include "graph/session.h"
#include "tensor/rng.h"

namespace retune {

struct LalmShape {
  std::int64_t mel_bins = 80;
  std::int64_t encoder_width = 160;
  std::int64_t encoder_blocks = 4;
  std::int64_t encoder_heads = 4;
  std::int64_t encoder_hidden = 640;  // width of the MLP
  std::int64_t max_encoder_frames = 1500;
  std::int64_t stack = 8;               // encoder frames a row
  std::int64_t connector_hidden = 320;  // the first Linear gives twice SwiGLU's width
  std::int64_t width = 160;
  std::int64_t blocks = 6;
  std::int64_t heads = 4;
  std::int64_t kv_heads = 2;
  std::int64_t head_size = 40;
  std::int64_t hidden = 448;
  std::int64_t vocabulary = 0;  // from the tokenizer
  double rope_theta = 10000.0;
  double norm_epsilon = 1e-5;
  DType dtype = DType::kF32;  // of weights and activations: f32, f16 or bf16; norms and angles are computed in f32
  void validate() const;      // user errors: non-positive sizes, heads that do not divide
};

struct BuiltGraph {
  Graph graph;
  std::vector<std::string> tables;  // parameters that are computed, not learnt: position tables, rotary frequencies
  Parameters parameters;
};

// Makes the tensor of a parameter, of LalmShape::dtype: `mean` everywhere if `deviation` is 0 (norms 1, biases 0), else
// normal with mean 0 and that deviation (what the layer's width asks for; residual projections divided by sqrt(2 *
// blocks)).
using WeightSource = std::function<Tensor(const std::string& name, const Shape& shape, double mean, double deviation)>;
WeightSource drawn_weights(Rng rng);  // f32, each parameter from the fork of its name

// audio_values [B, mel_bins, F] -> audio_features [B, R, H]. The last row is a stack of padding
// (onnx-layouts.md 1.1: what transformers.js expects of an Ultravox export). Also has the value "encoder_output" [B, T,
// encoder_width], after the final norm.
BuiltGraph build_audio_encoder(const LalmShape& shape, const WeightSource& source);
// input_ids i64 [B, S] -> inputs_embeds [B, S, H]
BuiltGraph build_token_embedding(const LalmShape& shape, const WeightSource& source);
// inputs_embeds [B, S, H], attention_mask i64 [B, P+S], position_ids i64 [B, S], past_key_values.{i}.key/.value
// [B, kv_heads, P, head_size]
// -> logits [B, S, vocabulary], present.{i}.key/.value [B, kv_heads, P+S, head_size]
BuiltGraph build_decoder(const LalmShape& shape, const WeightSource& source);

}  // namespace retune
