#include <algorithm>
#include <set>

#include "lalm/bundle.h"
#include "tensor/error.h"
#include "tensor/staged_output.h"
#include "weights/mapped_file.h"
#include "weights/onnx_export.h"

namespace retune {

namespace {

namespace fs = std::filesystem;

void refuse_lost_edits(const Bundle& bundle, const std::map<std::string, TensorEdits>& edits) {
  if (!bundle.additions().empty()) return;
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
  for (const fs::path& file : files_of(from)) {
    if (written.contains(file)) continue;
    fs::create_directories((to / file).parent_path());
    const MappedFile source = MappedFile::open(from / file);  // follows links: an export stands on its own
    StagedFile copy(to / file);
    source.copy_to(copy, 0, source.bytes().size());
    copy.commit();
  }
}

}  // namespace

FolderMarks bundle_marks() { return {.holds = {"config.json", "onnx"}}; }

BundleProof save(const Bundle& bundle, const fs::path& out, Existing existing, Session& session,
                 const ProofOptions& options, const WorkObserver& observer) {
  check_output_apart(out, bundle.folder());
  const EditedFiles edited = edited_files(bundle);
  refuse_lost_edits(bundle, edited.edits);
  StagedFolder staged(out, existing, bundle_marks());
  // Each edited file is written and compared, the others are copied and compared together.
  const auto parts = static_cast<std::int64_t>(2 * edited.edits.size() + 2 + options.questions.size());
  std::int64_t done = 0;
  const auto part_done = [&] {
    if (observer) observer(++done, parts);
  };
  for (const auto& [file, tensors] : edited.edits) {
    fs::create_directories((staged.path() / file).parent_path());
    write_edited(*bundle.models().at(file), tensors, staged.path() / file, addition_to(bundle, file));
    part_done();
  }
  copy_other_files(bundle.folder(), staged.path(), edited.files);
  part_done();
  BundleProof proof = prove_bundle(bundle, staged.path(), session, options, part_done);
  staged.commit();
  return proof;
}

}  // namespace retune
