// Values of the elements that have no C++ type: 8-bit and 4-bit floats, and integers of 4 and 2 bits.
//
// An element is a code of its 8, 4 or 2 bits. The floats are those of ONNX: E4M3FN and E5M2 (Micikevicius et al. 2022,
// "FP8 formats for deep learning"), their FNUZ forms with one zero, one NaN and no infinity (Noune et al. 2022), E2M1
// and E8M0, a bare power of two (OCP Microscaling 1.0, 2023).
//
//   narrow_value(DType::kF8E4M3FN, 0x30)      // 0.5
//   narrow_code(DType::kI4, -3.0)             // 0x0d
//   unpack(Tensor of type u4, [3, 5])         // u8 [3, 5], a code a byte
#pragma once

#include <cstdint>

#include "tensor/tensor.h"

namespace retune {

struct NarrowRounding {
  // Finite values and infinities beyond the largest become the largest; without, NaN, or infinity in E5M2. E2M1, which
  // has neither, always saturates. In E8M0 infinity is NaN either way.
  bool saturate = true;
  // Of E8M0: to the power of two above, below, or the nearer one, the upper of two equally near. Others round to
  // nearest even.
  enum class Power : std::uint8_t { kUp, kDown, kNearest };
  Power power = Power::kUp;
};

// The value of a code; exact in f32 too. Bits above the type's are ignored.
double narrow_value(DType dtype, std::uint8_t code);

// The code of a value. Floats: NaN becomes NaN, -0 where there is none, E8M0 drops the sign and takes 0 for its least,
// 2^-127. Integers: towards zero, then the low bits, as between wider integers; NaN becomes 0.
std::uint8_t narrow_code(DType dtype, double value, const NarrowRounding& rounding = {});

// Elements as codes, one a byte (u8, same shape), and back; the codes' higher bits are ignored. For types of 8 bits
// unpack is a view.
Tensor unpack(const Tensor& tensor);
Tensor pack(DType dtype, const Tensor& codes);

// Converted into `dtype`, either of the two types narrow, other numbers by Tensor::cast's rules.
Tensor cast_narrow(const Tensor& tensor, DType dtype, const NarrowRounding& rounding = {});

}  // namespace retune
