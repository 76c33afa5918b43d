// Proves that a folder holds the bundle that was measured, and nothing else (architecture decision 7).
//
//   const BundleProof proof = prove_bundle(edited, "out/bundle", session, {.questions = {"What do you hear?"}});
//
// save() (lalm/bundle.h) proves every export before it gets its name; a folder that was moved or copied since can be
// proven again.
#pragma once

#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "graph/session.h"
#include "tensor/content_hash.h"
#include "weights/export_proof.h"
#include "weights/onnx_addition.h"
#include "weights/tensor_store.h"

namespace retune {

class Bundle;

struct ProofOptions {
  // Each is put to both models twice: about a test tone, which alone reaches encoder and connector, and without sound.
  std::vector<std::string> questions = {};
  // Nothing: kFull where the model files are below 2 GB together, else kEdited.
  std::optional<ProofMode> mode = {};
};

struct BundleProof {
  struct CopiedFile {
    std::string file;    // relative to the bundle
    ContentHash sha256;  // of what was read back, equal to the source's
  };
  ProofMode mode = ProofMode::kEdited;
  std::vector<ExportProof> files;  // of each model file that was edited
  std::vector<CopiedFile> copied;  // every other file; with kEdited only their sizes are compared and none is listed
  double logit_difference = 0;     // largest, relative to the logits' range, between the measured and the read model
};

// Every file below, relative to the folder; links to files and folders are followed. User error where they do not end.
std::set<std::filesystem::path> files_of(const std::filesystem::path& folder);

// What an export writes anew: the edited tensors by model file (none where nodes are added alone), and those files with
// their external data, relative to the bundle. Every other file is copied.
struct EditedFiles {
  std::map<std::string, TensorEdits> edits;
  std::set<std::filesystem::path> files;
};
EditedFiles edited_files(const Bundle& bundle);
// The nodes and tensors that an export adds to a file; empty if it adds none.
OnnxAddition addition_to(const Bundle& bundle, const std::string& file);

// Reads `folder` back and compares it with `bundle`: the names of the files, edited model files (export_proof.h),
// copied files, and the logits, which a session of its own computes from what was read. Throws a proof error (exit 4)
// that names the first thing that differs; user errors as Bundle::open where the folder does not even open. `part_done`
// is called after each edited file, after the others, and after each question; what it throws reaches the caller.
BundleProof prove_bundle(const Bundle& bundle, const std::filesystem::path& folder, Session& session,
                         const ProofOptions& options, const std::function<void()>& part_done = {});

}  // namespace retune
