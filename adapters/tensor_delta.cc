#include "adapters/tensor_delta.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <set>
#include <span>
#include <string>
#include <tuple>

#include "tensor/error.h"
#include "tensor/linear_algebra.h"
#include "weights/external_data.h"

namespace retune {

namespace {

constexpr std::int64_t kRankSide = 1024;
constexpr std::int64_t kRankElements = std::int64_t{1} << 26;
constexpr std::int64_t kBlockRows = 64;

// A delta walked as a matrix, and where its element (i, j) lies in the stored tensor: offset + i * row_stride + j *
// column_stride.
struct Placement {
  std::int64_t rows = 0, columns = 0;
  std::int64_t offset = 0, row_stride = 0, column_stride = 0;
};

// A tensor that is no matrix is one row; cut along an axis it is a row for each step of the axes before.
Placement placement(const TensorDelta& delta, const DeltaTarget& target, const Shape& stored) {
  const std::int64_t begin = target.slice ? target.slice->begin : 0;
  const int axis = target.slice ? target.slice->axis : 0;
  if (delta.shape.rank() == 2) {
    const std::int64_t width = stored[1];
    Placement p{delta.shape[0], delta.shape[1], axis == 0 ? begin * width : begin, width, 1};
    if (target.transposed) std::swap(p.row_stride, p.column_stride);
    return p;
  }
  if (!target.slice) return {1, delta.shape.numel(), 0, delta.shape.numel(), 1};
  const std::int64_t inner = stored.product(axis + 1, stored.rank());
  return {stored.product(0, axis), target.slice->count * inner, begin * inner, stored[axis] * inner, 1};
}

// Calls body(first_row, rows, values) for blocks of rows of the delta seen as a matrix of `columns` columns, in order.
// `values` is [rows, columns]. All that is done with a delta goes through here, so that every representation gives the
// same bits.
using BlockBody = std::function<void(std::int64_t first, std::int64_t rows, const float* values)>;

void low_rank_blocks(const LowRankDelta& delta, std::int64_t rows, std::int64_t columns, const BlockBody& body) {
  const std::int64_t rank = delta.u.shape()[1];
  const float* u = delta.u.data<float>();
  const float* v = delta.v.data<float>();
  std::vector<float> v_transposed(static_cast<std::size_t>(rank * columns));
  for (std::int64_t j = 0; j < columns; ++j)
    for (std::int64_t k = 0; k < rank; ++k) v_transposed[static_cast<std::size_t>(k * columns + j)] = v[j * rank + k];
  std::vector<double> sums(static_cast<std::size_t>(columns));
  std::vector<float> block(static_cast<std::size_t>(std::min(kBlockRows, rows) * columns));
  for (std::int64_t first = 0; first < rows; first += kBlockRows) {
    const std::int64_t count = std::min(kBlockRows, rows - first);
    for (std::int64_t i = 0; i < count; ++i) {
      std::fill(sums.begin(), sums.end(), 0.0);
      for (std::int64_t k = 0; k < rank; ++k) {
        const double factor = u[(first + i) * rank + k];
        const float* row = v_transposed.data() + k * columns;
        for (std::int64_t j = 0; j < columns; ++j) sums[static_cast<std::size_t>(j)] += factor * row[j];
      }
      float* out = block.data() + i * columns;
      for (std::int64_t j = 0; j < columns; ++j) out[j] = static_cast<float>(sums[static_cast<std::size_t>(j)]);
    }
    body(first, count, block.data());
  }
}

void sparse_blocks(const SparseDelta& delta, std::int64_t rows, std::int64_t columns, const BlockBody& body) {
  const std::span<const std::int64_t> indices = delta.indices.values<std::int64_t>();
  const float* values = delta.values.data<float>();
  std::vector<float> block(static_cast<std::size_t>(std::min(kBlockRows, rows) * columns));
  std::size_t next = 0;
  while (next < indices.size()) {  // blocks without an entry are skipped: they add nothing
    const std::int64_t first = indices[next] / columns / kBlockRows * kBlockRows;
    const std::int64_t count = std::min(kBlockRows, rows - first);
    std::fill(block.begin(), block.end(), 0.0f);
    for (; next < indices.size() && indices[next] < (first + count) * columns; ++next)
      block[static_cast<std::size_t>(indices[next] - first * columns)] = values[next];
    body(first, count, block.data());
  }
}

void for_each_block(const TensorDelta& delta, std::int64_t rows, std::int64_t columns, const BlockBody& body) {
  if (rows * columns == 0) return;
  if (const auto* low_rank = std::get_if<LowRankDelta>(&delta.values))
    return low_rank_blocks(*low_rank, rows, columns, body);
  if (const auto* sparse = std::get_if<SparseDelta>(&delta.values)) return sparse_blocks(*sparse, rows, columns, body);
  const float* values = std::get<DenseDelta>(delta.values).values.data<float>();
  for (std::int64_t first = 0; first < rows; first += kBlockRows)
    body(first, std::min(kBlockRows, rows - first), values + first * columns);
}

void for_each_block(const TensorDelta& delta, const BlockBody& body) {
  const bool matrix = delta.shape.rank() == 2;
  for_each_block(delta, matrix ? delta.shape[0] : 1, matrix ? delta.shape[1] : delta.shape.numel(), body);
}

// All values that may differ from zero, in order; memory in proportion to what the delta stores, whatever shape it
// claims.
void for_each_run(const TensorDelta& delta, const std::function<void(std::span<const float>)>& body) {
  if (const auto* sparse = std::get_if<SparseDelta>(&delta.values)) return body(sparse->values.values<float>());
  if (const auto* dense = std::get_if<DenseDelta>(&delta.values)) return body(dense->values.values<float>());
  for_each_block(delta, [&](std::int64_t, std::int64_t rows, const float* values) {
    body({values, static_cast<std::size_t>(rows * delta.shape[1])});
  });
}

// T is float (the master copy) or double (sums).
template <class T>
void add_blocks(T* out, const Shape& stored, const TensorDelta& delta, const DeltaTarget& target) {
  const Placement p = placement(delta, target, stored);
  for_each_block(delta, p.rows, p.columns, [&](std::int64_t first, std::int64_t rows, const float* values) {
    T* base = out + p.offset + first * p.row_stride;
    // A zero difference must not touch the element: -0.0 + 0.0 is +0.0.
    const auto add = [](T& element, float difference) {
      element = difference != 0.0f ? element + static_cast<T>(difference) : element;
    };
    if (p.column_stride == 1) {
      for (std::int64_t i = 0; i < rows; ++i)
        for (std::int64_t j = 0; j < p.columns; ++j) add(base[i * p.row_stride + j], values[i * p.columns + j]);
    } else {  // transposed: a block's rows lie side by side, so write along them
      for (std::int64_t j = 0; j < p.columns; ++j)
        for (std::int64_t i = 0; i < rows; ++i) add(base[j * p.column_stride + i], values[i * p.columns + j]);
    }
  });
}

void require(bool condition, const TensorDelta& delta, std::string_view expected) {
  if (!condition)
    throw user_error("the delta for '{}' {} is unsound: expected {}", printable(delta.site), delta.shape.text(),
                     expected);
}

void require_finite(const Tensor& values, const TensorDelta& delta) {
  for (const float value : values.values<float>())
    require(std::isfinite(value), delta, "finite values; the edit that made it diverged");
}

void check_values(const TensorDelta& delta) {
  if (const auto* dense = std::get_if<DenseDelta>(&delta.values)) {
    require(dense->values.dtype() == DType::kF32 && dense->values.shape() == delta.shape, delta,
            "f32 values of its shape");
    require_finite(dense->values, delta);
  } else if (const auto* low_rank = std::get_if<LowRankDelta>(&delta.values)) {
    const Tensor &u = low_rank->u, &v = low_rank->v;
    require(delta.shape.rank() == 2 && u.dtype() == DType::kF32 && v.dtype() == DType::kF32 && u.shape().rank() == 2 &&
                v.shape().rank() == 2 && u.shape()[0] == delta.shape[0] && v.shape()[0] == delta.shape[1] &&
                u.shape()[1] == v.shape()[1] && u.shape()[1] >= 1,
            delta, "f32 factors u [out, r] and v [in, r]");
    require_finite(u, delta);
    require_finite(v, delta);
  } else {
    const auto& sparse = std::get<SparseDelta>(delta.values);
    require(sparse.indices.dtype() == DType::kI64 && sparse.values.dtype() == DType::kF32 &&
                sparse.indices.shape().rank() == 1 && sparse.indices.shape() == sparse.values.shape(),
            delta, "as many i64 indices as f32 values");
    std::int64_t last = -1;
    for (const std::int64_t index : sparse.indices.values<std::int64_t>()) {
      require(index > last && index < delta.shape.numel(), delta, "ascending indices within its shape");
      last = index;
    }
    require_finite(sparse.values, delta);
  }
}

// The Gram matrix A^T A of a matrix given as `rows` vectors of length n, f64.
std::vector<double> gram(std::span<const double> matrix, std::int64_t rows, std::int64_t n) {
  std::vector<double> result(static_cast<std::size_t>(n * n), 0.0);
  for (std::int64_t i = 0; i < rows; ++i) {
    const double* row = matrix.data() + i * n;
    for (std::int64_t a = 0; a < n; ++a) {
      if (row[a] == 0) continue;
      double* out = result.data() + a * n;
      for (std::int64_t b = 0; b < n; ++b) out[b] += row[a] * row[b];
    }
  }
  return result;
}

// Squared singular values of u v^T, from the r x r matrices alone: with u^T u = Q S Q^T they are the eigenvalues of
// S^{1/2} Q^T (v^T v) Q S^{1/2}.
std::vector<double> squared_singular_values(const LowRankDelta& delta) {
  const std::int64_t r = delta.u.shape()[1];
  const Eigen of_u = symmetric_eigen(gram(delta.u.to_f64(), delta.u.shape()[0], r), r);
  const std::vector<double> of_v = gram(delta.v.to_f64(), delta.v.shape()[0], r);
  const auto at = [r](std::int64_t i, std::int64_t j) { return static_cast<std::size_t>(i * r + j); };
  std::vector<double> half(static_cast<std::size_t>(r * r), 0.0), middle(half), product(half);
  for (std::int64_t i = 0; i < r; ++i)
    for (std::int64_t j = 0; j < r; ++j)
      half[at(j, i)] = of_u.vectors[at(i, j)] * std::sqrt(std::max(0.0, of_u.values[static_cast<std::size_t>(j)]));
  for (std::int64_t i = 0; i < r; ++i)
    for (std::int64_t j = 0; j < r; ++j)
      for (std::int64_t k = 0; k < r; ++k) middle[at(i, j)] += half[at(i, k)] * of_v[at(k, j)];
  for (std::int64_t i = 0; i < r; ++i)
    for (std::int64_t j = 0; j < r; ++j)
      for (std::int64_t k = 0; k < r; ++k) product[at(i, j)] += middle[at(i, k)] * half[at(j, k)];
  return symmetric_eigen(product, r).values;
}

std::vector<double> squared_singular_values(const Tensor& matrix) {
  const std::int64_t rows = matrix.shape()[0], columns = matrix.shape()[1];
  std::vector<double> values = matrix.to_f64();
  if (columns <= rows) return symmetric_eigen(gram(values, rows, columns), columns).values;
  std::vector<double> flipped(values.size());
  for (std::int64_t i = 0; i < rows; ++i)
    for (std::int64_t j = 0; j < columns; ++j)
      flipped[static_cast<std::size_t>(j * rows + i)] = values[static_cast<std::size_t>(i * columns + j)];
  return symmetric_eigen(gram(flipped, columns, rows), rows).values;
}

Tensor scaled(const Tensor& values, double factor) {
  Tensor result = Tensor::empty(DType::kF32, values.shape());
  const std::span<const float> from = values.values<float>();
  std::transform(from.begin(), from.end(), result.mutable_data<float>(),
                 [factor](float value) { return static_cast<float>(factor * value); });
  return result;
}

}  // namespace

std::string_view form_name(const TensorDelta& delta) {
  if (std::holds_alternative<LowRankDelta>(delta.values)) return "low-rank";
  return std::holds_alternative<SparseDelta>(delta.values) ? "sparse" : "dense";
}

void check(const TensorDelta& delta) {
  check_values(delta);
  require(!delta.targets.empty(), delta, "at least one target");
  std::set<std::tuple<std::string, std::string, int, std::int64_t>> places;
  for (const DeltaTarget& target : delta.targets) {
    const Slice whole{-1, 0, 0};
    const Slice& place = target.slice ? *target.slice : whole;
    require(places.emplace(target.file, target.initializer, place.axis, place.begin).second, delta, "each target once");
    require(!target.file.empty() && !target.initializer.empty(), delta, "targets that name a file and an initializer");
    require(target.stored == DType::kF32 || is_half(target.stored), delta, "targets stored as f32, f16 or bf16");
    require(!target.transposed || delta.shape.rank() == 2, delta, "only matrices transposed");
    if (!target.slice) continue;
    const Slice& slice = *target.slice;
    require(slice.axis >= 0 && slice.axis < delta.shape.rank() && slice.begin >= 0 && slice.count >= 0, delta,
            "slices in range");
    const int own_axis = target.transposed ? 1 - slice.axis : slice.axis;
    require(delta.shape[own_axis] == slice.count, delta, "slices as long as the delta");
  }
}

Tensor materialise(const TensorDelta& delta) {
  Tensor result = Tensor::zeros(DType::kF32, delta.shape);
  float* out = result.mutable_data<float>();
  const std::int64_t columns = delta.shape.rank() == 2 ? delta.shape[1] : delta.shape.numel();
  for_each_block(delta, [&](std::int64_t first, std::int64_t rows, const float* values) {
    std::copy(values, values + rows * columns, out + first * columns);
  });
  return result;
}

bool fits(const TensorDelta& delta, const DeltaTarget& target, const Shape& stored) {
  if (stored.rank() != delta.shape.rank()) return false;
  for (int axis = 0; axis < stored.rank(); ++axis) {
    const std::int64_t extent = delta.shape[target.transposed ? 1 - axis : axis];
    if (target.slice && target.slice->axis == axis) {
      if (target.slice->begin > stored[axis] || target.slice->count > stored[axis] - target.slice->begin) return false;
    } else if (stored[axis] != extent) {
      return false;
    }
  }
  return true;
}

void add_to(Tensor& master, const TensorDelta& delta, const DeltaTarget& target) {
  add_blocks(master.mutable_data<float>(), master.shape(), delta, target);
}

void add_to(std::vector<double>& sums, const Shape& stored, const TensorDelta& delta, const DeltaTarget& target) {
  add_blocks(sums.data(), stored, delta, target);
}

double norm(const TensorDelta& delta) {
  double sum = 0;
  for_each_run(delta, [&sum](std::span<const float> values) {
    for (const float value : values) sum += static_cast<double>(value) * value;
  });
  return std::sqrt(sum);
}

bool is_zero(const TensorDelta& delta) {
  bool zero = true;
  for_each_run(delta, [&zero](std::span<const float> values) {
    zero = zero && std::all_of(values.begin(), values.end(), [](float value) { return value == 0.0f; });
  });
  return zero;
}

std::optional<std::int64_t> numerical_rank(const TensorDelta& delta) {
  if (delta.shape.rank() != 2 || delta.shape.numel() == 0) return std::nullopt;
  const auto* low_rank = std::get_if<LowRankDelta>(&delta.values);
  const std::int64_t side = low_rank ? low_rank->u.shape()[1] : std::min(delta.shape[0], delta.shape[1]);
  if (side > kRankSide || (!low_rank && delta.shape.numel() > kRankElements)) return std::nullopt;
  const std::vector<double> squares =
      low_rank ? squared_singular_values(*low_rank) : squared_singular_values(materialise(delta));
  const double largest = *std::max_element(squares.begin(), squares.end());
  if (largest <= 0) return 0;
  const double ratio = static_cast<double>(std::max(delta.shape[0], delta.shape[1])) * 0x1p-23;
  return std::count_if(squares.begin(), squares.end(), [&](double square) { return square > ratio * ratio * largest; });
}

std::int64_t stored_bytes(const TensorDelta& delta) {
  const auto sum = [](const Tensor& a, const Tensor& b) { return static_cast<std::int64_t>(a.bytes() + b.bytes()); };
  if (const auto* low_rank = std::get_if<LowRankDelta>(&delta.values)) return sum(low_rank->u, low_rank->v);
  if (const auto* sparse = std::get_if<SparseDelta>(&delta.values)) return sum(sparse->indices, sparse->values);
  return static_cast<std::int64_t>(std::get<DenseDelta>(delta.values).values.bytes());
}

TensorDelta compressed(TensorDelta delta) {
  const auto* dense = std::get_if<DenseDelta>(&delta.values);
  if (dense == nullptr) return delta;
  const std::span<const float> values = dense->values.values<float>();
  const auto zeros = std::count(values.begin(), values.end(), 0.0f);
  const std::size_t entries = values.size() - static_cast<std::size_t>(zeros);
  if (entries * (sizeof(std::int64_t) + sizeof(float)) > values.size() * sizeof(float)) return delta;
  const Shape length{static_cast<std::int64_t>(entries)};
  SparseDelta sparse{Tensor::empty(DType::kI64, length), Tensor::empty(DType::kF32, length)};
  std::int64_t* index = sparse.indices.mutable_data<std::int64_t>();
  float* value = sparse.values.mutable_data<float>();
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (values[i] == 0.0f) continue;
    *index++ = static_cast<std::int64_t>(i);
    *value++ = values[i];
  }
  delta.values = std::move(sparse);
  return delta;
}

TensorDelta scaled(const TensorDelta& delta, double factor) {
  TensorDelta result = delta;
  if (auto* low_rank = std::get_if<LowRankDelta>(&result.values))
    low_rank->u = scaled(low_rank->u, factor);
  else if (auto* sparse = std::get_if<SparseDelta>(&result.values))
    sparse->values = scaled(sparse->values, factor);
  else
    std::get<DenseDelta>(result.values).values = scaled(std::get<DenseDelta>(result.values).values, factor);
  return result;
}

}  // namespace retune
