#include "adapters/patch.h"

#include <algorithm>
#include <bit>
#include <nlohmann/json.hpp>

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

void check_text(std::string_view text, std::string_view what) {
  if (text.find('\0') != std::string_view::npos) throw user_error("the patch's {} holds a NUL byte", what);
  try {
    (void)nlohmann::json(text).dump();  // throws where text is not UTF-8
  } catch (const nlohmann::json::exception&) {
    throw user_error("the patch's {} is not UTF-8", what);
  }
}

}  // namespace

std::string_view retune_version() { return RETUNE_VERSION; }

ContentHash Patch::id() const {
  Hasher hasher;
  hasher.add("retune patch").add(kPatchVersion).add(method).add(recipe).add(facts);
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
  return hasher.finish();
}

void check(const Patch& patch) {
  const auto word_character = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
  };
  if (patch.method.empty() || !std::all_of(patch.method.begin(), patch.method.end(), word_character))
    throw user_error("the patch's method '{}' is not one word of a-z, 0-9, '-' and '_'", printable(patch.method));
  check_text(patch.recipe, "recipe");
  check_text(patch.facts, "facts");
  check_text(patch.retune, "version");
  for (const auto& [file, hash] : patch.files) check_text(file, "file name");
  for (const TensorDelta& delta : patch.deltas) {
    check_text(delta.site, "site");
    for (const DeltaTarget& target : delta.targets) {
      check_text(target.file, "target");
      check_text(target.initializer, "target");
    }
    check(delta);
  }
  for (const auto& [name, tensor] : patch.memory) {
    check_text(name, "memory");
    if (name.empty() || !tensor.defined())
      throw user_error("the patch's memory '{}' has no name or no tensor", printable(name));
  }
  for (const auto& [name, numbers] : patch.notes) {
    check_text(name, "notes");
    if (name.empty()) throw user_error("the patch has a note without a name");
  }
}

}  // namespace retune
