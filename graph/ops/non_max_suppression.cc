// NonMaxSuppression (10, 11): of boxes [B, N, 4] with scores [B, C, N] the best of each class that overlap none better
// by more than iou_threshold: i64 [picked, 3] of batch, class and box, in order of score within a class.
//
//   inputs   boxes, scores, max_output_boxes_per_class? (0: none), iou_threshold? (0), score_threshold?
//   boxes    two corners (y, x, y, x), or with center_point_box (x, y, width, height)
//
// How many are picked depends on the values, so the inputs must be known while planning.
#include <algorithm>
#include <numeric>
#include <optional>

#include "graph/ops/families.h"
#include "graph/ops/kernel.h"

namespace retune {

namespace {

using Ints = std::vector<std::int64_t>;

struct Box {
  double top, left, bottom, right;
  double area() const { return (bottom - top) * (right - left); }
};

Box box_at(const double* numbers, bool centred) {
  if (centred)
    return {numbers[1] - numbers[3] / 2, numbers[0] - numbers[2] / 2, numbers[1] + numbers[3] / 2,
            numbers[0] + numbers[2] / 2};
  return {std::min(numbers[0], numbers[2]), std::min(numbers[1], numbers[3]), std::max(numbers[0], numbers[2]),
          std::max(numbers[1], numbers[3])};
}

// Intersection over union.
double overlap(const Box& a, const Box& b) {
  const double height = std::min(a.bottom, b.bottom) - std::max(a.top, b.top),
               width = std::min(a.right, b.right) - std::max(a.left, b.left);
  if (height <= 0 || width <= 0 || a.area() <= 0 || b.area() <= 0) return 0;
  return height * width / (a.area() + b.area() - height * width);
}

struct Limits {
  std::int64_t most = 0;
  double overlap = 0;
  std::optional<double> score{};
};

// Triples of what is picked.
Ints pick(const std::vector<double>& boxes, const std::vector<double>& scores, const Shape& shape, const Limits& limits,
          bool centred) {
  const std::int64_t batches = shape[0], classes = shape[1], count = shape[2];
  Ints picked;
  for (std::int64_t row = 0; row < batches * classes; ++row) {
    const double* score = scores.data() + row * count;
    Ints order;
    for (std::int64_t i = 0; i < count; ++i)
      if (!limits.score || score[i] > *limits.score) order.push_back(i);
    std::stable_sort(order.begin(), order.end(), [&](std::int64_t a, std::int64_t b) { return score[a] > score[b]; });
    std::vector<Box> kept;
    for (const std::int64_t i : order) {
      if (static_cast<std::int64_t>(kept.size()) >= limits.most) break;
      const Box box = box_at(boxes.data() + (row / classes * count + i) * 4, centred);
      if (std::any_of(kept.begin(), kept.end(), [&](const Box& other) { return overlap(box, other) > limits.overlap; }))
        continue;
      kept.push_back(box);
      picked.insert(picked.end(), {row / classes, row % classes, i});
    }
  }
  return picked;
}

Ints pick(const Attributes& attributes, const Tensor* const (&in)[5]) {
  const auto number = [&](int i, double fallback) {
    return in[i] == nullptr || in[i]->numel() == 0 ? fallback : in[i]->cast(DType::kF64).to_f64()[0];
  };
  Limits limits{.most = static_cast<std::int64_t>(std::clamp(number(2, 0), 0.0, 1e18)), .overlap = number(3, 0)};
  if (in[4] != nullptr && in[4]->numel() > 0) limits.score = number(4, 0);
  const bool centred = attributes.i("center_point_box", 0) != 0;
  return pick(in[0]->to_f64(), in[1]->to_f64(), in[1]->shape(), limits, centred);
}

void infer_suppression(InferContext& c) {
  require_inputs(c, 2);
  const Shape &boxes = c.shape(0), &scores = c.shape(1);
  if (boxes.rank() != 3 || scores.rank() != 3 || boxes[2] != 4 || boxes[0] != scores[0] || boxes[1] != scores[2])
    throw user_error("boxes {} and scores {} must be [B, N, 4] and [B, C, N]", boxes.text(), scores.text());
  const Tensor* in[5] = {};
  for (int i = 0; i < 5; ++i)
    if (c.has(i)) in[i] = &c.require_constant(i);
  c.set(0, DType::kI64, {static_cast<std::int64_t>(pick(c.attributes(), in).size()) / 3, 3});
}

void suppression_forward(ForwardContext& c) {
  const Tensor* in[5] = {};
  for (int i = 0; i < 5; ++i)
    if (c.has(i)) in[i] = &c.in(i);
  const Ints picked = pick(c.attributes(), in);
  c.set_out(0, Tensor::of<std::int64_t>({static_cast<std::int64_t>(picked.size()) / 3, 3}, picked));
}

}  // namespace

std::vector<Op> non_max_suppression_ops() {
  return {{.domain = "",
           .name = "NonMaxSuppression",
           .since = 10,
           .infer = infer_suppression,
           .forward = suppression_forward,
           .no_vjp = kOutputIsIndex}};
}

}  // namespace retune
