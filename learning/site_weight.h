// The weight of a site in site coordinates, W in R^{out x in} of y = W x, whatever way round and in how many places the
// model stores it (methods.md 1.1). Methods compute in these coordinates; only this file knows about orientation,
// slices and duplicates.
#pragma once

#include <string>
#include <vector>

#include "adapters/model_view.h"
#include "adapters/tensor_delta.h"
#include "lalm/bundle.h"
#include "lalm/site.h"
#include "tensor/tensor.h"

namespace retune {

// The model that a stack of patches was made on: what anchors and statistics refer to.
Bundle without_patches(const Bundle& bundle);

// Linked names of the parameters that hold a target, in order; user error if the model has none.
std::vector<std::string> parameters_of(const ModelView& view, const DeltaTarget& target);

// The site's targets, each with the hash of the base payload, as a Patch needs them. User error for a site without a
// weight (the residual stream).
std::vector<DeltaTarget> hashed_targets(const ModelView& view, const Site& site);

// f32 [site.delta_shape]: the part of `stored` (f32, the stored tensor's shape) that the target means, in site
// coordinates.
Tensor site_part(const Tensor& stored, const Shape& delta_shape, const DeltaTarget& target);

// The same without turning it: f32, the slice as it lies in `stored` ([in, out] for a transposed target), which is
// `stored` itself where there is no slice. What treats elements one by one, as optimisers do, need not turn a weight.
Tensor stored_part(const Tensor& stored, const Shape& delta_shape, const DeltaTarget& target);
// The inverse: writes `part` into `stored`, which must not have been shared yet; elements outside the slice stay.
void write_stored_part(Tensor& stored, const Tensor& part, const DeltaTarget& target);
Tensor transposed(const Tensor& matrix);  // f32 [r, c] to [c, r]

// f32 [site.delta_shape]: the master copy that an edit of the view starts from, of the site's first target.
Tensor site_master(const ModelView& view, const Site& site);

}  // namespace retune
