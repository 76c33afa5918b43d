#include "weights/onnx_export.h"

#include <algorithm>
#include <cstring>
#include <deque>
#include <limits>
#include <memory>

#include "tensor/error.h"
#include "tensor/staged_output.h"
#include "weights/addition_splices.h"
#include "weights/onnx_contents.h"
#include "weights/tensor_payload.h"

namespace retune {

namespace {

namespace fs = std::filesystem;

using EditedRecords = std::map<std::size_t, const Tensor*>;

constexpr std::uint64_t kLargestFile = std::numeric_limits<std::int32_t>::max();  // protobuf's limit

void check_fits(const TensorRecord& record, const Tensor& value, const std::string& file) {
  const StoredType type = stored_type(record.data_type);
  if (type.dtype != value.dtype() || record.dims != value.shape().extents())
    throw user_error("{}: {} {} cannot be replaced by {}", tensor_label(record, file), type.name,
                     Shape(record.dims).text(), value.text());
}

// Two tensors may lie on the same bytes of an external file. Then editing one edits the other, which must be meant.
void check_shared_bytes(const OnnxContents& contents, const EditedRecords& edited) {
  const std::vector<TensorRecord>& records = contents.layout.tensors;
  for (const auto& [index, value] : edited) {
    if (contents.external_of[index] < 0) continue;
    const Bytes file = contents.payload_file(index).bytes();
    const Span mine = external_span(records[index], file);
    for (std::size_t other = 0; other < records.size(); ++other) {
      if (other == index || contents.external_of[other] != contents.external_of[index]) continue;
      const Span theirs = external_span(records[other], file);
      if (std::max(mine.begin, theirs.begin) >= std::min(mine.end, theirs.end)) continue;
      const auto same_edit = edited.find(other);
      const bool both = theirs.begin == mine.begin && same_edit != edited.end() &&
                        value->bytes() == same_edit->second->bytes() &&
                        std::memcmp(value->raw(), same_edit->second->raw(), value->bytes()) == 0;
      if (!both)
        throw user_error("{} lies on the same bytes of '{}' as {}; edit both alike",
                         tensor_label(records[index], contents.file.string()),
                         contents.externals[static_cast<std::size_t>(contents.external_of[index])].location,
                         tensor_label(records[other], contents.file.string()));
    }
  }
}

// For each external file, the edited ranges in ascending order.
std::vector<std::map<std::uint64_t, const Tensor*>> edited_ranges(const OnnxContents& contents,
                                                                  const EditedRecords& edited) {
  std::vector<std::map<std::uint64_t, const Tensor*>> ranges(contents.externals.size());
  for (const auto& [index, value] : edited)
    if (contents.external_of[index] >= 0 && value->bytes() != 0)
      ranges[static_cast<std::size_t>(contents.external_of[index])].emplace(
          contents.layout.tensors[index].external->offset, value);
  return ranges;
}

bool changes(Bytes file, const std::map<std::uint64_t, const Tensor*>& ranges) {
  for (const auto& [offset, value] : ranges)
    if (std::memcmp(file.data() + offset, value->raw(), value->bytes()) != 0) return true;
  return false;
}

void write_external(const MappedFile& file, const std::map<std::uint64_t, const Tensor*>& ranges, StagedFile& out) {
  std::uint64_t at = 0;
  for (const auto& [offset, value] : ranges) {
    file.copy_to(out, at, offset - at);
    out.write(Bytes(value->raw(), value->bytes()));
    at = offset + value->bytes();
  }
  file.copy_to(out, at, file.bytes().size() - at);
}

void write_graph_file(const OnnxContents& contents, const EditedRecords& edited,
                      const std::vector<bool>& external_changes, const OnnxAddition& addition, StagedFile& out) {
  std::vector<Splice> splices;
  std::deque<std::string> copies;
  const std::string label = contents.file.string();
  for (std::size_t i = 0; i < contents.layout.tensors.size(); ++i) {
    const TensorRecord& record = contents.layout.tensors[i];
    const std::int32_t external = contents.external_of[i];
    if (external >= 0 && external_changes[static_cast<std::size_t>(external)])
      for (const Span& entry : record.checksums) splices.push_back({entry.begin, entry.size(), {}, record.frame});
    const auto edit = edited.find(i);
    if (external >= 0 || edit == edited.end()) continue;
    for (Splice& splice : replace_payload(record, contents.map.bytes(), *edit->second, copies, label))
      splices.push_back(std::move(splice));
  }
  const auto written = [&](Bytes bytes) { out.write(bytes); };
  if (addition.empty()) return write_spliced(contents.map.bytes(), contents.layout, splices, written);
  AdditionSplices added = splices_of(addition, contents);
  splices.insert(splices.end(), added.splices.begin(), added.splices.end());
  OnnxLayout layout;
  layout.frames = std::move(added.frames);
  const std::uint64_t size = spliced_size(contents.map.bytes(), layout, splices);
  if (size > kLargestFile)
    throw user_error(
        "{} would be {} bytes with what is added, more than ONNX files may have ({}); keep the weights of "
        "the model in external data",
        label, size, kLargestFile);
  write_spliced(contents.map.bytes(), layout, splices, written);
}

void check_target(const OnnxContents& contents, const fs::path& target) {
  check_output_apart(target, contents.file);
  for (const ExternalFile& external : contents.externals) check_output_apart(target, external.map.path());
  if (fs::exists(fs::symlink_status(target))) throw user_error("{} exists; export into a new folder", target.string());
}

// Gives all files their final names, or none.
void commit_all(std::deque<StagedFile>& files) {
  std::size_t done = 0;
  try {
    for (; done < files.size(); ++done) files[done].commit();
  } catch (...) {
    std::error_code ignored;
    for (std::size_t i = 0; i < done; ++i) fs::remove(files[i].final_path(), ignored);
    throw;
  }
}

}  // namespace

EditedRecords edited_records(const OnnxModel& source, const TensorEdits& edits) {
  const OnnxContents& contents = source.contents();
  EditedRecords result;
  for (const auto& [name, value] : edits) {
    tensor_meant(source, name);
    for (const onnx::TensorProto* proto : source.tensors_named(name)) {
      const std::size_t index = contents.index_of(*proto);
      check_fits(contents.layout.tensors[index], value, contents.file.string());
      result.emplace(index, &value);
    }
  }
  check_shared_bytes(contents, result);
  return result;
}

void write_edited(const OnnxModel& source, const TensorEdits& edits, const fs::path& out_file,
                  const OnnxAddition& addition) {
  const OnnxContents& contents = source.contents();
  const EditedRecords edited = edited_records(source, edits);
  const fs::path folder = out_file.parent_path();
  std::vector<fs::path> targets;
  for (const ExternalFile& external : contents.externals) targets.push_back(folder / external.location);
  targets.push_back(out_file);
  for (const fs::path& target : targets) check_target(contents, target);

  const auto ranges = edited_ranges(contents, edited);
  std::vector<bool> external_changes;
  std::deque<StagedFile> files;
  for (std::size_t i = 0; i < ranges.size(); ++i) {
    const MappedFile& external = contents.externals[i].map;
    external_changes.push_back(changes(external.bytes(), ranges[i]));
    std::error_code error;
    fs::create_directories(targets[i].parent_path(), error);  // a failure shows when the file is made
    write_external(external, ranges[i], files.emplace_back(targets[i]));
    files.back().close();  // there may be one file for each tensor
  }
  write_graph_file(contents, edited, external_changes, addition, files.emplace_back(out_file));
  commit_all(files);
}

}  // namespace retune
