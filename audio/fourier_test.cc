#include "audio/fourier.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <complex>
#include <numbers>
#include <vector>

#include "tensor/error.h"
#include "tensor/rng.h"

namespace retune {
namespace {

TEST(Fourier, EqualsTheDefiningSum) {
  for (int n : {1, 2, 3, 4, 5, 8, 12, 30, 31, 62, 400, 512, 945}) {
    Rng rng = Rng(7).fork("signal", static_cast<std::uint64_t>(n));
    const std::size_t size = static_cast<std::size_t>(n) * Fourier::kLanes;
    std::vector<double> re(size), im(size), out_re(size), out_im(size);
    for (std::size_t i = 0; i < size; ++i) {
      re[i] = rng.normal();
      im[i] = rng.normal();
    }
    Fourier(n).transform(re.data(), im.data(), out_re.data(), out_im.data());
    for (int lane : {0, Fourier::kLanes - 1}) {
      for (int k = 0; k < n; ++k) {
        std::complex<double> sum = 0;
        for (int t = 0; t < n; ++t) {
          const std::size_t at = static_cast<std::size_t>(t * Fourier::kLanes + lane);
          const double angle = -2.0 * std::numbers::pi * (static_cast<long long>(k) * t % n) / n;
          sum += std::complex<double>(re[at], im[at]) * std::polar(1.0, angle);
        }
        const std::size_t at = static_cast<std::size_t>(k * Fourier::kLanes + lane);
        ASSERT_NEAR(out_re[at], sum.real(), 1e-11) << n << " " << k;
        ASSERT_NEAR(out_im[at], sum.imag(), 1e-11) << n << " " << k;
      }
    }
  }
}

TEST(Fourier, RefusesLengthsWithLargePrimeFactors) {
  EXPECT_TRUE(Fourier::supports(16384));
  for (int n : {-4, 0, 37, 2 * 37, 16381}) {
    EXPECT_FALSE(Fourier::supports(n)) << n;
    EXPECT_THROW(Fourier{n}, Error) << n;
  }
}

}  // namespace
}  // namespace retune
