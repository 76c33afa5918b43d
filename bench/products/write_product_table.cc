// Measures which library multiplies matrices faster on one core, shape by shape, and prints graph/product_table.inc's
// entry for this CPU's instruction set. CPU time of the thread counts, so a busy machine does not decide.
//
//   write_product_table avx512
//   OPENBLAS_CORETYPE=Haswell write_product_table "avx512 with OpenBLAS for avx2"
//   DNNL_MAX_CPU_ISA=AVX2 OPENBLAS_CORETYPE=Haswell write_product_table avx2
#include <cblas.h>
#include <oneapi/dnnl/dnnl.h>
#include <time.h>

#include <algorithm>
#include <cstdio>
#include <vector>

#include "graph/one_dnn.h"
#include "graph/product_table.h"

namespace {

using namespace retune;

double cpu_seconds() {
  timespec now;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

constexpr int kRounds = 5;
constexpr double kRoundWork = 2e8;  // floating-point operations

struct Operands {
  std::vector<float> a, b, c;
};

template <class F>
double fastest(double work, F&& product) {
  const int calls = std::max(1, static_cast<int>(kRoundWork / work));
  product();
  double best = 1e30;
  for (int round = 0; round < kRounds; ++round) {
    const double start = cpu_seconds();
    for (int i = 0; i < calls; ++i) product();
    best = std::min(best, (cpu_seconds() - start) / calls);
  }
  return best;
}

// The letter of the library that is faster by more than the noise; oneDNN else.
char faster(const ProductShape& s, Operands& x) {
  const int m = static_cast<int>(s.m), n = static_cast<int>(s.n), k = static_cast<int>(s.k);
  const int lda = s.transpose_a ? m : k, ldb = s.transpose_b ? k : n;
  const double work = 2.0 * m * n * k;
  const double one_dnn = fastest(work, [&] {
    dnnl_sgemm(s.transpose_a ? 'T' : 'N', s.transpose_b ? 'T' : 'N', m, n, k, 1, x.a.data(), lda, x.b.data(), ldb, 0,
               x.c.data(), n);
  });
  const double open_blas = fastest(work, [&] {
    cblas_sgemm(CblasRowMajor, s.transpose_a ? CblasTrans : CblasNoTrans, s.transpose_b ? CblasTrans : CblasNoTrans, m,
                n, k, 1, x.a.data(), lda, x.b.data(), ldb, 0, x.c.data(), n);
  });
  return open_blas < 0.97 * one_dnn ? kOpenBlas : kOneDnn;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: write_product_table INSTRUCTION_SET\n");
    return 2;
  }
  omp_set_num_threads(1);
  openblas_set_num_threads(1);
  const auto longest = static_cast<std::size_t>(kProductExtents.back() * kProductExtents.back());
  Operands operands{std::vector<float>(longest, 0.5f), std::vector<float>(longest, 0.25f), std::vector<float>(longest)};
  std::printf("{\"%s\",", argv[1]);
  for (const bool transpose_a : {false, true})
    for (const bool transpose_b : {false, true})
      for (const std::int64_t m : kProductExtents) {
        std::printf("\n \"");
        for (const std::int64_t n : kProductExtents)
          for (const std::int64_t k : kProductExtents)
            std::printf("%c", faster({m, n, k, transpose_a, transpose_b}, operands));
        std::printf("\"");
      }
  std::printf("},\n");
  return 0;
}
