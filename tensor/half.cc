#include "tensor/half.h"

#ifdef __F16C__
#include <immintrin.h>
#endif

namespace retune {

#ifdef __F16C__
namespace {
constexpr std::int64_t kVector = 8;  // elements converted at a time; the loops after it do the rest one by one
}  // namespace
#endif

void widen(const F16* from, float* to, std::int64_t count) {
  std::int64_t i = 0;
#ifdef __F16C__
  for (; i + kVector <= count; i += kVector)
    _mm256_storeu_ps(to + i, _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(from + i))));
#endif
  for (; i < count; ++i) to[i] = from[i].to_float();
}

void widen(const BF16* from, float* to, std::int64_t count) {
  for (std::int64_t i = 0; i < count; ++i) to[i] = from[i].to_float();
}

void narrow(const float* from, F16* to, std::int64_t count) {
  std::int64_t i = 0;
#ifdef __F16C__
  for (; i + kVector <= count; i += kVector)
    _mm_storeu_si128(reinterpret_cast<__m128i*>(to + i),
                     _mm256_cvtps_ph(_mm256_loadu_ps(from + i), _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
#endif
  for (; i < count; ++i) to[i] = F16::from(from[i]);
}

void narrow(const float* from, BF16* to, std::int64_t count) {
  for (std::int64_t i = 0; i < count; ++i) to[i] = BF16::from(from[i]);
}

}  // namespace retune
