// Private operators that a Session inserts for Interventions (graph/intervention.h).
//
//   AddRows(x [..., D], delta [D] or [R, D], rows i64 [R])      x with delta added at the rows
//   ReplaceRows(x [..., D], delta [D] or [R, D], rows i64 [R])  x with the rows replaced by delta
//
// Rows count x with its leading axes flattened; none at all means every row. dx is g, zero at replaced rows; ddelta is
// g at the rows, summed over them, in order, for a single vector: the private operator RowsGrad(g, rows). A row named
// twice is added to twice, and keeps the last of its replacements, whose gradient then goes to each.
#include <algorithm>

#include "graph/graph_builder.h"
#include "graph/ops/families.h"
#include "graph/ops/kernel.h"

namespace retune {

namespace {

struct Rows {
  std::int64_t count = 0, d = 0;  // of x
  std::int64_t chosen = 0;        // rows that change
};

Rows rows_of(const Shape& x, const Shape& rows) {
  Rows r;
  r.d = x.back();
  r.count = x.product(0, x.rank() - 1);
  r.chosen = rows.numel() == 0 ? r.count : rows.numel();
  return r;
}

void infer_rows(InferContext& c) {
  require_inputs(c, 3);
  require_float(c, 0);
  if (c.shape(0).rank() == 0) throw user_error("an intervention needs a value of rank 1 or more, got a scalar");
  if (c.dtype(2) != DType::kI64 || c.shape(2).rank() != 1)
    throw user_error("rows must be i64 of rank 1, got {} {}", dtype_name(c.dtype(2)), c.shape(2).text());
  const Rows r = rows_of(c.shape(0), c.shape(2));
  const Shape& delta = c.shape(1);
  if (!(delta == Shape{r.d}) && !(delta == Shape{r.chosen, r.d}))
    throw user_error("a delta for {} rows of a value {} must be [{}] or [{}, {}], got {}", r.chosen, c.shape(0).text(),
                     r.d, r.chosen, r.d, delta.text());
  c.set(0, c.dtype(0), c.shape(0));
}

// The rows as indices, all of them where none is named; user error for one that is out of range.
std::vector<std::int64_t> chosen_rows(const Tensor& rows, const Rows& r) {
  std::vector<std::int64_t> chosen = rows.to_i64();
  if (chosen.empty()) {
    chosen.resize(static_cast<std::size_t>(r.count));
    for (std::int64_t i = 0; i < r.count; ++i) chosen[static_cast<std::size_t>(i)] = i;
  }
  for (const std::int64_t row : chosen)
    if (row < 0 || row >= r.count)
      throw user_error("an intervention at row {} of a value that has {} rows", row, r.count);
  return chosen;
}

template <bool kAdd>
void forward_rows(ForwardContext& c) {
  const Rows r = rows_of(c.in(0).shape(), c.in(2).shape());
  const std::vector<std::int64_t> chosen = chosen_rows(c.in(2), r);
  const Tensor deltas = c.in(1).cast(c.in(0).dtype());
  const std::int64_t step = deltas.shape().rank() == 2 ? r.d : 0;
  visit_float(c.in(0).dtype(), [&]<class T>(T) {
    const T* x = c.in(0).data<T>();
    T* y = c.out(0).mutable_data<T>();
    c.pool().parallel_for(r.count * r.d, kElementGrain,
                          [&](std::int64_t begin, std::int64_t end) { std::copy(x + begin, x + end, y + begin); });
    const T* delta = deltas.data<T>();
    for (const std::int64_t row : chosen) {
      T* to = y + row * r.d;
      for (std::int64_t i = 0; i < r.d; ++i) to[i] = kAdd ? to[i] + delta[i] : delta[i];
      delta += step;
    }
  });
}

// g [..., D], rows; attribute vectors: 1 for a gradient of each row [R, D], 0 for their sum [D].
void infer_rows_grad(InferContext& c) {
  const Rows r = rows_of(c.shape(0), c.shape(1));
  c.set(0, c.dtype(0), c.attributes().i("vectors", 0) != 0 ? Shape{r.chosen, r.d} : Shape{r.d});
}

void forward_rows_grad(ForwardContext& c) {
  const Rows r = rows_of(c.in(0).shape(), c.in(1).shape());
  const std::vector<std::int64_t> chosen = chosen_rows(c.in(1), r);
  const std::int64_t step = c.attributes().i("vectors", 0) != 0 ? r.d : 0;
  visit_float(c.in(0).dtype(), [&]<class T>(T) {
    const T* g = c.in(0).data<T>();
    T* delta = c.out(0).mutable_data<T>();
    std::fill(delta, delta + c.out(0).numel(), T{0});
    for (const std::int64_t row : chosen) {
      for (std::int64_t i = 0; i < r.d; ++i) delta[i] += g[row * r.d + i];
      delta += step;
    }
  });
}

void give_delta_gradient(VjpContext& c) {
  GraphBuilder& b = c.builder();
  const std::int64_t vectors = c.shape(c.in(1)).rank() == 2;
  c.give(1, b.cast(b.private_op("RowsGrad", {c.cotangent(), c.in(2)}, {{"vectors", vectors}}), c.dtype(c.in(1))));
}

void vjp_add_rows(VjpContext& c) {
  if (c.wants(0)) c.give(0, c.cotangent());
  if (c.wants(1)) give_delta_gradient(c);
}

void vjp_replace_rows(VjpContext& c) {
  GraphBuilder& b = c.builder();
  if (c.wants(0)) {
    const ValueId zero = b.constant(Tensor::zeros(c.dtype(c.cotangent()), {c.shape(c.in(0)).back()}));
    c.give(0, b.private_op("ReplaceRows", {c.cotangent(), zero, c.in(2)}));
  }
  if (c.wants(1)) give_delta_gradient(c);
}

}  // namespace

std::vector<Op> intervention_ops() {
  return {
      {.domain = "retune", .name = "AddRows", .infer = infer_rows, .forward = forward_rows<true>, .vjp = vjp_add_rows},
      {.domain = "retune",
       .name = "ReplaceRows",
       .infer = infer_rows,
       .forward = forward_rows<false>,
       .vjp = vjp_replace_rows},
      {.domain = "retune",
       .name = "RowsGrad",
       .infer = infer_rows_grad,
       .forward = forward_rows_grad,
       .no_vjp = kIsGradient},
  };
}

}  // namespace retune
