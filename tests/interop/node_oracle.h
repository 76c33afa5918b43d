// Other runtimes as oracles: ONNX Runtime and transformers.js, run by Node.js as separate programs.
//
// Tests run in the root of the source tree. Where the npm packages are not installed they skip, or fail
// (tests/oracle.h):
//
//   if (const std::string reason = node_is_missing(); !reason.empty()) RETUNE_ORACLE_MISSING(reason);
//   const auto outputs = run_in_onnxruntime("demo/bundle/onnx/embed_tokens.onnx", {{"input_ids", ids}});
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "tensor/tensor.h"

namespace retune {

using NamedTensors = std::map<std::string, Tensor>;

// Why the oracles cannot run here; empty if they can.
std::string node_is_missing();

// Runs the graph of a file once in ONNX Runtime, without graph optimisations, on one thread. Every output of the graph
// is returned. bf16 cannot be exchanged. Throws a failure with the runtime's own words.
NamedTensors run_in_onnxruntime(const std::filesystem::path& model, const NamedTensors& inputs);

struct TransformersAnswer {
  std::vector<std::int64_t> prompt_ids;  // placeholders expanded
  std::vector<std::int64_t> ids;         // generated, the end of sequence included if it came
  std::string text;                      // of ids, special tokens left out
  Tensor logits;                         // f32 [1, positions, vocabulary] of the prompt
};

struct TransformersQuestion {
  std::string prompt;                         // raw, with the bundle's placeholder once if there is sound
  std::optional<std::vector<float>> samples;  // mono, 16 kHz
  int max_new_tokens = 16;
};

// Asks a bundle folder in transformers.js: greedy decoding, f32. Throws a failure with the runtime's own words.
TransformersAnswer ask_transformers(const std::filesystem::path& bundle, const TransformersQuestion& question);

}  // namespace retune
