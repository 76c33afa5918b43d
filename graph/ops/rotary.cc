// Rotary position embedding (Su et al. 2021): pairs (x1, x2) of a head's elements are turned by an angle that grows
// with the position.
//
//   y1 = c x1 - s x2,   y2 = c x2 + s x1;      backwards, with g:  dx1 = c g1 + s g2,  dx2 = c g2 - s g1
//
//   RotaryEmbedding (23)              inputs x, cos, sin, position_ids?
//   com.microsoft RotaryEmbedding     inputs x, position_ids, cos, sin
//   Rotary (private)                  inputs x [B, H, S, D], cos, sin [B or 1, 1, S, D or D/2]:
//                                     x cos + rotate_half(x) sin, as exporters spell it
//
// x is [B, H, S, D] or [B, S, H D]. Caches are [positions, R / 2], read at position_ids, or [B, S, R / 2]. The first R
// of the D elements of a head turn, the rest passes. Pairs are halves (i, i + R / 2) or, interleaved, neighbours
// (2 i, 2 i + 1). The gradient is the same operator turning back: private RotateBack and RotaryBack.
#include <algorithm>
#include <cmath>

#include "graph/graph_builder.h"
#include "graph/ops/families.h"
#include "graph/ops/index.h"
#include "graph/ops/kernel.h"

namespace retune {

namespace {

// Where everything is: elements of x by strides, angles by a table row for each (b, s).
struct Rotation {
  std::int64_t batch = 0, heads = 0, positions = 0, d = 0;
  std::int64_t batch_step = 0, head_step = 0, position_step = 0;  // in x
  std::int64_t rotated = 0;                                       // R
  bool interleaved = false;
  bool whole_table = false;  // cos and sin have an element for each of D, not for each pair
};

enum class Direction { kForward, kBack };

// One head at one position.
template <class T>
void rotate(const Rotation& r, Direction direction, const T* x, const T* cos, const T* sin, T* y) {
  const std::int64_t half = r.rotated / 2;
  const T sign = direction == Direction::kForward ? T{1} : T{-1};
  if (r.interleaved) {
    for (std::int64_t i = 0; i < half; ++i) {
      const T first = x[2 * i], second = x[2 * i + 1], turn = sign * sin[i];
      y[2 * i] = cos[i] * first - turn * second;
      y[2 * i + 1] = cos[i] * second + turn * first;
    }
  } else {
    // The second half of a whole table may differ from the first; back, each half's sine goes with the element it
    // multiplied.
    const T* cos2 = r.whole_table ? cos + half : cos;
    const T* sin2 = r.whole_table ? sin + half : sin;
    const T* for_first = direction == Direction::kForward ? sin : sin2;
    const T* for_second = direction == Direction::kForward ? sin2 : sin;
    for (std::int64_t i = 0; i < half; ++i) {
      const T first = x[i], second = x[half + i];
      y[i] = cos[i] * first - sign * for_first[i] * second;
      y[half + i] = cos2[i] * second + sign * for_second[i] * first;
    }
  }
  std::copy(x + r.rotated, x + r.d, y + r.rotated);
}

// Calls rotate for every head and position; `row` gives the table row of (b, s).
template <class T, class Row>
void rotate_all(ThreadPool& pool, const Rotation& r, Direction direction, const T* x, const T* cos, const T* sin,
                std::int64_t width, Row&& row, T* y) {
  const std::int64_t grain = std::max<std::int64_t>(1, kElementGrain / std::max<std::int64_t>(r.positions * r.d, 1));
  pool.parallel_for(r.batch * r.heads, grain, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      const std::int64_t batch = i / r.heads, base = batch * r.batch_step + i % r.heads * r.head_step;
      for (std::int64_t s = 0; s < r.positions; ++s) {
        const std::int64_t table = row(batch, s) * width, at = base + s * r.position_step;
        rotate(r, direction, x + at, cos + table, sin + table, y + at);
      }
    }
  });
}

// --- Rotary: tables that broadcast ---

