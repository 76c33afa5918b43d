#include "audio/fourier.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <numbers>

#include "tensor/error.h"

namespace retune {

namespace {

// The factors of n that the recursion peels off, 4 before 2 because it needs the fewest products; empty if a prime is
// too large.
std::vector<int> radices(int n) {
  std::vector<int> result;
  for (int radix : {4, 2}) {
    for (; n % radix == 0; n /= radix) result.push_back(radix);
  }
  for (int radix = 3; radix <= Fourier::kMaxPrime; radix += 2) {
    for (; n % radix == 0; n /= radix) result.push_back(radix);
  }
  if (n != 1) result.clear();
  return result;
}

}  // namespace

bool Fourier::supports(int length) { return length == 1 || (length > 1 && !radices(length).empty()); }

Fourier::Fourier(int length) : length_(length) {
  if (!supports(length)) {
    throw user_error("Fourier transform: length {}: expected a positive number without a prime factor above {}", length,
                     kMaxPrime);
  }
  factors_ = radices(length);
  for (int j = 0; j < length; ++j) {
    const double angle = 2.0 * std::numbers::pi * j / length;
    cos_.push_back(std::cos(angle));
    sin_.push_back(-std::sin(angle));
  }
}

void Fourier::transform(const double* re, const double* im, double* out_re, double* out_im) const {
  transform_part(0, length_, 1, re, im, out_re, out_im);
}

void Fourier::transform_part(std::size_t factor, int n, int stride, const double* re, const double* im, double* out_re,
                             double* out_im) const {
  if (n == 1) {
    std::copy_n(re, kLanes, out_re);
    std::copy_n(im, kLanes, out_im);
    return;
  }
  const int radix = factors_[factor];
  const int part = n / radix;
  for (int r = 0; r < radix; ++r) {
    const std::ptrdiff_t in = std::ptrdiff_t{r} * stride * kLanes;
    const std::ptrdiff_t out = std::ptrdiff_t{r} * part * kLanes;
    transform_part(factor + 1, part, stride * radix, re + in, im + in, out_re + out, out_im + out);
  }
  butterflies(radix, n, out_re, out_im);
}

// Joins `radix` transforms of length n / radix, lying one after the other, into one of length n:
// X[k + q m] = sum over r of w_n^(r k) w_radix^(r q) Y_r[k], with m = n / radix.
void Fourier::butterflies(int radix, int n, double* re, double* im) const {
  const int part = n / radix;
  const int step = length_ / n;            // w_n^j is entry j * step of the tables
  const int radix_step = length_ / radix;  // w_radix^j is entry j * radix_step
  std::array<double, kMaxPrime * kLanes> turned_re;
  std::array<double, kMaxPrime * kLanes> turned_im;
  for (int k = 0; k < part; ++k) {
    for (int r = 0; r < radix; ++r) {
      const double c = cos_[static_cast<std::size_t>(r * k * step)];
      const double s = sin_[static_cast<std::size_t>(r * k * step)];
      const double* x_re = re + std::ptrdiff_t{r * part + k} * kLanes;
      const double* x_im = im + std::ptrdiff_t{r * part + k} * kLanes;
      for (int lane = 0; lane < kLanes; ++lane) {
        turned_re[static_cast<std::size_t>(r * kLanes + lane)] = x_re[lane] * c - x_im[lane] * s;
        turned_im[static_cast<std::size_t>(r * kLanes + lane)] = x_re[lane] * s + x_im[lane] * c;
      }
    }
    for (int q = 0; q < radix; ++q) {
      std::array<double, kLanes> sum_re{};
      std::array<double, kLanes> sum_im{};
      for (int r = 0; r < radix; ++r) {
        const double c = cos_[static_cast<std::size_t>(r * q % radix * radix_step)];
        const double s = sin_[static_cast<std::size_t>(r * q % radix * radix_step)];
        const double* x_re = turned_re.data() + r * kLanes;
        const double* x_im = turned_im.data() + r * kLanes;
        for (std::size_t lane = 0; lane < kLanes; ++lane) {
          sum_re[lane] += x_re[lane] * c - x_im[lane] * s;
          sum_im[lane] += x_re[lane] * s + x_im[lane] * c;
        }
      }
      std::copy_n(sum_re.data(), kLanes, re + std::ptrdiff_t{q * part + k} * kLanes);
      std::copy_n(sum_im.data(), kLanes, im + std::ptrdiff_t{q * part + k} * kLanes);
    }
  }
}

}  // namespace retune
