#include "tensor/tensor.h"

#include <cstdlib>
#include <cstring>

#include "tensor/error.h"
#include "tensor/narrow.h"

namespace retune {

namespace {

// Cache-line alignment lets kernels use whole vectors from the first element.
constexpr std::size_t kAlignment = 64;

std::shared_ptr<std::byte> allocate(std::size_t bytes) {
  const std::size_t rounded = (std::max<std::size_t>(bytes, 1) + kAlignment - 1) / kAlignment * kAlignment;
  void* memory = rounded < bytes ? nullptr : std::aligned_alloc(kAlignment, rounded);
  if (memory == nullptr)
    throw failure("out of memory: {} bytes for one tensor; lower --memory or use shorter inputs", bytes);
  return {static_cast<std::byte*>(memory), [](std::byte* p) { std::free(p); }};
}

template <class From, class To>
To convert(From value) {
  if constexpr (std::is_same_v<From, F16> || std::is_same_v<From, BF16>) {
    return convert<float, To>(value.to_float());
  } else if constexpr (std::is_same_v<To, F16> || std::is_same_v<To, BF16>) {
    return To::from(static_cast<float>(value));
  } else if constexpr (std::is_same_v<To, bool>) {
    return value != From{};
  } else {
    return static_cast<To>(value);
  }
}

}  // namespace

Tensor Tensor::empty(DType dtype, Shape shape) {
  if (dtype_bits(dtype) == 0) throw user_error("tensors of type {} are not supported", dtype_name(dtype));
  const std::optional<std::size_t> bytes = storage_bytes(dtype, shape.numel());
  if (!bytes) throw user_error("a tensor of shape {} is too large", shape.text());
  Tensor result;
  auto memory = allocate(*bytes);
  result.dtype_ = dtype;
  result.shape_ = std::move(shape);
  result.data_ = memory.get();
  result.writable_ = true;
  result.owner_ = std::move(memory);
  return result;
}

Tensor Tensor::zeros(DType dtype, Shape shape) {
  Tensor result = empty(dtype, std::move(shape));
  std::memset(result.mutable_raw(), 0, result.bytes());
  return result;
}

Tensor Tensor::view(DType dtype, Shape shape, const void* bytes, std::shared_ptr<const void> owner) {
  Tensor result;
  result.dtype_ = dtype;
  result.shape_ = std::move(shape);
  result.data_ = static_cast<const std::byte*>(bytes);
  result.owner_ = std::move(owner);
  return result;
}

Tensor Tensor::adopt(DType dtype, Shape shape, std::shared_ptr<std::byte> memory) {
  Tensor result;
  result.dtype_ = dtype;
  result.shape_ = std::move(shape);
  result.data_ = memory.get();
  result.writable_ = true;
  result.owner_ = std::move(memory);
  return result;
}

template <class T>
Tensor Tensor::of(Shape shape, std::span<const T> values) {
  const DType dtype = DTypeOf<T>::value;
  if (shape.numel() != static_cast<std::int64_t>(values.size()))
    throw user_error("{} values for a tensor of shape {}", values.size(), shape.text());
  Tensor result = empty(dtype, std::move(shape));
  if (!values.empty()) std::memcpy(result.mutable_raw(), values.data(), result.bytes());
  return result;
}

std::byte* Tensor::mutable_raw() {
  if (!writable_) throw std::logic_error("Tensor::mutable_raw on memory that is not ours to write");
  return const_cast<std::byte*>(data_);
}

template <class T>
const T* Tensor::data() const {
  if (dtype_ != DTypeOf<T>::value)
    throw user_error("expected a tensor of type {}, got {}", dtype_name(DTypeOf<T>::value), text());
  return reinterpret_cast<const T*>(data_);
}

template <class T>
T* Tensor::mutable_data() {
  return const_cast<T*>(data<T>() == nullptr ? nullptr : reinterpret_cast<const T*>(mutable_raw()));
}

Tensor Tensor::reshaped(Shape shape) const {
  if (shape.numel() != numel()) throw user_error("cannot reshape {} to {}", shape_.text(), shape.text());
  Tensor result = *this;
  result.shape_ = std::move(shape);
  return result;
}

Tensor Tensor::rows(std::int64_t begin, std::int64_t count) const {
  if (shape_.rank() == 0 || begin < 0 || count < 0 || begin > shape_[0] - count)
    throw user_error("rows {} to {} lie outside a tensor of shape {}", begin, begin + count, shape_.text());
  std::vector<std::int64_t> extents = shape_.extents();
  extents[0] = count;
  const std::int64_t row = shape_.product(1, shape_.rank());
  const std::int64_t first = begin * row;
  // A packed row that begins within a byte has no address.
  if (is_packed(dtype_) && first % (8 / dtype_bits(dtype_)) != 0) return pack(dtype_, unpack(*this).rows(begin, count));
  Tensor result = *this;
  result.shape_ = Shape(std::move(extents));
  result.data_ += *storage_bytes(dtype_, first);
  return result;
}

Tensor Tensor::copy() const {
  Tensor result = empty(dtype_, shape_);
  if (bytes() != 0) std::memcpy(result.mutable_raw(), data_, bytes());
  return result;
}

Tensor Tensor::cast(DType dtype) const {
  if (dtype == dtype_) return *this;
  if (is_narrow(dtype_) || is_narrow(dtype)) return cast_narrow(*this, dtype);
  Tensor result = empty(dtype, shape_);
  visit_dtype(dtype_, [&]<class From>(From) {
    visit_dtype(dtype, [&]<class To>(To) {
      const From* source = data<From>();
      To* target = result.mutable_data<To>();
      const std::int64_t count = numel();
      for (std::int64_t i = 0; i < count; ++i) target[i] = convert<From, To>(source[i]);
    });
  });
  return result;
}

std::vector<std::int64_t> Tensor::to_i64() const {
  if (is_float(dtype_) || is_narrow_float(dtype_)) throw user_error("expected integers, got {}", text());
  const Tensor wide = cast(DType::kI64);
  return {wide.data<std::int64_t>(), wide.data<std::int64_t>() + numel()};
}

std::vector<double> Tensor::to_f64() const {
  const Tensor wide = cast(DType::kF64);
  return {wide.data<double>(), wide.data<double>() + numel()};
}

std::string Tensor::text() const { return fmt::format("{} {}", dtype_name(dtype_), shape_.text()); }

bool identical(const Tensor& a, const Tensor& b) {
  return a.dtype() == b.dtype() && a.shape() == b.shape() &&
         (a.bytes() == 0 || std::memcmp(a.raw(), b.raw(), a.bytes()) == 0);
}

#define RETUNE_INSTANTIATE(T)                               \
  template Tensor Tensor::of<T>(Shape, std::span<const T>); \
  template const T* Tensor::data<T>() const;                \
  template T* Tensor::mutable_data<T>();
RETUNE_INSTANTIATE(float)
RETUNE_INSTANTIATE(double)
RETUNE_INSTANTIATE(std::uint8_t)
RETUNE_INSTANTIATE(std::int8_t)
RETUNE_INSTANTIATE(std::uint16_t)
RETUNE_INSTANTIATE(std::int16_t)
RETUNE_INSTANTIATE(std::int32_t)
RETUNE_INSTANTIATE(std::uint32_t)
RETUNE_INSTANTIATE(std::int64_t)
RETUNE_INSTANTIATE(std::uint64_t)
RETUNE_INSTANTIATE(bool)
RETUNE_INSTANTIATE(F16)
RETUNE_INSTANTIATE(BF16)
#undef RETUNE_INSTANTIATE

}  // namespace retune
