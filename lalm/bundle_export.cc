#include <algorithm>
#include <cmath>
#include <set>

#include "lalm/answer.h"
#include "lalm/bundle.h"
#include "tensor/error.h"
#include "tensor/staged_output.h"
#include "weights/onnx_export.h"

namespace retune {

namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t kFullProofBytes = std::uint64_t{2} << 30;

std::map<std::string, TensorEdits> edits_by_file(const Bundle& bundle) {
  std::map<std::string, TensorEdits> edits;
  for (TensorEdit& edit : bundle.view().edits()) edits[edit.file][edit.initializer] = std::move(edit.tensor);
  return edits;
}

void refuse_lost_edits(const Bundle& bundle, const std::map<std::string, TensorEdits>& edits) {
  bool wanted = false;
  for (const auto& patch : bundle.view().patches())
    wanted = wanted || !std::all_of(patch->deltas.begin(), patch->deltas.end(), is_zero);
  for (const auto& [file, tensors] : edits)
    for (const auto& [name, tensor] : tensors) {
      const OnnxModel& source = *bundle.models().at(file);
      if (!identical(tensor, source.tensor(*source.tensors_named(name).at(0)))) return;
    }
  if (wanted)
    throw proof_error(
        "the edit rounds away entirely in the stored type of every edited tensor; make a larger change or store the "
        "model as f32");
}

// Everything but the edited models and their external data, byte for byte.
void copy_other_files(const fs::path& from, const fs::path& to, const std::set<fs::path>& written) {
  for (const auto& entry : fs::recursive_directory_iterator(from)) {
    const fs::path relative = entry.path().lexically_relative(from);
    if (entry.is_directory()) {
      fs::create_directories(to / relative);
    } else if (!written.contains(relative)) {
      fs::create_directories((to / relative).parent_path());
      std::error_code error;
      fs::copy_file(entry.path(), to / relative, error);  // follows links: an export stands on its own
      if (error)
        throw failure("cannot copy {} to {}: {}", entry.path().string(), (to / relative).string(), error.message());
    }
  }
}

double relative_difference(const Tensor& a, const Tensor& b) {
  const Tensor x = a.cast(DType::kF32);
  const Tensor y = b.cast(DType::kF32);
  if (!(x.shape() == y.shape()))
    throw proof_error("the reloaded model gives logits {}, the measured one {}", y.text(), x.text());
  double difference = 0, low = INFINITY, high = -INFINITY;
  for (std::int64_t i = 0; i < x.numel(); ++i) {
    const double p = x.data<float>()[i];
    const double q = y.data<float>()[i];
    if (std::isnan(p) != std::isnan(q)) return INFINITY;
    difference = std::max(difference, std::abs(p - q));
    low = std::min(low, p);
    high = std::max(high, p);
  }
  return difference == 0 ? 0 : difference / std::max(high - low, 1e-30);
}

}  // namespace

FolderMarks bundle_marks() { return {.holds = {"config.json", "onnx"}}; }

BundleProof save(const Bundle& bundle, const fs::path& out, Existing existing, Session& session,
                 const std::vector<std::string>& proof_questions, const WorkObserver& observer) {
  check_output_apart(out, bundle.folder());
  const auto edits = edits_by_file(bundle);
  refuse_lost_edits(bundle, edits);
  StagedFolder staged(out, existing, bundle_marks());
  const auto parts = static_cast<std::int64_t>(2 * edits.size() + 1 + proof_questions.size());
  std::int64_t done = 0;
  const auto part_done = [&] {
    if (observer) observer(++done, parts);
  };
  BundleProof proof;
  std::set<fs::path> written;
  for (const auto& [file, tensors] : edits) {
    const OnnxModel& source = *bundle.models().at(file);
    fs::create_directories((staged.path() / file).parent_path());
    write_edited(source, tensors, staged.path() / file);
    written.insert(fs::path(file));
    for (const std::string& location : source.external_locations())
      written.insert(fs::path(file).parent_path() / location);
    part_done();
  }
  copy_other_files(bundle.folder(), staged.path(), written);
  part_done();
  for (const auto& [file, tensors] : edits) {
    const OnnxModel& source = *bundle.models().at(file);
    const ProofMode mode = source.file_bytes() < kFullProofBytes ? ProofMode::kFull : ProofMode::kRanges;
    proof.files.push_back(prove_export(source, staged.path() / file, tensors, mode));
    part_done();
  }
  const Bundle reloaded = Bundle::open(staged.path());
  for (const std::string& question : proof_questions) {
    const Prompt prompt = prompt_for(session, bundle, question, std::nullopt);
    const Tensor measured = logits_of(session, bundle, prompt, {}, prompt.length() - 1);
    const Tensor again = logits_of(session, reloaded, prompt, {}, prompt.length() - 1);
    proof.logit_difference = std::max(proof.logit_difference, relative_difference(measured, again));
    part_done();
  }
  if (proof.logit_difference > 0)
    throw proof_error("the reloaded model's logits differ from the measured ones by {:.3g} of their range",
                      proof.logit_difference);
  staged.commit();
  return proof;
}

}  // namespace retune
