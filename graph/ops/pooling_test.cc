#include <gtest/gtest.h>

#include <algorithm>
#include <limits>
#include <vector>

#include "graph/op_case.h"

namespace retune {
namespace {

using Ints = std::vector<std::int64_t>;

struct Plan {
  Ints kernel{1, 1}, stride{1, 1}, dilation{1, 1}, pad_begin{0, 0}, pad_end{0, 0};
  bool count_padding = false;
};

// Outputs in order: averages, maxima, indices of the maxima in x.
std::vector<Tensor> naive(const Tensor& x, const Plan& p, const Shape& result) {
  const auto spatial = [](const Shape& s) { return Ints{s.rank() == 4 ? s[2] : 1, s.back()}; };
  const Ints image = spatial(x.shape()), out = spatial(result);
  std::vector<double> averages, maxima;
  std::vector<std::int64_t> indices;
  for (std::int64_t plane = 0; plane < x.shape()[0] * x.shape()[1]; ++plane) {
    for (std::int64_t i = 0; i < out[0]; ++i) {
      for (std::int64_t j = 0; j < out[1]; ++j) {
        double sum = 0, top = -std::numeric_limits<double>::infinity(), count = 0;
        std::int64_t index = -1;
        for (std::int64_t u = 0; u < p.kernel[0]; ++u) {
          for (std::int64_t v = 0; v < p.kernel[1]; ++v) {
            const std::int64_t a = i * p.stride[0] + u * p.dilation[0] - p.pad_begin[0],
                               b = j * p.stride[1] + v * p.dilation[1] - p.pad_begin[1];
            const bool inside = a >= 0 && a < image[0] && b >= 0 && b < image[1];
            if (inside || (p.count_padding && a < image[0] + p.pad_end[0] && b < image[1] + p.pad_end[1])) ++count;
            if (!inside) continue;
            const std::int64_t at = (plane * image[0] + a) * image[1] + b;
            sum += x.data<double>()[at];
            if (x.data<double>()[at] > top) {
              top = x.data<double>()[at];
              index = at;
            }
          }
        }
        averages.push_back(sum / count);
        maxima.push_back(top);
        indices.push_back(index);
      }
    }
  }
  return {Tensor::of<double>(result, averages), Tensor::of<double>(result, maxima),
          Tensor::of<std::int64_t>(result, indices)};
}

void check_pools(Shape x, Attributes attributes, Plan plan, Shape result) {
  const Tensor input = random_f64(std::move(x), 1);
  attributes.set("count_include_pad", std::int64_t{plan.count_padding});
  check({.op = "AveragePool",
         .version = 19,
         .inputs = {input},
         .attributes = attributes,
         .reference = [plan, result](
                          const std::vector<Tensor>& in) { return std::vector<Tensor>{naive(in[0], plan, result)[0]}; },
         .gradients = {0}});
  check({.op = "MaxPool",
         .inputs = {input},
         .attributes = attributes,
         .outputs = 2,
         .reference =
             [plan, result](const std::vector<Tensor>& in) {
               const std::vector<Tensor> all = naive(in[0], plan, result);
               return std::vector<Tensor>{all[1], all[2]};
             },
         .gradients = {0}});
}

TEST(Pooling, AveragesAndMaximaOverOneAxis) {
  check_pools({2, 3, 8}, {{"kernel_shape", Ints{2}}, {"strides", Ints{2}}}, {.kernel = {1, 2}, .stride = {1, 2}},
              {2, 3, 4});
  check_pools({2, 3, 9}, {{"kernel_shape", Ints{3}}, {"pads", Ints{1, 2}}},
              {.kernel = {1, 3}, .pad_begin = {0, 1}, .pad_end = {0, 2}}, {2, 3, 10});
  check_pools({1, 1, 9}, {{"kernel_shape", Ints{3}}, {"dilations", Ints{2}}}, {.kernel = {1, 3}, .dilation = {1, 2}},
              {1, 1, 5});
  check_pools({0, 3, 8}, {{"kernel_shape", Ints{2}}}, {.kernel = {1, 2}}, {0, 3, 7});
}

TEST(Pooling, AveragesAndMaximaOverImages) {
  check_pools({1, 2, 5, 7}, {{"kernel_shape", Ints{2, 3}}, {"strides", Ints{1, 2}}, {"pads", Ints{1, 1, 0, 1}}},
              {.kernel = {2, 3}, .stride = {1, 2}, .pad_begin = {1, 1}, .pad_end = {0, 1}}, {1, 2, 5, 4});
}

TEST(Pooling, CountsPaddingWhereAsked) {
  check_pools({1, 2, 6}, {{"kernel_shape", Ints{3}}, {"pads", Ints{1, 1}}},
              {.kernel = {1, 3}, .pad_begin = {0, 1}, .pad_end = {0, 1}, .count_padding = true}, {1, 2, 6});
  check_pools({1, 2, 6},
              {{"kernel_shape", Ints{3}}, {"pads", Ints{1, 1}}, {"strides", Ints{3}}, {"ceil_mode", std::int64_t{1}}},
              {.kernel = {1, 3}, .stride = {1, 3}, .pad_begin = {0, 1}, .pad_end = {0, 1}, .count_padding = true},
              {1, 2, 3});
}

TEST(Pooling, RoundsUpWithoutStartingBehindTheInput) {
  const std::int64_t one = 1;
  check_pools({1, 2, 8}, {{"kernel_shape", Ints{3}}, {"strides", Ints{2}}, {"ceil_mode", one}},
              {.kernel = {1, 3}, .stride = {1, 2}}, {1, 2, 4});
  check_pools({1, 2, 7}, {{"kernel_shape", Ints{1}}, {"strides", Ints{3}}, {"ceil_mode", one}},
              {.kernel = {1, 1}, .stride = {1, 3}}, {1, 2, 3});
}

TEST(Pooling, TakesVolumes) {
  const Attributes attributes{{"kernel_shape", Ints{2, 1, 3}}, {"strides", Ints{1, 2, 1}}};
  const auto pooled = [](const std::vector<Tensor>& in, bool largest) {
    std::vector<double> y;
    for (std::int64_t plane = 0; plane < 2; ++plane) {
      for (std::int64_t z = 0; z < 2; ++z) {
        for (std::int64_t row = 0; row < 4; row += 2) {
          for (std::int64_t x = 0; x < 2; ++x) {
            double sum = 0, top = -2;
            for (std::int64_t tap = 0; tap < 6; ++tap) {
              const double value = in[0].data<double>()[((plane * 3 + z + tap / 3) * 4 + row) * 4 + x + tap % 3];
              sum += value;
              top = std::max(top, value);
            }
            y.push_back(largest ? top : sum / 6);
          }
        }
      }
    }
    return std::vector<Tensor>{Tensor::of<double>({1, 2, 2, 2, 2}, y)};
  };
  for (const bool largest : {false, true})
    check({.op = largest ? "MaxPool" : "AveragePool",
           .inputs = {random_f64({1, 2, 3, 4, 4}, 1)},
           .attributes = attributes,
           .reference = [=](const std::vector<Tensor>& in) { return pooled(in, largest); },
           .gradients = {0}});
}

TEST(MaxPool, CountsByColumnsWhereAsked) {
  check({.op = "MaxPool",
         .inputs = {Tensor::of<double>({1, 2, 2, 3}, {1, 2, 3, 4, 9, 6, 0, 7, 1, 8, 2, 3})},
         .attributes = {{"kernel_shape", Ints{2, 2}}, {"storage_order", std::int64_t{1}}},
         .outputs = 2,
         .reference =
             [](const std::vector<Tensor>&) {
               return std::vector<Tensor>{Tensor::of<double>({1, 2, 1, 2}, {9, 9, 8, 7}),
                                          Tensor::of<std::int64_t>({1, 2, 1, 2}, {3, 3, 6 + 1, 6 + 2})};
             },
         .gradients = {0}});
}

TEST(MaxPool, TakesBytes) {
  check({.op = "MaxPool",
         .inputs = {Tensor::of<std::int8_t>({1, 1, 4}, {-5, -9, -3, -7})},
         .attributes = {{"kernel_shape", Ints{2}}},
         .reference = [](const std::vector<Tensor>&) {
           return std::vector<Tensor>{Tensor::of<std::int8_t>({1, 1, 3}, {-5, -3, -3})};
         }});
}

TEST(MaxPool, GivesItsGradientToTheFirstOfEqualElements) {
  check({.op = "MaxPool",
         .inputs = {Tensor::of<double>({1, 1, 4}, {2.0, 2.0, 1.0, 2.0})},
         .attributes = {{"kernel_shape", Ints{4}}},
         .outputs = 2,
         .reference = [](const std::vector<Tensor>&) {
           return std::vector<Tensor>{Tensor::of<double>({1, 1, 1}, {2.0}), Tensor::of<std::int64_t>({1, 1, 1}, {0})};
         }});
}

TEST(GlobalAveragePool, AveragesEachPlane) {
  for (const Shape& shape : {Shape{2, 3, 5}, Shape{2, 3, 4, 5}, Shape{0, 3, 4}}) {
    std::vector<std::int64_t> kept = shape.extents();
    std::fill(kept.begin() + 2, kept.end(), 1);
    const Shape result(kept);
    check({.op = "GlobalAveragePool",
           .inputs = {random_f64(shape, 1)},
           .reference =
               [result](const std::vector<Tensor>& in) {
                 Tensor y = Tensor::zeros(DType::kF64, result);
                 const std::int64_t size = in[0].shape().product(2, in[0].shape().rank());
                 for (std::int64_t i = 0; i < in[0].numel(); ++i)
                   y.mutable_data<double>()[i / size] += in[0].data<double>()[i] / static_cast<double>(size);
                 return std::vector<Tensor>{y};
               },
           .gradients = {0}});
  }
}

TEST(Pooling, BytesOfALargeCaseDoNotDependOnThreads) {
  for (const char* op : {"AveragePool", "MaxPool"})
    check({.op = op,
           .inputs = {random_f64({9, 40, 100}, 1)},
           .attributes = {{"kernel_shape", Ints{3}}, {"pads", Ints{1, 1}}},
           .gradients = {0}});
}

}  // namespace
}  // namespace retune
