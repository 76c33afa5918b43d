// MatMulInteger, ConvInteger (10), QLinearMatMul (10, 21), QLinearConv (10); com.microsoft: MatMulIntegerToFloat,
// DynamicQuantizeMatMul. Elements are u8 or i8.
//
//   MatMulInteger         Y = (A - a_zero)(B - b_zero) in i32; a_zero for all of A or each row, b_zero or each column
//   ConvInteger           the convolution of x - x_zero with w - w_zero; w_zero for all of w or each output channel
//   QLinear...            saturate(round(the same (+ bias) * a_scale b_scale / y_scale) + y_zero), half to even
//   MatMulIntegerToFloat  Y a_scale b_scale (+ bias);  DynamicQuantizeMatMul: of A quantised by DynamicQuantizeLinear
//
// Sums of 256 products of two numbers below 256 stay below 2^24, where every integer is an f32: the sums are f32 matrix
// products of blocks of that depth, exact in whatever order, joined in i32, which wraps around.
#include <algorithm>
#include <memory>
#include <vector>

#include "graph/matrix_product.h"
#include "graph/ops/families.h"
#include "graph/ops/kernel.h"
#include "graph/ops/quantization.h"
#include "graph/ops/window.h"

namespace retune {

namespace {

constexpr std::int64_t kExactDepth = 256;
constexpr std::int64_t kTileRows = 512, kTileColumns = 256;

// y[i * n + j] = sum over l of a[i * k + l] B[l, j], for integers of magnitude below 256. fill_b(l, depth, j, columns,
// tile) writes the rows [l, l + depth) and columns [j, j + columns) of B, densely.
template <class FillB>
void exact_product(ThreadPool& pool, std::int64_t m, std::int64_t n, std::int64_t k, const float* a, FillB&& fill_b,
                   std::int32_t* y) {
  const std::int64_t across = (n + kTileColumns - 1) / kTileColumns, down = (m + kTileRows - 1) / kTileRows;
  pool.parallel_for(across * down, 1, [&](std::int64_t tile, std::int64_t) {
    const std::int64_t first_row = tile / across * kTileRows, rows = std::min(kTileRows, m - first_row);
    const std::int64_t first = tile % across * kTileColumns, columns = std::min(kTileColumns, n - first);
    const auto b = std::make_unique_for_overwrite<float[]>(static_cast<std::size_t>(kExactDepth * columns));
    const auto partial = std::make_unique_for_overwrite<float[]>(static_cast<std::size_t>(rows * columns));
    std::vector<std::uint32_t> sums(static_cast<std::size_t>(rows * columns), 0);
    for (std::int64_t l = 0; l < k; l += kExactDepth) {
      const std::int64_t depth = std::min(kExactDepth, k - l);
      fill_b(l, depth, first, columns, b.get());
      matrix_product(pool, {.m = rows, .n = columns, .k = depth, .lda = k}, a + first_row * k + l, b.get(),
                     partial.get());
      for (std::int64_t i = 0; i < rows * columns; ++i)
        sums[static_cast<std::size_t>(i)] += static_cast<std::uint32_t>(static_cast<std::int32_t>(partial[i]));
    }
    for (std::int64_t i = 0; i < rows; ++i)
      for (std::int64_t j = 0; j < columns; ++j)
        y[(first_row + i) * n + first + j] = static_cast<std::int32_t>(sums[static_cast<std::size_t>(i * columns + j)]);
  });
}

// Calls f with a value of the type of 8-bit integers.
template <class F>
void visit_byte(DType dtype, F&& f) {
  if (dtype == DType::kU8) return f(std::uint8_t{});
  if (dtype == DType::kI8) return f(std::int8_t{});
  throw user_error("elements of type {} are not supported, expected u8 or i8", dtype_name(dtype));
}

void require_byte(const InferContext& ctx, int i) {
  visit_byte(ctx.dtype(i), [](auto) {});
}

// A zero point or scale: one number for all, or one for each row (or column) of each matrix of its operand.
class PerLine {
 public:
  PerLine(double all) : values_{all} {}  // NOLINT(google-explicit-constructor): a number is one for all
  explicit PerLine(const Tensor& tensor) : values_(tensor.to_f64()), per_matrix_(tensor.shape().rank() > 1) {}

  double at(std::int64_t matrix, std::int64_t line, std::int64_t lines) const {
    if (values_.size() == 1) return values_[0];
    return values_[static_cast<std::size_t>(per_matrix_ ? matrix * lines + line : line)];
  }

