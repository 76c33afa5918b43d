#include "tensor/half.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <vector>

namespace retune {
namespace {

template <class Half>
std::vector<Half> every_value() {
  std::vector<Half> values;
  for (std::uint32_t bits = 0; bits < 65536; ++bits) values.push_back({static_cast<std::uint16_t>(bits)});
  return values;
}

template <class Half>
void expect_scalar_conversions() {
  const std::vector<Half> halves = every_value<Half>();
  std::vector<float> wide(halves.size());
  widen(halves.data(), wide.data(), static_cast<std::int64_t>(wide.size()));
  // Halfway cases and their neighbours too: ties go to even.
  std::vector<float> between;
  for (std::size_t i = 0; i < halves.size(); ++i) {
    const float one = halves[i].to_float();
    if (std::isnan(one)) {
      EXPECT_TRUE(std::isnan(wide[i]));
      continue;
    }
    ASSERT_EQ(std::bit_cast<std::uint32_t>(wide[i]), std::bit_cast<std::uint32_t>(one)) << i;
    const float next = Half{static_cast<std::uint16_t>(halves[i].bits + 1)}.to_float();
    if (!std::isfinite(one) || !std::isfinite(next)) continue;
    const float middle = one + (next - one) / 2;
    for (const float value : {one, middle, std::nextafter(middle, one), std::nextafter(middle, next)})
      between.push_back(value);
  }
  between.insert(between.end(), {INFINITY, -INFINITY, 65519.0F, 65520.0F, 1e30F, 3.3e38F, 1e-45F});
  std::vector<Half> narrowed(between.size());
  narrow(between.data(), narrowed.data(), static_cast<std::int64_t>(between.size()));
  for (std::size_t i = 0; i < between.size(); ++i)
    ASSERT_EQ(narrowed[i].bits, Half::from(between[i]).bits) << between[i];
}

TEST(Half, BulkConversionsOfF16AreTheScalarOnes) { expect_scalar_conversions<F16>(); }
TEST(Half, BulkConversionsOfBF16AreTheScalarOnes) { expect_scalar_conversions<BF16>(); }

TEST(Half, NaNStaysNaN) {
  const std::vector<float> values(11, NAN);
  std::vector<F16> f16(values.size());
  std::vector<BF16> bf16(values.size());
  narrow(values.data(), f16.data(), 11);
  narrow(values.data(), bf16.data(), 11);
  for (std::size_t i = 0; i < values.size(); ++i) {
    EXPECT_TRUE(std::isnan(f16[i].to_float()));
    EXPECT_TRUE(std::isnan(bf16[i].to_float()));
  }
}

}  // namespace
}  // namespace retune
