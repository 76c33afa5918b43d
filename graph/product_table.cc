#include "graph/product_table.h"

#include <cblas.h>

#include <string_view>

namespace retune {

namespace {

struct Entry {
  std::string_view instruction_set;
  std::string_view libraries;  // a letter a shape: transpose_a, transpose_b, m, n, k, the last the fastest to change
};

constexpr Entry kTable[] = {
#include "graph/product_table.inc"
};

std::string_view libraries_of(std::string_view instruction_set) {
  for (const Entry& entry : kTable)
    if (entry.instruction_set == instruction_set) return entry.libraries;
  return {};
}

std::string_view libraries_here() {
  if (!__builtin_cpu_supports("avx2")) return {};
  if (!__builtin_cpu_supports("avx512f") || !__builtin_cpu_supports("avx512bw")) return libraries_of("avx2");
  // OPENBLAS_CORETYPE may keep OpenBLAS from what the CPU has.
  const std::string_view kernels = openblas_get_corename();
  return libraries_of(kernels == "Haswell" || kernels == "Zen" ? "avx512 with OpenBLAS for avx2" : "avx512");
}

std::size_t nearest(std::int64_t extent) {
  const auto square = static_cast<double>(extent) * static_cast<double>(extent);
  std::size_t index = 0;
  while (index + 1 < kProductExtents.size() &&
         square > static_cast<double>(kProductExtents[index] * kProductExtents[index + 1]))
    ++index;
  return index;
}

}  // namespace

char faster_library(const ProductShape& s) {
  static const std::string_view libraries = libraries_here();
  constexpr std::size_t kCount = kProductExtents.size();
  std::size_t index = (s.transpose_a ? 2 : 0) + (s.transpose_b ? 1 : 0);
  for (const std::int64_t extent : {s.m, s.n, s.k}) index = index * kCount + nearest(extent);
  return index < libraries.size() ? libraries[index] : kOpenBlas;
}

}  // namespace retune
