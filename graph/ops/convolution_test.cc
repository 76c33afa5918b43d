#include <gtest/gtest.h>

#include <vector>

#include "graph/graph_builder.h"
#include "graph/op_case.h"
#include "tensor/error.h"

namespace retune {
namespace {

using Ints = std::vector<std::int64_t>;

// The geometry of a case, spelled out: height first, {1, ...} for one spatial axis.
struct Plan {
  Ints stride{1, 1}, dilation{1, 1}, pad_begin{0, 0};
  std::int64_t group = 1;
};

// y[n, m, p] = bias[m] + sum over c, t of weight[m, c, t] x[n, c, p * stride + t * dilation - pad]
Tensor naive(const std::vector<Tensor>& in, const Plan& plan, Shape result) {
  const auto spatial = [](const Shape& s) { return Ints{s.rank() == 4 ? s[2] : 1, s.back()}; };
  const Shape &x = in[0].shape(), &w = in[1].shape();
  const Ints image = spatial(x), kernel = spatial(w), out = spatial(result);
  const std::int64_t channels = w[1], per_group = w[0] / plan.group;
  std::vector<double> y;
  for (std::int64_t n = 0; n < x[0]; ++n) {
    for (std::int64_t m = 0; m < w[0]; ++m) {
      for (std::int64_t i = 0; i < out[0]; ++i) {
        for (std::int64_t j = 0; j < out[1]; ++j) {
          double sum = in.size() > 2 ? in[2].data<double>()[m] : 0;
          for (std::int64_t c = 0; c < channels; ++c) {
            for (std::int64_t u = 0; u < kernel[0]; ++u) {
              for (std::int64_t v = 0; v < kernel[1]; ++v) {
                const std::int64_t a = i * plan.stride[0] + u * plan.dilation[0] - plan.pad_begin[0];
                const std::int64_t b = j * plan.stride[1] + v * plan.dilation[1] - plan.pad_begin[1];
                if (a < 0 || a >= image[0] || b < 0 || b >= image[1]) continue;
                const std::int64_t channel = m / per_group * channels + c;
                sum += in[1].data<double>()[((m * channels + c) * kernel[0] + u) * kernel[1] + v] *
                       in[0].data<double>()[((n * x[1] + channel) * image[0] + a) * image[1] + b];
              }
            }
          }
          y.push_back(sum);
        }
      }
    }
  }
  return Tensor::of<double>(std::move(result), y);
}

void check_conv(Shape x, Shape weight, Attributes attributes, Plan plan, Shape result) {
  attributes.set("group", plan.group);
  OpCase test{.op = "Conv",
              .inputs = {random_f64(std::move(x), 1), random_f64(weight, 2), random_f64({weight[0]}, 3)},
              .attributes = std::move(attributes),
              .reference = [plan, result](
                               const std::vector<Tensor>& in) { return std::vector<Tensor>{naive(in, plan, result)}; },
              .gradients = {0, 1, 2}};
  check(test);
  test.inputs.pop_back();
  test.gradients = {0, 1};
  check(test);
}

TEST(Conv, SlidesOverOneAxisWithPadsStridesAndDilations) {
  check_conv({2, 3, 9}, {4, 3, 3}, {}, {}, {2, 4, 7});
  check_conv({2, 3, 9}, {4, 3, 3}, {{"pads", Ints{1, 1}}}, {.pad_begin = {0, 1}}, {2, 4, 9});
  check_conv({2, 3, 9}, {4, 3, 3}, {{"pads", Ints{1, 1}}, {"strides", Ints{2}}},
             {.stride = {1, 2}, .pad_begin = {0, 1}}, {2, 4, 5});
  check_conv({1, 2, 11}, {3, 2, 3}, {{"pads", Ints{3, 0}}, {"dilations", Ints{2}}},
             {.dilation = {1, 2}, .pad_begin = {0, 3}}, {1, 3, 10});
  check_conv({2, 3, 5}, {4, 3, 1}, {}, {}, {2, 4, 5});
  check_conv({2, 3, 2}, {4, 3, 4}, {{"pads", Ints{3, 3}}}, {.pad_begin = {0, 3}}, {2, 4, 5});
}

TEST(Conv, SlidesOverImages) {
  check_conv({2, 2, 5, 6}, {3, 2, 3, 2}, {}, {}, {2, 3, 3, 5});
  check_conv({1, 2, 5, 6}, {3, 2, 3, 3}, {{"pads", Ints{1, 0, 2, 1}}, {"strides", Ints{2, 3}}},
             {.stride = {2, 3}, .pad_begin = {1, 0}}, {1, 3, 3, 2});
  check_conv({1, 1, 7, 7}, {1, 1, 2, 3}, {{"dilations", Ints{3, 2}}}, {.dilation = {3, 2}}, {1, 1, 4, 3});
}

TEST(Conv, KeepsGroupsApart) {
  check_conv({2, 4, 7}, {6, 2, 3}, {{"pads", Ints{1, 1}}}, {.pad_begin = {0, 1}, .group = 2}, {2, 6, 7});
  check_conv({2, 3, 7}, {3, 1, 3}, {{"pads", Ints{1, 1}}}, {.pad_begin = {0, 1}, .group = 3}, {2, 3, 7});
  check_conv({1, 2, 4, 4}, {4, 1, 2, 2}, {}, {.group = 2}, {1, 4, 3, 3});
}

TEST(Conv, PadsItselfToTheSameSize) {
  const std::string upper = "SAME_UPPER", lower = "SAME_LOWER", valid = "VALID";
  check_conv({1, 2, 7}, {3, 2, 4}, {{"auto_pad", upper}}, {.pad_begin = {0, 1}}, {1, 3, 7});
  check_conv({1, 2, 7}, {3, 2, 4}, {{"auto_pad", lower}}, {.pad_begin = {0, 2}}, {1, 3, 7});
  check_conv({1, 2, 7}, {3, 2, 3}, {{"auto_pad", upper}, {"strides", Ints{3}}}, {.stride = {1, 3}, .pad_begin = {0, 1}},
             {1, 3, 3});
  check_conv({1, 2, 7}, {3, 2, 4}, {{"auto_pad", valid}}, {}, {1, 3, 4});
}

TEST(Conv, SlidesOverVolumes) {
  check({.op = "Conv",
         .inputs = {random_f64({1, 1, 3, 4, 5}, 1), random_f64({1, 1, 2, 2, 3}, 2)},
         .attributes = {{"strides", Ints{1, 2, 1}}, {"pads", Ints{0, 0, 1, 0, 0, 0}}},
         .reference =
             [](const std::vector<Tensor>& in) {
               Tensor y = Tensor::zeros(DType::kF64, {1, 1, 2, 2, 4});
               for (std::int64_t i = 0; i < 16; ++i) {
                 for (std::int64_t tap = 0; tap < 12; ++tap) {
                   const std::int64_t z = i / 8 + tap / 6, row = i / 4 % 2 * 2 + tap / 3 % 2, x = i % 4 + tap % 3 - 1;
                   if (x >= 0)
                     y.mutable_data<double>()[i] +=
                         in[1].data<double>()[tap] * in[0].data<double>()[(z * 4 + row) * 5 + x];
                 }
               }
               return std::vector<Tensor>{y};
             },
         .gradients = {0, 1}});
}

TEST(Conv, TakesNoImages) { check_conv({0, 2, 7}, {3, 2, 3}, {}, {}, {0, 3, 5}); }

TEST(Conv, BytesOfALargeCaseDoNotDependOnThreads) {
  check({.op = "Conv",
         .inputs = {random_f64({9, 20, 300}, 1), random_f64({33, 20, 3}, 2), random_f64({33}, 3)},
         .attributes = {{"pads", Ints{1, 1}}},
         .gradients = {0, 1, 2}});
  check({.op = "Conv",
         .inputs = {random_f64({1, 80, 5000}, 1), random_f64({8, 80, 3}, 2)},
         .attributes = {{"strides", Ints{2}}},
         .gradients = {0, 1}});
}

TEST(Conv, RefusesWhatDoesNotFit) {
  const auto refuses = [](Shape x, Shape weight, Attributes attributes, const char* why) {
    Graph graph;
    GraphBuilder b(graph);
    try {
      b.op("Conv", {b.constant(random_f64(std::move(x), 1)), b.constant(random_f64(std::move(weight), 2))},
           std::move(attributes));
      ADD_FAILURE() << "expected an error: " << why;
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kUser);
      EXPECT_NE(std::string(error.what()).find(why), std::string::npos) << error.what();
    }
  };
  refuses({1, 2, 5}, {3, 3, 2}, {}, "groups do not fit");
  refuses({1, 2, 5}, {3, 2, 6}, {}, "does not fit into 5");
  refuses({1, 2, 5}, {3, 2, 2}, {{"strides", Ints{0}}}, "strides holds 0");
  refuses({1, 2, 5}, {3, 2, 2}, {{"pads", Ints{1}}}, "pads has 1 numbers");
  refuses({1, 2, 2, 2, 2, 2}, {3, 2, 2, 2, 2, 2}, {}, "one to three spatial axes");
  refuses({1, 2, 5}, {3, 2, 2}, {{"kernel_shape", Ints{3}}}, "kernel_shape");
}

}  // namespace
}  // namespace retune
