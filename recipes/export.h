// Writes an edited model and proves that it is the one that was measured.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <vector>

#include "eval/ask.h"
#include "lalm/bundle.h"
#include "recipes/progress.h"

namespace retune {

struct ExportRequest {
  Bundle base;
  std::vector<std::filesystem::path> patches;  // the files, in the order in which they are stacked
  std::vector<Probe> probes;                   // that were asked, and
  std::vector<AnswerRecord> measured;          // their answers; of sequential ones those after the last edit count
  AskSettings decoding;
  std::filesystem::path out;            // gets bundle/, proof.json and, of an in-context method, context/
  std::optional<ProofMode> proof = {};  // of lalm/bundle_proof.h
};

struct ExportedModel {
  std::filesystem::path folder;
  BundleProof proof;
  std::filesystem::path context;  // the prompt beside it; empty where the patches say nothing before a question
  std::int64_t answers_proven = 0;
};

// Saves (lalm/bundle.h: bytes and logits are proven) bundle and context (lalm/context_folder.h), then opens both afresh
// and asks up to 32 of the probes
// in a session of its own: generated ids and option scores must be the measured ones to the last bit. Proof errors: as
// save(), and an answer that differs; the bundle is then removed. An earlier bundle in `out` is replaced.
ExportedModel export_model(const ExportRequest& request, Session& session, const Watch& watch);

}  // namespace retune
