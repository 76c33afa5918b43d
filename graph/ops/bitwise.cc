// Bits of integers: BitwiseAnd BitwiseOr BitwiseXor BitwiseNot (18), BitShift (11) of unsigned ones, with broadcasting;
// BitCast (26): the same bytes, read as another type of the same width.
//
// A shift by as many bits as there are, or more, gives 0. (C leaves it undefined.)
#include <limits>

#include "graph/ops/families.h"
#include "graph/ops/map.h"

namespace retune {

namespace {

constexpr const char* kBits = "it works on bits";

bool is_integer(DType dtype) { return !is_float(dtype) && dtype != DType::kBool; }

bool is_unsigned(DType dtype) {
  return dtype == DType::kU8 || dtype == DType::kU16 || dtype == DType::kU32 || dtype == DType::kU64;
}

void require_integer(const InferContext& c, int i) {
  if (!is_integer(c.dtype(i)))
    throw user_error("input {} has type {}, expected an integer type", i, dtype_name(c.dtype(i)));
}

void infer_binary(InferContext& c) {
  require_inputs(c, 2);
  require_integer(c, 0);
  require_same_dtype(c, 0, 1);
  c.set(0, c.dtype(0), broadcast(c.shape(0), c.shape(1)));
}

// f(a, b) on words as wide as the elements: signs do not matter to bits.
template <class F>
void map_bits(ForwardContext& c, F f) {
  const auto plan = plan_broadcast<2>(c.out_type(0).shape, {&c.in(0).shape(), &c.in(1).shape()});
  visit_width(c.in(0).dtype(), [&]<class U>(U) {
    map_broadcast(c.pool(), plan, words<U>(c.in(0)), words<U>(c.in(1)), mutable_words<U>(c.out(0)),
                  [f](U a, U b) { return static_cast<U>(f(a, b)); });
  });
}

void forward_and(ForwardContext& c) {
  map_bits(c, [](auto a, auto b) { return a & b; });
}
void forward_or(ForwardContext& c) {
  map_bits(c, [](auto a, auto b) { return a | b; });
}
void forward_xor(ForwardContext& c) {
  map_bits(c, [](auto a, auto b) { return a ^ b; });
}

void infer_not(InferContext& c) {
  require_inputs(c, 1);
  require_integer(c, 0);
  c.same_as_input();
}

void forward_not(ForwardContext& c) {
  visit_width(c.in(0).dtype(), [&]<class U>(U) {
    map(c.pool(), c.in(0).numel(), words<U>(c.in(0)), mutable_words<U>(c.out(0)),
        [](U x) { return static_cast<U>(~x); });
  });
}

bool shifts_left(const Attributes& attributes) {
  const std::string direction = attributes.s("direction", "");
  if (direction != "LEFT" && direction != "RIGHT")
    throw user_error("attribute direction is '{}', expected 'LEFT' or 'RIGHT'", direction);
  return direction == "LEFT";
}

void infer_shift(InferContext& c) {
  infer_binary(c);
  if (!is_unsigned(c.dtype(0)))
    throw user_error("input 0 has type {}, expected an unsigned integer type", dtype_name(c.dtype(0)));
  shifts_left(c.attributes());
}

void forward_shift(ForwardContext& c) {
  const bool left = shifts_left(c.attributes());
  map_bits(c, [left]<class U>(U x, U by) {
    if (by >= std::numeric_limits<U>::digits) return U{0};
    return static_cast<U>(left ? static_cast<std::uint64_t>(x) << by : static_cast<std::uint64_t>(x) >> by);
  });
}

void infer_bit_cast(InferContext& c) {
  require_inputs(c, 1);
  const auto to = static_cast<DType>(c.attributes().i("to", 0));
  if (dtype_size(to) == 0 || dtype_size(to) != dtype_size(c.dtype(0)))
    throw user_error("BitCast from {} to type {} is not supported: expected a type of {} bytes", dtype_name(c.dtype(0)),
                     c.attributes().i("to", 0), dtype_size(c.dtype(0)));
  c.set(0, to, c.shape(0));
}

void forward_bit_cast(ForwardContext& c) { std::copy_n(c.in(0).raw(), c.in(0).bytes(), c.out(0).mutable_raw()); }

Op bitwise(std::string name, void (*infer)(InferContext&), void (*forward)(ForwardContext&), int since = 18) {
  return {.domain = "", .name = std::move(name), .since = since, .infer = infer, .forward = forward, .no_vjp = kBits};
}

}  // namespace

std::vector<Op> bitwise_ops() {
  Op bit_cast = bitwise("BitCast", infer_bit_cast, forward_bit_cast, 26);
  bit_cast.takes_half = true;
  return {bitwise("BitwiseAnd", infer_binary, forward_and),    bitwise("BitwiseOr", infer_binary, forward_or),
          bitwise("BitwiseXor", infer_binary, forward_xor),    bitwise("BitwiseNot", infer_not, forward_not),
          bitwise("BitShift", infer_shift, forward_shift, 11), std::move(bit_cast)};
}

}  // namespace retune
