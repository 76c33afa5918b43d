// com.microsoft MultiHeadAttention and GroupQueryAttention: compositions around the private Attention
// (onnx-layouts.md 2.4).
//
// MultiHeadAttention
//   inputs   query [B, S, H D]; key, value [B, L, H D], or [B, H, L, D] if projected already; bias? of all three;
//            key_padding_mask? i32, lengths [B] or flags [B, T] with 0 where a key is padding;
//            attention_bias? [B or 1, H or 1, S, T]; past_key?, past_value? [B, H, P, D]
//   outputs  y, present_key, present_value
//
// GroupQueryAttention
//   inputs   query [B, S, H D]; key, value [B, S, Hkv D], or both absent and packed behind query;
//            past_key?, past_value? [B, Hkv, P, D]; seqlens_k i32 [B], valid tokens - 1; total_sequence_length;
//            cos_cache?, sin_cache?; position_ids?; attention_bias?
//   outputs  y, present_key, present_value
//
//   Always causal. The valid tokens of a row stand at the beginning, and query s is at position start + s, where start
//   is 0 on the first step (S = total) and seqlens_k + 1 - S later; keys and queries are turned by it where do_rotary
//   says so.
//
// PastAppend(past [B, H, P, D], x [B, H, S, D], seqlens_k) -> [B, H, extent, D], private, puts x behind the valid past
// of each row.
#include <algorithm>
#include <cmath>
#include <limits>

#include "graph/ops/attention_body.h"
#include "graph/ops/families.h"
#include "graph/ops/kernel.h"
#include "graph/ops/scalar_input.h"

