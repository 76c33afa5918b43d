// exp, tanh, erf and the logistic function as straight-line code that compilers turn into vector instructions.
//
// In f32 they are polynomials on reduced arguments, within 2 units in the last place of the true value
// (vector_math_test.cc); in f64 they are the standard library's. Every operation is rounded as IEEE says and none is
// reordered, so an element has the same bits in a vector, in the tail of a loop and on any thread.
//
// The coefficients are weighted minimax fits (Lawson's iteration on 400 Chebyshev nodes), rounded to f32.
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>
#include <numbers>

namespace retune::vector_math {

inline double exp(double x) { return std::exp(x); }
inline double tanh(double x) { return std::tanh(x); }
inline double erf(double x) { return std::erf(x); }
inline double sigmoid(double x) { return 1.0 / (1.0 + std::exp(-x)); }

// exp(x) = 2^n exp(r) with n = round(x / ln 2) and |r| <= ln(2) / 2. Overflow gives infinity, underflow subnormals and
// then 0.
inline float exp(float x) {
  x = x < -104.0f ? -104.0f : x;
  x = x > 89.0f ? 89.0f : x;
  // Adding 1.5 * 2^23 leaves the rounded integer in the low bits.
  constexpr float kShift = 12582912.0f;
  const float shifted = std::fma(x, std::numbers::log2e_v<float>, kShift);
  const float n = shifted - kShift;
  // ln 2 in two parts, the first exact for every n in range.
  float r = std::fma(n, -0.693145751953125f, x);
  r = std::fma(n, -1.42860682030941723212e-6f, r);
  float p = 1.991898316e-04f;
  p = std::fma(p, r, 1.394653460e-03f);
  p = std::fma(p, r, 8.333262987e-03f);
  p = std::fma(p, r, 4.166626185e-02f);
  p = std::fma(p, r, 1.666666716e-01f);
  p = std::fma(p, r, 5.000000000e-01f);
  p = std::fma(p, r * r, r) + 1.0f;
  // 2^n as a product of two powers, since n = 128 and n < -126 have none of their own. Unsigned: NaN brings any bits
  // here.
  const std::uint32_t exponent = std::bit_cast<std::uint32_t>(shifted) - std::bit_cast<std::uint32_t>(kShift);
  const std::uint32_t half = static_cast<std::uint32_t>(static_cast<std::int32_t>(exponent) >> 1);
  const float first = std::bit_cast<float>((half + 127u) << 23);
  const float second = std::bit_cast<float>((exponent - half + 127u) << 23);
  return p * first * second;
}

inline float sigmoid(float x) { return 1.0f / (1.0f + exp(-x)); }

// x + x^3 P(x^2) near 0, and 1 - 2 / (exp(2|x|) + 1) with the sign of x elsewhere.
inline float tanh(float x) {
  const float magnitude = std::fabs(x);
  const float s = x * x;
  float p = 2.122745616e-03f;
  p = std::fma(p, s, -8.156280033e-03f);
  p = std::fma(p, s, 2.169260755e-02f);
  p = std::fma(p, s, -5.394537747e-02f);
  p = std::fma(p, s, 1.333319545e-01f);
  p = std::fma(p, s, -3.333333135e-01f);
  const float near = std::fma(p * s, x, x);
  const float far = std::copysign(1.0f - 2.0f / (exp(2.0f * magnitude) + 1.0f), x);
  return magnitude < 0.6f ? near : far;
}

// erfc(t) for t >= 0 as exp(-t - t Q(t)), where Q fits -log(erfc(t)) / t - 1 on [0, 3.93] to 2e-9 in erfc. Beyond that
// erfc is less than half a unit in the last place of 1 and taken as 0.
inline float erfc_of_positive(float t) {
  float q = -8.043830348e-06f;
  q = std::fma(q, t, 1.060267168e-04f);
  q = std::fma(q, t, -5.879509263e-04f);
  q = std::fma(q, t, 1.576760551e-03f);
  q = std::fma(q, t, -5.878192314e-05f);
  q = std::fma(q, t, -1.921714284e-02f);
  q = std::fma(q, t, 1.027992070e-01f);
  q = std::fma(q, t, 6.366161108e-01f);
  q = std::fma(q, t, 1.283793300e-01f);
  const float tail = exp(-std::fma(q, t, t));
  return t > 3.93f ? 0.0f : tail;  // NaN stays NaN
}

// x + x P(x^2) near 0, where 1 - erfc would cancel; 1 - erfc(|x|) with the sign of x elsewhere.
inline float erf(float x) {
  const float s = x * x;
  float p = 8.327487740e-05f;
  p = std::fma(p, s, -8.133215597e-04f);
  p = std::fma(p, s, 5.200260784e-03f);
  p = std::fma(p, s, -2.685911953e-02f);
  p = std::fma(p, s, 1.128369123e-01f);
  p = std::fma(p, s, -3.761263490e-01f);
  p = std::fma(p, s, 1.283791661e-01f);
  const float near = std::fma(p, x, x);
  const float magnitude = std::fabs(x);
  const float far = std::copysign(1.0f - erfc_of_positive(magnitude), x);
  return magnitude < 0.925f ? near : far;
}

// Phi(x), the distribution function of the standard normal: erfc(-x / sqrt(2)) / 2, to 1e-7 (3e-8 for x < 0, where 1 +
// erf cancels).
inline double normal_cdf(double x) { return 0.5 * std::erfc(x * (-0.5 * std::numbers::sqrt2)); }
inline float normal_cdf(float x) {
  const float tail = 0.5f * erfc_of_positive(std::fabs(x) * (0.5f * std::numbers::sqrt2_v<float>));
  return x < 0.0f ? tail : 1.0f - tail;
}

}  // namespace retune::vector_math
