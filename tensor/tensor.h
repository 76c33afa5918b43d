// A typed, contiguous, row-major array: a cheap handle on shared or mapped memory.
//
// Copies share. The bytes of a Tensor that has been handed on are never written: whoever makes a tensor fills it
// through mutable_data() before sharing it, and changing a tensor means making another one (copy()). Reshaping and
// taking leading rows are views. There are no strides: kernels read memory in order, and the few operators that permute
// write a new tensor.
//
//   Tensor x = Tensor::zeros(DType::kF32, {2, 3});
//   x.mutable_data<float>()[4] = 1.0f;
//   Tensor row = x.rows(1, 1);      // [1, 3], same memory
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "tensor/dtype.h"
#include "tensor/shape.h"

namespace retune {

class Tensor {
 public:
  Tensor() = default;  // no tensor: defined() is false

  // Throws failure (memory) if the bytes cannot be had; user errors if dtype is kUndefined or kString.
  static Tensor empty(DType dtype, Shape shape);
  static Tensor zeros(DType dtype, Shape shape);
  // `bytes` lie at least storage_bytes(dtype, numel) long, aligned for dtype, and live as long as `owner`.
  static Tensor view(DType dtype, Shape shape, const void* bytes, std::shared_ptr<const void> owner);
  // As view, but writable: the maker hands over memory that nobody else writes (a Session's buffer pool).
  static Tensor adopt(DType dtype, Shape shape, std::shared_ptr<std::byte> memory);
  template <class T>
  static Tensor of(Shape shape, std::span<const T> values);
  template <class T>
  static Tensor of(Shape shape, std::initializer_list<T> values) {
    return of<T>(std::move(shape), std::span<const T>(values.begin(), values.size()));
  }
  template <class T>
  static Tensor of(Shape shape, const std::vector<T>& values) {
    return of<T>(std::move(shape), std::span<const T>(values));
  }
  template <class T>
  static Tensor scalar(T value) {
    return of<T>(Shape{}, {value});
  }
  // As `of`, of rank 1.
  template <class T>
  static Tensor vector(const std::vector<T>& values) {
    return of<T>(Shape{static_cast<std::int64_t>(values.size())}, std::span<const T>(values));
  }

  bool defined() const { return dtype_ != DType::kUndefined; }
  DType dtype() const { return dtype_; }
  const Shape& shape() const { return shape_; }
  std::int64_t numel() const { return shape_.numel(); }
  std::size_t bytes() const { return storage_bytes(dtype_, numel()).value_or(0); }

  const std::byte* raw() const { return data_; }
  // Only for tensors made by empty/zeros/of/copy and not yet shared; throws a logic error on a view of const memory.
  std::byte* mutable_raw();
  // Typed access; throws a user error naming both types if T is not the tensor's type.
  template <class T>
  const T* data() const;
  template <class T>
  T* mutable_data();
  template <class T>
  std::span<const T> values() const {
    return {data<T>(), static_cast<std::size_t>(numel())};
  }

  // Same bytes, other extents; throws a user error if the element counts differ.
  Tensor reshaped(Shape shape) const;
  // Rows [begin, begin + count) along the leading axis, same memory; a copy where a packed row begins within a byte.
  Tensor rows(std::int64_t begin, std::int64_t count) const;
  Tensor copy() const;
  // Converted element by element, rounding to nearest even into the 16-bit floats, as narrow.h says into narrower ones;
  // same handle if the type is the same. To bool: non-zero is true. Float to integer truncates.
  Tensor cast(DType dtype) const;
  // As f64 / i64 values, for small tensors such as shapes and axes; user error if the type does not convert losslessly.
  std::vector<std::int64_t> to_i64() const;
  std::vector<double> to_f64() const;
  // "f32 [2, 3]"
  std::string text() const;

 private:
  DType dtype_ = DType::kUndefined;
  Shape shape_;
  const std::byte* data_ = nullptr;
  bool writable_ = false;
  std::shared_ptr<const void> owner_;
};

// Same type, shape and bytes.
bool identical(const Tensor& a, const Tensor& b);

}  // namespace retune
