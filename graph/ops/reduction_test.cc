#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <limits>
#include <numeric>

#include "graph/op_case.h"

namespace retune {
namespace {

using Fold = std::function<double(const std::vector<double>&)>;

// Collects the elements behind each result and folds them, with keepdims.
Tensor naive(const Tensor& x, std::vector<std::int64_t> axes, const Fold& fold) {
  const Shape& shape = x.shape();
  std::vector<bool> gone(static_cast<std::size_t>(shape.rank()), axes.empty());
  for (const std::int64_t axis : axes) gone[static_cast<std::size_t>(normalize_axis(axis, shape.rank()))] = true;
  std::vector<std::int64_t> extents = shape.extents();
  for (std::size_t i = 0; i < extents.size(); ++i)
    if (gone[i]) extents[i] = 1;
  Tensor y = Tensor::empty(DType::kF64, Shape(extents));
  std::vector<std::vector<double>> groups(static_cast<std::size_t>(y.numel()));
  const auto strides = y.shape().strides();
  for (std::int64_t i = 0; i < x.numel(); ++i) {
    std::int64_t rest = i, at = 0;
    for (int axis = shape.rank() - 1; axis >= 0; --axis) {
      if (!gone[static_cast<std::size_t>(axis)]) at += rest % shape[axis] * strides[static_cast<std::size_t>(axis)];
      rest /= shape[axis];
    }
    groups[static_cast<std::size_t>(at)].push_back(x.data<double>()[i]);
  }
  for (std::int64_t i = 0; i < y.numel(); ++i) y.mutable_data<double>()[i] = fold(groups[static_cast<std::size_t>(i)]);
  return y;
}

double sum(const std::vector<double>& v) { return std::accumulate(v.begin(), v.end(), 0.0); }
double sum_of(const std::vector<double>& v, double (*f)(double)) {
  double total = 0;
  for (const double x : v) total += f(x);
  return total;
}

const std::vector<std::pair<std::string, Fold>> kFolds = {
    {"ReduceSum", sum},
    {"ReduceMean", [](const std::vector<double>& v) { return sum(v) / static_cast<double>(v.size()); }},
    {"ReduceMax",
     [](const std::vector<double>& v) {
       return v.empty() ? -std::numeric_limits<double>::infinity() : *std::max_element(v.begin(), v.end());
     }},
    {"ReduceMin",
     [](const std::vector<double>& v) {
       return v.empty() ? std::numeric_limits<double>::infinity() : *std::min_element(v.begin(), v.end());
     }},
    {"ReduceProd",
     [](const std::vector<double>& v) { return std::accumulate(v.begin(), v.end(), 1.0, std::multiplies<>()); }},
    {"ReduceL1", [](const std::vector<double>& v) { return sum_of(v, [](double x) { return std::fabs(x); }); }},
    {"ReduceL2", [](const std::vector<double>& v) { return std::sqrt(sum_of(v, [](double x) { return x * x; })); }},
    {"ReduceSumSquare", [](const std::vector<double>& v) { return sum_of(v, [](double x) { return x * x; }); }},
    {"ReduceLogSum", [](const std::vector<double>& v) { return std::log(sum(v)); }},
    {"ReduceLogSumExp",
     [](const std::vector<double>& v) { return std::log(sum_of(v, [](double x) { return std::exp(x); })); }},
};

OpCase reduction(const std::string& op, const Fold& fold, const Tensor& x, const std::vector<std::int64_t>& axes) {
  OpCase c{.op = op,
           .version = 18,
           .inputs = {x, Tensor::vector(axes)},
           .constants = {1},
           .reference = [=](const std::vector<Tensor>& in) { return std::vector<Tensor>{naive(in[0], axes, fold)}; },
           .gradients = {0}};
  c.tolerance = 1e-11;
  return c;
}

TEST(ReductionOps, EveryCombinationOfAxesFoldsItsElements) {
  const std::vector<std::vector<std::int64_t>> axes = {{0},    {1},    {-1},    {0, 1},       {1, 2},
                                                       {0, 2}, {1, 3}, {0, -1}, {0, 1, 2, 3}, {}};
  for (const auto& [op, fold] : kFolds)
    for (const auto& some : axes) check(reduction(op, fold, random_f64({2, 3, 4, 5}, 71, 0.2, 1.5), some));
}

TEST(ReductionOps, RowsAndColumnsLongerThanABlockFoldInAFixedOrder) {
  for (const auto& [op, fold] : kFolds) {
    if (op == "ReduceProd") continue;  // would underflow
    check(reduction(op, fold, random_f64({3, 5003}, 72, 0.1, 1.0), {1}));
    check(reduction(op, fold, random_f64({2507, 7}, 73, 0.1, 1.0), {0}));
    check(reduction(op, fold, random_f64({2, 41, 1031}, 74, 0.1, 1.0), {1}));
  }
}

TEST(ReductionOps, AFoldOverNothingIsItsNeutralElement) {
  for (const auto& [op, fold] : kFolds) {
    OpCase empty = reduction(op, fold, Tensor::zeros(DType::kF64, {2, 0, 4}), {1});
    empty.gradients.clear();
    check(empty);
    OpCase nothing = reduction(op, fold, Tensor::zeros(DType::kF64, {2, 0, 4}), {2});
    check(nothing);
    check(reduction(op, fold, Tensor::scalar(0.7), {}));
  }
}

TEST(ReductionOps, AxesComeFromAttributesBeforeVersion18AndKeepdimsMayBeOff) {
  const Tensor x = random_f64({3, 4, 5}, 75, 0.5, 1.5);
  for (const auto& [op, fold] : kFolds) {
    if (op == "ReduceSum") continue;  // from version 13 on an input
    check({.op = op,
           .version = 13,
           .inputs = {x},
           .attributes = {{"axes", std::vector<std::int64_t>{-1, 0}}, {"keepdims", std::int64_t{0}}},
           .reference =
               [&](const std::vector<Tensor>& in) {
                 return std::vector<Tensor>{naive(in[0], {0, 2}, fold).reshaped({4})};
               },
           .gradients = {0}});
  }
}

TEST(ReductionOps, NoAxesMayMeanNothingToDo) {
  const Tensor x = random_f64({3, 4}, 76);
  check({.op = "ReduceSum",
         .inputs = {x, Tensor::vector(std::vector<std::int64_t>{})},
         .constants = {1},
         .attributes = {{"noop_with_empty_axes", std::int64_t{1}}},
         .reference = [](const std::vector<Tensor>& in) { return std::vector<Tensor>{in[0]}; },
         .gradients = {0}});
}

TEST(ReductionOps, SlopesAtKinks) {
  // ReduceL2'(0) = 0: central differences of |x| along each axis are 0 at the origin.
  check({.op = "ReduceL2", .version = 18, .inputs = {Tensor::zeros(DType::kF64, {3})}, .gradients = {0}});
  check({.op = "ReduceL1", .version = 18, .inputs = {Tensor::of<double>({3}, {0, -1, 2})}, .gradients = {0}});
  // Two equal largest elements share: each central difference sees half a slope.
  check({.op = "ReduceMax", .version = 18, .inputs = {Tensor::of<double>({4}, {1, 3, 3, 2})}, .gradients = {0}});
  check({.op = "ReduceMin", .version = 18, .inputs = {Tensor::of<double>({4}, {1, 3, 1, 2})}, .gradients = {0}});
  // Products with one and with two zeros.
  check({.op = "ReduceProd",
         .version = 18,
         .inputs = {Tensor::of<double>({2, 3}, {2, 0, 3, 0, 0, 5}), Tensor::vector<std::int64_t>({1})},
         .constants = {1},
         .gradients = {0}});
}

TEST(ReductionOps, IntegersAndTruthValuesFoldInTheirType) {
  const auto expect = [](const char* op, int version, const Tensor& x, const Tensor& want) {
    check({.op = op,
           .version = version,
           .inputs = {x},
           .attributes = {{"keepdims", std::int64_t{0}}},
           .reference = [want](const std::vector<Tensor>&) { return std::vector<Tensor>{want}; }});
  };
  expect("ReduceSum", 13, Tensor::of<std::int32_t>({3}, {5, -9, 1}), Tensor::scalar<std::int32_t>(-3));
  expect("ReduceMax", 18, Tensor::of<std::uint8_t>({3}, {5, 250, 1}), Tensor::scalar<std::uint8_t>(250));
  expect("ReduceMin", 18, Tensor::of<std::uint64_t>({2}, {~0ull, ~0ull - 1}), Tensor::scalar<std::uint64_t>(~0ull - 1));
  expect("ReduceMean", 18, Tensor::of<std::int64_t>({3}, {4, 5, 7}), Tensor::scalar<std::int64_t>(5));
  expect("ReduceMax", 20, Tensor::of<bool>({2}, {false, true}), Tensor::scalar<bool>(true));
  expect("ReduceProd", 18, Tensor::of<std::int64_t>({3}, {-4, 5, 7}), Tensor::scalar<std::int64_t>(-140));
}

TEST(ReductionOps, LogSumExpSurvivesLargeElements) {
  check({.op = "ReduceLogSumExp",
         .version = 18,
         .inputs = {Tensor::of<double>({3}, {1000, 1000, -1000})},
         .attributes = {{"keepdims", std::int64_t{0}}},
         .reference =
             [](const std::vector<Tensor>&) { return std::vector<Tensor>{Tensor::scalar(1000 + std::log(2.0))}; },
         .gradients = {0},
         .step = 1e-4});
}

// --- ArgMax ArgMin TopK

Tensor ints(Shape shape, std::initializer_list<std::int64_t> values) {
  return Tensor::of<std::int64_t>(std::move(shape), values);
}

TEST(RankingOps, ArgMaxTakesTheFirstOfEqualsOrTheLast) {
  const Tensor x = Tensor::of<double>({2, 3}, {2, 2, 1, 3, 10, 10});
  const auto arg = [&](const char* op, const Attributes& attributes, const Tensor& want) {
    check({.op = op, .inputs = {x}, .attributes = attributes, .reference = [want](const std::vector<Tensor>&) {
             return std::vector<Tensor>{want};
           }});
  };
  const std::int64_t one = 1, zero = 0;
  arg("ArgMax", {{"axis", one}}, ints({2, 1}, {0, 1}));
  arg("ArgMax", {{"axis", -one}, {"select_last_index", one}, {"keepdims", zero}}, ints({2}, {1, 2}));
  arg("ArgMax", {{"axis", zero}}, ints({1, 3}, {1, 1, 1}));
  arg("ArgMin", {{"axis", one}, {"keepdims", zero}}, ints({2}, {2, 0}));
  arg("ArgMin", {}, ints({1, 3}, {0, 0, 0}));
}

TEST(RankingOps, TopKSortsAndSendsGradientsToWhatWasTaken) {
  const Tensor x = Tensor::of<double>({2, 4}, {3, 1, 4, 1.5, 9, 2, 6, 5});
  const std::int64_t zero = 0;
  check({.op = "TopK",
         .inputs = {x, ints({1}, {2})},
         .constants = {1},
         .outputs = 2,
         .reference =
             [](const std::vector<Tensor>&) {
               return std::vector<Tensor>{Tensor::of<double>({2, 2}, {4, 3, 9, 6}), ints({2, 2}, {2, 0, 0, 2})};
             },
         .gradients = {0}});
  check({.op = "TopK",
         .inputs = {x, ints({1}, {1})},
         .constants = {1},
         .attributes = {{"axis", zero}, {"largest", zero}},
         .outputs = 2,
         .reference =
             [](const std::vector<Tensor>&) {
               return std::vector<Tensor>{Tensor::of<double>({1, 4}, {3, 1, 4, 1.5}), ints({1, 4}, {0, 0, 0, 0})};
             },
         .gradients = {0}});
  check({.op = "TopK", .inputs = {random_f64({300, 129}, 77), ints({1}, {5})}, .constants = {1}, .gradients = {0}});
}

TEST(CumulativeOps, CumSumRunsEitherWayWithOrWithoutTheElement) {
  const Tensor x = random_f64({3, 4, 5}, 78);
  for (const std::int64_t axis : {0, 1, -1})
    for (const std::int64_t exclusive : {0, 1})
      for (const std::int64_t reverse : {0, 1})
        check({.op = "CumSum",
               .inputs = {x, Tensor::scalar(axis)},
               .constants = {1},
               .attributes = {{"exclusive", exclusive}, {"reverse", reverse}},
               .reference =
                   [=](const std::vector<Tensor>& in) {
                     Tensor y = Tensor::zeros(DType::kF64, in[0].shape());
                     const int a = normalize_axis(axis, 3);
                     const std::int64_t stride = in[0].shape().strides()[static_cast<std::size_t>(a)];
                     for (std::int64_t i = 0; i < y.numel(); ++i)
                       for (std::int64_t other = 0; other < in[0].shape()[a]; ++other) {
                         const std::int64_t own = i / stride % in[0].shape()[a];
                         const bool counts = (reverse ? other >= own : other <= own) && !(exclusive && other == own);
                         if (counts) y.mutable_data<double>()[i] += in[0].data<double>()[i + (other - own) * stride];
                       }
                     return std::vector<Tensor>{y};
                   },
               .gradients = {0}});
  check({.op = "CumSum",
         .inputs = {Tensor::of<std::int64_t>({3}, {1, 2, 3}), Tensor::scalar<std::int64_t>(0)},
         .reference = [](const std::vector<Tensor>&) {
           return std::vector<Tensor>{ints({3}, {1, 3, 6})};
         }});
}

}  // namespace
}  // namespace retune
