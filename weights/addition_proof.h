// What an export with added nodes has besides its source, found in the export itself and compared with what was to be
// added: the rest must then be the source, byte for byte (export_proof.h).
#pragma once

#include <cstddef>
#include <vector>

#include "weights/onnx_addition.h"
#include "weights/onnx_contents.h"

namespace retune {

struct AdditionProof {
  // Bytes that are not the source's, and the lengths around them; in the source what stands there instead.
  std::vector<Span> source_holes, exported_holes;
  std::vector<std::size_t> tensors;  // of the source, where each stands among the export's
  std::vector<std::size_t> frames;   // likewise
  std::uint64_t bytes_compared = 0;
};

// Throws a proof error where the added nodes, tensors, names or metadata are not exactly those of `addition`, each
// where it belongs. An empty addition gives no holes and everything in its own place.
AdditionProof prove_addition(const OnnxContents& source, const OnnxContents& exported, const OnnxAddition& addition);

}  // namespace retune
