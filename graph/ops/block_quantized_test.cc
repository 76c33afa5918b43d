#include <gtest/gtest.h>

#include <cmath>

#include "graph/op_case.h"
#include "graph/session.h"
#include "tensor/error.h"
#include "tensor/rng.h"

namespace retune {
namespace {

Tensor random_bytes(Shape shape, std::uint64_t seed) {
  Rng rng(seed);
  Tensor bytes = Tensor::empty(DType::kU8, std::move(shape));
  for (std::int64_t i = 0; i < bytes.numel(); ++i)
    bytes.mutable_data<std::uint8_t>()[i] = static_cast<std::uint8_t>(rng.uniform(0, 256));
  return bytes;
}

struct Weight {
  std::int64_t n, k, bits, block;
  std::int64_t blocks() const { return (k + block - 1) / block; }
  Attributes attributes() const { return {{"N", n}, {"K", k}, {"bits", bits}, {"block_size", block}}; }
};

// Element (n, k) of the weight, from its definition.
double element(const Weight& w, const std::vector<Tensor>& in, std::int64_t n, std::int64_t k) {
  const auto field = [&](const Tensor& packed, std::int64_t row_bytes, std::int64_t i) {
    const std::int64_t bit = i * w.bits;
    return (packed.data<std::uint8_t>()[n * row_bytes + bit / 8] >> (bit % 8)) & ((1 << w.bits) - 1);
  };
  const std::int64_t j = in.size() > 4 && in[4].defined() ? in[4].data<std::int32_t>()[k] : k / w.block;
  double zero = std::pow(2, w.bits - 1);
  if (in.size() > 3 && in[3].defined())
    zero = in[3].dtype() == DType::kU8 ? field(in[3], (w.blocks() * w.bits + 7) / 8, j)
                                       : in[3].to_f64()[static_cast<std::size_t>(n * w.blocks() + j)];
  const double code = field(in[1], w.blocks() * w.block * w.bits / 8, k);
  return (code - zero) * in[2].to_f64()[static_cast<std::size_t>(n * w.blocks() + j)];
}

OpCase nbits(const Weight& w, const Shape& rows, Tensor zeros, Tensor groups, Tensor bias, std::vector<int> gradients) {
  std::vector<std::int64_t> a = rows.extents(), y = a;
  a.push_back(w.k);
  y.push_back(w.n);
  const Tensor codes = random_bytes({w.n, w.blocks(), w.block * w.bits / 8}, 11);
  return {.domain = "com.microsoft",
          .op = "MatMulNBits",
          .version = 1,
          .inputs = {random_f64(Shape(a), 1), codes, random_f64({w.n, w.blocks()}, 2, 0.05, 0.5), std::move(zeros),
                     std::move(groups), std::move(bias)},
          .attributes = w.attributes(),
          .reference =
              [w, y](const std::vector<Tensor>& in) {
                Tensor out = Tensor::zeros(DType::kF64, Shape(y));
                for (std::int64_t i = 0; i < out.numel() / w.n; ++i)
                  for (std::int64_t n = 0; n < w.n; ++n) {
                    double sum = in[5].defined() ? in[5].to_f64()[static_cast<std::size_t>(n)] : 0;
                    for (std::int64_t k = 0; k < w.k; ++k)
                      sum += in[0].data<double>()[i * w.k + k] * element(w, in, n, k);
                    out.mutable_data<double>()[i * w.n + n] = sum;
                  }
                return std::vector<Tensor>{out};
              },
          .gradients = std::move(gradients)};
}

TEST(MatMulNBits, MultipliesByItsDecodedWeight) {
  for (const std::int64_t bits : {2, 4, 8})
    for (const auto& [k, block] : {std::pair{64, 32}, std::pair{50, 16}, std::pair{16, 64}})
      for (const Shape& rows : {Shape{1}, Shape{2, 3}, Shape{0, 2}, Shape{3}}) {
        const Weight w{5, k, bits, block};
        check(nbits(w, rows, {}, {}, {}, {0, 2}));
        check(nbits(w, rows, random_bytes({w.n, (w.blocks() * bits + 7) / 8}, 3), {}, random_f64({w.n}, 4), {0, 5}));
      }
}

TEST(MatMulNBits, TakesFloatZeroPointsAndAPermutation) {
  const Weight w{6, 48, 4, 16};
  Tensor groups = Tensor::empty(DType::kI32, {w.k});
  for (std::int64_t k = 0; k < w.k; ++k) groups.mutable_data<std::int32_t>()[k] = static_cast<std::int32_t>(k % 3);
  for (const Shape& rows : {Shape{1}, Shape{7}}) {
    check(nbits(w, rows, random_f64({w.n, w.blocks()}, 5, 0, 15), {}, {}, {0, 2}));
    check(nbits(w, rows, {}, groups, {}, {0, 2}));
  }
}

// Wider than a tile of columns and taller than one of rows.
TEST(MatMulNBits, IsCutIntoTilesWithoutASeam) {
  check(nbits({230, 160, 4, 32}, {6}, {}, {}, {}, {0}));
  check(nbits({300, 160, 4, 32}, {2}, {}, {}, {}, {0}));
}

TEST(MatMulNBits, RefusesWhatDoesNotFit) {
  const auto refuses = [](OpCase c, const std::string& words) {
    auto graph = std::make_shared<Graph>();
    Node node{.domain = c.domain, .op = c.op, .version = 1, .name = "n", .attributes = c.attributes};
    Request request{.outputs = {"y"}};
    for (std::size_t i = 0; i < c.inputs.size(); ++i) {
      const std::string name = fmt::format("x{}", i);
      node.inputs.push_back(c.inputs[i].defined() ? graph->add_input(name, c.inputs[i].dtype()) : kNoValue);
      if (c.inputs[i].defined()) request.inputs[name] = {c.inputs[i]};
    }
    graph->add_node(std::move(node), {"y"});
    Session session({.threads = 1});
    try {
      session.run(graph, {}, request);
      ADD_FAILURE() << "no error with " << words;
    } catch (const Error& error) {
      EXPECT_NE(std::string(error.what()).find(words), std::string::npos) << error.what();
    }
  };
  const OpCase good = nbits({4, 32, 4, 16}, {1}, {}, {}, {}, {});
  const auto with = [&](const char* name, std::int64_t value) {
    OpCase c = good;
    c.attributes.set(name, value);
    return c;
  };
  refuses(with("bits", 3), "bits is 3");
  refuses(with("block_size", 24), "power of two");
  refuses(with("K", 64), "expected [..., 64]");
  refuses(with("N", 8), "packed weight");
  refuses(with("N", std::int64_t{1} << 62), "attribute N");
  refuses(with("weight_prepacked", 1), "not supported");
  OpCase groups = good;
  groups.inputs[4] = Tensor::zeros(DType::kI32, {32});
  groups.inputs[4].mutable_data<std::int32_t>()[3] = 2;
  refuses(groups, "g_idx[3] is 2");
}

TEST(MatMulBnb4, MultipliesByItsTable) {
  const double kFp4[] = {0, 0.005208333333, 0.66666667, 1, 0.33333333, 0.5, 0.16666667, 0.25};
  const std::int64_t n = 6, k = 43, block = 16;
  for (const std::int64_t transposed : {1, 0})
    for (const std::int64_t m : {1, 7})
      check({.domain = "com.microsoft",
             .op = "MatMulBnb4",
             .version = 1,
             .inputs = {random_f64({m, transposed ? k : n}, 1), random_bytes({(n * k + 1) / 2}, 2),
                        random_f64({(n * k + block - 1) / block}, 3, 0.5, 2)},
             .attributes =
                 {{"N", n}, {"K", k}, {"block_size", block}, {"quant_type", std::int64_t{0}}, {"transB", transposed}},
             .reference =
                 [&](const std::vector<Tensor>& in) {
                   const std::int64_t columns = transposed ? n : k, depth = transposed ? k : n;
                   Tensor y = Tensor::zeros(DType::kF64, {m, columns});
                   for (std::int64_t i = 0; i < m; ++i)
                     for (std::int64_t j = 0; j < columns; ++j)
                       for (std::int64_t l = 0; l < depth; ++l) {
                         const std::int64_t at = transposed ? j * k + l : l * k + j;
                         const int byte = in[1].data<std::uint8_t>()[at / 2],
                                   code = at % 2 == 0 ? byte >> 4 : byte & 15;
                         y.mutable_data<double>()[i * columns + j] += in[0].data<double>()[i * depth + l] *
                                                                      kFp4[code & 7] * (code > 7 ? -1 : 1) *
                                                                      in[2].data<double>()[at / block];
                       }
                   return std::vector<Tensor>{y};
                 },
             .gradients = {0, 2}});
}

TEST(GatherBlockQuantized, DecodesWhatItTakes) {
  for (const std::int64_t bits : {2, 4, 8}) {
    const std::int64_t width = 40, blocks = 3;
    check({.domain = "com.microsoft",
           .op = "GatherBlockQuantized",
           .version = 1,
           .inputs = {random_bytes({6, width * bits / 8}, 1), Tensor::of<std::int64_t>({2, 2}, {5, -6, 1, 1}),
                      random_f64({6, blocks}, 2), random_bytes({6, (blocks * bits + 7) / 8}, 3)},
           .attributes = {{"bits", bits}, {"block_size", std::int64_t{16}}},
           .reference = [&](const std::vector<Tensor>& in) {
             Tensor y = Tensor::empty(DType::kF64, {2, 2, width});
             for (std::int64_t i = 0; i < 4; ++i) {
               const std::int64_t row = (in[1].data<std::int64_t>()[i] + 6) % 6;
               for (std::int64_t k = 0; k < width; ++k) {
                 const auto code = [&](const Tensor& t, std::int64_t at) {
                   return (t.data<std::uint8_t>()[row * t.shape()[1] + at * bits / 8] >> (at * bits % 8)) &
                          ((1 << bits) - 1);
                 };
                 y.mutable_data<double>()[i * width + k] =
                     (code(in[0], k) - code(in[3], k / 16)) * in[2].data<double>()[row * blocks + k / 16];
               }
             }
             return std::vector<Tensor>{y};
           }});
  }
}

}  // namespace
}  // namespace retune
