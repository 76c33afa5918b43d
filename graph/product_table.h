// Which library multiplies a tile of f32 matrices, by instruction set and shape: a table that
// bench/products/write_product_table.cc measured, never a measurement at run time, so that the same product has the
// same bits every time.
#pragma once

#include <array>
#include <cstdint>

namespace retune {

struct ProductShape {
  std::int64_t m = 0, n = 0, k = 0;
  bool transpose_a = false, transpose_b = false;
};

inline constexpr char kOneDnn = 'd', kOpenBlas = 'o';
// What the table knows; a shape is that of the nearest extents in ratio.
inline constexpr std::array<std::int64_t, 5> kProductExtents = {8, 32, 96, 256, 768};

// kOneDnn or kOpenBlas for this process's CPU. OpenBLAS where the CPU has no instruction set of the table.
char faster_library(const ProductShape& shape);

}  // namespace retune
