#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "graph/op_case.h"

namespace retune {
namespace {

constexpr double kInf = std::numeric_limits<double>::infinity();

std::function<std::vector<Tensor>(const std::vector<Tensor>&)> gives(Tensor want) {
  return [want = std::move(want)](const std::vector<Tensor>&) { return std::vector<Tensor>{want}; };
}

Tensor bools(Shape shape, std::initializer_list<bool> values) { return Tensor::of<bool>(std::move(shape), values); }

TEST(LogicOps, ComparisonsBroadcastAndSeeNanAsUnequal) {
  const double nan = std::nan("");
  const Tensor a = Tensor::of<double>({2, 2}, {1, 2, nan, 4}), b = Tensor::of<double>({2}, {2, 2});
  const auto compare = [&](const char* op, std::initializer_list<bool> want) {
    check({.op = op, .inputs = {a, b}, .reference = gives(bools({2, 2}, want))});
  };
  compare("Equal", {false, true, false, false});
  compare("Less", {true, false, false, false});
  compare("LessOrEqual", {true, true, false, false});
  compare("Greater", {false, false, false, true});
  compare("GreaterOrEqual", {false, true, false, true});
  check({.op = "Equal",
         .inputs = {bools({2}, {true, false}), bools({}, {false})},
         .reference = gives(bools({2}, {false, true}))});
  check({.op = "Less",
         .inputs = {Tensor::of<std::uint64_t>({2}, {~0ull, 1}), Tensor::of<std::uint64_t>({2}, {1, 2})},
         .reference = gives(bools({2}, {false, true}))});
}

TEST(LogicOps, TruthTables) {
  const Tensor a = bools({4}, {false, false, true, true}), b = bools({4}, {false, true, false, true});
  check({.op = "And", .inputs = {a, b}, .reference = gives(bools({4}, {false, false, false, true}))});
  check({.op = "Or", .inputs = {a, b}, .reference = gives(bools({4}, {false, true, true, true}))});
  check({.op = "Xor", .inputs = {a, b}, .reference = gives(bools({4}, {false, true, true, false}))});
  check({.op = "Not", .inputs = {a}, .reference = gives(bools({4}, {true, true, false, false}))});
}

TEST(LogicOps, NanAndInfinityAreRecognised) {
  const Tensor x = Tensor::of<double>({4}, {std::nan(""), kInf, -kInf, 0});
  check({.op = "IsNaN", .inputs = {x}, .reference = gives(bools({4}, {true, false, false, false}))});
  check({.op = "IsInf", .inputs = {x}, .reference = gives(bools({4}, {false, true, true, false}))});
  check({.op = "IsInf",
         .inputs = {x},
         .attributes = {{"detect_negative", std::int64_t{0}}},
         .reference = gives(bools({4}, {false, true, false, false}))});
}

TEST(SelectionOps, WhereChoosesAndSendsGradientsToTheChosen) {
  const Tensor condition = bools({2, 1}, {true, false});
  const auto naive = [](const std::vector<Tensor>& in) {
    Tensor y = Tensor::empty(DType::kF64, {2, 3});
    for (std::int64_t i = 0; i < 6; ++i)
      y.mutable_data<double>()[i] = in[0].data<bool>()[i / 3] ? in[1].data<double>()[i % 3] : in[2].data<double>()[0];
    return std::vector<Tensor>{y};
  };
  check({.op = "Where",
         .inputs = {condition, random_f64({3}, 61), random_f64({}, 62)},
         .reference = naive,
         .gradients = {1, 2}});
  check({.op = "Where",
         .inputs = {bools({1}, {true}), random_f64({70, 501}, 63), random_f64({501}, 64)},
         .reference = [](const std::vector<Tensor>& in) { return std::vector<Tensor>{in[1]}; },
         .gradients = {1, 2}});
  check({.op = "Where",
         .inputs = {bools({2}, {true, false}), Tensor::of<std::int8_t>({2}, {1, 2}),
                    Tensor::of<std::int8_t>({2}, {3, 4})},
         .reference = gives(Tensor::of<std::int8_t>({2}, {1, 4}))});
}

TEST(SelectionOps, ClipHoldsValuesBetweenItsBounds) {
  const Tensor x = random_f64({5, 7}, 65, -2, 2);
  const auto naive = [](double low, double high) {
    return [=](const std::vector<Tensor>& in) {
      Tensor y = in[0].copy();
      for (std::int64_t i = 0; i < y.numel(); ++i)
        y.mutable_data<double>()[i] = std::min(std::max(y.data<double>()[i], low), high);
      return std::vector<Tensor>{y};
    };
  };
  check({.op = "Clip",
         .inputs = {x, Tensor::scalar(-0.5), Tensor::scalar(0.75)},
         .reference = naive(-0.5, 0.75),
         .gradients = {0, 1, 2}});
  check({.op = "Clip",
         .inputs = {x, {}, Tensor::scalar(0.75)},
         .constants = {2},
         .reference = naive(-kInf, 0.75),
         .gradients = {0}});
  check({.op = "Clip",
         .inputs = {x, Tensor::scalar(0.0)},
         .constants = {1},
         .reference = naive(0, kInf),
         .gradients = {0}});
  check({.op = "Clip",
         .version = 6,
         .inputs = {x},
         .attributes = {{"min", -1.0}, {"max", 1.0}},
         .reference = naive(-1, 1),
         .gradients = {0}});
  check({.op = "Clip", .inputs = {x}, .reference = naive(-kInf, kInf), .gradients = {0}});
  check({.op = "Clip",
         .inputs = {x, Tensor::scalar(1.0), Tensor::scalar(-1.0)},
         .reference = naive(1, -1)});  // the upper bound wins
  check({.op = "Clip",
         .inputs = {Tensor::of<std::int8_t>({3}, {-9, 1, 9}), Tensor::scalar<std::int8_t>(-2),
                    Tensor::scalar<std::int8_t>(3)},
         .reference = gives(Tensor::of<std::int8_t>({3}, {-2, 1, 3}))});
}

TEST(SelectionOps, ClipHasSlopeOneAtItsBounds) {
  check({.domain = "retune",
         .op = "ClipGrad",
         .version = 1,
         .inputs = {Tensor::of<double>({5}, {-1.5, -1, 0, 1, 1.5}), Tensor::of<double>({5}, {1, 2, 3, 4, 5}),
                    Tensor::scalar(-1.0), Tensor::scalar(1.0)},
         .reference = gives(Tensor::of<double>({5}, {0, 2, 3, 4, 0}))});
}

TEST(SelectionOps, PReluScalesWhatIsNegative) {
  const auto naive = [](const std::vector<Tensor>& in) {
    Tensor y = in[0].copy();
    const std::int64_t width = in[1].numel();
    for (std::int64_t i = 0; i < y.numel(); ++i)
      if (double& v = y.mutable_data<double>()[i]; v < 0) v *= in[1].data<double>()[i % width];
    return std::vector<Tensor>{y};
  };
  check({.op = "PRelu",
         .version = 16,
         .inputs = {random_f64({4, 2, 3}, 66), random_f64({3}, 67)},
         .reference = naive,
         .gradients = {0, 1}});
  check({.op = "PRelu",
         .version = 16,
         .inputs = {random_f64({101, 300}, 68), random_f64({300}, 69)},
         .reference = naive,
         .gradients = {0, 1}});
}

TEST(CastOps, ConvertsAsTheTableSays) {
  const Tensor x = Tensor::of<double>({7}, {-1.75, 2.5, 0, 300, -300, 1e30, std::nan("")});
  const auto to = [](DType dtype) { return Attributes{{"to", static_cast<std::int64_t>(dtype)}}; };
  check({.op = "Cast",
         .inputs = {x},
         .attributes = to(DType::kI8),
         .reference = gives(Tensor::of<std::int8_t>({7}, {-1, 2, 0, 127, -128, 127, 0}))});
  check({.op = "Cast",
         .inputs = {x},
         .attributes = to(DType::kU64),
         .reference = gives(Tensor::of<std::uint64_t>({7}, {0, 2, 0, 300, 0, ~0ull, 0}))});
  check({.op = "Cast",
         .inputs = {x},
         .attributes = to(DType::kBool),
         .reference = gives(bools({7}, {true, true, false, true, true, true, true}))});
  check({.op = "Cast",
         .inputs = {bools({2}, {true, false})},
         .attributes = to(DType::kF32),
         .reference = gives(Tensor::of<float>({2}, {1, 0}))});
  // 1 + 2^-9 lies half way between two bf16 numbers and rounds to the even one; 65520 is the least f32 that f16 rounds
  // to infinity.
  check({.op = "Cast",
         .inputs = {Tensor::of<float>({2}, {1.00390625f, 1.01171875f})},
         .attributes = to(DType::kBF16),
         .reference = gives(Tensor::of<BF16>({2}, {{0x3f80}, {0x3f82}}))});
  check({.op = "Cast",
         .inputs = {Tensor::of<float>({2}, {65519.f, 65520.f})},
         .attributes = to(DType::kF16),
         .reference = gives(Tensor::of<F16>({2}, {{0x7bff}, {0x7c00}}))});
  check({.op = "CastLike",
         .inputs = {x, Tensor::of<std::int16_t>({1}, {0})},
         .reference = gives(Tensor::of<std::int16_t>({7}, {-1, 2, 0, 300, -300, 32767, 0}))});
}

}  // namespace
}  // namespace retune
