// Dropout (7, 10, 12, 13, 22): x, ratio? (0.5), training_mode? (false) -> y, mask?
//
// It does nothing in a deployed model. With training_mode (12 on) an element is kept where a uniform number is at least
// the ratio, and then divided by 1 - ratio (Srivastava et al. 2014). The numbers are those of attribute `seed` (0
// without one): the Mersenne Twister's, 53 bits each, in row-major order, as in ONNX's reference; the same seed gives
// the same mask. Before version 12 the ratio is an attribute and the mask all true.
//
// It is linear, so its gradient is itself with the same seed.
#include <random>

#include "graph/graph_builder.h"
#include "graph/ops/families.h"
#include "graph/ops/kernel.h"
#include "graph/ops/scalar_input.h"

namespace retune {

namespace {

void infer_dropout(InferContext& c) {
  require_inputs(c, 1);
  c.set(0, c.dtype(0), c.shape(0));
  c.set(1, c.version() < 10 ? c.dtype(0) : DType::kBool, c.shape(0));
}

// 0 where nothing is dropped.
double dropped_share(const ForwardContext& c) {
  if (c.version() < 12 || !c.has(2) || integer_of(c.in(2), "training_mode") == 0) return 0;
  const double ratio = c.has(1) ? number_of(c.in(1), "the ratio") : 0.5;
  if (!(ratio >= 0 && ratio <= 1)) throw user_error("the ratio is {}, expected 0 to 1", ratio);
  return ratio;
}

Tensor mask_of(const Shape& shape, double share, std::int64_t seed) {
  Tensor mask = Tensor::empty(DType::kBool, shape);
  bool* keep = mask.mutable_data<bool>();
  if (share == 0) {
    std::fill_n(keep, shape.numel(), true);
    return mask;
  }
  std::mt19937 words(static_cast<std::uint32_t>(seed));
  for (std::int64_t i = 0; i < shape.numel(); ++i) {
    const auto high = static_cast<double>(words() >> 5), low = static_cast<double>(words() >> 6);
    keep[i] = (high * 67108864.0 + low) / 9007199254740992.0 >= share;
  }
  return mask;
}

void dropout_forward(ForwardContext& c) {
  const double share = dropped_share(c);
  const bool wants_mask = c.output_count() > 1 && c.wants(1);
  if (share == 0) c.set_out(0, c.in(0));
  if (share == 0 && !wants_mask) return;
  const Tensor mask = mask_of(c.in(0).shape(), share, c.attributes().i("seed", 0));
  if (wants_mask) c.set_out(1, mask.cast(c.out_type(1).dtype));
  if (share == 0) return;
  const bool half = is_half(c.in(0).dtype());
  const Tensor x = half ? c.in(0).cast(DType::kF32) : c.in(0);
  Tensor y = Tensor::empty(x.dtype(), x.shape());
  const bool* keep = mask.data<bool>();
  visit_float(x.dtype(), [&]<class T>(T) {
    const T* from = x.data<T>();
    T* to = y.mutable_data<T>();
    const T scale = static_cast<T>(1 / (1 - share));
    for (std::int64_t i = 0; i < x.numel(); ++i) to[i] = keep[i] ? from[i] * scale : T{0};
  });
  c.set_out(0, half ? y.cast(c.in(0).dtype()) : y);
}

void dropout_vjp(VjpContext& c) {
  if (!c.wants(0)) return;
  if (c.version() < 12 || !c.has(2)) return c.give(0, c.cotangent());
  c.give(0, c.builder().op("Dropout", {c.cotangent(), c.has(1) ? c.in(1) : kNoValue, c.in(2)}, c.attributes()));
}

}  // namespace

std::vector<Op> dropout_ops() {
  return {{.domain = "",
           .name = "Dropout",
           .since = 7,
           .infer = infer_dropout,
           .forward = dropout_forward,
           .vjp = dropout_vjp,
           .takes_half = true}};
}

}  // namespace retune
