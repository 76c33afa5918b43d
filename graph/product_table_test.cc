#include "graph/product_table.h"

#include <gtest/gtest.h>

#include <limits>

namespace retune {
namespace {

TEST(ProductTable, EveryShapeHasALibrary) {
  for (const std::int64_t m : {1L, 8L, 31L, 768L, 100'000L})
    for (const std::int64_t n : {1L, 40L, std::numeric_limits<std::int64_t>::max()})
      for (const std::int64_t k : {0L, 5L, 512L, 1L << 40})
        for (const bool a : {false, true})
          for (const bool b : {false, true}) {
            const char library = faster_library({m, n, k, a, b});
            EXPECT_TRUE(library == kOneDnn || library == kOpenBlas) << m << " " << n << " " << k;
          }
}

TEST(ProductTable, LargeProductsGoWhereAllLargeOnesOfTheTableGo) {
  if (!__builtin_cpu_supports("avx2")) GTEST_SKIP() << "the table has no entry for this CPU";
  EXPECT_EQ(faster_library({256, 256, 768, false, false}), kOneDnn);
  EXPECT_EQ(faster_library({256, 256, 768, true, false}), kOneDnn);
}

}  // namespace
}  // namespace retune
