#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

#include "graph/op_case.h"

namespace retune {
namespace {

using Ints = std::vector<std::int64_t>;

TEST(DepthToSpace, TakesBlocksFromChannels) {
  for (const bool depth_first : {true, false})
    for (const std::int64_t n : {0, 2})
      check({.op = "DepthToSpace",
             .inputs = {random_f64({n, 8, 2, 3}, 1)},
             .attributes = {{"blocksize", std::int64_t{2}}, {"mode", std::string(depth_first ? "DCR" : "CRD")}},
             .reference =
                 [=](const std::vector<Tensor>& in) {
                   Tensor y = Tensor::zeros(DType::kF64, {n, 2, 4, 6});
                   for (std::int64_t i = 0; i < y.numel(); ++i) {
                     const std::int64_t w = i % 6, h = i / 6 % 4, c = i / 24 % 2, batch = i / 48;
                     const std::int64_t offset = h % 2 * 2 + w % 2,
                                        channel = depth_first ? offset * 2 + c : c * 4 + offset;
                     y.mutable_data<double>()[i] =
                         in[0].data<double>()[((batch * 8 + channel) * 2 + h / 2) * 3 + w / 2];
                   }
                   return std::vector<Tensor>{y};
                 },
             .gradients = {0}});
}

TEST(SpaceToDepth, PutsBlocksIntoChannels) {
  check({.op = "SpaceToDepth",
         .inputs = {random_f64({2, 2, 4, 6}, 1)},
         .attributes = {{"blocksize", std::int64_t{2}}},
         .reference =
             [](const std::vector<Tensor>& in) {
               Tensor y = Tensor::zeros(DType::kF64, {2, 8, 2, 3});
               for (std::int64_t i = 0; i < in[0].numel(); ++i) {
                 const std::int64_t w = i % 6, h = i / 6 % 4, c = i / 24 % 2, batch = i / 48;
                 const std::int64_t channel = (h % 2 * 2 + w % 2) * 2 + c;
                 y.mutable_data<double>()[((batch * 8 + channel) * 2 + h / 2) * 3 + w / 2] = in[0].data<double>()[i];
               }
               return std::vector<Tensor>{y};
             },
         .gradients = {0}});
}

TEST(CenterCropPad, KeepsTheMiddle) {
  check({.op = "CenterCropPad",
         .version = 18,
         .inputs = {random_f64({5, 4, 3}, 1), Tensor::vector<std::int64_t>({2, 6})},
         .constants = {1},
         .attributes = {{"axes", Ints{0, -1}}},
         .reference =
             [](const std::vector<Tensor>& in) {
               Tensor y = Tensor::zeros(DType::kF64, {2, 4, 6});
               for (std::int64_t i = 0; i < 2; ++i)
                 for (std::int64_t j = 0; j < 4; ++j)
                   for (std::int64_t k = 0; k < 3; ++k)
                     y.mutable_data<double>()[(i * 4 + j) * 6 + k + 1] =
                         in[0].data<double>()[((i + 1) * 4 + j) * 3 + k];
               return std::vector<Tensor>{y};
             },
         .gradients = {0}});
}

TEST(Col2Im, AddsColumnsWhereWindowsTakeThem) {
  // An image of 4 x 5, windows of 2 x 3 every second row, dilated columns, a column of padding on either side.
  check({.op = "Col2Im",
         .version = 18,
         .inputs = {random_f64({2, 3 * 6, 2 * 3}, 1), Tensor::vector<std::int64_t>({4, 5}),
                    Tensor::vector<std::int64_t>({2, 3})},
         .constants = {1, 2},
         .attributes = {{"strides", Ints{2, 1}}, {"dilations", Ints{1, 2}}, {"pads", Ints{0, 1, 0, 1}}},
         .reference =
             [](const std::vector<Tensor>& in) {
               Tensor y = Tensor::zeros(DType::kF64, {2, 3, 4, 5});
               for (std::int64_t i = 0; i < in[0].numel(); ++i) {
                 const std::int64_t window = i % 6, tap = i / 6 % 6, plane = i / 36;
                 const std::int64_t row = window / 3 * 2 + tap / 3, column = window % 3 + tap % 3 * 2 - 1;
                 if (column >= 0 && column < 5)
                   y.mutable_data<double>()[(plane * 4 + row) * 5 + column] += in[0].data<double>()[i];
               }
               return std::vector<Tensor>{y};
             },
         .gradients = {0}});
}

TEST(MaxUnpool, PutsElementsWhereTheyCameFrom) {
  const Tensor indices = Tensor::of<std::int64_t>({1, 2, 2}, {1, 2, 4, 7});
  const auto places = [indices](const Shape& result, std::int64_t width) {
    return [=](const std::vector<Tensor>& in) {
      Tensor y = Tensor::zeros(DType::kF64, result);
      for (std::int64_t i = 0; i < 4; ++i) {
        const std::int64_t at = indices.data<std::int64_t>()[i];
        y.mutable_data<double>()[at / 4 * width + at % 4] = in[0].data<double>()[i];
      }
      return std::vector<Tensor>{y};
    };
  };
  const Attributes attributes{{"kernel_shape", Ints{2}}, {"strides", Ints{2}}};
  check({.op = "MaxUnpool",
         .version = 11,
         .inputs = {random_f64({1, 2, 2}, 1), indices},
         .attributes = attributes,
         .reference = places({1, 2, 4}, 4),
         .gradients = {0}});
  check({.op = "MaxUnpool",
         .version = 11,
         .inputs = {random_f64({1, 2, 2}, 1), indices, Tensor::vector<std::int64_t>({1, 2, 5})},
         .constants = {2},
         .attributes = attributes,
         .reference = places({1, 2, 5}, 5),
         .gradients = {0}});
}

TEST(TensorScatter, WritesBehindWhatIsThere) {
  for (const bool circular : {false, true})
    check({.op = "TensorScatter",
           .version = 24,
           .inputs = {random_f64({2, 3, 4, 2}, 1), random_f64({2, 3, 2, 2}, 2),
                      Tensor::vector<std::int64_t>({0, circular ? 3 : 2})},
           .attributes = {{"mode", std::string(circular ? "circular" : "linear")}},
           .reference =
               [](const std::vector<Tensor>& in) {
                 Tensor y = in[0].copy();
                 for (std::int64_t i = 0; i < in[1].numel(); ++i) {
                   const std::int64_t t = (in[2].data<std::int64_t>()[i / 12] + i / 2 % 2) % 4;
                   y.mutable_data<double>()[(i / 4 * 4 + t) * 2 + i % 2] = in[1].data<double>()[i];
                 }
                 return std::vector<Tensor>{y};
               },
           .gradients = {0, 1}});
}

TEST(ReverseSequence, TurnsTheStepsThatASequenceHas) {
  for (const std::int64_t time_axis : {0, 1})
    check({.op = "ReverseSequence",
           .inputs = {random_f64(time_axis == 0 ? Shape{4, 3, 2} : Shape{3, 4, 2}, 1),
                      Tensor::vector<std::int64_t>({4, 0, 3})},
           .attributes = {{"time_axis", time_axis}, {"batch_axis", 1 - time_axis}},
           .reference =
               [time_axis](const std::vector<Tensor>& in) {
                 Tensor y = in[0].copy();
                 const auto at = [&](std::int64_t t, std::int64_t b) {
                   return (time_axis == 0 ? t * 3 + b : b * 4 + t) * 2;
                 };
                 for (std::int64_t b = 0; b < 3; ++b)
                   for (std::int64_t t = 0; t < in[1].data<std::int64_t>()[b]; ++t)
                     for (std::int64_t k = 0; k < 2; ++k)
                       y.mutable_data<double>()[at(t, b) + k] =
                           in[0].data<double>()[at(in[1].data<std::int64_t>()[b] - 1 - t, b) + k];
                 return std::vector<Tensor>{y};
               },
           .gradients = {0}});
}

}  // namespace
}  // namespace retune
