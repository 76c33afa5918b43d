// Tensors made from nothing or from a few numbers: Constant ConstantOfShape Range EyeLike.
#include <cmath>
#include <cstring>

#include "graph/graph_builder.h"
#include "graph/ops/families.h"
#include "graph/ops/kernel.h"
#include "graph/ops/strided_copy.h"

namespace retune {

namespace {

// --- Constant: one attribute holds the value.

std::vector<float> to_f32(const std::vector<double>& values) { return {values.begin(), values.end()}; }

Tensor constant_value(const Attributes& attributes) {
  if (const auto value = attributes.tensor("value")) return *value;
  if (attributes.has("value_float")) return Tensor::scalar(static_cast<float>(attributes.f("value_float", 0)));
  if (attributes.has("value_int")) return Tensor::scalar<std::int64_t>(attributes.i("value_int", 0));
  if (attributes.has("value_floats")) return Tensor::vector(to_f32(attributes.floats("value_floats")));
  if (attributes.has("value_ints")) return Tensor::vector(attributes.ints("value_ints"));
  throw user_error("a constant without a dense numeric value is not supported");
}

void infer_constant(InferContext& ctx) { ctx.set_constant(0, constant_value(ctx.attributes())); }

void constant_forward(ForwardContext& ctx) { ctx.set_out(0, constant_value(ctx.attributes())); }

// --- ConstantOfShape: attribute `value` [1], an f32 zero by default.

Tensor fill_value(const Attributes& attributes) {
  const auto value = attributes.tensor("value");
  if (!value) return Tensor::zeros(DType::kF32, {});
  if (value->numel() != 1)
    throw user_error("attribute value has shape {}, expected one element", value->shape().text());
  return value->reshaped({});
}

void infer_constant_of_shape(InferContext& ctx) {
  require_inputs(ctx, 1);
  ctx.set(0, fill_value(ctx.attributes()).dtype(), Shape(ctx.require_constant(0).to_i64()));
}

void constant_of_shape_forward(ForwardContext& ctx) {
  const Tensor value = fill_value(ctx.attributes());
  Tensor& y = ctx.out(0);
  copy_broadcast(ctx.pool(), y.dtype(), {}, y.shape(), value.raw(), y.mutable_raw());
}

// --- Range: start, limit, delta are scalars of one type; start + i delta for 0 <= i < ceil((limit - start) / delta).

template <class T>
std::int64_t range_count(T start, T limit, T delta) {
  if (delta == T{0}) throw user_error("the step of a range is 0");
  const double span = (static_cast<double>(limit) - static_cast<double>(start)) / static_cast<double>(delta);
  if (!(span < 9e15)) throw user_error("a range from {} to {} by {} is too long", start, limit, delta);
  return std::max<std::int64_t>(0, static_cast<std::int64_t>(std::ceil(span)));
}

void infer_range(InferContext& ctx) {
  require_inputs(ctx, 3);
  std::int64_t count = 0;
  for (int i = 0; i < 3; ++i) {
    require_same_dtype(ctx, 0, i);
    if (ctx.require_constant(i).numel() != 1)
      throw user_error("input {} of a range has shape {}, expected a scalar", i, ctx.shape(i).text());
  }
  const auto bound = [&ctx](int i) {
    return is_half(ctx.dtype(i)) ? ctx.constant(i)->cast(DType::kF32) : *ctx.constant(i);
  };
  const Tensor start = bound(0), limit = bound(1), delta = bound(2);
  visit_number(start.dtype(),
               [&]<class T>(T) { count = range_count(*start.data<T>(), *limit.data<T>(), *delta.data<T>()); });
  ctx.set(0, ctx.dtype(0), Shape{count});
}

void range_forward(ForwardContext& ctx) {
  visit_number(ctx.in(0).dtype(), [&]<class T>(T) {
    const T start = *ctx.in(0).data<T>(), delta = *ctx.in(2).data<T>();
    T* y = ctx.out(0).mutable_data<T>();
    ctx.pool().parallel_for(ctx.out(0).numel(), kElementGrain, [=](std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = begin; i < end; ++i) y[i] = static_cast<T>(start + static_cast<T>(i) * delta);
    });
  });
}

// --- EyeLike: ones on diagonal k of a matrix of the input's shape.

void infer_eye_like(InferContext& ctx) {
  require_inputs(ctx, 1);
  if (ctx.shape(0).rank() != 2) throw user_error("the input has shape {}, expected a matrix", ctx.shape(0).text());
  const std::int64_t number = ctx.attributes().i("dtype", static_cast<std::int64_t>(ctx.dtype(0)));
  ctx.set(0, static_cast<DType>(number), ctx.shape(0));
}

void eye_like_forward(ForwardContext& ctx) {
  const Shape& shape = ctx.out_type(0).shape;
  const std::int64_t k = ctx.attributes().i("k", 0);
  Tensor& y = ctx.out(0);
  std::memset(y.mutable_raw(), 0, y.bytes());
  visit_number(y.dtype(), [&]<class T>(T) {
    T* out = y.mutable_data<T>();
    for (std::int64_t row = 0; row < shape[0]; ++row)
      if (const std::int64_t column = row + k; column >= 0 && column < shape[1]) out[row * shape[1] + column] = T{1};
  });
}

constexpr const char* kNoDependence = "its output does not depend on a float";

}  // namespace

std::vector<Op> constant_ops() {
  return {
      {.domain = "",
       .name = "Constant",
       .infer = infer_constant,
       .forward = constant_forward,
       .no_vjp = kNoDependence,
       .takes_half = true,
       .packed = Op::Packed::kAsStored},
      {.domain = "",
       .name = "ConstantOfShape",
       .since = 9,
       .infer = infer_constant_of_shape,
       .forward = constant_of_shape_forward,
       .no_vjp = kNoDependence,
       .takes_half = true,
       .packed = Op::Packed::kAsCodes},
      {.domain = "",
       .name = "Range",
       .since = 11,
       .infer = infer_range,
       .forward = range_forward,
       .no_vjp = "its extent depends on its inputs"},
      {.domain = "",
       .name = "EyeLike",
       .since = 9,
       .infer = infer_eye_like,
       .forward = eye_like_forward,
       .no_vjp = kNoDependence},
  };
}

}  // namespace retune
