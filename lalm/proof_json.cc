#include "lalm/proof_json.h"

#include <utility>

namespace retune {

namespace {

using Json = nlohmann::ordered_json;

Json file_json(const ExportProof& proof) {
  Json names = Json::array();
  for (const auto& path : proof.files) names.push_back(path.filename().string());
  Json edited = Json::array();
  for (const ExportProof::EditedTensor& tensor : proof.edited)
    edited.push_back({{"name", tensor.name}, {"before", tensor.before.hex()}, {"after", tensor.after.hex()}});
  return {{"files", std::move(names)},
          {"edited", std::move(edited)},
          {"tensors_edited", proof.tensors_edited},
          {"tensors_untouched", proof.tensors_untouched},
          {"tensors_added", proof.tensors_added},
          {"nodes_added", proof.nodes_added},
          {"bytes_compared", proof.bytes_compared}};
}

}  // namespace

Json proof_json(const BundleProof& proof) {
  Json files = Json::array();
  for (const ExportProof& file : proof.files) files.push_back(file_json(file));
  Json copied = Json::array();
  for (const BundleProof::CopiedFile& copy : proof.copied)
    copied.push_back({{"file", copy.file}, {"sha256", copy.sha256.hex()}});
  return {{"mode", proof.mode == ProofMode::kFull ? "full" : "edited"},
          {"files", std::move(files)},
          {"copied", std::move(copied)},
          {"logit_difference", proof.logit_difference}};
}

}  // namespace retune
