// Matrix products of 16-bit floats with sums in f32, rounded once.
#pragma once

#include "graph/matrix_product.h"

namespace retune {

// As matrix_products, with all strides given. T is F16 or BF16. bf16 goes to oneDNN's kernel where the CPU has bf16
// products (AVX-512 BF16, AMX); elsewhere, and for f16, panels of B are widened and multiplied in f32, so that no copy
// of a whole weight is ever made.
template <class T>
void half_products(ThreadPool& pool, const MatrixProduct& shape, const Batch& batch, const T* a, const T* b, T* c);

}  // namespace retune
