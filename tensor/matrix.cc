#include "tensor/matrix.h"

#include <cblas.h>

#include <algorithm>
#include <stdexcept>
#include <utility>

#include "tensor/error.h"
#include "tensor/linear_algebra.h"

namespace retune {

namespace {

void require(bool holds, const char* what, const Matrix& a, const Matrix& b) {
  if (!holds)
    throw std::logic_error(
        fmt::format("{} of matrices {} x {} and {} x {}", what, a.rows, a.columns, b.rows, b.columns));
}

}  // namespace

Matrix::Matrix(std::int64_t row_count, std::int64_t column_count)
    : rows(row_count), columns(column_count), values(static_cast<std::size_t>(row_count * column_count), 0.0) {}

Matrix::Matrix(std::int64_t row_count, std::int64_t column_count, std::vector<double> items)
    : rows(row_count), columns(column_count), values(std::move(items)) {
  if (values.size() != static_cast<std::size_t>(rows * columns))
    throw std::logic_error(fmt::format("{} values for a matrix of {} x {}", values.size(), rows, columns));
}

Matrix Matrix::identity(std::int64_t size) { return shifted(Matrix(size, size), 1.0); }

Tensor Matrix::f32() const {
  return Tensor::of<float>({rows, columns}, std::vector<float>(values.begin(), values.end()));
}

Matrix transpose(const Matrix& a) {
  Matrix result(a.columns, a.rows);
  for (std::int64_t i = 0; i < a.rows; ++i)
    for (std::int64_t j = 0; j < a.columns; ++j) result(j, i) = a(i, j);
  return result;
}

Matrix product(const Matrix& a, const Matrix& b) {
  require(a.columns == b.rows, "the product", a, b);
  Matrix result(a.rows, b.columns);
  if (result.values.empty() || a.columns == 0) return result;
  single_thread_blas();
  cblas_dgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, static_cast<blasint>(a.rows), static_cast<blasint>(b.columns),
              static_cast<blasint>(a.columns), 1.0, a.values.data(), static_cast<blasint>(a.columns), b.values.data(),
              static_cast<blasint>(b.columns), 0.0, result.values.data(), static_cast<blasint>(b.columns));
  return result;
}

Matrix sum(const Matrix& a, const Matrix& b) {
  require(a.rows == b.rows && a.columns == b.columns, "the sum", a, b);
  Matrix result = a;
  for (std::size_t i = 0; i < result.values.size(); ++i) result.values[i] += b.values[i];
  return result;
}

Matrix scaled(Matrix a, double factor) {
  for (double& item : a.values) item *= factor;
  return a;
}

Matrix shifted(Matrix a, double shift) {
  require(a.rows == a.columns, "a multiple of the identity added to the first", a, a);
  for (std::int64_t i = 0; i < a.rows; ++i) a(i, i) += shift;
  return a;
}

Matrix beside(const Matrix& a, const Matrix& b) {
  require(a.rows == b.rows, "the columns side by side", a, b);
  Matrix result(a.rows, a.columns + b.columns);
  for (std::int64_t i = 0; i < a.rows; ++i) {
    for (std::int64_t j = 0; j < a.columns; ++j) result(i, j) = a(i, j);
    for (std::int64_t j = 0; j < b.columns; ++j) result(i, a.columns + j) = b(i, j);
  }
  return result;
}

Matrix columns_of(const Matrix& a, std::int64_t begin, std::int64_t end) {
  if (begin < 0 || end < begin || end > a.columns)
    throw std::logic_error(fmt::format("columns {} to {} of a matrix of {}", begin, end, a.columns));
  Matrix result(a.rows, end - begin);
  for (std::int64_t i = 0; i < a.rows; ++i)
    for (std::int64_t j = begin; j < end; ++j) result(i, j - begin) = a(i, j);
  return result;
}

double trace(const Matrix& a) {
  double total = 0;
  for (std::int64_t i = 0; i < std::min(a.rows, a.columns); ++i) total += a(i, i);
  return total;
}

}  // namespace retune
