// Inputs that are one number: k, an axis, a ratio. Files may give any number of elements.
#pragma once

#include <cstdint>
#include <string_view>

#include "tensor/tensor.h"

namespace retune {

// The one element of an integer or bool tensor; a user error naming `what` if there are none or several.
std::int64_t integer_of(const Tensor& input, std::string_view what);
// The same for any type.
double number_of(const Tensor& input, std::string_view what);

}  // namespace retune
