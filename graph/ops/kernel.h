// What kernels of every family share: choosing the element type, and how much work one task gets.
#pragma once

#include <cstdint>
#include <utility>
#include <vector>

#include "graph/op.h"

namespace retune {

// Elements that one task of an elementwise kernel works on: enough to be worth handing over, few enough to stay in the
// cache. A function of nothing, so that work is cut by shape alone.
inline constexpr std::int64_t kElementGrain = 16384;

// Calls f with a value of the C++ type of `dtype`, f32 or f64; user error for other types.
template <class F>
void visit_float(DType dtype, F&& f) {
  switch (dtype) {
    case DType::kF32:
      f(float{});
      return;
    case DType::kF64:
      f(double{});
      return;
    default:
      throw user_error("elements of type {} are not supported, expected a float type", dtype_name(dtype));
  }
}

// As visit_float, for the four float types as they are stored: also F16 and BF16.
template <class F>
void visit_stored_float(DType dtype, F&& f) {
  switch (dtype) {
    case DType::kF16:
      f(F16{});
      return;
    case DType::kBF16:
      f(BF16{});
      return;
    default:
      visit_float(dtype, f);
  }
}

// As visit_float, for the ten types that have arithmetic: floats and integers, not bool.
template <class F>
void visit_number(DType dtype, F&& f) {
  switch (dtype) {
    case DType::kF32:
      f(float{});
      return;
    case DType::kF64:
      f(double{});
      return;
    case DType::kU8:
      f(std::uint8_t{});
      return;
    case DType::kI8:
      f(std::int8_t{});
      return;
    case DType::kU16:
      f(std::uint16_t{});
      return;
    case DType::kI16:
      f(std::int16_t{});
      return;
    case DType::kI32:
      f(std::int32_t{});
      return;
    case DType::kU32:
      f(std::uint32_t{});
      return;
    case DType::kI64:
      f(std::int64_t{});
      return;
    case DType::kU64:
      f(std::uint64_t{});
      return;
    default:
      throw user_error("elements of type {} are not supported, expected a number", dtype_name(dtype));
  }
}

// For kernels that only move elements: calls f with an unsigned integer as wide as the elements are.
template <class F>
void visit_width(DType dtype, F&& f) {
  switch (dtype_size(dtype)) {
    case 1:
      f(std::uint8_t{});
      return;
    case 2:
      f(std::uint16_t{});
      return;
    case 4:
      f(std::uint32_t{});
      return;
    case 8:
      f(std::uint64_t{});
      return;
    default:
      throw user_error("elements of type {} are not supported", dtype_name(dtype));
  }
}

// Elements as unsigned integers of their width (see visit_width).
template <class U>
const U* words(const Tensor& tensor) {
  return reinterpret_cast<const U*>(tensor.raw());
}
template <class U>
U* mutable_words(Tensor& tensor) {
  return reinterpret_cast<U*>(tensor.mutable_raw());
}

// User errors of inference.
inline void require_float(const InferContext& ctx, int i) {
  if (!is_float(ctx.dtype(i)))
    throw user_error("input {} has type {}, expected a float type", i, dtype_name(ctx.dtype(i)));
}
inline void require_same_dtype(const InferContext& ctx, int i, int j) {
  if (ctx.dtype(i) != ctx.dtype(j))
    throw user_error("inputs {} and {} have types {} and {}, expected the same", i, j, dtype_name(ctx.dtype(i)),
                     dtype_name(ctx.dtype(j)));
}
inline void require_inputs(const InferContext& ctx, int least) {
  for (int i = 0; i < least; ++i)
    if (!ctx.has(i)) throw user_error("{} inputs are needed, input {} is missing", least, i);
}
// `axes` in [-rank, rank) as sorted axes in [0, rank); user error for one that is out of range or named twice.
std::vector<int> normalize_axes(const std::vector<std::int64_t>& axes, int rank);

// The vjp of an operator whose derivative is zero wherever it exists (Floor, Sign, ...).
inline void zero_vjp(VjpContext&) {}

// Why an operator has no vjp.
inline constexpr const char* kOutputIsBool = "its output is a truth value";
inline constexpr const char* kOutputIsIndex = "its output is an index";
inline constexpr const char* kIsGradient = "it is part of a gradient; second derivatives through it are not available";

}  // namespace retune
