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

std::vector<SuffixRequest> gradient_requests(Session& session, const Bundle& bundle, const LossGraphs& losses,
                                             std::span<const Lesson> lessons, const std::vector<std::string>& leaves) {
  std::vector<SuffixRequest> requests;
  for (const Lesson& lesson : lessons) {
    SuffixRequest suffix = lesson_request(session, bundle, losses, lesson, 0, leaves);
    suffix.request.outputs = {kLessonLoss};
    suffix.request.loss = kLessonLoss;
    suffix.request.wrt = leaves;
    requests.push_back(std::move(suffix));
  }
  return requests;
}

}  // namespace retune