void infer_rotary(InferContext& c) {
  require_inputs(c, 3);
  require_float(c, 0);
  const Shape& x = c.shape(0);
  if (x.rank() != 4 || x[3] % 2 != 0) throw user_error("x must be [B, H, S, D] with even D, got {}", x.text());
  for (int table = 1; table < 3; ++table) {
    const Shape& shape = c.shape(table);
    require_same_dtype(c, 0, table);
    if (shape.rank() != 4 || (shape[0] != 1 && shape[0] != x[0]) || shape[1] != 1 || shape[2] != x[2] ||
        (shape[3] != x[3] && shape[3] * 2 != x[3]) || !(shape == c.shape(1)))
      throw user_error("tables for x {} must be [{} or 1, 1, {}, {} or {}], got {}", x.text(), x[0], x[2], x[3],
                       x[3] / 2, shape.text());
  }
  c.set(0, c.dtype(0), x);
}

template <Direction direction>
void forward_rotary(ForwardContext& c) {
  const Shape& x = c.in(0).shape();
  const Shape& table = c.in(1).shape();
  const Rotation r{.batch = x[0],
                   .heads = x[1],
                   .positions = x[2],
                   .d = x[3],
                   .batch_step = x[1] * x[2] * x[3],
                   .head_step = x[2] * x[3],
                   .position_step = x[3],
                   .rotated = x[3],
                   .interleaved = false,
                   .whole_table = table[3] == x[3]};
  const std::int64_t per_batch = table[0] == 1 ? 0 : table[2];
  visit_float(c.in(0).dtype(), [&]<class T>(T) {
    rotate_all(
        c.pool(), r, direction, c.in(0).data<T>(), c.in(1).data<T>(), c.in(2).data<T>(), table[3],
        [per_batch](std::int64_t batch, std::int64_t s) { return batch * per_batch + s; }, c.out(0).mutable_data<T>());
  });
}

void refuse_tables(const VjpContext& c, int cos, int sin) {
  if (c.wants(cos) || c.wants(sin)) throw user_error("the tables of a rotary embedding have no gradient");
}

void vjp_rotary(VjpContext& c) {
  refuse_tables(c, 1, 2);
  if (c.wants(0)) c.give(0, c.builder().private_op("RotaryBack", {c.cotangent(), c.in(1), c.in(2)}));
}

// --- RotaryEmbedding: caches and positions ---

// Which input is which: the two domains order them differently. RotateBack keeps the order of its forward, told by an
// attribute.
struct Inputs {
  int positions, cos, sin;
};

Inputs inputs_of(const Node& node) {
  const bool microsoft = node.domain == "com.microsoft" || node.attributes.i("microsoft", 0) != 0;
  return microsoft ? Inputs{1, 2, 3} : Inputs{3, 1, 2};
}

Rotation rotation_of(const Node& node, const Shape& x, const Shape& cos) {
  const Attributes& a = node.attributes;
  if (a.f("scale", 1.0) != 1.0) throw user_error("attribute scale {} is not supported, only 1", a.f("scale", 1.0));
  if (a.i("is_packed_batching", 0) != 0) throw user_error("is_packed_batching is not supported");
  if (cos.rank() == 0) throw user_error("the caches must have rank 2 or 3, got a scalar");
  Rotation r;
  r.interleaved = a.i("interleaved", 0) != 0;
  const std::int64_t declared = a.i("rotary_embedding_dim", 0);
  r.rotated = 2 * cos.back();
  if (x.rank() == 4) {
    r.batch = x[0];
    r.heads = x[1];
    r.positions = x[2];
    r.d = x[3];
    r.batch_step = x[1] * x[2] * x[3];
    r.head_step = x[2] * x[3];
    r.position_step = x[3];
  } else if (x.rank() == 3) {
    const std::int64_t named = a.i("num_heads", 0);
    // Without a head count, the caches tell the width of a head unless only a part of it turns.
    r.heads = named > 0 ? named : (declared == 0 && r.rotated > 0 ? x[2] / r.rotated : 0);
    if (r.heads <= 0 || x[2] % r.heads != 0)
      throw user_error("{} heads do not fit x {}; is attribute num_heads missing?", r.heads, x.text());
    r.batch = x[0];
    r.positions = x[1];
    r.d = x[2] / r.heads;
    r.batch_step = x[1] * x[2];
    r.head_step = r.d;
    r.position_step = x[2];
  } else {
    throw user_error("x must be [B, H, S, D] or [B, S, H D], got {}", x.text());
  }
  if (r.rotated > r.d || (declared != 0 && declared != r.rotated))
    throw user_error("caches for {} elements do not fit heads of {} (rotary_embedding_dim {})", r.rotated, r.d,
                     declared);
  return r;
}

