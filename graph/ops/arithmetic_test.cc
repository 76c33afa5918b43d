#include <gtest/gtest.h>

#include <cmath>
#include <functional>

#include "graph/graph.h"
#include "graph/op_case.h"
#include "graph/session.h"
#include "tensor/error.h"

namespace retune {
namespace {

using Function = std::function<double(double, double)>;

// NumPy's broadcasting by index arithmetic, f64.
Tensor naive(const Tensor& a, const Tensor& b, const Function& f) {
  const Shape shape = broadcast(a.shape(), b.shape());
  Tensor y = Tensor::empty(DType::kF64, shape);
  const auto element = [&](const Tensor& t, std::int64_t i) {
    const auto strides = t.shape().strides();
    std::int64_t at = 0;
    for (int axis = shape.rank() - 1; axis >= 0; --axis) {
      const int own = axis - (shape.rank() - t.shape().rank());
      if (own >= 0 && t.shape()[own] != 1) at += i % shape[axis] * strides[static_cast<std::size_t>(own)];
      i /= shape[axis];
    }
    return t.data<double>()[at];
  };
  for (std::int64_t i = 0; i < y.numel(); ++i) y.mutable_data<double>()[i] = f(element(a, i), element(b, i));
  return y;
}

struct Pair {
  Shape a, b;
};
const std::vector<Pair> kPairs = {
    {{}, {}},                // scalars
    {{2, 3, 5}, {2, 3, 5}},  // equal
    {{2, 3, 5}, {}},
    {{}, {2, 3, 5}},  // a scalar
    {{4, 3, 7}, {7}},
    {{7}, {4, 3, 7}},  // [D] over [.., D]
    {{2, 3, 7}, {2, 3, 1}},
    {{2, 3, 1}, {2, 3, 7}},     // [B, T, 1] over [B, T, D]
    {{2, 3, 4, 5}, {3, 1, 5}},  // a middle axis
    {{3, 1}, {1, 4}},
    {{2, 1, 3, 1}, {1, 5, 1, 4}},  // both
    {{0, 3}, {3}},
    {{2, 0}, {2, 1}},  // nothing
};

void follows(const std::string& op, const Function& f, double low, double high) {
  for (const Pair& pair : kPairs)
    check({.op = op,
           .inputs = {random_f64(pair.a, 31, low, high), random_f64(pair.b, 32, low, high)},
           .reference = [&](const std::vector<Tensor>& in) { return std::vector<Tensor>{naive(in[0], in[1], f)}; },
           .gradients = {0, 1}});
  // More than one task, with runs that do not fit tasks.
  check({.op = op,
         .inputs = {random_f64({77, 3, 301}, 33, low, high), random_f64({3, 301}, 34, low, high)},
         .reference = [&](const std::vector<Tensor>& in) { return std::vector<Tensor>{naive(in[0], in[1], f)}; },
         .gradients = {0, 1}});
}

TEST(ArithmeticOps, TwoOperandsBroadcastAsInNumpy) {
  follows(
      "Add", [](double a, double b) { return a + b; }, -2, 2);
  follows(
      "Sub", [](double a, double b) { return a - b; }, -2, 2);
  follows(
      "Mul", [](double a, double b) { return a * b; }, -2, 2);
  follows(
      "Div", [](double a, double b) { return a / b; }, 0.5, 2);
  follows(
      "Pow", [](double a, double b) { return std::pow(a, b); }, 0.5, 2);
  follows(
      "Max", [](double a, double b) { return std::max(a, b); }, -2, 2);
  follows(
      "Min", [](double a, double b) { return std::min(a, b); }, -2, 2);
  follows(
      "Sum", [](double a, double b) { return a + b; }, -2, 2);
  follows(
      "Mean", [](double a, double b) { return (a + b) / 2; }, -2, 2);
}

TEST(ArithmeticOps, ConstantExponentsHaveExactPowers) {
  for (const double exponent : {1.0, 2.0, 3.0, -1.0, 0.5, 2.5})
    check({.op = "Pow",
           .inputs = {random_f64({3, 7}, 35, 0.3, 2), Tensor::scalar(exponent)},
           .constants = {1},
           .reference =
               [=](const std::vector<Tensor>& in) {
                 return std::vector<Tensor>{
                     naive(in[0], Tensor::scalar(exponent), [](double a, double b) { return std::pow(a, b); })};
               },
           .gradients = {0}});
  // A negative base to a whole power; 0 to the power 2 and 0, where slopes exist though logarithms do not.
  check({.op = "Pow", .inputs = {Tensor::of<double>({3}, {-1.5, 0.0, 2.0}), Tensor::scalar(2.0)}, .gradients = {0}});
  check({.op = "Pow",
         .inputs = {Tensor::of<double>({3}, {-1.5, 0.0, 2.0}), Tensor::scalar(0.0)},
         .constants = {1},
         .gradients = {0}});
}

TEST(ArithmeticOps, AnyNumberOfOperandsFolds) {
  const std::vector<Tensor> inputs = {random_f64({2, 1, 5}, 41), random_f64({3, 1}, 42), random_f64({5}, 43),
                                      random_f64({}, 44)};
  const auto fold = [](const Function& f) {
    return [f](const std::vector<Tensor>& in) {
      Tensor y = in[0];
      for (std::size_t i = 1; i < in.size(); ++i) y = naive(y, in[i], f);
      return std::vector<Tensor>{y};
    };
  };
  const auto add = [](double a, double b) { return a + b; };
  check({.op = "Sum", .inputs = inputs, .reference = fold(add), .gradients = {0, 1, 2, 3}});
  check({.op = "Max",
         .inputs = inputs,
         .reference = fold([](double a, double b) { return std::max(a, b); }),
         .gradients = {0, 1, 2, 3}});
  check({.op = "Min",
         .inputs = inputs,
         .reference = fold([](double a, double b) { return std::min(a, b); }),
         .gradients = {0, 1, 2, 3}});
  check({.op = "Mean",
         .inputs = inputs,
         .reference =
             [&](const std::vector<Tensor>& in) {
               return std::vector<Tensor>{
                   naive(fold(add)(in)[0], Tensor::scalar(0.25), [](double a, double b) { return a * b; })};
             },
         .gradients = {0, 1, 2, 3}});
  check({.op = "Max",
         .inputs = {inputs[0]},
         .reference = [](const std::vector<Tensor>& in) { return in; },
         .gradients = {0}});
}

// For ties central differences see half of either side's slope: what sharing equally gives for two.
TEST(ArithmeticOps, TiesOfMaxAndMinShareEqually) {
  const Tensor a = Tensor::of<double>({4}, {1, 2, 3, 0}), b = Tensor::of<double>({4}, {1, 1, 4, 0});
  check({.op = "Max", .inputs = {a, b}, .gradients = {0, 1}});
  check({.op = "Min", .inputs = {a, b}, .gradients = {0, 1}});
}

TEST(ArithmeticOps, NanInEitherOperandWinsMaxAndMin) {
  const double nan = std::nan("");
  for (const char* op : {"Max", "Min"})
    check({.op = op,
           .inputs = {Tensor::of<double>({2}, {nan, 1}), Tensor::of<double>({2}, {1, nan})},
           .reference = [nan](const std::vector<Tensor>&) {
             return std::vector<Tensor>{Tensor::of<double>({2}, {nan, nan})};
           }});
}

template <class T>
void integers(const std::string& op, const Attributes& attributes, std::initializer_list<T> a,
              std::initializer_list<T> b, std::initializer_list<T> want) {
  const Shape shape{static_cast<std::int64_t>(a.size())};
  check({.op = op,
         .inputs = {Tensor::of<T>(shape, a), Tensor::of<T>(shape, b)},
         .attributes = attributes,
         .reference = [out = Tensor::of<T>(shape, want)](const std::vector<Tensor>&) {
           return std::vector<Tensor>{out};
         }});
}

TEST(ArithmeticOps, IntegersWrapAroundAndDivideTowardsZero) {
  integers<std::uint8_t>("Add", {}, {250, 3}, {10, 4}, {4, 7});
  integers<std::int64_t>("Sub", {}, {2, std::numeric_limits<std::int64_t>::min()}, {5, 1},
                         {-3, std::numeric_limits<std::int64_t>::max()});
  integers<std::uint16_t>("Mul", {}, {65535, 3}, {65535, 4}, {1, 12});
  integers<std::int32_t>("Div", {}, {-7, 7, std::numeric_limits<std::int32_t>::min()}, {2, -2, -1},
                         {-3, -3, std::numeric_limits<std::int32_t>::min()});
  integers<std::int64_t>("Pow", {}, {3, -2, 2, -1}, {4, 3, 0, -3}, {81, -8, 1, -1});
}

TEST(ArithmeticOps, ModTakesTheSignOfTheDivisorAndFmodOfTheDividend) {
  integers<std::int32_t>("Mod", {}, {-7, 7, -7, 6, 5}, {3, -3, -3, 3, -1}, {2, -2, -1, 0, 0});
  integers<std::int32_t>("Mod", {{"fmod", std::int64_t{1}}}, {-7, 7, -7, 6}, {3, -3, -3, 3}, {-1, 1, -1, 0});
  check({.op = "Mod",
         .inputs = {random_f64({3, 5}, 51, -9, 9), random_f64({5}, 52, 1.1, 2.3)},
         .attributes = {{"fmod", std::int64_t{1}}},
         .reference =
             [](const std::vector<Tensor>& in) {
               return std::vector<Tensor>{naive(in[0], in[1], [](double a, double b) { return std::fmod(a, b); })};
             },
         .gradients = {0, 1}});
}

TEST(ArithmeticOps, DividingAnIntegerByZeroIsAUserError) {
  for (const char* op : {"Div", "Mod"}) {
    auto graph = std::make_shared<Graph>();
    const ValueId a = graph->add_input("a", DType::kI64), b = graph->add_input("b", DType::kI64);
    graph->add_node({.domain = "", .op = op, .name = "n", .inputs = {a, b}}, {"y"});
    Session session({.threads = 2});
    try {
      session.run(graph, {},
                  {.inputs = {{"a", {Tensor::of<std::int64_t>({1}, {4})}}, {"b", {Tensor::of<std::int64_t>({1}, {0})}}},
                   .outputs = {"y"}});
      FAIL() << op << " by zero went through";
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kUser);
      EXPECT_NE(std::string(error.what()).find("divided by zero"), std::string::npos) << error.what();
    }
  }
}

}  // namespace
}  // namespace retune
