#include "learning/site_weight.h"

#include <algorithm>

#include "tensor/error.h"

namespace retune {

namespace {

// The slice as `outer` runs of `run` contiguous elements, each `stride` apart, the first at `offset`.
struct Runs {
  std::int64_t outer = 1, run = 0, stride = 0, offset = 0;
};

Runs runs_of(const Shape& stored, const DeltaTarget& target) {
  if (!target.slice) return {1, stored.numel(), 0, 0};
  Runs runs;
  std::int64_t inner = 1;
  for (int axis = 0; axis < stored.rank(); ++axis) {
    if (axis < target.slice->axis) runs.outer *= stored[axis];
    if (axis > target.slice->axis) inner *= stored[axis];
  }
  runs.run = target.slice->count * inner;
  runs.stride = stored[target.slice->axis] * inner;
  runs.offset = target.slice->begin * inner;
  return runs;
}

// target[c][r] = source[r][c], in tiles that fit the cache.
void transpose(const float* source, std::int64_t rows, std::int64_t columns, float* target) {
  constexpr std::int64_t kTile = 32;
  for (std::int64_t r0 = 0; r0 < rows; r0 += kTile)
    for (std::int64_t c0 = 0; c0 < columns; c0 += kTile)
      for (std::int64_t r = r0; r < std::min(r0 + kTile, rows); ++r)
        for (std::int64_t c = c0; c < std::min(c0 + kTile, columns); ++c)
          target[c * rows + r] = source[r * columns + c];
}

Shape stored_shape(const Shape& delta_shape, const DeltaTarget& target) {
  return target.transposed ? Shape{delta_shape[1], delta_shape[0]} : delta_shape;
}

}  // namespace

Bundle without_patches(const Bundle& bundle) { return bundle.without_patches(); }

std::vector<std::string> parameters_of(const ModelView& view, const DeltaTarget& target) {
  std::vector<std::string> names;
  for (const auto& [name, origin] : view.origins())
    if (origin.file == target.file && origin.initializer == target.initializer) names.push_back(name);
  if (names.empty()) throw user_error("the model has no initializer '{}' in {}", target.initializer, target.file);
  return names;
}

std::vector<DeltaTarget> hashed_targets(const ModelView& view, const Site& site) {
  if (site.targets.empty())
    throw user_error("site '{}' has no weight that could be edited; choose a linear layer or init:NAME", site.name);
  std::vector<DeltaTarget> targets = site.targets;
  for (DeltaTarget& target : targets) target.sha256 = view.payload_hash(parameters_of(view, target)[0]);
  return targets;
}

Tensor stored_part(const Tensor& stored, const Shape& delta_shape, const DeltaTarget& target) {
  const Runs runs = runs_of(stored.shape(), target);
  if (runs.outer * runs.run != delta_shape.numel())
    throw user_error("initializer '{}' in {}: expected {} elements for {}, got {}", target.initializer, target.file,
                     delta_shape.numel(), delta_shape.text(), runs.outer * runs.run);
  const Shape shape = stored_shape(delta_shape, target);
  if (!target.slice) return stored.reshaped(shape);
  Tensor part = Tensor::empty(DType::kF32, shape);
  for (std::int64_t o = 0; o < runs.outer; ++o)
    std::copy_n(stored.data<float>() + runs.offset + o * runs.stride, runs.run,
                part.mutable_data<float>() + o * runs.run);
  return part;
}

void write_stored_part(Tensor& stored, const Tensor& part, const DeltaTarget& target) {
  const Runs runs = runs_of(stored.shape(), target);
  float* to = stored.mutable_data<float>();
  for (std::int64_t o = 0; o < runs.outer; ++o)
    std::copy_n(part.data<float>() + o * runs.run, runs.run, to + runs.offset + o * runs.stride);
}

Tensor transposed(const Tensor& matrix) {
  const std::int64_t rows = matrix.shape()[0], columns = matrix.shape()[1];
  Tensor turned = Tensor::empty(DType::kF32, {columns, rows});
  transpose(matrix.data<float>(), rows, columns, turned.mutable_data<float>());
  return turned;
}

Tensor site_part(const Tensor& stored, const Shape& delta_shape, const DeltaTarget& target) {
  const Tensor part = stored_part(stored, delta_shape, target);
  return target.transposed ? transposed(part) : part;
}

Tensor site_master(const ModelView& view, const Site& site) {
  if (site.targets.empty())
    throw user_error("site '{}' has no weight that could be edited; choose a linear layer or init:NAME", site.name);
  const DeltaTarget& target = site.targets[0];
  return site_part(view.master(parameters_of(view, target)[0]), site.delta_shape, target);
}

}  // namespace retune
