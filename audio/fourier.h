// The discrete Fourier transform of lengths with small prime factors, for several signals at once.
#pragma once

#include <cstddef>
#include <vector>

namespace retune {

// X[k] = sum over n of x[n] exp(-2 pi i k n / N), f64, by the mixed-radix recursion of Cooley and Tukey (1965). kLanes
// signals are transformed together: element n of signal l lies at [n * kLanes + l], so that every butterfly is a vector
// operation.
class Fourier {
 public:
  static constexpr int kLanes = 8;
  static constexpr int kMaxPrime = 31;

  // True if `length` is positive and has no prime factor above kMaxPrime.
  static bool supports(int length);
  // User error for a length that is not supported.
  explicit Fourier(int length);

  int length() const { return length_; }
  // Each pointer holds length() * kLanes values; inputs and outputs must not overlap.
  void transform(const double* re, const double* im, double* out_re, double* out_im) const;

 private:
  void transform_part(std::size_t factor, int n, int stride, const double* re, const double* im, double* out_re,
                      double* out_im) const;
  void butterflies(int radix, int n, double* re, double* im) const;

  int length_;
  std::vector<int> factors_;  // product = length_, outermost first
  std::vector<double> cos_;   // cos(2 pi j / N)
  std::vector<double> sin_;   // -sin(2 pi j / N)
};

}  // namespace retune