 private:
  std::vector<double> values_;
  bool per_matrix_ = false;
};

PerLine per_line(const ForwardContext& ctx, int i, double fallback) {
  return ctx.has(i) ? PerLine(ctx.in(i)) : PerLine(fallback);
}

// Whether input i has one element, one a line, or one a line of each matrix.
void check_per_line(const InferContext& ctx, int i, std::int64_t matrices, std::int64_t lines, const char* of) {
  if (!ctx.has(i)) return;
  const Shape& shape = ctx.shape(i);
  const bool fits = shape.numel() == 1 || (shape.rank() == 1 && shape[0] == lines) ||
                    (shape.rank() > 1 && shape.numel() == matrices * lines);
  if (!fits)
    throw user_error("input {} has shape {}, expected one element or {}, one for each {}", i, shape.text(), lines, of);
}

// --- matrix products ---

struct Matrices {
  Shape batch;  // leading axes
  std::int64_t rows = 1, columns = 1;
};

struct MatMul {
  Matrices a, b;
  Shape batch, shape;  // of the result
};

MatMul matmul_of(const Shape& a, const Shape& b) {
  if (a.rank() == 0 || b.rank() == 0) throw user_error("a matrix product needs operands of rank 1 or more");
  const auto leading = [](const Shape& s) {
    return Shape(std::vector<std::int64_t>(s.begin(), s.end() - std::min(s.rank(), 2)));
  };
  MatMul p;
  p.a = {leading(a), a.rank() == 1 ? 1 : a.back(1), a.back(0)};
  p.b = {leading(b), b.rank() == 1 ? b[0] : b.back(1), b.rank() == 1 ? 1 : b.back(0)};
  if (p.a.columns != p.b.rows) throw user_error("the operands do not fit: {} times {}", a.text(), b.text());
  p.batch = broadcast(p.a.batch, p.b.batch);
  std::vector<std::int64_t> extents = p.batch.extents();
  if (a.rank() > 1) extents.push_back(p.a.rows);
  if (b.rank() > 1) extents.push_back(p.b.columns);
  p.shape = Shape(std::move(extents));
  return p;
}

// Which matrix of an operand with leading axes `from` matrix i of the result with leading axes `to` reads.
std::int64_t matrix_of(const Shape& from, const Shape& to, std::int64_t i) {
  std::int64_t index = 0, stride = 1;
  for (int axis = to.rank() - 1; axis >= 0; --axis) {
    const int own = axis - (to.rank() - from.rank());
    if (own >= 0) {
      if (from[own] != 1) index += i % to[axis] * stride;
      stride *= from[own];
    }
    i /= to[axis];
  }
  return index;
}

// sums[.., m, n] of the operands less their zero points.
void multiply(ThreadPool& pool, const MatMul& p, const Tensor& a, const PerLine& a_zero, const Tensor& b,
              const PerLine& b_zero, std::int32_t* sums) {
  const std::int64_t m = p.a.rows, n = p.b.columns, k = p.a.columns;
  const auto left = std::make_unique_for_overwrite<float[]>(static_cast<std::size_t>(m * k));
  for (std::int64_t i = 0; i < p.batch.numel(); ++i) {
    const std::int64_t at_a = matrix_of(p.a.batch, p.batch, i), at_b = matrix_of(p.b.batch, p.batch, i);
    visit_byte(a.dtype(), [&]<class A>(A) {
      const A* from = a.data<A>() + at_a * m * k;
      pool.parallel_for(m, std::max<std::int64_t>(1, kElementGrain / std::max<std::int64_t>(k, 1)),
                        [&](std::int64_t begin, std::int64_t end) {
                          for (std::int64_t row = begin; row < end; ++row) {
                            const auto zero = static_cast<float>(a_zero.at(at_a, row, m));
                            for (std::int64_t l = row * k; l < (row + 1) * k; ++l)
                              left[static_cast<std::size_t>(l)] = static_cast<float>(from[l]) - zero;
                          }
                        });
    });
    visit_byte(b.dtype(), [&]<class B>(B) {
      const B* from = b.data<B>() + at_b * k * n;
      std::vector<float> zeros;
      for (std::int64_t j = 0; j < n; ++j) zeros.push_back(static_cast<float>(b_zero.at(at_b, j, n)));
      exact_product(
          pool, m, n, k, left.get(),
          [&](std::int64_t l, std::int64_t depth, std::int64_t first, std::int64_t columns, float* tile) {
            for (std::int64_t row = 0; row < depth; ++row) {
              const B* source = from + (l + row) * n + first;
              for (std::int64_t j = 0; j < columns; ++j)
                tile[row * columns + j] = static_cast<float>(source[j]) - zeros[static_cast<std::size_t>(first + j)];
            }
          },
          sums + i * m * n);
    });
  }
}

// Calls f(element, matrix, row, column) for each element of the result, on the pool.
template <class F>
void for_each_element(ThreadPool& pool, const MatMul& p, F&& f) {
  const std::int64_t m = p.a.rows, n = p.b.columns;
  pool.parallel_for(p.shape.numel(), kElementGrain, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) f(i, i / (m * n), i / n % m, i % n);
  });
}

