// MatMul (1, 9, 13), com.microsoft FusedMatMul, Gemm (7, 9, 11, 13).
//
//   MatMul       Y = A B                         NumPy's matmul: vectors, matrices, stacks that broadcast
//   FusedMatMul  Y = alpha op(A) op(B)           op swaps the last two axes where transA, transB say so
//   Gemm         Y = alpha op(A) op(B) + beta C
//
// With G = dL/dY: d op(A) = alpha G op(B)^T and d op(B) = alpha op(A)^T G, summed over broadcast axes. The gradients
// are products with transposed operands (FusedMatMul), so nothing is ever transposed in memory, and the gradient of a
// weight [K, N] that multiplies a stack of rows is one product over all rows.
#include <algorithm>
#include <vector>

#include "graph/graph_builder.h"
#include "graph/matrix_product.h"
#include "graph/ops/families.h"
#include "graph/ops/kernel.h"

namespace retune {

namespace {

struct Operand {
  Shape batch;                         // leading axes
  std::int64_t rows = 1, columns = 1;  // of op(X)
  bool transposed = false;
  bool vector = false;
};

Operand operand(const Shape& shape, bool is_left, bool transposed) {
  if (shape.rank() == 0) throw user_error("a matrix product needs operands of rank 1 or more, got a scalar");
  if (shape.rank() == 1) {
    Operand x;
    x.vector = true;
    (is_left ? x.columns : x.rows) = shape[0];
    return x;
  }
  Operand x;
  x.batch = Shape(std::vector<std::int64_t>(shape.begin(), shape.end() - 2));
  x.transposed = transposed;
  x.rows = shape.back(transposed ? 0 : 1);
  x.columns = shape.back(transposed ? 1 : 0);
  return x;
}

struct Product {
  Operand a, b;
  Shape batch;  // of the result
  Shape shape;  // of the result
};

Product product_of(const Shape& a, const Shape& b, bool transpose_a, bool transpose_b) {
  Product p;
  p.a = operand(a, true, transpose_a);
  p.b = operand(b, false, transpose_b);
  if (p.a.columns != p.b.rows)
    throw user_error("the operands do not fit: {}{} times {}{} (inner extents {} and {})", a.text(),
                     transpose_a ? " transposed" : "", b.text(), transpose_b ? " transposed" : "", p.a.columns,
                     p.b.rows);
  p.batch = broadcast(p.a.batch, p.b.batch);
  std::vector<std::int64_t> extents = p.batch.extents();
  if (!p.a.vector) extents.push_back(p.a.rows);
  if (!p.b.vector) extents.push_back(p.b.columns);
  p.shape = Shape(std::move(extents));
  return p;
}

bool flag(const Attributes& attributes, std::string_view name) { return attributes.i(name, 0) != 0; }

// Both operators: MatMul simply has no attributes.
Product product_of(const Attributes& attributes, const Shape& a, const Shape& b) {
  return product_of(a, b, flag(attributes, "transA"), flag(attributes, "transB"));
}

void require_operands(InferContext& c) {
  require_inputs(c, 2);
  require_float(c, 0);
  require_same_dtype(c, 0, 1);
}

void infer_matmul(InferContext& c) {
  require_operands(c);
  if (flag(c.attributes(), "transBatchA") || flag(c.attributes(), "transBatchB"))
    throw user_error("transBatchA and transBatchB are not supported");
  c.set(0, c.dtype(0), product_of(c.attributes(), c.shape(0), c.shape(1)).shape);
}

// For each matrix of the result, which matrix of an operand with leading axes `from` it reads.
std::vector<std::int64_t> broadcast_indices(const Shape& from, const Shape& to) {
  std::vector<std::int64_t> indices(static_cast<std::size_t>(to.numel()), 0);
  const std::vector<std::int64_t> strides = from.strides();
  std::int64_t inner = 1;  // matrices of the result below the axis
  for (int axis = to.rank() - 1; axis >= 0; --axis) {
    const int source = axis - (to.rank() - from.rank());
    if (source >= 0 && from[source] != 1) {
      for (std::size_t i = 0; i < indices.size(); ++i)
        indices[i] += static_cast<std::int64_t>(i) / inner % to[axis] * strides[static_cast<std::size_t>(source)];
    }
    inner *= to[axis];
  }
  return indices;
}

// Stacks of matrices, in runs along which both operands advance evenly.
template <class T>
void stacked_products(ThreadPool& pool, const Product& p, const MatrixProduct& each, const T* a, const T* b, T* y) {
  const std::vector<std::int64_t> at_a = broadcast_indices(p.a.batch, p.batch),
                                  at_b = broadcast_indices(p.b.batch, p.batch);
  const std::int64_t size_a = each.m * each.k, size_b = each.k * each.n, size_y = each.m * each.n;
  const std::size_t count = at_a.size();
  for (std::size_t begin = 0; begin < count;) {
    std::size_t end = begin + 1;
    const std::int64_t step_a = end < count ? at_a[end] - at_a[begin] : 0,
                       step_b = end < count ? at_b[end] - at_b[begin] : 0;
    while (end < count && at_a[end] - at_a[end - 1] == step_a && at_b[end] - at_b[end - 1] == step_b) ++end;
    const Batch run{.count = static_cast<std::int64_t>(end - begin),
                    .stride_a = step_a * size_a,
                    .stride_b = step_b * size_b,
                    .stride_c = size_y};
    matrix_products(pool, each, run, a + at_a[begin] * size_a, b + at_b[begin] * size_b,
                    y + static_cast<std::int64_t>(begin) * size_y);
    begin = end;
  }
}

void forward_matmul(ForwardContext& c) {
  const Product p = product_of(c.attributes(), c.in(0).shape(), c.in(1).shape());
  MatrixProduct each{.m = p.a.rows,
                     .n = p.b.columns,
                     .k = p.a.columns,
                     .transpose_a = p.a.transposed,
                     .transpose_b = p.b.transposed,
                     .alpha = c.attributes().f("alpha", 1.0)};
  visit_stored_float(c.in(0).dtype(), [&]<class T>(T) {
    const T* a = c.in(0).data<T>();
    const T* b = c.in(1).data<T>();
    T* y = c.out(0).mutable_data<T>();
    if (p.b.batch.numel() == 1 && !p.a.transposed) {
      each.m *= p.batch.numel();  // one product over the rows of all matrices of A
      matrix_product(c.pool(), each, a, b, y);
    } else {
      stacked_products(c.pool(), p, each, a, b, y);
    }
  });
}

ValueId emit_product(GraphBuilder& b, ValueId left, bool transpose_left, ValueId right, bool transpose_right,
                     double alpha) {
  if (alpha == 1.0 && !transpose_left && !transpose_right) return b.op("MatMul", {left, right});
  return b.ops("com.microsoft", "FusedMatMul", {left, right},
               {{"transA", std::int64_t{transpose_left}}, {"transB", std::int64_t{transpose_right}}, {"alpha", alpha}},
               {""})[0];
}

// alpha op(A)^T G as the gradient of B, or its transpose if B enters transposed.
ValueId right_gradient(GraphBuilder& b, ValueId a, bool transpose_a, ValueId g, bool transpose_b, double alpha) {
  return transpose_b ? emit_product(b, g, true, a, transpose_a, alpha)
                     : emit_product(b, a, !transpose_a, g, false, alpha);
}

// alpha G op(B)^T as the gradient of A, or its transpose if A enters transposed.
ValueId left_gradient(GraphBuilder& b, ValueId g, ValueId right, bool transpose_b, bool transpose_a, double alpha) {
  return transpose_a ? emit_product(b, right, transpose_b, g, true, alpha)
                     : emit_product(b, g, false, right, !transpose_b, alpha);
}

void vjp_matmul(VjpContext& c) {
  GraphBuilder& b = c.builder();
  const Shape shape_a = c.shape(c.in(0)), shape_b = c.shape(c.in(1));
  const Product p = product_of(c.attributes(), shape_a, shape_b);
  const double alpha = c.attributes().f("alpha", 1.0);
  // Vectors as the matrices they stand for.
  const ValueId left = p.a.vector ? b.reshape(c.in(0), {1, p.a.columns}) : c.in(0);
  const ValueId right = p.b.vector ? b.reshape(c.in(1), {p.b.rows, 1}) : c.in(1);
  std::vector<std::int64_t> extents = p.batch.extents();
  extents.insert(extents.end(), {p.a.rows, p.b.columns});
  const ValueId g = b.reshape(c.cotangent(), Shape(extents));
  if (c.wants(0)) {
    const ValueId gradient = left_gradient(b, g, right, p.b.transposed, p.a.transposed, alpha);
    c.give(0, b.reshape(b.sum_to(gradient, b.shape(left)), shape_a));
  }
  if (c.wants(1)) {
    ValueId rows = left, row_gradients = g;
    if (p.b.batch.numel() == 1 && !p.a.transposed) {
      const std::int64_t count = p.batch.numel() * p.a.rows;
      rows = b.reshape(left, {count, p.a.columns});
      row_gradients = b.reshape(g, {count, p.b.columns});
    }
    const ValueId gradient = right_gradient(b, rows, p.a.transposed, row_gradients, p.b.transposed, alpha);
    const ValueId summed = b.shape(gradient).numel() == shape_b.numel() ? gradient : b.sum_to(gradient, b.shape(right));
    c.give(1, b.reshape(summed, shape_b));
  }
}

void infer_gemm(InferContext& c) {
  require_operands(c);
  if (c.shape(0).rank() != 2 || c.shape(1).rank() != 2)
    throw user_error("Gemm needs matrices, got shapes {} and {}", c.shape(0).text(), c.shape(1).text());
  const Shape shape = product_of(c.attributes(), c.shape(0), c.shape(1)).shape;
  if (c.has(2) && !(broadcast(c.shape(2), shape) == shape))
    throw user_error("input C of shape {} does not broadcast to {}", c.shape(2).text(), shape.text());
  c.set(0, c.dtype(0), shape);
}

// Y becomes C broadcast to [rows, columns].
template <class T>
void spread(ThreadPool& pool, const Tensor& from, std::int64_t rows, std::int64_t columns, T* y) {
  const Shape& shape = from.shape();
  const std::int64_t column_step = shape.rank() >= 1 && shape.back(0) != 1 ? 1 : 0;
  const std::int64_t row_step = shape.rank() == 2 && shape[0] != 1 ? shape[1] : 0;
  const T* source = from.data<T>();
  pool.parallel_for(rows, std::max<std::int64_t>(1, 16384 / std::max<std::int64_t>(columns, 1)),
                    [&](std::int64_t begin, std::int64_t end) {
                      for (std::int64_t i = begin; i < end; ++i)
                        for (std::int64_t j = 0; j < columns; ++j)
                          y[i * columns + j] = source[i * row_step + j * column_step];
                    });
}

void forward_gemm(ForwardContext& c) {
  const Product p = product_of(c.attributes(), c.in(0).shape(), c.in(1).shape());
  MatrixProduct shape{.m = p.a.rows,
                      .n = p.b.columns,
                      .k = p.a.columns,
                      .transpose_a = p.a.transposed,
                      .transpose_b = p.b.transposed,
                      .alpha = c.attributes().f("alpha", 1.0)};
  visit_stored_float(c.in(0).dtype(), [&]<class T>(T) {
    T* y = c.out(0).mutable_data<T>();
    if (c.has(2)) {
      shape.beta = c.attributes().f("beta", 1.0);
      spread(c.pool(), c.in(2), shape.m, shape.n, y);
    }
    matrix_product(c.pool(), shape, c.in(0).data<T>(), c.in(1).data<T>(), y);
  });
}

void vjp_gemm(VjpContext& c) {
  GraphBuilder& b = c.builder();
  const bool transpose_a = flag(c.attributes(), "transA"), transpose_b = flag(c.attributes(), "transB");
  const double alpha = c.attributes().f("alpha", 1.0), beta = c.attributes().f("beta", 1.0);
  const ValueId g = c.cotangent();
  if (c.wants(0)) c.give(0, left_gradient(b, g, c.in(1), transpose_b, transpose_a, alpha));
  if (c.wants(1)) c.give(1, right_gradient(b, c.in(0), transpose_a, g, transpose_b, alpha));
  if (c.wants(2)) {
    const Shape shape = c.shape(c.in(2));
    const ValueId summed = b.sum_to(g, shape);
    c.give(2, beta == 1.0 ? summed : b.mul(summed, beta));
  }
}

}  // namespace

std::vector<Op> linear_ops() {
  return {
      {.domain = "",
       .name = "MatMul",
       .infer = infer_matmul,
       .forward = forward_matmul,
       .vjp = vjp_matmul,
       .takes_half = true},
      {.domain = "com.microsoft",
       .name = "FusedMatMul",
       .infer = infer_matmul,
       .forward = forward_matmul,
       .vjp = vjp_matmul,
       .takes_half = true},
      {.domain = "",
       .name = "Gemm",
       .since = 7,
       .infer = infer_gemm,
       .forward = forward_gemm,
       .vjp = vjp_gemm,
       .takes_half = true},
  };
}

}  // namespace retune
