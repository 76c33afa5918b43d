// Writes a model again with new weights: the same bytes but for the payloads of the edited tensors. Names, order,
// metadata, doc strings, versions and fields of newer schemas are not parsed and written but copied, so they cannot
// change. Added nodes stand between them (onnx_addition.h).
//
//   write_edited(model, edits, staged.path() / "onnx" / "decoder.onnx");
//   staged.commit();
//   ExportProof proof = prove_export(model, out / "onnx" / "decoder.onnx", edits, ProofMode::kFull);   //
//   export_proof.h
#pragma once

#include <cstddef>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "weights/onnx_addition.h"
#include "weights/onnx_model.h"
#include "weights/tensor_store.h"

namespace retune {

// Which TensorProtos the edits reach, by their place in the file: every one of the name. User errors: no such tensor,
// several of the name with different bytes, another type or shape than stored, or stored bytes that an unedited tensor
// uses too (tied weights that share a range of an external file: edit both).
std::map<std::size_t, const Tensor*> edited_records(const OnnxModel& source, const TensorEdits& edits);

// Writes out_file, and beside it the external files under the locations that the model names. raw_data and external
// ranges are replaced in place; values of typed fields in the very fields that hold them. An external file whose bytes
// change loses its checksum entries. All files appear at the end, the ONNX file last; after an error none is left. User
// errors: as above, or a target that exists or is a file of the source. Failure: disk full.
// `addition`: nodes and tensors that are put between the bytes; errors besides: see weights/addition_splices.h, and an
// ONNX file that would outgrow 2 GiB.
void write_edited(const OnnxModel& source, const TensorEdits& edits, const std::filesystem::path& out_file,
                  const OnnxAddition& addition = {});

}  // namespace retune