void infer_matmul_integer(InferContext& ctx) {
  require_inputs(ctx, 2);
  require_byte(ctx, 0);
  require_byte(ctx, 1);
  const MatMul p = matmul_of(ctx.shape(0), ctx.shape(1));
  if (ctx.has(2)) require_same_dtype(ctx, 2, 0);
  if (ctx.has(3)) require_same_dtype(ctx, 3, 1);
  check_per_line(ctx, 2, p.a.batch.numel(), p.a.rows, "row");
  check_per_line(ctx, 3, p.b.batch.numel(), p.b.columns, "column");
  ctx.set(0, DType::kI32, p.shape);
}

void forward_matmul_integer(ForwardContext& ctx) {
  const MatMul p = matmul_of(ctx.in(0).shape(), ctx.in(1).shape());
  multiply(ctx.pool(), p, ctx.in(0), per_line(ctx, 2, 0), ctx.in(1), per_line(ctx, 3, 0),
           ctx.out(0).mutable_data<std::int32_t>());
}

// The factor of a quantised product, rounded after each step as arithmetic in the scales' type is.
double requantization(double a, double b, double y, DType type) {
  const auto rounded = [type](double value) {
    const auto narrow = static_cast<float>(value);
    if (type == DType::kF16) return F16::from(narrow).to_float();
    if (type == DType::kBF16) return BF16::from(narrow).to_float();
    return narrow;
  };
  return static_cast<double>(rounded(static_cast<double>(rounded(a * b)) / y));
}

void require_quantized(const InferContext& ctx, std::initializer_list<int> scales) {
  require_inputs(ctx, 8);
  for (const int i : scales) {
    require_float(ctx, i);
    require_same_dtype(ctx, i, *scales.begin());
  }
}

void infer_qlinear_matmul(InferContext& ctx) {
  require_quantized(ctx, {1, 4, 6});
  for (const int i : {0, 3, 7}) require_byte(ctx, i);
  const MatMul p = matmul_of(ctx.shape(0), ctx.shape(3));
  require_same_dtype(ctx, 2, 0);
  require_same_dtype(ctx, 5, 3);
  for (const int i : {1, 2}) check_per_line(ctx, i, p.a.batch.numel(), p.a.rows, "row");
  for (const int i : {4, 5}) check_per_line(ctx, i, p.b.batch.numel(), p.b.columns, "column");
  for (const int i : {6, 7}) check_per_line(ctx, i, p.batch.numel(), p.a.rows, "row");
  ctx.set(0, ctx.dtype(7), p.shape);
}

void forward_qlinear_matmul(ForwardContext& ctx) {
  const MatMul p = matmul_of(ctx.in(0).shape(), ctx.in(3).shape());
  Tensor sums = ctx.scratch(DType::kI32, p.shape);
  multiply(ctx.pool(), p, ctx.in(0), PerLine(ctx.in(2)), ctx.in(3), PerLine(ctx.in(5)),
           sums.mutable_data<std::int32_t>());
  const PerLine a_scale(ctx.in(1)), b_scale(ctx.in(4)), y_scale(ctx.in(6)), y_zero(ctx.in(7));
  const DType scale_type = ctx.in(1).dtype();
  const IntegerRange range = integer_range(ctx.out_type(0).dtype);
  visit_byte(ctx.out_type(0).dtype, [&]<class Y>(Y) {
    const std::int32_t* from = sums.data<std::int32_t>();
    Y* y = ctx.out(0).mutable_data<Y>();
    const std::int64_t m = p.a.rows, n = p.b.columns;
    for_each_element(ctx.pool(), p, [&](std::int64_t i, std::int64_t matrix, std::int64_t row, std::int64_t column) {
      const double factor = requantization(a_scale.at(matrix_of(p.a.batch, p.batch, matrix), row, m),
                                           b_scale.at(matrix_of(p.b.batch, p.batch, matrix), column, n),
                                           y_scale.at(matrix, row, m), scale_type);
      y[i] = static_cast<Y>(saturated(from[i] * factor, y_zero.at(matrix, row, m), range));
    });
  });
}

