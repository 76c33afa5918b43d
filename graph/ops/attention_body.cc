#include "graph/ops/attention_body.h"

#include <limits>
#include <numeric>

namespace retune {

ValueId split_heads(Body& body, ValueId x, std::int64_t heads) {
  const Shape shape = body.shape(x);
  if (shape.rank() != 3 || heads < 1 || shape[2] % heads != 0)
    throw user_error("{} does not split into {} heads; expected [B, S, heads * width]", shape.text(), heads);
  GraphBuilder& b = body.builder();
  return b.transpose(b.reshape(x, {shape[0], shape[1], heads, shape[2] / heads}), {0, 2, 1, 3});
}

ValueId join_heads(Body& body, ValueId x) {
  const Shape shape = body.shape(x);
  GraphBuilder& b = body.builder();
  return b.reshape(b.transpose(x, {0, 2, 1, 3}), {shape[0], shape[2], shape[1] * shape[3]});
}

ValueId add_masks(Body& body, ValueId a, ValueId b) {
  if (a == kNoValue || b == kNoValue) return a == kNoValue ? b : a;
  return body.builder().add(a, b);
}

ValueId mask_where_false(Body& body, ValueId attends, DType dtype, double masked) {
  GraphBuilder& b = body.builder();
  return b.op("Where", {attends, b.scalar(0, dtype), b.scalar(masked, dtype)});
}

ValueId causal_mask(Body& body, std::int64_t queries, std::int64_t keys, std::int64_t offset, DType dtype) {
  // The first query sees the fewest keys.
  if (queries == 0 || keys <= offset + 1) return kNoValue;
  Tensor mask = Tensor::zeros(DType::kF32, {queries, keys});
  for (std::int64_t s = 0; s < queries; ++s)
    for (std::int64_t t = std::max<std::int64_t>(0, s + offset + 1); t < keys; ++t)
      mask.mutable_data<float>()[s * keys + t] = -std::numeric_limits<float>::infinity();
  return body.builder().constant(mask.cast(dtype));
}

ValueId key_positions(Body& body, std::int64_t n) {
  std::vector<std::int64_t> positions(static_cast<std::size_t>(n));
  std::iota(positions.begin(), positions.end(), 0);
  return body.builder().constant(Tensor::vector(positions).reshaped({1, 1, 1, n}));
}

ValueId attend(Body& body, ValueId q, ValueId k, ValueId v, ValueId mask, const AttentionOptions& options) {
  std::vector<ValueId> inputs{q, k, v};
  if (mask != kNoValue) inputs.push_back(mask);
  return body.builder().private_ops("Attention", std::move(inputs),
                                    {{"scale", options.scale}, {"softcap", options.softcap}}, 2)[0];
}

ValueId append_to_past(Body& body, ValueId past, ValueId x) {
  if (past == kNoValue) return x;
  return body.builder().op("Concat", {past, x}, {{"axis", std::int64_t{2}}});
}

}  // namespace retune
