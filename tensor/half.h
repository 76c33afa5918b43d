// The 16-bit floats in bulk: conversions of whole rows, as vector instructions where the CPU has them (F16C; bf16 needs
// none). Values are those of F16 and BF16 (dtype.h) bit for bit, but for the payload of a NaN, which stays a NaN.
#pragma once

#include <cstdint>

#include "tensor/dtype.h"

namespace retune {

void widen(const F16* from, float* to, std::int64_t count);
void widen(const BF16* from, float* to, std::int64_t count);

// Rounded to nearest even; F16: overflow gives infinity.
void narrow(const float* from, F16* to, std::int64_t count);
void narrow(const float* from, BF16* to, std::int64_t count);

}  // namespace retune
