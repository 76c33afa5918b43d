// Proves that an exported model is the source with exactly the given tensors replaced and the given nodes added. It
// reads the files back and compares them with the source, not with what the writer meant to write: of the writer's code
// it uses only the reading of files and of names.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "tensor/content_hash.h"
#include "weights/onnx_addition.h"
#include "weights/onnx_model.h"
#include "weights/tensor_store.h"

namespace retune {

enum class ProofMode {
  kEdited,  // the graph file's structure and the edited payloads
  kFull,    // besides, every byte of every payload and external file
};

struct ExportProof {
  struct EditedTensor {
    std::string name;
    ContentHash before;  // of the bytes in the source; equal to `after` where the edit changes nothing
    ContentHash after;   // of the bytes that were read back
  };
  ProofMode mode = ProofMode::kEdited;
  std::vector<std::filesystem::path> files;  // the ONNX file, then its external files
  std::vector<EditedTensor> edited;          // by name
  std::size_t tensors_edited = 0;            // TensorProtos; a name may stand for several
  std::size_t tensors_untouched = 0;
  std::size_t nodes_added = 0, tensors_added = 0;
  std::uint64_t bytes_compared = 0;
};

// Throws a proof error (exit 4) that names the first thing that is not as it must be: a byte of the structure, a
// tensor, an external file's size or unused bytes; user errors as OnnxModel::open where the export does not even read.
ExportProof prove_export(const OnnxModel& source, const std::filesystem::path& exported, const TensorEdits& edits,
                         ProofMode mode, const OnnxAddition& addition = {});

}  // namespace retune