namespace retune {

namespace {

constexpr double kMasked = -std::numeric_limits<double>::infinity();

void refuse_input(const InferContext& c, int i, const char* name) {
  if (c.has(i)) throw user_error("input {} ({}) is not supported", i, name);
}

std::int64_t required(const Attributes& attributes, const char* name) {
  const std::int64_t value = attributes.i(name, 0);
  if (value < 1) throw user_error("attribute {} is {}, expected 1 or more", name, value);
  return value;
}

double scale_of(const Attributes& attributes, std::int64_t width) {
  const double scale = attributes.f("scale", 0);
  return scale != 0 ? scale : 1.0 / std::sqrt(static_cast<double>(width));
}

// Columns [begin, begin + count) of the last axis.
ValueId columns(Body& body, ValueId x, std::int64_t begin, std::int64_t count) {
  GraphBuilder& b = body.builder();
  return b.op("Slice", {x, b.ints({begin}), b.ints({begin + count}), b.ints({-1})});
}

// --- MultiHeadAttention ---

// Adds what the key padding mask says to the scores' mask.
ValueId padding_mask(Body& body, const InferContext& c, std::int64_t keys) {
  if (!c.has(4)) return kNoValue;
  GraphBuilder& b = body.builder();
  const Shape& shape = c.shape(4);
  const std::int64_t batch = c.shape(0)[0];
  const double masked = c.attributes().f("mask_filter_value", -10000.0);
  if (shape == Shape{batch}) {
    const ValueId lengths = b.reshape(b.cast(body.in(4), DType::kI64), {batch, 1, 1, 1});
    return mask_where_false(body, b.op("Less", {key_positions(body, keys), lengths}), c.dtype(0), masked);
  }
  if (!(shape == Shape{batch, keys}))
    throw user_error("key_padding_mask must be [{}] or [{}, {}], got {}", batch, batch, keys, shape.text());
  return mask_where_false(body, b.reshape(b.cast(body.in(4), DType::kBool), {batch, 1, 1, keys}), c.dtype(0), masked);
}

Graph multi_head_body(const InferContext& c) {
  require_float(c, 0);
  if (!c.has(1) || !c.has(2) || c.shape(0).rank() != 3)
    throw user_error(
        "packed query, key and value are not supported; query must be [B, S, H D] with key and value beside it");
  for (const int i : {1, 2})
    if (c.shape(i).rank() != 3 && c.shape(i).rank() != 4)
      throw user_error("key and value must be [B, L, H D] or [B, H, L, D], got {}", c.shape(i).text());
  const std::int64_t heads = required(c.attributes(), "num_heads");
  Body body(c);
  GraphBuilder& b = body.builder();
  ValueId x[3] = {body.in(0), body.in(1), body.in(2)};
  std::int64_t at = 0;
  for (int i = 0; i < 3; ++i) {
    const Shape shape = body.shape(x[i]);
    const std::int64_t width = shape.rank() == 3 ? shape[2] : shape[1] * shape.back();
    if (c.has(3) && shape.rank() == 3) x[i] = b.add(x[i], columns(body, body.in(3), at, width));
    at += width;
    if (shape.rank() == 3) x[i] = split_heads(body, x[i], heads);
  }
  if (c.has(6) != c.has(7)) throw user_error("past_key and past_value come together");
  const ValueId k = append_to_past(body, body.in(6), x[1]), v = append_to_past(body, body.in(7), x[2]);
  const std::int64_t queries = body.shape(x[0])[2], keys = body.shape(k)[2];
  ValueId mask = padding_mask(body, c, keys);
  if (c.attributes().i("unidirectional", 0) != 0)
    mask = add_masks(body, mask, causal_mask(body, queries, keys, keys - queries, c.dtype(0)));
  mask = add_masks(body, mask, body.in(5));
  const ValueId y = attend(body, x[0], k, v, mask, {scale_of(c.attributes(), body.shape(x[0])[3]), 0});
  return body.finish({join_heads(body, y), k, v});
}

// --- GroupQueryAttention ---

struct Step {
  std::int64_t batch = 0, queries = 0, total = 0, heads = 0, key_heads = 0;
  bool first = false;  // nothing is in the past
};

void refuse_what_is_missing(const InferContext& c) {
  const Attributes& a = c.attributes();
  refuse_input(c, 11, "head_sink");
  refuse_input(c, 12, "k_scale");
  refuse_input(c, 13, "v_scale");
  refuse_input(c, 14, "q_norm_weight");
  refuse_input(c, 15, "k_norm_weight");
  if (a.i("smooth_softmax", 0) > 0) throw user_error("smooth_softmax is not supported");
  if (a.i("causal", 1) != 1) throw user_error("causal 0 is not supported");
  if (c.output_count() > 3) throw user_error("the scores (output 3) are not supported");
  if (c.has(1) != c.has(2)) throw user_error("key and value come together");
  if (!c.has(5) || !c.has(6)) throw user_error("seqlens_k and total_sequence_length are needed");
}

Step step_of(const InferContext& c) {
  Step s;
  s.batch = c.shape(0)[0];
  s.queries = c.shape(0)[1];
  s.total = integer_of(c.require_constant(6), "total_sequence_length");
  s.heads = required(c.attributes(), "num_heads");
  s.key_heads = required(c.attributes(), "kv_num_heads");
  s.first = s.queries == s.total;
  const std::int64_t window = c.attributes().i("local_window_size", -1);
  if (s.heads % s.key_heads != 0) throw user_error("{} heads do not share {} key heads", s.heads, s.key_heads);
  if (s.total < s.queries) throw user_error("total_sequence_length {} is less than the {} queries", s.total, s.queries);
  if (!(c.shape(5).numel() == s.batch))
    throw user_error("seqlens_k must have {} elements, got {}", s.batch, c.shape(5).text());
  // Kernels disagree on whether a window of W lets W or W + 1 keys through; where it hides none, all agree.
  if (window >= 0 && s.total > window)
    throw user_error("{} tokens exceed local_window_size {}, which is not supported", s.total, window);
  return s;
}

// Positions of the queries, i64 [B, S].
ValueId query_positions(Body& body, const Step& s) {
  GraphBuilder& b = body.builder();
  const ValueId steps = b.reshape(key_positions(body, s.queries), {1, s.queries});
  if (s.first) return b.op("Expand", {steps, b.ints({s.batch, s.queries})});
  const ValueId valid = b.reshape(b.cast(body.in(5), DType::kI64), {s.batch, 1});
  return b.add(b.add(valid, b.constant(Tensor::scalar<std::int64_t>(1 - s.queries))), steps);
}

ValueId present(Body& body, const Step& s, ValueId past, ValueId x) {
  if (past == kNoValue && !s.first) throw user_error("past_key and past_value are needed after the first step");
  const std::int64_t room = past == kNoValue ? 0 : body.shape(past)[2];
  if (s.first && room <= s.total && (past == kNoValue || room == 0)) return x;
  if (room < s.total - s.queries)
    throw user_error("the past holds {} tokens, expected at least {}", room, s.total - s.queries);
  return body.builder().private_op("PastAppend", {past, x, body.in(5)},
                                   {{"extent", std::max(room, s.total)}, {"first", std::int64_t{s.first}}});
}

// The first `total` positions, where the cache has room for more.
ValueId used(Body& body, const Step& s, ValueId cache) {
  if (body.shape(cache)[2] == s.total) return cache;
  GraphBuilder& b = body.builder();
  return b.op("Slice", {cache, b.ints({0}), b.ints({s.total}), b.ints({2})});
}

ValueId query_mask(Body& body, const Step& s, DType dtype) {
  if (s.first) return causal_mask(body, s.queries, s.total, 0, dtype);
  GraphBuilder& b = body.builder();
  const ValueId positions = b.reshape(query_positions(body, s), {s.batch, 1, s.queries, 1});
  return mask_where_false(body, b.op("LessOrEqual", {key_positions(body, s.total), positions}), dtype, kMasked);
}

Graph group_query_body(const InferContext& c) {
  require_float(c, 0);
  refuse_what_is_missing(c);
  if (c.shape(0).rank() != 3) throw user_error("query must be [B, S, heads * width], got {}", c.shape(0).text());
  const Step s = step_of(c);
  const Attributes& a = c.attributes();
  Body body(c);
  GraphBuilder& b = body.builder();
  ValueId q = body.in(0), k = body.in(1), v = body.in(2);
  if (k == kNoValue) {
    const std::int64_t width = c.shape(0)[2] / (s.heads + 2 * s.key_heads);
    q = columns(body, body.in(0), 0, s.heads * width);
    k = columns(body, body.in(0), s.heads * width, s.key_heads * width);
    v = columns(body, body.in(0), (s.heads + s.key_heads) * width, s.key_heads * width);
  }
  q = split_heads(body, q, s.heads);
  k = split_heads(body, k, s.key_heads);
  v = split_heads(body, v, s.key_heads);
  if (a.i("do_rotary", 0) != 0) {
    if (!c.has(7) || !c.has(8)) throw user_error("do_rotary needs cos_cache and sin_cache");
    const ValueId positions = c.has(9) ? body.in(9) : query_positions(body, s);
    const Attributes turn{{"interleaved", a.i("rotary_interleaved", 0)}};
    for (ValueId* x : {&q, &k})
      *x = b.ops("com.microsoft", "RotaryEmbedding", {*x, positions, body.in(7), body.in(8)}, turn, {""})[0];
  }
  const ValueId all_k = present(body, s, body.in(3), k), all_v = present(body, s, body.in(4), v);
  const ValueId mask = add_masks(body, query_mask(body, s, c.dtype(0)), body.in(10));
  const ValueId y = attend(body, q, used(body, s, all_k), used(body, s, all_v), mask,
                           {scale_of(a, body.shape(q)[3]), a.f("softcap", 0)});
  return body.finish({join_heads(body, y), all_k, all_v});
}

// --- PastAppend ---

void infer_append(InferContext& c) {
  const Shape &past = c.shape(0), &x = c.shape(1);
  if (past.rank() != 4 || x.rank() != 4 || past[0] != x[0] || past[1] != x[1] || past[3] != x[3])
    throw user_error("the past {} and the new keys or values {} do not fit", past.text(), x.text());
  require_same_dtype(c, 0, 1);
  c.set(0, c.dtype(1), {x[0], x[1], c.attributes().i("extent", 0), x[3]});
}

struct Append {
  std::int64_t planes = 0, heads = 0, past = 0, added = 0, extent = 0, d = 0;
  std::vector<std::int64_t> starts;  // a row of the batch: where the new positions go
};

Append append_of(const Attributes& attributes, const Shape& past, const Shape& x, const Tensor& seqlens) {
  Append s{.planes = x[0] * x[1],
           .heads = x[1],
           .past = past[2],
           .added = x[2],
           .extent = attributes.i("extent", 0),
           .d = x[3],
           .starts = {}};
  for (const std::int64_t last : seqlens.to_i64()) {
    const std::int64_t start = attributes.i("first", 0) != 0 ? 0 : last + 1 - s.added;
    if (start < 0 || start > s.past || start + s.added > s.extent)
      throw user_error("seqlens_k {} does not fit {} new tokens behind a past of {} in a cache of {}", last, s.added,
                       s.past, s.extent);
    s.starts.push_back(start);
  }
  return s;
}

void forward_append(ForwardContext& c) {
  const Append s = append_of(c.attributes(), c.in(0).shape(), c.in(1).shape(), c.in(2));
  visit_width(c.in(1).dtype(), [&]<class U>(U) {
    const U* past = words<U>(c.in(0));
    const U* x = words<U>(c.in(1));
    U* y = mutable_words<U>(c.out(0));
    c.pool().parallel_for(s.planes, 1, [&](std::int64_t plane, std::int64_t) {
      const std::int64_t start = s.starts[static_cast<std::size_t>(plane / s.heads)];
      U* to = y + plane * s.extent * s.d;
      const U* old = past + plane * s.past * s.d;
      to = std::copy(old, old + start * s.d, to);
      to = std::copy(x + plane * s.added * s.d, x + (plane + 1) * s.added * s.d, to);
      std::fill(to, y + (plane + 1) * s.extent * s.d, U{0});
    });
  });
}

// Inputs past, x (for their shapes), seqlens_k, g; outputs dpast, dx.
void infer_append_grad(InferContext& c) {
  c.set(0, c.dtype(0), c.shape(0));
  c.set(1, c.dtype(1), c.shape(1));
}

void forward_append_grad(ForwardContext& c) {
  const Append s = append_of(c.attributes(), c.in(0).shape(), c.in(1).shape(), c.in(2));
  visit_width(c.in(3).dtype(), [&]<class U>(U) {
    const U* g = words<U>(c.in(3));
    U* dpast = mutable_words<U>(c.out(0));
    U* dx = mutable_words<U>(c.out(1));
    c.pool().parallel_for(s.planes, 1, [&](std::int64_t plane, std::int64_t) {
      const std::int64_t start = s.starts[static_cast<std::size_t>(plane / s.heads)];
      const U* from = g + plane * s.extent * s.d;
      U* to = std::copy(from, from + start * s.d, dpast + plane * s.past * s.d);
      std::fill(to, dpast + (plane + 1) * s.past * s.d, U{0});
      std::copy(from + start * s.d, from + (start + s.added) * s.d, dx + plane * s.added * s.d);
    });
  });
}

void vjp_append(VjpContext& c) {
  if (!c.wants(0) && !c.wants(1)) return;
  const auto d =
      c.builder().private_ops("PastAppendGrad", {c.in(0), c.in(1), c.in(2), c.cotangent()}, c.attributes(), 2);
  if (c.wants(0)) c.give(0, d[0]);
  if (c.wants(1)) c.give(1, d[1]);
}

}  // namespace

std::vector<Op> contrib_attention_ops() {
  return {
      {.domain = "com.microsoft", .name = "MultiHeadAttention", .body = multi_head_body},
      {.domain = "com.microsoft", .name = "GroupQueryAttention", .body = group_query_body},
      {.domain = "retune", .name = "PastAppend", .infer = infer_append, .forward = forward_append, .vjp = vjp_append},
      {.domain = "retune",
       .name = "PastAppendGrad",
       .infer = infer_append_grad,
       .forward = forward_append_grad,
       .no_vjp = kIsGradient},
  };
}

}  // namespace retune
