// General matrix products on the thread pool: C = alpha * op(A) op(B) + beta * C, row-major. OpenBLAS and oneDNN run
// single-threaded inside tiles that are cut by shape alone, so the bits do not depend on the number of threads.
#pragma once

#include <cstdint>

#include "tensor/dtype.h"
#include "tensor/thread_pool.h"

namespace retune {

struct MatrixProduct {
  std::int64_t m = 0, n = 0, k = 0;
  bool transpose_a = false, transpose_b = false;  // A is stored [k, m], B is stored [n, k]
  std::int64_t lda = 0, ldb = 0, ldc = 0;         // elements between rows as stored; 0: dense
  double alpha = 1.0, beta = 0.0;
};

// T is float, double, F16 or BF16; 16-bit products are summed in f32 and rounded once.
template <class T>
void matrix_product(ThreadPool& pool, const MatrixProduct& shape, const T* a, const T* b, T* c);

// `count` independent products; strides in elements between successive matrices (0: the same matrix each time).
struct Batch {
  std::int64_t count = 1;
  std::int64_t stride_a = 0, stride_b = 0, stride_c = 0;
};
template <class T>
void matrix_products(ThreadPool& pool, const MatrixProduct& shape, const Batch& batch, const T* a, const T* b, T* c);

}  // namespace retune
