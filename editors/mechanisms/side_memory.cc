#include "editors/mechanisms/side_memory.h"

#include <algorithm>
#include <bit>
#include <cmath>

#include "editors/mechanisms/ties.h"
#include "learning/site_weight.h"
#include "tensor/error.h"
#include "tensor/rng.h"

namespace retune {

namespace {

// Of a site's memory: NAME/state i64 [3] = open, mask seed, edits; NAME/distances f64 [slots]; NAME/edits i64 [slots];
// and of each changed slot NAME/slot.N/indices i64, ascending and flat, and NAME/slot.N/values f32.
constexpr std::int64_t kMostSlots = 100'000;

using Memory = std::map<std::string, Tensor>;

[[noreturn]] void reject(const std::string& name, const char* what) {
  throw user_error("the patch's memory '{}' is damaged: {}; make the patch again", name, what);
}

const Tensor& part(const Memory& memory, const std::string& name, DType type) {
  const auto it = memory.find(name);
  if (it == memory.end() || it->second.dtype() != type || it->second.shape().rank() != 1)
    reject(name, "it is missing, or of another type or rank");
  return it->second;
}

std::string slot_name(const std::string& name, std::size_t slot) { return fmt::format("{}/slot.{}", name, slot); }

Tensor restored(const Memory& memory, const std::string& slot, const Tensor& original) {
  const Tensor& indices = part(memory, slot + "/indices", DType::kI64);
  const Tensor& values = part(memory, slot + "/values", DType::kF32);
  if (indices.numel() != values.numel()) reject(slot, "it has other numbers of indices and values");
  Tensor weight = original.copy();
  std::int64_t last = -1;
  for (std::int64_t i = 0; i < indices.numel(); ++i) {
    const std::int64_t index = indices.data<std::int64_t>()[i];
    if (index <= last || index >= weight.numel()) reject(slot, "an index is out of range");
    weight.mutable_data<float>()[index] = values.data<float>()[i];
    last = index;
  }
  return weight;
}

void take_over(SideMemory& side, const Memory& memory, const std::string& name, const Tensor& original) {
  const Tensor& state = part(memory, name + "/state", DType::kI64);
  const Tensor& distances = part(memory, name + "/distances", DType::kF64);
  const Tensor& edits = part(memory, name + "/edits", DType::kI64);
  if (state.numel() != 3 || edits.numel() != distances.numel() || distances.numel() > kMostSlots)
    reject(name, "its parts do not fit each other");
  const std::size_t known = side.slots.size();
  side.slots.resize(static_cast<std::size_t>(distances.numel()));
  side.open = state.data<std::int64_t>()[0] != 0 && !side.slots.empty();
  side.mask_seed = std::bit_cast<std::uint64_t>(state.data<std::int64_t>()[1]);
  side.edits = state.data<std::int64_t>()[2];
  for (std::size_t i = 0; i < side.slots.size(); ++i) {
    SideWeight& slot = side.slots[i];
    slot.least_distance = distances.data<double>()[i];
    slot.edits = edits.data<std::int64_t>()[i];
    if (!(slot.least_distance >= 0) || slot.edits < 0) reject(name, "a distance or a count is negative");
    const std::string own = slot_name(name, i);
    if (memory.contains(own + "/indices"))
      slot.weight = restored(memory, own, original);
    else if (i >= known)
      reject(own, "it is missing");
  }
}

Tensor difference(const Tensor& a, const Tensor& b) {
  Tensor result = Tensor::empty(DType::kF32, a.shape());
  float* to = result.mutable_data<float>();
  for (std::int64_t i = 0; i < a.numel(); ++i) to[i] = a.data<float>()[i] - b.data<float>()[i];
  return result;
}

}  // namespace

SideMemory SideMemory::of(const Bundle& bundle, const std::string& name, const Tensor& original) {
  SideMemory side;
  for (const auto& patch : bundle.view().patches()) {
    if (patch->memory.contains(name + "/state")) {
      take_over(side, patch->memory, name, original);
      continue;
    }
    for (const GraphInsert& insert : patch->inserts)
      if (insert.name == name)
        throw user_error(
            "the stack has a side memory '{}' whose patch does not remember how it was made; edit the bundle that the "
            "edit was made on, with its patches",
            name);
  }
  return side;
}

std::map<std::string, Tensor> SideMemory::changes_since(const SideMemory& before, const Tensor& original,
                                                        const std::string& name) const {
  Memory memory;
  std::vector<double> distances;
  std::vector<std::int64_t> counts;
  for (std::size_t s = 0; s < slots.size(); ++s) {
    distances.push_back(slots[s].least_distance);
    counts.push_back(slots[s].edits);
    if (s < before.slots.size() && identical(slots[s].weight, before.slots[s].weight)) continue;
    std::vector<std::int64_t> indices;
    std::vector<float> values;
    for (std::int64_t i = 0; i < original.numel(); ++i) {
      const float value = slots[s].weight.data<float>()[i];
      if (value == original.data<float>()[i]) continue;
      indices.push_back(i);
      values.push_back(value);
    }
    memory[slot_name(name, s) + "/indices"] = Tensor::vector(indices);
    memory[slot_name(name, s) + "/values"] = Tensor::vector(values);
  }
  memory[name + "/state"] = Tensor::vector<std::int64_t>({open ? 1 : 0, std::bit_cast<std::int64_t>(mask_seed), edits});
  memory[name + "/distances"] = Tensor::vector(distances);
  memory[name + "/edits"] = Tensor::vector(counts);
  return memory;
}

void SideMemory::merge_closed(const Tensor& original, double density) {
  const auto end = slots.end() - (open ? 1 : 0);
  if (end == slots.begin()) return;
  std::vector<Tensor> changes;
  SideWeight merged;
  for (auto slot = slots.begin(); slot != end; ++slot) {
    changes.push_back(difference(slot->weight, original));
    merged.least_distance = std::min(merged.least_distance, slot->least_distance);
    merged.edits += slot->edits;
  }
  merged.weight = ties_merge(changes, density);
  float* to = merged.weight.mutable_data<float>();
  for (std::int64_t i = 0; i < original.numel(); ++i) to[i] += original.data<float>()[i];
  slots.erase(slots.begin(), end);
  slots.insert(slots.begin(), std::move(merged));
}

Tensor own_weight(const Bundle& bundle, const Site& site) {
  require_editable(site);
  const DeltaTarget& target = site.targets.at(0);
  const std::string name = parameters_of(bundle.view(), target)[0];
  return transposed(site_part(bundle.parameters().at(name).tensor.cast(DType::kF32), site.delta_shape, target));
}

std::vector<std::uint8_t> draw_mask(std::uint64_t seed, std::int64_t count, double ratio) {
  Rng rng(seed);
  std::vector<std::uint8_t> mask(static_cast<std::size_t>(count));
  for (std::uint8_t& item : mask) item = rng.uniform() < ratio ? 1 : 0;
  return mask;
}

}  // namespace retune
