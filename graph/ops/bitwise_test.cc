#include <gtest/gtest.h>

#include <bit>
#include <functional>

#include "graph/op_case.h"

namespace retune {
namespace {

using Bits = std::function<std::int64_t(std::int64_t, std::int64_t)>;

template <class T>
void follows(const char* op, const Bits& f, const Attributes& attributes = {}) {
  const Tensor a = Tensor::of<T>({2, 3}, {T(0), T(1), T(-1), T(0x5a), T(77), T(3)});
  const Tensor b = Tensor::of<T>({3}, {T(1), T(7), T(5)});
  check({.op = op,
         .version = 18,
         .inputs = {a, b},
         .attributes = attributes,
         .reference = [f](const std::vector<Tensor>& in) {
           Tensor y = in[0].copy();
           for (std::int64_t i = 0; i < y.numel(); ++i)
             y.mutable_data<T>()[i] = static_cast<T>(f(in[0].data<T>()[i], in[1].data<T>()[i % 3]));
           return std::vector<Tensor>{y};
         }});
}

TEST(Bitwise, OperatorsFollowTheLanguage) {
  const auto both = [](auto a, auto b) { return a & b; };
  const auto either = [](auto a, auto b) { return a | b; };
  const auto one = [](auto a, auto b) { return a ^ b; };
  follows<std::int8_t>("BitwiseAnd", both);
  follows<std::uint64_t>("BitwiseAnd", both);
  follows<std::int32_t>("BitwiseOr", either);
  follows<std::uint16_t>("BitwiseOr", either);
  follows<std::int64_t>("BitwiseXor", one);
  follows<std::uint8_t>("BitwiseXor", one);
  follows<std::uint8_t>("BitShift", [](auto a, auto b) { return a << b; }, {{"direction", std::string("LEFT")}});
  follows<std::uint32_t>("BitShift", [](auto a, auto b) { return a >> b; }, {{"direction", std::string("RIGHT")}});
}

TEST(Bitwise, NotTurnsEveryBit) {
  check({.op = "BitwiseNot",
         .version = 18,
         .inputs = {Tensor::of<std::int16_t>({3}, {0, -1, 5})},
         .reference = [](const std::vector<Tensor>&) {
           return std::vector<Tensor>{Tensor::of<std::int16_t>({3}, {-1, 0, -6})};
         }});
}

TEST(BitShift, ByTheWidthOrMoreGivesZero) {
  for (const char* direction : {"LEFT", "RIGHT"})
    check({.op = "BitShift",
           .inputs = {Tensor::of<std::uint64_t>({2}, {255, 255}), Tensor::of<std::uint64_t>({2}, {64, 1000})},
           .attributes = {{"direction", std::string(direction)}},
           .reference = [](const std::vector<Tensor>&) {
             return std::vector<Tensor>{Tensor::of<std::uint64_t>({2}, {0, 0})};
           }});
}

TEST(BitCast, KeepsTheBytes) {
  check({.op = "BitCast",
         .version = 26,
         .inputs = {Tensor::of<float>({2}, {1.0f, -2.5f})},
         .attributes = {{"to", std::int64_t{6}}},
         .reference = [](const std::vector<Tensor>&) {
           return std::vector<Tensor>{
               Tensor::of<std::int32_t>({2}, {std::bit_cast<std::int32_t>(1.0f), std::bit_cast<std::int32_t>(-2.5f)})};
         }});
}

}  // namespace
}  // namespace retune
