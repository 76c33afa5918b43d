#include "graph/ops/scalar_input.h"

#include "tensor/error.h"

namespace retune {

namespace {

void require_one(const Tensor& input, std::string_view what) {
  if (input.numel() != 1) throw user_error("{} must be one number, got {}", what, input.text());
}

}  // namespace

std::int64_t integer_of(const Tensor& input, std::string_view what) {
  require_one(input, what);
  return input.to_i64()[0];
}

double number_of(const Tensor& input, std::string_view what) {
  require_one(input, what);
  return input.to_f64()[0];
}

}  // namespace retune