// --- products into floats ---

// y = sums a_scale b_scale (+ bias), b_scale and bias for each column.
void scale_sums(ForwardContext& ctx, const MatMul& p, const std::int32_t* sums, float a_scale, int b_scale, int bias) {
  const PerLine scales(ctx.in(b_scale));
  const float* biases = ctx.has(bias) ? ctx.in(bias).data<float>() : nullptr;
  float* y = ctx.out(0).mutable_data<float>();
  for_each_element(ctx.pool(), p, [&](std::int64_t i, std::int64_t, std::int64_t, std::int64_t column) {
    const float value = static_cast<float>(sums[i]) * (a_scale * static_cast<float>(scales.at(0, column, p.b.columns)));
    y[i] = biases == nullptr ? value : value + biases[column];
  });
}

void check_columns(const InferContext& ctx, const MatMul& p, int scale, int zero, int bias) {
  require_float(ctx, scale);
  check_per_line(ctx, scale, 1, p.b.columns, "column");
  check_per_line(ctx, zero, p.b.batch.numel(), p.b.columns, "column");
  if (ctx.has(bias) && !(ctx.shape(bias) == Shape{p.b.columns}))
    throw user_error("bias must be [{}], got {}", p.b.columns, ctx.shape(bias).text());
}

void infer_to_float(InferContext& ctx) {
  require_inputs(ctx, 4);
  require_byte(ctx, 0);
  require_byte(ctx, 1);
  const MatMul p = matmul_of(ctx.shape(0), ctx.shape(1));
  require_float(ctx, 2);
  if (ctx.shape(2).numel() != 1) throw user_error("a_scale must be one number, got {}", ctx.shape(2).text());
  check_per_line(ctx, 4, p.a.batch.numel(), p.a.rows, "row");
  check_columns(ctx, p, 3, 5, 6);
  ctx.set(0, ctx.dtype(2), p.shape);
}

void forward_to_float(ForwardContext& ctx) {
  const MatMul p = matmul_of(ctx.in(0).shape(), ctx.in(1).shape());
  Tensor sums = ctx.scratch(DType::kI32, p.shape);
  multiply(ctx.pool(), p, ctx.in(0), per_line(ctx, 4, 0), ctx.in(1), per_line(ctx, 5, 0),
           sums.mutable_data<std::int32_t>());
  scale_sums(ctx, p, sums.data<std::int32_t>(), ctx.in(2).data<float>()[0], 3, 6);
}

void infer_dynamic(InferContext& ctx) {
  require_inputs(ctx, 3);
  if (ctx.dtype(0) != DType::kF32) throw user_error("input 0 has type {}, expected f32", dtype_name(ctx.dtype(0)));
  require_byte(ctx, 1);
  const MatMul p = matmul_of(ctx.shape(0), ctx.shape(1));
  check_columns(ctx, p, 2, 3, 4);
  ctx.set(0, DType::kF32, p.shape);
}

void forward_dynamic(ForwardContext& ctx) {
  const MatMul p = matmul_of(ctx.in(0).shape(), ctx.in(1).shape());
  Tensor codes = ctx.scratch(DType::kU8, ctx.in(0).shape()), sums = ctx.scratch(DType::kI32, p.shape);
  const DynamicScale found =
      quantize_dynamically(ctx.pool(), ctx.in(0).data<float>(), ctx.in(0).numel(), codes.mutable_data<std::uint8_t>());
  multiply(ctx.pool(), p, codes, PerLine(found.zero_point), ctx.in(1), per_line(ctx, 3, 0),
           sums.mutable_data<std::int32_t>());
  scale_sums(ctx, p, sums.data<std::int32_t>(), found.scale, 2, 4);
}

// --- convolutions ---

struct Convolution {
  Window window;
  std::int64_t images = 0, groups = 1;
  std::int64_t in_channels = 0, out_channels = 0;  // of one group

  std::int64_t depth() const { return in_channels * window.taps(); }
};

