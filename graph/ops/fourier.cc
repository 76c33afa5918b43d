#include "graph/ops/fourier.h"

#include <algorithm>
#include <numbers>

namespace retune {

namespace {

// A factor p costs p^2 per butterfly; above this the chirp transform is faster.
constexpr std::int64_t kLargestFactor = 61;

std::vector<std::int64_t> prime_factors(std::int64_t n) {
  std::vector<std::int64_t> factors;
  for (std::int64_t p = 2; p * p <= n; ++p) {
    while (n % p == 0) {
      factors.push_back(p);
      n /= p;
    }
  }
  if (n > 1) factors.push_back(n);
  return factors;
}

// e^(pi i k / n) for 0 <= k < 2 n.
std::complex<double> half_root(std::int64_t k, std::int64_t n) {
  return std::polar(1.0, std::numbers::pi * static_cast<double>(k) / static_cast<double>(n));
}

// Without the checks for infinities that the operator makes.
template <class T>
std::complex<T> times(std::complex<T> a, std::complex<T> b) {
  return {a.real() * b.real() - a.imag() * b.imag(), a.real() * b.imag() + a.imag() * b.real()};
}

}  // namespace

// Bluestein 1970: k t = (k^2 + t^2 - (k - t)^2) / 2 makes the transform a convolution with a chirp, done in double by
// transforms of a power of two.
template <class T>
struct Fourier<T>::Chirp {
  using Wide = std::complex<double>;

  explicit Chirp(std::int64_t n) {
    std::int64_t length = 1;
    while (length < 2 * n - 1) length *= 2;
    transform = std::make_unique<Fourier<double>>(length);
    spectrum.resize(static_cast<std::size_t>(length));
    for (std::int64_t k = 0; k < n; ++k) {
      // k^2 modulo 2 n; n is below 2^31.
      wave.push_back(half_root(k * k % (2 * n), n));
      spectrum[static_cast<std::size_t>(k)] = std::conj(wave.back());
      if (k > 0) spectrum[static_cast<std::size_t>(length - k)] = std::conj(wave.back());
    }
    std::vector<Wide> scratch(spectrum.size());
    transform->backward(spectrum.data(), scratch.data());
  }

  void run(Complex* x, int sign) const {
    std::vector<Wide> padded(spectrum.size()), scratch(spectrum.size());
    const auto turned = [sign](Wide z) { return sign < 0 ? std::conj(z) : z; };
    for (std::size_t t = 0; t < wave.size(); ++t) padded[t] = times(turned(Wide(x[t])), wave[t]);
    transform->backward(padded.data(), scratch.data());
    for (std::size_t k = 0; k < padded.size(); ++k) padded[k] = times(padded[k], spectrum[k]);
    transform->forward(padded.data(), scratch.data());
    const auto length = static_cast<double>(padded.size());
    for (std::size_t k = 0; k < wave.size(); ++k) x[k] = Complex(turned(times(padded[k], wave[k]) / length));
  }

  std::vector<Wide> wave, spectrum;
  std::unique_ptr<Fourier<double>> transform;
};

template <class T>
Fourier<T>::Fourier(std::int64_t n) : n_(n), factors_(prime_factors(n)) {
  if (!factors_.empty() && factors_.back() > kLargestFactor) {
    chirp_ = std::make_unique<const Chirp>(n);
    return;
  }
  roots_.reserve(static_cast<std::size_t>(n));
  for (std::int64_t k = 0; k < n; ++k) roots_.push_back(Complex(half_root(2 * k, n)));
}

template <class T>
Fourier<T>::~Fourier() = default;

template <class T>
std::complex<T> Fourier<T>::root(std::int64_t k, int sign) const {
  const Complex root = roots_[static_cast<std::size_t>(k % n_)];
  return sign < 0 ? std::conj(root) : root;
}

// Decimation in frequency, in the self-sorting form of Stockham (Cochran et al. 1967): `done` transforms stand side by
// side, and each becomes p of the p-th part of its length. An odd p is taken in pairs of conjugate roots, so that c_j +
// c_{p-j} and c_j - c_{p-j} are formed once.
template <class T>
void Fourier<T>::stage(std::int64_t p, std::int64_t done, const Complex* from, Complex* to, int sign) const {
  const std::int64_t part = n_ / (p * done), half = (p - 1) / 2;
  Complex sums[kLargestFactor], differences[kLargestFactor];
  for (std::int64_t k = 0; k < done; ++k) {
    for (std::int64_t i = 0; i < part; ++i) {
      const Complex* in = from + i + part * p * k;
      const auto put = [&](std::int64_t u, Complex value) {
        to[i + part * (k + done * u)] = i == 0 ? value : times(value, root(u * i * done, sign));
      };
      if (p == 2) {
        put(0, in[0] + in[part]);
        put(1, in[0] - in[part]);
        continue;
      }
      Complex all = in[0];
      for (std::int64_t j = 1; j <= half; ++j) {
        sums[j] = in[part * j] + in[part * (p - j)];
        differences[j] = in[part * j] - in[part * (p - j)];
        all += sums[j];
      }
      put(0, all);
      for (std::int64_t u = 1; u <= half; ++u) {
        Complex even = in[0], odd{};
        for (std::int64_t j = 1; j <= half; ++j) {
          const Complex turn = root(u * j % p * (n_ / p), sign);
          even += turn.real() * sums[j];
          odd += turn.imag() * differences[j];
        }
        put(u, {even.real() - odd.imag(), even.imag() + odd.real()});
        put(p - u, {even.real() + odd.imag(), even.imag() - odd.real()});
      }
    }
  }
}

template <class T>
void Fourier<T>::run(Complex* x, Complex* scratch, int sign) const {
  if (chirp_) return chirp_->run(x, sign);
  Complex *from = x, *to = scratch;
  std::int64_t done = 1;
  for (const std::int64_t p : factors_) {
    stage(p, done, from, to, sign);
    done *= p;
    std::swap(from, to);
  }
  if (from != x) std::copy_n(from, n_, x);
}

template class Fourier<float>;
template class Fourier<double>;

}  // namespace retune
