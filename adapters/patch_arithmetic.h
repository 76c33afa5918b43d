// Patches from models, and patches from patches.
#pragma once

#include <memory>
#include <optional>
#include <span>

#include "adapters/model_view.h"
#include "adapters/patch.h"

namespace retune {

// What turns `from` into `to`: a patch on `from`'s stack with a delta for each parameter whose f32 master differs, in
// stored orientation (site "init:NAME"), sparse where that is smaller. Views of one base, or of two sets of files with
// the same graph: then every parameter is compared. from.with(diff(from, to)) has to's tensors bit for bit where the
// difference of the masters is exact in f32, and to within an f32 rounding of the larger of both elsewhere. User
// errors: another graph, a parameter that only one has or that differs in type or shape, parameters that differ but
// have no origin, nodes that only `from`'s stack adds, two prompts that hold different edits. Nodes that `to`'s stack
// adds besides are the patch's inserts.
// `observer` counts parameters.
Patch diff(const ModelView& from, const ModelView& to, const WorkObserver& observer = {});

struct WeightedPatch {
  std::shared_ptr<const Patch> patch;
  double weight = 1.0;
};

struct MergeOptions {
  enum class Method {
    kLinear,          // sum of w_i M_i (model soups, 2203.05482); divided by the sum of w_i unless `normalise` is false
    kTaskArithmetic,  // B + lambda * sum of w_i (M_i - B) (2212.04089); divided by the sum of w_i if `normalise` is
                      // true
  };
  Method method = Method::kLinear;
  std::optional<bool> normalise;  // nothing: as above
  double lambda = 1.0;            // task arithmetic only
};

// One patch for several that were made on the same model and the same stack (methods.md 5.20). With kLinear and
// normalise = false the weights must sum to 1: otherwise the base itself would be scaled, and that is no patch of the
// edited tensors alone. Low-rank deltas on the same targets stay low-rank while that is smaller; others are summed in
// f64. Memories are not merged: what one method remembers says nothing about the sum. User errors: nothing to merge,
// different models or stacks, deltas that do not fit, patches that add nodes or change the prompt, weights that are not
// finite or sum to zero.
// `observer` counts the deltas of the result.
Patch merge(std::span<const WeightedPatch> parts, const MergeOptions& options = {}, const WorkObserver& observer = {});

}  // namespace retune
