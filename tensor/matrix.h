// Matrices of closed-form solves, f64 and row-major. Products run on one thread: their bits depend on nothing else.
//
//   Matrix y = product(a, b);              // A B
//   Matrix gram = product(transpose(a), a);
#pragma once

#include <cstdint>
#include <vector>

#include "tensor/tensor.h"

namespace retune {

struct Matrix {
  Matrix() = default;
  Matrix(std::int64_t row_count, std::int64_t column_count);                             // zeros
  Matrix(std::int64_t row_count, std::int64_t column_count, std::vector<double> items);  // std::logic_error if no fit
  static Matrix identity(std::int64_t size);

  double& operator()(std::int64_t row, std::int64_t column) {
    return values[static_cast<std::size_t>(row * columns + column)];
  }
  double operator()(std::int64_t row, std::int64_t column) const {
    return values[static_cast<std::size_t>(row * columns + column)];
  }
  // Rounded to f32, [rows, columns].
  Tensor f32() const;

  std::int64_t rows = 0, columns = 0;
  std::vector<double> values;
};

Matrix transpose(const Matrix& a);
// A B. std::logic_error if the extents do not fit, as in the others.
Matrix product(const Matrix& a, const Matrix& b);
Matrix sum(const Matrix& a, const Matrix& b);
Matrix scaled(Matrix a, double factor);
// A + shift I of a square matrix.
Matrix shifted(Matrix a, double shift);
// [A, B] of as many rows.
Matrix beside(const Matrix& a, const Matrix& b);
// Columns [begin, end).
Matrix columns_of(const Matrix& a, std::int64_t begin, std::int64_t end);
double trace(const Matrix& a);

}  // namespace retune
