// ONNX's own Attention (23, 24): a composition around the private Attention.
//
//   inputs   q, k, v [B, heads, positions, width], or [B, positions, heads * width] with q_num_heads and kv_num_heads;
//            attn_mask? broadcasting to [B, H, S, T], bool (true attends) or added;
//            past_key?, past_value? [B, Hkv, P, D]; from 24 on nonpad_kv_seqlen? i64 [B]: keys from there on are
//            padding
//   outputs  y, present_key, present_value, qk_matmul_output
//
//   y = softmax(softcap(scale q k^T) + mask) v, with k and v behind their past
//
// is_causal: query s sees keys up to s + P, or with nonpad_kv_seqlen up to s + nonpad - S. A row that sees no key gives
// zeros (onnx/onnx#8068). qk_matmul_output is, by its mode, the scores (0), after the softcap (1), with mask (2), or
// the weights (3).
#include <cmath>
#include <limits>

#include "graph/ops/attention_body.h"
#include "graph/ops/families.h"
#include "graph/ops/kernel.h"

namespace retune {

namespace {

constexpr double kMasked = -std::numeric_limits<double>::infinity();

// As [B, heads, positions, width].
ValueId by_heads(Body& body, ValueId x, const Attributes& attributes, const char* heads) {
  const Shape shape = body.shape(x);
  if (shape.rank() == 4) return x;
  if (!attributes.has(heads)) throw user_error("input {} of rank 3 needs attribute {}", shape.text(), heads);
  return split_heads(body, x, attributes.i(heads, 0));
}

// A mask narrower than the keys masks the rest (24).
ValueId widen(Body& body, ValueId mask, std::int64_t keys, DType dtype) {
  const Shape shape = body.shape(mask);
  if (shape.rank() == 0 || shape.back() == keys || shape.back() == 1) return mask;
  std::vector<std::int64_t> rest = shape.extents();
  rest.back() = keys - shape.back();
  if (rest.back() < 0) throw user_error("attn_mask {} is wider than the {} keys", shape.text(), keys);
  Tensor fill = Tensor::empty(DType::kF32, Shape(rest));
  for (std::int64_t i = 0; i < fill.numel(); ++i) fill.mutable_data<float>()[i] = static_cast<float>(kMasked);
  GraphBuilder& b = body.builder();
  return b.op("Concat", {mask, b.constant(fill.cast(dtype))}, {{"axis", std::int64_t{-1}}});
}

struct Heads {
  ValueId q, k, v;
  std::int64_t queries, keys, past;
};

// Everything that is added to the scores; kNoValue if nothing is.
ValueId mask_of(Body& body, const InferContext& c, const Heads& h) {
  GraphBuilder& b = body.builder();
  const DType dtype = c.dtype(0);
  ValueId mask = kNoValue;
  if (c.has(3)) {
    mask = c.dtype(3) == DType::kBool ? mask_where_false(body, body.in(3), dtype, kMasked) : b.cast(body.in(3), dtype);
    mask = widen(body, mask, h.keys, dtype);
  }
  const bool causal = c.attributes().i("is_causal", 0) != 0;
  if (!c.has(6)) return causal ? add_masks(body, mask, causal_mask(body, h.queries, h.keys, h.past, dtype)) : mask;
  // [B, 1, 1, 1]
  const ValueId valid = b.reshape(body.in(6), {c.shape(6)[0], 1, 1, 1});
  const ValueId positions = key_positions(body, h.keys);
  mask = add_masks(body, mask, mask_where_false(body, b.op("Less", {positions, valid}), dtype, kMasked));
  if (!causal) return mask;
  const ValueId rows = b.reshape(key_positions(body, h.queries), {1, 1, h.queries, 1});
  const ValueId last = b.add(rows, b.sub(valid, b.constant(Tensor::scalar<std::int64_t>(h.queries))));
  return add_masks(body, mask, mask_where_false(body, b.op("LessOrEqual", {positions, last}), dtype, kMasked));
}

// Scores [B, H, S, T] spelled out, as far as the mode says.
ValueId scores(Body& body, const Heads& h, ValueId mask, const AttentionOptions& options, std::int64_t mode) {
  GraphBuilder& b = body.builder();
  const Shape q = body.shape(h.q), k = body.shape(h.k);
  const Shape grouped{q[0], k[1], q[1] / k[1], q[2], q[3]}, shared{k[0], k[1], 1, k[2], k[3]};
  const ValueId product = b.matmul(b.reshape(h.q, grouped), b.reshape(h.k, shared), GraphBuilder::Swap::kNone,
                                   GraphBuilder::Swap::kLastTwo);
  ValueId s = b.mul(b.reshape(product, {q[0], q[1], q[2], k[2]}), options.scale);
  if (mode == 0) return s;
  if (options.softcap > 0) s = b.mul(b.op("Tanh", {b.mul(s, 1.0 / options.softcap)}), options.softcap);
  if (mode == 1) return s;
  if (mask != kNoValue) s = b.add(s, mask);
  if (mode == 2) return s;
  const ValueId weights = b.op("Softmax", {s});
  return b.op("Where", {b.op("IsNaN", {weights}), b.scalar(0, b.dtype(s)), weights});  // rows that see no key
}

Graph attention_body(const InferContext& c) {
  require_inputs(c, 3);
  require_float(c, 0);
  if (c.has(4) != c.has(5)) throw user_error("past_key and past_value come together");
  const Attributes& a = c.attributes();
  Body body(c);
  Heads h{by_heads(body, body.in(0), a, "q_num_heads"),
          by_heads(body, body.in(1), a, "kv_num_heads"),
          by_heads(body, body.in(2), a, "kv_num_heads"),
          0,
          0,
          0};
  h.past = c.has(4) ? c.shape(4)[2] : 0;
  h.k = append_to_past(body, body.in(4), h.k);
  h.v = append_to_past(body, body.in(5), h.v);
  const Shape q = body.shape(h.q), k = body.shape(h.k);
  h.queries = q[2];
  h.keys = k[2];
  const AttentionOptions options{a.f("scale", 1.0 / std::sqrt(static_cast<double>(q[3]))), a.f("softcap", 0)};
  const ValueId mask = mask_of(body, c, h);
  const ValueId y = attend(body, h.q, h.k, h.v, mask, options);
  std::vector<ValueId> outputs{c.shape(0).rank() == 3 ? join_heads(body, y) : y, h.k, h.v};
  const std::int64_t mode = a.i("qk_matmul_output_mode", 0);
  if (mode < 0 || mode > 3) throw user_error("qk_matmul_output_mode {} is unknown", mode);
  if (c.output_count() > 3) outputs.push_back(scores(body, h, mask, options, mode));
  return body.finish(std::move(outputs));
}

}  // namespace

std::vector<Op> onnx_attention_ops() {
  return {{.domain = "", .name = "Attention", .since = 23, .body = attention_body}};
}

}  // namespace retune
