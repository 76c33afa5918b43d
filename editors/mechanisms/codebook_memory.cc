// Codebook as increments in Patch::memory: each patch holds the entries that it made or changed.
//
//   NAME/entries i64 [n]   NAME/keys f32 [n, in]   NAME/values f32 [n, out]   NAME/radii f64 [n]
//   NAME/label_lengths i64 [n]   NAME/labels i64 [sum of the lengths]
#include <algorithm>
#include <cmath>

#include "editors/mechanisms/codebook.h"
#include "tensor/error.h"

namespace retune {

namespace {

constexpr std::int64_t kMostEntries = 1'000'000;

Tensor matrix(const std::vector<CodebookEntry>& entries, std::vector<float> CodebookEntry::*member) {
  const std::int64_t width = entries.empty() ? 0 : static_cast<std::int64_t>((entries[0].*member).size());
  Tensor rows = Tensor::empty(DType::kF32, {static_cast<std::int64_t>(entries.size()), width});
  float* to = rows.mutable_data<float>();
  for (const CodebookEntry& entry : entries) to = std::copy((entry.*member).begin(), (entry.*member).end(), to);
  return rows;
}

// A tensor of a patch's memory, of the type and with so many rows.
const Tensor& part(const std::map<std::string, Tensor>& memory, const std::string& name, DType type, int rank,
                   std::optional<std::int64_t> rows) {
  const auto it = memory.find(name);
  const bool sound = it != memory.end() && it->second.dtype() == type && it->second.shape().rank() == rank &&
                     (!rows || it->second.shape()[0] == *rows);
  if (!sound) throw user_error("the patch's memory '{}' is damaged or missing; make the patch again", name);
  return it->second;
}

[[noreturn]] void reject(const std::string& name, const char* what) {
  throw user_error("the patch's memory '{}' is damaged: {}; make the patch again", name, what);
}

}  // namespace

std::map<std::string, Tensor> Codebook::changes_since(const Codebook& before, const std::string& name) const {
  std::vector<std::int64_t> indices, lengths, labels;
  std::vector<double> radii;
  std::vector<CodebookEntry> changed;
  for (std::size_t i = 0; i < entries_.size(); ++i) {
    if (i < before.entries_.size() && before.entries_[i] == entries_[i]) continue;
    indices.push_back(static_cast<std::int64_t>(i));
    changed.push_back(entries_[i]);
    radii.push_back(entries_[i].radius);
    lengths.push_back(static_cast<std::int64_t>(entries_[i].label.size()));
    labels.insert(labels.end(), entries_[i].label.begin(), entries_[i].label.end());
  }
  if (changed.empty()) return {};
  return {{name + "/entries", Tensor::vector(indices)},
          {name + "/keys", matrix(changed, &CodebookEntry::key)},
          {name + "/values", matrix(changed, &CodebookEntry::value)},
          {name + "/radii", Tensor::vector(radii)},
          {name + "/label_lengths", Tensor::vector(lengths)},
          {name + "/labels", Tensor::vector(labels)}};
}

void Codebook::take_over(const std::map<std::string, Tensor>& memory, const std::string& name) {
  const Tensor& indices = part(memory, name + "/entries", DType::kI64, 1, std::nullopt);
  const std::int64_t count = indices.numel();
  const Tensor& keys = part(memory, name + "/keys", DType::kF32, 2, count);
  const Tensor& values = part(memory, name + "/values", DType::kF32, 2, count);
  const Tensor& radii = part(memory, name + "/radii", DType::kF64, 1, count);
  const Tensor& lengths = part(memory, name + "/label_lengths", DType::kI64, 1, count);
  const Tensor& labels = part(memory, name + "/labels", DType::kI64, 1, std::nullopt);
  const std::int64_t in = keys.shape()[1], out = values.shape()[1];
  if (!entries_.empty() && (static_cast<std::int64_t>(entries_[0].key.size()) != in ||
                            static_cast<std::int64_t>(entries_[0].value.size()) != out))
    reject(name, "its entries have other widths than those beneath");
  std::int64_t at = 0;
  for (std::int64_t i = 0; i < count; ++i) {
    const std::int64_t index = indices.data<std::int64_t>()[i], length = lengths.data<std::int64_t>()[i];
    const double radius = radii.data<double>()[i];
    if (index < 0 || index > static_cast<std::int64_t>(entries_.size()) || index >= kMostEntries)
      reject(name, "an entry is out of turn");
    if (length < 0 || length > labels.numel() - at) reject(name, "its labels do not fit their lengths");
    if (!(radius >= 0) || !std::isfinite(radius)) reject(name, "a radius is no length");
    if (index == static_cast<std::int64_t>(entries_.size())) entries_.emplace_back();
    const std::int64_t* label = labels.data<std::int64_t>() + at;
    const float *key = keys.data<float>() + i * in, *value = values.data<float>() + i * out;
    entries_[static_cast<std::size_t>(index)] = {
        {key, key + in}, {value, value + out}, radius, {label, label + length}};
    at += length;
  }
}

Codebook Codebook::of(const ModelView& view, const std::string& name) {
  Codebook book;
  for (const auto& patch : view.patches()) {
    if (patch->memory.contains(name + "/entries")) {
      book.take_over(patch->memory, name);
      continue;
    }
    for (const GraphInsert& insert : patch->inserts)
      if (insert.name == name)
        throw user_error(
            "the stack has a codebook '{}' whose memory is not in its patch; edit the bundle that the edit was made "
            "on, "
            "with its patches",
            name);
  }
  return book;
}

}  // namespace retune
