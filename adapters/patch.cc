#include "adapters/patch.h"

#include <algorithm>
#include <bit>
#include <set>

#include "adapters/patch_text.h"
#include "tensor/error.h"
#include "weights/external_data.h"

namespace retune {

namespace {

void add(Hasher& hasher, const Tensor& tensor) {
  hasher.add(dtype_name(tensor.dtype())).add(tensor.shape().rank());
  for (const std::int64_t extent : tensor.shape()) hasher.add(extent);
  hasher.raw({tensor.raw(), tensor.bytes()});
}

void add(Hasher& hasher, const DeltaTarget& target) {
  hasher.add(target.file).add(target.initializer).add(target.transposed ? 1 : 0).add(target.slice ? 1 : 0);
  if (target.slice) hasher.add(target.slice->axis).add(target.slice->begin).add(target.slice->count);
  hasher.add(dtype_name(target.stored)).add(target.sha256);
}

void add(Hasher& hasher, const TensorDelta& delta) {
  hasher.add(delta.site).add(delta.shape.rank());
  for (const std::int64_t extent : delta.shape) hasher.add(extent);
  hasher.add(form_name(delta));
  if (const auto* dense = std::get_if<DenseDelta>(&delta.values)) {
    add(hasher, dense->values);
  } else if (const auto* low_rank = std::get_if<LowRankDelta>(&delta.values)) {
    add(hasher, low_rank->u);
    add(hasher, low_rank->v);
  } else {
    add(hasher, std::get<SparseDelta>(delta.values).indices);
    add(hasher, std::get<SparseDelta>(delta.values).values);
  }
  hasher.add(static_cast<std::int64_t>(delta.targets.size()));
  for (const DeltaTarget& target : delta.targets) add(hasher, target);
}

template <class Range>
std::int64_t size_of(const Range& range) {
  return static_cast<std::int64_t>(range.size());
}

}  // namespace

std::string_view retune_version() { return RETUNE_VERSION; }

std::int64_t Patch::version() const { return inserts.empty() && !context ? 1 : 2; }

ContentHash Patch::id() const {
  Hasher hasher;
  hasher.add("retune patch").add(version()).add(method).add(recipe).add(facts);
  hasher.add(std::bit_cast<std::int64_t>(seed)).add(retune).add(graph_hash);
  hasher.add(size_of(files));
  for (const auto& [file, hash] : files) hasher.add(file).add(hash);
  hasher.add(size_of(beneath));
  for (const ContentHash& hash : beneath) hasher.add(hash);
  hasher.add(size_of(deltas));
  for (const TensorDelta& delta : deltas) add(hasher, delta);
  hasher.add(size_of(memory));
  for (const auto& [name, tensor] : memory) add(hasher.add(name), tensor);
  hasher.add(size_of(notes));
  for (const auto& [name, numbers] : notes)
    hasher.add(name).add(size_of(numbers)).raw(std::as_bytes(std::span(numbers)));
  if (version() == 1) return hasher.finish();
  hasher.add(size_of(inserts));
  for (const GraphInsert& insert : inserts) hasher.add(hash_of(insert));
  hasher.add(std::int64_t{context ? 1 : 0});
  if (context) add_context(hasher, *context);
  return hasher.finish();
}

void check(const Patch& patch) {
  const auto word_character = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
  };
  if (patch.method.empty() || !std::all_of(patch.method.begin(), patch.method.end(), word_character))
    throw user_error("the patch's method '{}' is not one word of a-z, 0-9, '-' and '_'", printable(patch.method));
  check_patch_text(patch.recipe, "recipe");
  check_patch_text(patch.facts, "facts");
  check_patch_text(patch.retune, "version");
  for (const auto& [file, hash] : patch.files) check_patch_text(file, "file name");
  for (const TensorDelta& delta : patch.deltas) {
    check_patch_text(delta.site, "site");
    for (const DeltaTarget& target : delta.targets) {
      check_patch_text(target.file, "target");
      check_patch_text(target.initializer, "target");
    }
    check(delta);
  }
  std::set<std::string> names;
  for (const GraphInsert& insert : patch.inserts) {
    check(insert);
    if (!names.insert(insert.name).second) throw user_error("the patch has two inserts named '{}'", insert.name);
  }
  for (const auto& [name, tensor] : patch.memory) {
    check_patch_text(name, "memory");
    if (name.empty() || !tensor.defined())
      throw user_error("the patch's memory '{}' has no name or no tensor", printable(name));
  }
  for (const auto& [name, numbers] : patch.notes) {
    check_patch_text(name, "notes");
    if (name.empty()) throw user_error("the patch has a note without a name");
  }
  if (patch.context) check(*patch.context);
}

}  // namespace retune
