#include "cli/proof_text.h"

#include <fmt/format.h>

namespace retune {

std::string proof_text(const BundleProof& proof) {
  std::string text;
  for (const ExportProof& file : proof.files) {
    text += fmt::format("{}: {} tensors edited, {} untouched, {} bytes compared\n",
                        file.files.empty() ? "" : file.files.front().filename().string(), file.tensors_edited,
                        file.tensors_untouched, file.bytes_compared);
    for (const auto& tensor : file.edited)
      text += fmt::format("  {}  {} -> {}\n", tensor.name, tensor.before.hex().substr(0, 12),
                          tensor.after.hex().substr(0, 12));
  }
  const bool full = proof.mode == ProofMode::kFull;
  if (full) text += fmt::format("{} other files: the same SHA-256 as in the source\n", proof.copied.size());
  return text +
         fmt::format(
             "proved: read back, {}; with sound and without, logits differ from the measured ones by {:.3g} of "
             "their range\n",
             full ? "only what was edited differs" : "what was edited is as measured (--proof full reads the rest)",
             proof.logit_difference);
}

nlohmann::ordered_json proof_json(const BundleProof& proof) {
  nlohmann::ordered_json files = nlohmann::ordered_json::array();
  for (const ExportProof& file : proof.files) {
    nlohmann::ordered_json edited = nlohmann::ordered_json::array();
    for (const auto& tensor : file.edited)
      edited.push_back({{"name", tensor.name}, {"before", tensor.before.hex()}, {"after", tensor.after.hex()}});
    files.push_back({{"file", file.files.empty() ? "" : file.files.front().filename().string()},
                     {"tensors_edited", file.tensors_edited},
                     {"tensors_untouched", file.tensors_untouched},
                     {"bytes_compared", file.bytes_compared},
                     {"edited", edited}});
  }
  nlohmann::ordered_json copied = nlohmann::ordered_json::array();
  for (const BundleProof::CopiedFile& copy : proof.copied)
    copied.push_back({{"file", copy.file}, {"sha256", copy.sha256.hex()}});
  return {{"mode", proof.mode == ProofMode::kFull ? "full" : "edited"},
          {"files", files},
          {"copied", copied},
          {"logit_difference", proof.logit_difference}};
}

}  // namespace retune