void infer_embedding(InferContext& c) {
  const Inputs in = inputs_of(c.node());
  require_inputs(c, 3);
  require_float(c, 0);
  require_same_dtype(c, 0, in.cos);
  require_same_dtype(c, 0, in.sin);
  const Rotation r = rotation_of(c.node(), c.shape(0), c.shape(in.cos));
  const Shape& cos = c.shape(in.cos);
  if (!(cos == c.shape(in.sin))) throw user_error("the caches differ: {} and {}", cos.text(), c.shape(in.sin).text());
  if (c.has(in.positions)) {
    const Shape& ids = c.shape(in.positions);
    if (cos.rank() != 2)
      throw user_error("with position_ids the caches must be [positions, {}], got {}", r.rotated / 2, cos.text());
    if (!(ids == Shape{r.batch, r.positions}) && ids.numel() != 1)
      throw user_error("position_ids must be [{}, {}] or one offset, got {}", r.batch, r.positions, ids.text());
  } else if (!(cos == Shape{r.batch, r.positions, r.rotated / 2})) {
    throw user_error("without position_ids the caches must be [{}, {}, {}], got {}", r.batch, r.positions,
                     r.rotated / 2, cos.text());
  }
  c.set(0, c.dtype(0), c.shape(0));
}

// The cache row of each (b, s).
std::vector<std::int64_t> cache_rows(ForwardContext& c, const Inputs& in, const Rotation& r) {
  std::vector<std::int64_t> rows(static_cast<std::size_t>(r.batch * r.positions));
  for (std::size_t i = 0; i < rows.size(); ++i) rows[i] = static_cast<std::int64_t>(i);
  if (!c.has(in.positions)) return rows;
  const Tensor& ids = c.in(in.positions);
  const std::int64_t cached = c.in(in.cos).shape()[0];
  const std::vector<std::int64_t> given = ids.to_i64();
  const bool offset = ids.numel() == 1;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    rows[i] = offset ? given[0] + rows[i] % r.positions : given[i];
    if (rows[i] < 0 || rows[i] >= cached)
      throw user_error("position {} is outside the {} cached positions", rows[i], cached);
  }
  return rows;
}

template <Direction direction>
void forward_embedding(ForwardContext& c) {
  const Inputs in = inputs_of(c.node());
  const Rotation r = rotation_of(c.node(), c.in(0).shape(), c.in(in.cos).shape());
  const std::vector<std::int64_t> rows = cache_rows(c, in, r);
  visit_float(c.in(0).dtype(), [&]<class T>(T) {
    rotate_all(
        c.pool(), r, direction, c.in(0).data<T>(), c.in(in.cos).data<T>(), c.in(in.sin).data<T>(), r.rotated / 2,
        [&](std::int64_t batch, std::int64_t s) { return rows[static_cast<std::size_t>(batch * r.positions + s)]; },
        c.out(0).mutable_data<T>());
  });
}

void vjp_embedding(VjpContext& c) {
  const Inputs in = inputs_of(c.node());
  refuse_tables(c, in.cos, in.sin);
  if (!c.wants(0)) return;
  std::vector<ValueId> inputs = c.node().inputs;
  inputs[0] = c.cotangent();
  Attributes attributes = c.attributes();
  attributes.set("microsoft", std::int64_t{c.node().domain == "com.microsoft"});
  c.give(0, c.builder().private_op("RotateBack", std::move(inputs), std::move(attributes)));
}

}  // namespace

std::vector<Op> rotary_ops() {
  constexpr auto kForward = Direction::kForward;
  constexpr auto kBack = Direction::kBack;
  return {
      {.domain = "",
       .name = "RotaryEmbedding",
       .since = 23,
       .infer = infer_embedding,
       .forward = forward_embedding<kForward>,
       .vjp = vjp_embedding},
      {.domain = "com.microsoft",
       .name = "RotaryEmbedding",
       .infer = infer_embedding,
       .forward = forward_embedding<kForward>,
       .vjp = vjp_embedding},
      {.domain = "retune",
       .name = "RotateBack",
       .infer = infer_embedding,
       .forward = forward_embedding<kBack>,
       .no_vjp = kIsGradient},
      {.domain = "retune",
       .name = "Rotary",
       .infer = infer_rotary,
       .forward = forward_rotary<kForward>,
       .vjp = vjp_rotary},
      {.domain = "retune",
       .name = "RotaryBack",
       .infer = infer_rotary,
       .forward = forward_rotary<kBack>,
       .no_vjp = kIsGradient},
  };
}

}  // namespace retune
