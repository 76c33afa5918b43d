#include "cli/proof_text.h"

#include <fmt/format.h>

namespace retune {

std::string proof_text(const BundleProof& proof) {
  std::string text;
  for (const ExportProof& file : proof.files) {
    text += fmt::format("{}: {} tensors edited, {} untouched, {} bytes compared\n",
                        file.files.empty() ? "" : file.files.front().filename().string(), file.tensors_edited,
                        file.tensors_untouched, file.bytes_compared);
    if (file.nodes_added > 0)
      text += fmt::format("  {} nodes added, with {} tensors\n", file.nodes_added, file.tensors_added);
    for (const auto& tensor : file.edited)
      text += fmt::format("  {}  {} -> {}\n", tensor.name, tensor.before.hex().substr(0, 12),
                          tensor.after.hex().substr(0, 12));
  }
  if (proof.files.empty()) text += "no weight was changed\n";
  const bool full = proof.mode == ProofMode::kFull;
  if (full) text += fmt::format("{} other files: the same SHA-256 as in the source\n", proof.copied.size());
  return text +
         fmt::format(
             "proved: read back, {}; with sound and without, logits differ from the measured ones by {:.3g} of "
             "their range\n",
             full ? "only what was edited differs" : "what was edited is as measured (--proof full reads the rest)",
             proof.logit_difference);
}

}  // namespace retune
