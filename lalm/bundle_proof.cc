#include "lalm/bundle_proof.h"

#include <algorithm>

#include "lalm/answer.h"
#include "lalm/bundle.h"
#include "lalm/check.h"
#include "tensor/error.h"

namespace retune {

namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t kFullProofBytes = std::uint64_t{2} << 30;

ProofMode default_mode(const Bundle& bundle) {
  std::uint64_t bytes = 0;
  for (const auto& [file, model] : bundle.models()) bytes += model->file_bytes();
  return bytes < kFullProofBytes ? ProofMode::kFull : ProofMode::kEdited;
}

void compare_names(const std::set<fs::path>& expected, const std::set<fs::path>& found, const fs::path& folder) {
  for (const fs::path& file : expected)
    if (!found.contains(file)) throw proof_error("export {} lacks {}", folder.string(), file.string());
  for (const fs::path& file : found)
    if (!expected.contains(file))
      throw proof_error("export {} holds {}, which its source does not have", folder.string(), file.string());
}

void compare_size(const fs::path& source, const fs::path& copy) {
  const auto expected = fs::file_size(source), found = fs::file_size(copy);
  if (found != expected) throw proof_error("{} is {} bytes, its source {}", copy.string(), found, expected);
}

ContentHash compare_hash(const fs::path& source, const fs::path& copy) {
  const ContentHash expected = ContentHash::of_file(source), found = ContentHash::of_file(copy);
  if (found != expected)
    throw proof_error("{} was not edited, but differs from its source (SHA-256 {}, expected {})", copy.string(),
                      found.hex().substr(0, 12), expected.hex().substr(0, 12));
  return found;
}

double logit_difference(const Bundle& measured, const Bundle& reloaded, Session& session,
                        const std::vector<std::string>& questions, const std::function<void()>& part_done) {
  // A session of its own: nothing that the measured model left behind may stand in for what was read.
  Session afresh({.threads = session.pool().threads()});
  const Feed tone = audio_feed(measured, test_tone(measured.front_end().options().rate_hz));
  double largest = 0;
  for (const std::string& question : questions) {
    for (const Feed& sound : {tone, Feed{}}) {
      const Prompt prompt = prompt_for(session, measured, question, sound);
      const std::int64_t last = prompt.length() - 1;
      const Tensor expected = logits_of(session, measured, prompt, {}, last);
      const Tensor found = logits_of(afresh, reloaded, prompt, {}, last);
      if (!(found.shape() == expected.shape()))
        throw proof_error("the reloaded model gives logits {}, the measured one {}", found.text(), expected.text());
      largest = std::max(largest, range_difference(expected, found));
    }
    part_done();
  }
  return largest;
}

}  // namespace

std::set<fs::path> files_of(const fs::path& folder) {
  constexpr int kDeepest = 16;  // of folders; a link may lead back to one above it
  std::set<fs::path> files;
  fs::recursive_directory_iterator entry(folder, fs::directory_options::follow_directory_symlink);
  for (; entry != fs::recursive_directory_iterator(); ++entry) {
    if (entry.depth() > kDeepest)
      throw user_error("{} lies more than {} folders deep; does a link lead back?", entry->path().string(), kDeepest);
    if (!entry->is_directory()) files.insert(entry->path().lexically_relative(folder));
  }
  return files;
}

EditedFiles edited_files(const Bundle& bundle) {
  EditedFiles result;
  for (TensorEdit& edit : bundle.view().edits()) result.edits[edit.file][edit.initializer] = std::move(edit.tensor);
  for (const auto& [file, addition] : bundle.additions()) result.edits[file];
  for (const auto& [file, tensors] : result.edits) {
    result.files.insert(fs::path(file));
    for (const std::string& location : bundle.models().at(file)->external_locations())
      result.files.insert(fs::path(file).parent_path() / location);
  }
  return result;
}

OnnxAddition addition_to(const Bundle& bundle, const std::string& file) {
  const auto found = bundle.additions().find(file);
  return found == bundle.additions().end() ? OnnxAddition{} : found->second;
}

BundleProof prove_bundle(const Bundle& bundle, const fs::path& folder, Session& session, const ProofOptions& options,
                         const std::function<void()>& part_done) {
  const auto told = [&part_done] {
    if (part_done) part_done();
  };
  BundleProof proof;
  proof.mode = options.mode.value_or(default_mode(bundle));
  const EditedFiles edited = edited_files(bundle);
  const std::set<fs::path> files = files_of(bundle.folder());
  compare_names(files, files_of(folder), folder);
  for (const auto& [file, tensors] : edited.edits) {
    proof.files.push_back(
        prove_export(*bundle.models().at(file), folder / file, tensors, proof.mode, addition_to(bundle, file)));
    told();
  }
  for (const fs::path& file : files) {
    if (edited.files.contains(file)) continue;
    const fs::path source = bundle.folder() / file, copy = folder / file;
    compare_size(source, copy);
    if (proof.mode == ProofMode::kFull) proof.copied.push_back({file.string(), compare_hash(source, copy)});
  }
  told();
  proof.logit_difference = logit_difference(bundle, Bundle::open(folder), session, options.questions, told);
  if (proof.logit_difference > 0)
    throw proof_error("the reloaded model's logits differ from the measured ones by {:.3g} of their range",
                      proof.logit_difference);
  return proof;
}

}  // namespace retune