Convolution convolution_of(const Attributes& attributes, const Shape& x, const Shape& weight) {
  if (weight.rank() != x.rank() || x.rank() < 3)
    throw user_error("input {} and weight {} must have one rank of 3 to 5", x.text(), weight.text());
  const std::vector<std::int64_t> kernel(weight.begin() + 2, weight.end());
  if (attributes.has("kernel_shape") && attributes.ints("kernel_shape") != kernel)
    throw user_error("attribute kernel_shape disagrees with the weight {}", weight.text());
  Convolution s;
  s.window = window_of(attributes, x, kernel);
  s.groups = attributes.i("group", 1);
  if (s.groups < 1 || x[1] % s.groups != 0 || weight[0] % s.groups != 0 || weight[1] != x[1] / s.groups)
    throw user_error("{} groups do not fit input {} and weight {}", s.groups, x.text(), weight.text());
  s.images = x[0];
  s.in_channels = weight[1];
  s.out_channels = weight[0] / s.groups;
  return s;
}

// The patches under output positions [first, first + columns), rows [l, l + depth) of channel and tap, less `zero`;
// what lies beyond the image is 0, as the zero point stands for it.
template <class X>
void unroll(const Convolution& s, const X* image, float zero, std::int64_t l, std::int64_t depth, std::int64_t first,
            std::int64_t columns, float* tile) {
  const Window& w = s.window;
  for (std::int64_t row = 0; row < depth; ++row) {
    const X* channel = image + (l + row) / w.taps() * w.input_size();
    const Window::Extents tap = coordinates((l + row) % w.taps(), w.kernel);
    for (std::int64_t j = 0; j < columns; ++j) {
      const Window::Extents at = coordinates(first + j, w.output);
      std::int64_t offset = 0;
      bool inside = true;
      for (std::size_t axis = 0; axis < 3; ++axis) {
        const std::int64_t from = at[axis] * w.stride[axis] + tap[axis] * w.dilation[axis] - w.pad_begin[axis];
        inside = inside && from >= 0 && from < w.input[axis];
        offset = offset * w.input[axis] + from;
      }
      tile[row * columns + j] = inside ? static_cast<float>(channel[offset]) - zero : 0.0f;
    }
  }
}

// sums[image, channel, position] of x and weight less their zero points.
void convolve(ThreadPool& pool, const Convolution& s, const Tensor& x, double x_zero, const Tensor& weight,
              const PerLine& weight_zero, std::int32_t* sums) {
  const std::int64_t depth = s.depth(), size = s.window.output_size(), channels = s.groups * s.out_channels;
  const auto left = std::make_unique_for_overwrite<float[]>(static_cast<std::size_t>(channels * depth));
  visit_byte(weight.dtype(), [&]<class W>(W) {
    const W* from = weight.data<W>();
    for (std::int64_t m = 0; m < channels; ++m)
      for (std::int64_t l = m * depth; l < (m + 1) * depth; ++l)
        left[static_cast<std::size_t>(l)] =
            static_cast<float>(from[l]) - static_cast<float>(weight_zero.at(0, m, channels));
  });
  visit_byte(x.dtype(), [&]<class X>(X) {
    const X* images = x.data<X>();
    pool.parallel_for(s.images * s.groups, 1, [&](std::int64_t item, std::int64_t) {
      const X* image = images + item * s.in_channels * s.window.input_size();
      exact_product(
          pool, s.out_channels, size, depth, left.get() + item % s.groups * s.out_channels * depth,
          [&](std::int64_t l, std::int64_t count, std::int64_t first, std::int64_t columns, float* tile) {
            unroll(s, image, static_cast<float>(x_zero), l, count, first, columns, tile);
          },
          sums + item * s.out_channels * size);
    });
  });
}

void infer_conv_integer(InferContext& ctx) {
  require_inputs(ctx, 2);
  require_byte(ctx, 0);
  require_byte(ctx, 1);
  const Convolution s = convolution_of(ctx.attributes(), ctx.shape(0), ctx.shape(1));
  if (ctx.has(2) && ctx.shape(2).numel() != 1)
    throw user_error("x_zero_point must be one number, got {}", ctx.shape(2).text());
  check_per_line(ctx, 3, 1, ctx.shape(1)[0], "output channel");
  ctx.set(0, DType::kI32, s.window.output_shape(s.images, ctx.shape(1)[0]));
}

