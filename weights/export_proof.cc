#include "weights/export_proof.h"

#include <algorithm>
#include <cstring>
#include <deque>

#include "tensor/error.h"
#include "weights/addition_proof.h"
#include "weights/onnx_contents.h"
#include "weights/onnx_export.h"
#include "weights/tensor_payload.h"

namespace retune {

namespace {

// Position of the first byte that differs; the common length if none does.
std::size_t first_difference(Bytes a, Bytes b) {
  const std::size_t common = std::min(a.size(), b.size());
  if (common == 0 || std::memcmp(a.data(), b.data(), common) == 0) return common;
  return static_cast<std::size_t>(
      std::mismatch(a.begin(), a.begin() + static_cast<std::ptrdiff_t>(common), b.begin()).first - a.begin());
}

std::uint64_t behind_tag(Bytes file, std::uint64_t field_begin) {
  while ((static_cast<unsigned>(file[field_begin]) & 0x80u) != 0) ++field_begin;
  return field_begin + 1;
}

// The parts of a graph file that are neither payload, nor a length around one, nor a checksum that `drop_checksums`
// says to ignore, nor one of `holes`.
std::vector<Span> structure(const OnnxContents& contents, const std::vector<bool>& drop_checksums,
                            std::vector<Span> holes) {
  const Bytes file = contents.map.bytes();
  for (const Frame& frame : contents.layout.frames) holes.push_back(frame.length);
  for (std::size_t i = 0; i < contents.layout.tensors.size(); ++i) {
    const TensorRecord& record = contents.layout.tensors[i];
    if (drop_checksums[i]) holes.insert(holes.end(), record.checksums.begin(), record.checksums.end());
    FieldReader fields(file, record.body, contents.file.native());
    for (WireField field; record.payload_field != 0 && fields.next(field);)
      if (field.number == record.payload_field) holes.push_back({behind_tag(file, field.whole.begin), field.whole.end});
  }
  std::sort(holes.begin(), holes.end(), [](const Span& a, const Span& b) { return a.begin < b.begin; });
  std::vector<Span> parts;
  std::uint64_t at = 0;
  for (const Span& hole : holes) {
    if (hole.begin > at) parts.push_back({at, hole.begin});
    at = std::max(at, hole.end);
  }
  if (at < file.size()) parts.push_back({at, file.size()});
  return parts;
}

class Prover {
 public:
  Prover(const OnnxModel& source, const OnnxModel& exported, const TensorEdits& edits, const OnnxAddition& addition,
         ProofMode mode)
      : source_(source.contents()),
        exported_(exported.contents()),
        edited_(edited_records(source, edits)),
        added_(prove_addition(source_, exported_, addition)),
        mode_(mode) {
    proof_.bytes_compared = added_.bytes_compared;
    proof_.tensors_added = addition.initializers.size();
    for (const OnnxAddition::Nodes& group : addition.nodes) proof_.nodes_added += group.nodes.size();
    proof_.mode = mode;
    proof_.files.push_back(exported_.file);
    for (const ExternalFile& external : exported_.externals) proof_.files.push_back(external.map.path());
  }

  ExportProof prove(const OnnxModel& source, const OnnxModel& exported, const TensorEdits& edits) {
    compare_layout();
    compare_structure();
    for (std::size_t i = 0; i < source_.layout.tensors.size(); ++i) compare_payload(i);
    for (std::size_t i = 0; i < source_.externals.size(); ++i) compare_external(i);
    proof_.tensors_edited = edited_.size();
    proof_.tensors_untouched = source_.layout.tensors.size() - edited_.size();
    for (const auto& [name, value] : edits)
      proof_.edited.push_back(
          {name, source.tensor_hash(tensor_meant(source, name)), exported.tensor_hash(tensor_meant(exported, name))});
    return std::move(proof_);
  }

 private:
  void compare_layout() const {
    const std::vector<Frame>& a = source_.layout.frames;
    const std::vector<Frame>& b = exported_.layout.frames;
    bool same = a.size() == added_.frames.size() && source_.external_of.size() == added_.tensors.size();
    for (std::size_t i = 0; same && i < a.size(); ++i) {
      const std::int32_t parent = b[added_.frames[i]].parent;
      same = a[i].parent < 0 ? parent < 0
                             : parent >= 0 && added_.frames[static_cast<std::size_t>(a[i].parent)] ==
                                                  static_cast<std::size_t>(parent);
    }
    for (std::size_t i = 0; same && i < added_.tensors.size(); ++i)
      same = source_.external_of[i] == exported_.external_of[added_.tensors[i]];
    if (!same)
      throw proof_error("export {} holds other messages than {}", exported_.file.string(), source_.file.string());
  }

