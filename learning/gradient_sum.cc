#include "learning/gradient_sum.h"

namespace retune {

void add_gradient(GradientSums& sums, const std::string& name, const Tensor& gradient) {
  const auto [it, first] = sums.emplace(name, gradient);
  if (first) return;
  Tensor sum = Tensor::empty(DType::kF32, gradient.shape());
  float* to = sum.mutable_data<float>();
  const float *a = it->second.data<float>(), *b = gradient.data<float>();
  for (std::int64_t i = 0; i < sum.numel(); ++i) to[i] = a[i] + b[i];
  it->second = std::move(sum);
}

}  // namespace retune