void forward_conv_integer(ForwardContext& ctx) {
  const Convolution s = convolution_of(ctx.attributes(), ctx.in(0).shape(), ctx.in(1).shape());
  convolve(ctx.pool(), s, ctx.in(0), per_line(ctx, 2, 0).at(0, 0, 1), ctx.in(1), per_line(ctx, 3, 0),
           ctx.out(0).mutable_data<std::int32_t>());
}

void infer_qlinear_conv(InferContext& ctx) {
  require_quantized(ctx, {1, 4, 6});
  for (const int i : {0, 3, 7}) require_byte(ctx, i);
  const Convolution s = convolution_of(ctx.attributes(), ctx.shape(0), ctx.shape(3));
  for (const int i : {1, 2, 6, 7})
    if (ctx.shape(i).numel() != 1) throw user_error("input {} must be one number, got {}", i, ctx.shape(i).text());
  const std::int64_t channels = ctx.shape(3)[0];
  for (const int i : {4, 5}) check_per_line(ctx, i, 1, channels, "output channel");
  if (ctx.has(8) && (ctx.dtype(8) != DType::kI32 || !(ctx.shape(8) == Shape{channels})))
    throw user_error("bias must be i32 [{}], got {} {}", channels, dtype_name(ctx.dtype(8)), ctx.shape(8).text());
  ctx.set(0, ctx.dtype(7), s.window.output_shape(s.images, channels));
}

void forward_qlinear_conv(ForwardContext& ctx) {
  const Convolution s = convolution_of(ctx.attributes(), ctx.in(0).shape(), ctx.in(3).shape());
  Tensor sums = ctx.scratch(DType::kI32, ctx.out_type(0).shape);
  convolve(ctx.pool(), s, ctx.in(0), PerLine(ctx.in(2)).at(0, 0, 1), ctx.in(3), PerLine(ctx.in(5)),
           sums.mutable_data<std::int32_t>());
  const double x_scale = ctx.in(1).to_f64()[0], y_scale = ctx.in(6).to_f64()[0], y_zero = ctx.in(7).to_f64()[0];
  const PerLine w_scale(ctx.in(4));
  const IntegerRange range = integer_range(ctx.out_type(0).dtype);
  const std::int64_t size = s.window.output_size(), channels = s.groups * s.out_channels;
  const std::int32_t* biases = ctx.has(8) ? ctx.in(8).data<std::int32_t>() : nullptr;
  const std::int32_t* from = sums.data<std::int32_t>();
  visit_byte(ctx.out_type(0).dtype, [&]<class Y>(Y) {
    Y* y = ctx.out(0).mutable_data<Y>();
    ctx.pool().parallel_for(s.images * channels, 1, [&](std::int64_t line, std::int64_t) {
      const std::int64_t channel = line % channels;
      const double factor = requantization(x_scale, w_scale.at(0, channel, channels), y_scale, ctx.in(1).dtype());
      const std::uint32_t bias = biases == nullptr ? 0 : static_cast<std::uint32_t>(biases[channel]);
      for (std::int64_t i = line * size; i < (line + 1) * size; ++i) {
        const auto sum = static_cast<std::int32_t>(static_cast<std::uint32_t>(from[i]) + bias);
        y[i] = static_cast<Y>(saturated(sum * factor, y_zero, range));
      }
    });
  });
}

Op forward_only(std::string domain, std::string name, void (*infer)(InferContext&), void (*forward)(ForwardContext&)) {
  const int since = domain.empty() ? 10 : 1;
  return {.domain = std::move(domain),
          .name = std::move(name),
          .since = since,
          .infer = infer,
          .forward = forward,
          .no_vjp = kForwardOnly,
          .takes_half = since == 10,  // scales, whose type decides how their quotient is rounded
          .refuses_gradient = true};
}

}  // namespace

std::vector<Op> integer_product_ops() {
  return {
      forward_only("", "MatMulInteger", infer_matmul_integer, forward_matmul_integer),
      forward_only("", "ConvInteger", infer_conv_integer, forward_conv_integer),
      forward_only("", "QLinearMatMul", infer_qlinear_matmul, forward_qlinear_matmul),
      forward_only("", "QLinearConv", infer_qlinear_conv, forward_qlinear_conv),
      forward_only("com.microsoft", "MatMulIntegerToFloat", infer_to_float, forward_to_float),
      forward_only("com.microsoft", "DynamicQuantizeMatMul", infer_dynamic, forward_dynamic),
  };
}

}  // namespace retune
