// Products of a few rows with a large matrix, y[r] = alpha x[r] op(B) + beta y[r]: decoding a token is made of them.
// They cost the time of reading B once, so B is streamed in the type it is stored in and nothing is copied.
#pragma once

#include <cstdint>

#include "graph/matrix_product.h"

namespace retune {

// Whether row_products() does it: a row or column vector, or so few rows that packing B would cost more than it brings.
bool is_narrow(const MatrixProduct& shape);

// As matrix_products, for narrow shapes with all strides given. T is float, double, F16 or BF16; sums of 16-bit
// elements are taken in f32 and rounded once. A sum's order depends on the shape alone.
template <class T>
void row_products(ThreadPool& pool, const MatrixProduct& shape, const Batch& batch, const T* a, const T* b, T* c);

}  // namespace retune
