// The discrete Fourier transform of one line of complex numbers, of any length, in O(n log n).
//
//   const Fourier<float> transform(400);
//   transform.forward(x, scratch);      // x_k = sum_t x_t e^(-2 pi i k t / n), in place
#pragma once

#include <complex>
#include <cstdint>
#include <memory>
#include <vector>

namespace retune {

// T is float or double.
template <class T>
class Fourier {
 public:
  using Complex = std::complex<T>;

  // n of 1 or more.
  explicit Fourier(std::int64_t n);
  ~Fourier();

  // Both in place; x and scratch hold n numbers each.
  void forward(Complex* x, Complex* scratch) const { run(x, scratch, -1); }
  // The conjugate transform without its factor: x_t = sum_k x_k e^(+2 pi i k t / n).
  void backward(Complex* x, Complex* scratch) const { run(x, scratch, 1); }

 private:
  struct Chirp;
  void run(Complex* x, Complex* scratch, int sign) const;
  void stage(std::int64_t p, std::int64_t done, const Complex* from, Complex* to, int sign) const;
  Complex root(std::int64_t k, int sign) const;

  std::int64_t n_;
  std::vector<std::int64_t> factors_;   // primes, ascending
  std::vector<Complex> roots_;          // e^(2 pi i k / n)
  std::unique_ptr<const Chirp> chirp_;  // where n has a large prime factor
};

extern template class Fourier<float>;
extern template class Fourier<double>;

}  // namespace retune
