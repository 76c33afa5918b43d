#include "graph/ops/index.h"

#include "tensor/error.h"

namespace retune {

std::vector<std::int64_t> checked_indices(const Tensor& indices, std::int64_t extent) {
  std::vector<std::int64_t> result = indices.to_i64();
  for (std::size_t i = 0; i < result.size(); ++i) {
    const std::int64_t index = result[i];
    if (index < -extent || index >= extent)
      throw user_error("index {} at position {} is out of range for an axis of {} elements", index, i, extent);
    if (index < 0) result[i] += extent;
  }
  return result;
}

SliceIndices slice_indices(const Shape& data, const Tensor& indices, int batch_dims) {
  const auto coordinates = static_cast<int>(indices.shape().back());
  const int first = batch_dims, last = batch_dims + coordinates;
  SliceIndices result;
  result.slice_count = data.product(0, last);
  result.slice_size = data.product(last, data.rank());
  const std::int64_t tuples = indices.shape().product(0, indices.shape().rank() - 1);
  const std::int64_t per_batch = indices.shape().product(batch_dims, indices.shape().rank() - 1);
  const std::vector<std::int64_t> values = indices.to_i64();
  result.slices.reserve(static_cast<std::size_t>(tuples));
  for (std::int64_t tuple = 0; tuple < tuples; ++tuple) {
    std::int64_t slice = tuple / per_batch;
    for (int axis = first; axis < last; ++axis) {
      const std::int64_t index = values[static_cast<std::size_t>(tuple * coordinates + axis - first)];
      if (index < -data[axis] || index >= data[axis])
        throw user_error("index {} in tuple {} is out of range for axis {} of shape {}", index, tuple, axis,
                         data.text());
      slice = slice * data[axis] + (index < 0 ? index + data[axis] : index);
    }
    result.slices.push_back(slice);
  }
  return result;
}

Lines lines_along(const Shape& data, const Shape& indices, int axis) {
  Lines lines;
  const std::vector<std::int64_t> of_index = indices.strides(), of_data = data.strides();
  lines.count = 1;
  lines.length = indices[axis];
  lines.index_step = of_index[static_cast<std::size_t>(axis)];
  lines.data_step = of_data[static_cast<std::size_t>(axis)];
  for (int other = 0; other < indices.rank(); ++other) {
    if (other == axis) continue;
    lines.count *= indices[other];
    lines.extents.push_back(indices[other]);
    lines.index_strides.push_back(of_index[static_cast<std::size_t>(other)]);
    lines.data_strides.push_back(of_data[static_cast<std::size_t>(other)]);
  }
  return lines;
}

Lines::Start Lines::start(std::int64_t line) const {
  Start at;
  for (std::size_t i = extents.size(); i-- > 0;) {
    const std::int64_t coordinate = line % extents[i];
    line /= extents[i];
    at.index += coordinate * index_strides[i];
    at.data += coordinate * data_strides[i];
  }
  return at;
}

}  // namespace retune
