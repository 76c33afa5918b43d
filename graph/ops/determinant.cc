// Det (11): the determinant of the last two axes, by elimination with row exchanges. Its gradient is the matrix of
// cofactors (Jacobi's formula), which exists for singular matrices too: the private operator DetGrad(x, g) computes the
// row of each as determinants of what is left when a row and a column are taken out.
#include <cmath>
#include <vector>

#include "graph/graph_builder.h"
#include "graph/ops/families.h"
#include "graph/ops/kernel.h"

namespace retune {

namespace {

// Of m [n, n], which is used up. 1 for n = 0.
double determinant(std::vector<double>& m, std::int64_t n) {
  const auto at = [&](std::int64_t i, std::int64_t j) -> double& { return m[static_cast<std::size_t>(i * n + j)]; };
  double product = 1;
  for (std::int64_t k = 0; k < n; ++k) {
    std::int64_t pivot = k;
    for (std::int64_t i = k + 1; i < n; ++i)
      if (std::fabs(at(i, k)) > std::fabs(at(pivot, k))) pivot = i;
    if (at(pivot, k) == 0) return 0;
    if (pivot != k) {
      for (std::int64_t j = 0; j < n; ++j) std::swap(at(k, j), at(pivot, j));
      product = -product;
    }
    product *= at(k, k);
    for (std::int64_t i = k + 1; i < n; ++i) {
      const double factor = at(i, k) / at(k, k);
      for (std::int64_t j = k; j < n; ++j) at(i, j) -= factor * at(k, j);
    }
  }
  return product;
}

void infer_det(InferContext& c) {
  require_inputs(c, 1);
  require_float(c, 0);
  const Shape& x = c.shape(0);
  if (x.rank() < 2 || x.back(0) != x.back(1)) throw user_error("input must be [..., M, M], got {}", x.text());
  c.set(0, c.dtype(0), Shape(std::vector<std::int64_t>(x.begin(), x.end() - 2)));
}

void det_forward(ForwardContext& c) {
  const std::int64_t n = c.in(0).shape().back(), count = c.out_type(0).shape.numel();
  visit_float(c.in(0).dtype(), [&]<class T>(T) {
    const T* x = c.in(0).data<T>();
    T* y = c.out(0).mutable_data<T>();
    c.pool().parallel_for(count, 1, [&](std::int64_t i, std::int64_t) {
      std::vector<double> matrix(x + i * n * n, x + (i + 1) * n * n);
      y[i] = static_cast<T>(determinant(matrix, n));
    });
  });
}

void infer_det_grad(InferContext& c) { c.set(0, c.dtype(0), c.shape(0)); }

void det_grad_forward(ForwardContext& c) {
  const std::int64_t n = c.in(0).shape().back(), size = n * n;
  visit_float(c.in(0).dtype(), [&]<class T>(T) {
    const T *x = c.in(0).data<T>(), *g = c.in(1).data<T>();
    T* dx = c.out(0).mutable_data<T>();
    c.pool().parallel_for(c.in(0).numel(), 1, [&](std::int64_t i, std::int64_t) {
      const T* matrix = x + i / size * size;
      const std::int64_t row = i % size / n, column = i % n;
      std::vector<double> rest;
      for (std::int64_t r = 0; r < n; ++r)
        for (std::int64_t k = 0; k < n; ++k)
          if (r != row && k != column) rest.push_back(static_cast<double>(matrix[r * n + k]));
      const double cofactor = ((row + column) % 2 == 0 ? 1 : -1) * determinant(rest, n - 1);
      dx[i] = g[i / size] * static_cast<T>(cofactor);
    });
  });
}

void det_vjp(VjpContext& c) {
  if (c.wants(0)) c.give(0, c.builder().private_op("DetGrad", {c.in(0), c.cotangent()}));
}

}  // namespace

std::vector<Op> determinant_ops() {
  return {{.domain = "", .name = "Det", .since = 11, .infer = infer_det, .forward = det_forward, .vjp = det_vjp},
          {.domain = "retune",
           .name = "DetGrad",
           .infer = infer_det_grad,
           .forward = det_grad_forward,
           .no_vjp = kIsGradient}};
}

}  // namespace retune
