// Reads a bundle's files in ONNX Runtime as a client does: the prompt in one call, then continuations with the cache.
//
//   OnnxRuntimeReader reader("out/bundle", bundle.decoder());
//   auto first = reader.prefill(prompt.ids, prompt.audio, prompt.audio_rows);
//   auto second = reader.go_on(first, {17});
#pragma once

#include <cstdint>
#include <filesystem>
#include <vector>

#include "lalm/bundle.h"
#include "lalm/prompt.h"
#include "tests/interop/node_oracle.h"

namespace retune {

class OnnxRuntimeReader {
 public:
  OnnxRuntimeReader(std::filesystem::path bundle, const DecoderInterface& decoder);

  struct Call {
    Tensor logits;            // [1, rows, vocabulary]
    NamedTensors past;        // by the names of the next call's inputs
    std::int64_t length = 0;  // of the cache
  };
  // The sound's rows are put where Retune puts them. `audio` is undefined for text alone.
  Call prefill(const std::vector<std::int64_t>& ids, const Feed& audio,
               const std::vector<std::int64_t>& audio_rows) const;
  Call go_on(const Call& before, const std::vector<std::int64_t>& ids) const;

 private:
  Tensor embeddings(const std::vector<std::int64_t>& ids) const;
  Call decode(Tensor embeddings, NamedTensors past, std::int64_t length) const;

  std::filesystem::path graphs_;
  DecoderInterface decoder_;
};

}  // namespace retune
