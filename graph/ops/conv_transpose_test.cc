#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <vector>

#include "graph/op_case.h"
#include "tensor/error.h"

namespace retune {
namespace {

using Ints = std::vector<std::int64_t>;
using Axes = std::array<std::int64_t, 3>;

Axes spatial(const Shape& shape) {
  Axes axes{1, 1, 1};
  std::copy(shape.begin() + 2, shape.end(), axes.end() - (shape.rank() - 2));
  return axes;
}

// Every element of x is spread over y, one tap at a time.
Tensor spread(const std::vector<Tensor>& in, const Shape& result, Axes stride, Axes dilation, Axes pad,
              std::int64_t groups) {
  const Axes from = spatial(in[0].shape()), kernel = spatial(in[1].shape()), to = spatial(result);
  const std::int64_t channels = in[0].shape()[1], filters = in[1].shape()[1], size = to[0] * to[1] * to[2];
  Tensor y = Tensor::zeros(DType::kF64, result);
  if (in.size() > 2)
    for (std::int64_t i = 0; i < y.numel(); ++i)
      y.mutable_data<double>()[i] = in[2].data<double>()[i / size % result[1]];
  std::int64_t at = 0;
  for (std::int64_t n = 0; n < in[0].shape()[0]; ++n)
    for (std::int64_t c = 0; c < channels; ++c)
      for (std::int64_t p = 0; p < from[0] * from[1] * from[2]; ++p, ++at)
        for (std::int64_t m = 0; m < filters; ++m)
          for (std::int64_t t = 0; t < kernel[0] * kernel[1] * kernel[2]; ++t) {
            const Axes position{p / (from[1] * from[2]), p / from[2] % from[1], p % from[2]};
            const Axes tap{t / (kernel[1] * kernel[2]), t / kernel[2] % kernel[1], t % kernel[2]};
            Axes q;
            bool inside = true;
            for (std::size_t i = 0; i < 3; ++i) {
              q[i] = position[i] * stride[i] + tap[i] * dilation[i] - pad[i];
              inside = inside && q[i] >= 0 && q[i] < to[i];
            }
            if (!inside) continue;
            const std::int64_t channel = c / (channels / groups) * filters + m;
            y.mutable_data<double>()[((n * result[1] + channel) * to[0] + q[0]) * to[1] * to[2] + q[1] * to[2] +
                                     q[2]] +=
                in[0].data<double>()[at] *
                in[1].data<double>()[(c * filters + m) * kernel[0] * kernel[1] * kernel[2] + t];
          }
  return y;
}

struct Plan {
  Shape x, weight, result;
  Axes stride{1, 1, 1}, dilation{1, 1, 1}, pad{0, 0, 0};
  std::int64_t groups = 1;
};

void spreads(const Plan& plan, Attributes attributes) {
  attributes.set("group", plan.groups);
  for (const bool biased : {false, true}) {
    std::vector<Tensor> inputs{random_f64(plan.x, 1), random_f64(plan.weight, 2)};
    if (biased) inputs.push_back(random_f64({plan.result[1]}, 3));
    check({.op = "ConvTranspose",
           .inputs = inputs,
           .attributes = attributes,
           .reference = [plan](const std::vector<Tensor>& in) {
             return std::vector<Tensor>{spread(in, plan.result, plan.stride, plan.dilation, plan.pad, plan.groups)};
           }});
  }
}

TEST(ConvTranspose, SpreadsEveryElementOverItsWindow) {
  spreads({.x = {2, 3, 5}, .weight = {3, 4, 3}, .result = {2, 4, 7}}, {});
  spreads({.x = {2, 3, 5}, .weight = {3, 4, 1}, .result = {2, 4, 5}}, {});
  spreads({.x = {0, 3, 5}, .weight = {3, 4, 3}, .result = {0, 4, 7}}, {});
  spreads({.x = {1, 2, 4, 3}, .weight = {2, 2, 3, 2}, .result = {1, 2, 7, 8}, .stride = {1, 2, 3}, .pad = {0, 1, 0}},
          {{"strides", Ints{2, 3}}, {"pads", Ints{1, 0, 1, 0}}});
  spreads(
      {.x = {2, 4, 2, 3, 2}, .weight = {4, 1, 2, 1, 3}, .result = {2, 2, 3, 3, 6}, .dilation = {1, 1, 2}, .groups = 2},
      {{"dilations", Ints{1, 1, 2}}});
}

TEST(ConvTranspose, TakesAnOutputPadding) {
  spreads({.x = {1, 2, 4}, .weight = {2, 3, 3}, .result = {1, 3, 10}, .stride = {1, 1, 2}},
          {{"strides", Ints{2}}, {"output_padding", Ints{1}}});
  spreads({.x = {1, 2, 4}, .weight = {2, 3, 1}, .result = {1, 3, 5}, .dilation = {1, 1, 2}},
          {{"dilations", Ints{2}}, {"output_padding", Ints{1}}});
}

TEST(ConvTranspose, FindsThePadsOfAnOutputShape) {
  spreads({.x = {1, 2, 4}, .weight = {2, 3, 3}, .result = {1, 3, 6}, .stride = {1, 1, 2}, .pad = {0, 0, 2}},
          {{"strides", Ints{2}}, {"output_shape", Ints{6}}});
  spreads({.x = {1, 2, 4}, .weight = {2, 3, 3}, .result = {1, 3, 8}, .stride = {1, 1, 2}, .pad = {0, 0, 0}},
          {{"strides", Ints{2}}, {"auto_pad", std::string("SAME_UPPER")}});
  spreads({.x = {1, 2, 4}, .weight = {2, 3, 3}, .result = {1, 3, 8}, .stride = {1, 1, 2}, .pad = {0, 0, 1}},
          {{"strides", Ints{2}}, {"auto_pad", std::string("SAME_LOWER")}});
  spreads({.x = {1, 2, 4}, .weight = {2, 3, 3}, .result = {1, 3, 12}, .stride = {1, 1, 2}},
          {{"strides", Ints{2}}, {"output_shape", Ints{12}}});
}

}  // namespace
}  // namespace retune