  // Whether an edit changes bytes of the external file that holds a tensor's payload.
  std::vector<bool> in_changed_files() const {
    std::vector<bool> changed(source_.externals.size(), false);
    for (const auto& [index, value] : edited_) {
      const std::int32_t external = source_.external_of[index];
      if (external >= 0 && !identical(source_.tensor(index), *value))
        changed[static_cast<std::size_t>(external)] = true;
    }
    std::vector<bool> result;
    for (const std::int32_t external : source_.external_of)
      result.push_back(external >= 0 && changed[static_cast<std::size_t>(external)]);
    return result;
  }

  // Two walks over the parts, which need not be cut alike.
  void compare_structure() {
    const std::vector<bool> changed = in_changed_files();
    for (std::size_t i = 0; i < changed.size(); ++i)
      if (changed[i] && !exported_.layout.tensors[added_.tensors[i]].checksums.empty())
        throw proof_error("{}: the checksum of its external file is out of date", label(i));
    std::vector<bool> in_export(exported_.layout.tensors.size(), false);
    for (std::size_t i = 0; i < changed.size(); ++i) in_export[added_.tensors[i]] = changed[i];
    const std::vector<Span> a = structure(source_, changed, added_.source_holes);
    const std::vector<Span> b = structure(exported_, in_export, added_.exported_holes);
    std::size_t i = 0, j = 0;
    std::uint64_t into_a = 0, into_b = 0;
    while (i < a.size() && j < b.size()) {
      const std::uint64_t count = std::min(a[i].size() - into_a, b[j].size() - into_b);
      const std::uint64_t at = b[j].begin + into_b;
      const std::size_t same = first_difference(source_.map.bytes().subspan(a[i].begin + into_a, count),
                                                exported_.map.bytes().subspan(at, count));
      if (same != count)
        throw proof_error("export {} differs from its source at byte {}", exported_.file.string(), at + same);
      proof_.bytes_compared += count;
      into_a += count;
      into_b += count;
      if (into_a == a[i].size()) ++i, into_a = 0;
      if (into_b == b[j].size()) ++j, into_b = 0;
    }
    if (i != a.size() || j != b.size())
      throw proof_error("export {} ends otherwise than its source", exported_.file.string());
  }

  void compare_payload(std::size_t index) {
    const auto edit = edited_.find(index);
    if (edit != edited_.end()) {
      if (!identical(exported_.tensor(added_.tensors[index]), *edit->second))
        throw proof_error("{} does not hold the edited values", label(index));
      proof_.bytes_compared += edit->second->bytes();
      return;
    }
    if (mode_ == ProofMode::kEdited) return;
    std::deque<std::string> copies;
    const Bytes before = stored_payload(source_.layout.tensors[index], source_.payload_file(index).bytes(), copies);
    const std::size_t place = added_.tensors[index];
    const Bytes after = stored_payload(exported_.layout.tensors[place], exported_.payload_file(place).bytes(), copies);
    if (before.size() != after.size() || first_difference(before, after) != before.size())
      throw proof_error("{} was not edited, but its bytes differ from the source", label(index));
    proof_.bytes_compared += before.size();
  }

  // Bytes between the tensors; those within were compared with their tensors.
  void compare_external(std::size_t file) {
    const Bytes before = source_.externals[file].map.bytes();
    const Bytes after = exported_.externals[file].map.bytes();
    const std::string path = exported_.externals[file].map.path().string();
    if (before.size() != after.size())
      throw proof_error("external data {} is {} bytes, expected {}", path, after.size(), before.size());
    if (mode_ == ProofMode::kEdited) return;
    std::vector<Span> used;
    for (std::size_t i = 0; i < source_.external_of.size(); ++i)
      if (source_.external_of[i] == static_cast<std::int32_t>(file))
        used.push_back(external_span(source_.layout.tensors[i], before));
    std::sort(used.begin(), used.end(), [](const Span& a, const Span& b) { return a.begin < b.begin; });
    used.push_back({before.size(), before.size()});
    std::uint64_t at = 0;
    for (const Span& span : used) {
      const std::uint64_t gap = span.begin > at ? span.begin - at : 0;
      if (first_difference(before.subspan(at, gap), after.subspan(at, gap)) != gap)
        throw proof_error("external data {} differs from its source between bytes {} and {}", path, at, span.begin);
      proof_.bytes_compared += gap;
      at = std::max(at, span.end);
    }
  }

  std::string label(std::size_t index) const {
    return tensor_label(exported_.layout.tensors[added_.tensors[index]], exported_.file.string());
  }

  const OnnxContents& source_;
  const OnnxContents& exported_;
  std::map<std::size_t, const Tensor*> edited_;
  AdditionProof added_;
  ProofMode mode_;
  ExportProof proof_;
};

}  // namespace

ExportProof prove_export(const OnnxModel& source, const std::filesystem::path& exported, const TensorEdits& edits,
                         ProofMode mode, const OnnxAddition& addition) {
  const OnnxModel read_back = OnnxModel::open(exported);
  return Prover(source, read_back, edits, addition, mode).prove(source, read_back, edits);
}

}  // namespace retune
