// Weights beside a linear layer's own: what WISE remembers of one site (methods.md 5.15; Wang et al. 2024, arXiv
// 2405.14768).
//
// A slot holds a whole weight, f32 [in, out] as MatMul reads it, which equals the model's own outside the slot's mask.
// The last slot may be open: the next edit goes on from it, within the same mask.
#pragma once

#include <cstdint>
#include <limits>
#include <map>
#include <string>
#include <vector>

#include "lalm/bundle.h"
#include "lalm/site.h"
#include "tensor/tensor.h"

namespace retune {

struct SideWeight {
  Tensor weight;  // f32 [in, out]
  // The least distance that an edit of this slot had when it was done: what its threshold is a share of.
  double least_distance = std::numeric_limits<double>::infinity();
  std::int64_t edits = 0;
};

struct SideMemory {
  std::vector<SideWeight> slots;
  bool open = false;
  std::uint64_t mask_seed = 0;  // of the open slot
  std::int64_t edits = 0;       // in all

  // What the patches of the bundle's stack left under `name`; `original` as own_weight. User errors: memory that is
  // damaged, or that lacks for an insert of that name.
  static SideMemory of(const Bundle& bundle, const std::string& name, const Tensor& original);

  // As tensors for Patch::memory, under names that begin with `name`: of each slot that `before` lacks or has
  // otherwise, the elements in which it differs from `original`.
  std::map<std::string, Tensor> changes_since(const SideMemory& before, const Tensor& original,
                                              const std::string& name) const;

  // Makes one closed slot of all closed ones by TIES on their differences to `original`; its threshold is the least of
  // theirs.
  void merge_closed(const Tensor& original, double density);
};

// The site's weight as the model is measured, rounded to the stored type: f32 [in, out].
Tensor own_weight(const Bundle& bundle, const Site& site);

// 1 with probability `ratio`, else 0; the same seed gives the same mask.
std::vector<std::uint8_t> draw_mask(std::uint64_t seed, std::int64_t count, double ratio);

}  // namespace retune
