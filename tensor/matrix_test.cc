#include "tensor/matrix.h"

#include <gtest/gtest.h>

#include <stdexcept>

namespace retune {
namespace {

Matrix a() { return {2, 3, {1, 2, 3, 4, 5, 6}}; }

TEST(Matrix, MultipliesAsByHand) {
  const Matrix b(3, 2, {1, 0, 0, 1, 2, 2});
  EXPECT_EQ(product(a(), b).values, (std::vector<double>{7, 8, 16, 17}));
  EXPECT_EQ(product(transpose(a()), a())(2, 0), 1 * 3 + 4 * 6);
  EXPECT_EQ(product(Matrix(2, 0), Matrix(0, 2)).values, (std::vector<double>{0, 0, 0, 0}));
}

TEST(Matrix, AddsScalesShiftsAndCuts) {
  EXPECT_EQ(sum(a(), scaled(a(), -1)).values, std::vector<double>(6, 0.0));
  EXPECT_EQ(shifted(Matrix(2, 2, {1, 2, 3, 4}), 10).values, (std::vector<double>{11, 2, 3, 14}));
  EXPECT_EQ(Matrix::identity(2).values, (std::vector<double>{1, 0, 0, 1}));
  EXPECT_EQ(beside(a(), Matrix(2, 1, {7, 8})).values, (std::vector<double>{1, 2, 3, 7, 4, 5, 6, 8}));
  EXPECT_EQ(columns_of(a(), 1, 3).values, (std::vector<double>{2, 3, 5, 6}));
  EXPECT_EQ(trace(Matrix(2, 2, {1, 2, 3, 4})), 5);
  EXPECT_EQ(a().f32().shape(), (Shape{2, 3}));
}

TEST(Matrix, RefusesExtentsThatDoNotFit) {
  EXPECT_THROW(product(a(), a()), std::logic_error);
  EXPECT_THROW(sum(a(), transpose(a())), std::logic_error);
  EXPECT_THROW(shifted(a(), 1), std::logic_error);
  EXPECT_THROW(columns_of(a(), 1, 4), std::logic_error);
  EXPECT_THROW(Matrix(2, 2, {1}), std::logic_error);
}

}  // namespace
}  // namespace retune
