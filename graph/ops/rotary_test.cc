#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "graph/op_case.h"

namespace retune {
namespace {

// x cos + rotate_half(x) sin on [B, H, S, D], with tables [B or 1, 1, S, D or D/2] read modulo their width.
Tensor naive_rotary(const Tensor& x, const Tensor& cos, const Tensor& sin) {
  const Shape& s = x.shape();
  const std::int64_t d = s[3], width = cos.shape()[3];
  Tensor y = Tensor::empty(DType::kF64, s);
  for (std::int64_t i = 0; i < x.numel(); ++i) {
    const std::int64_t e = i % d, position = i / d % s[2], batch = i / (d * s[2] * s[1]);
    const std::int64_t row = (cos.shape()[0] == 1 ? 0 : batch) * s[2] + position;
    const double turned = e < d / 2 ? -x.data<double>()[i + d / 2] : x.data<double>()[i - d / 2];
    y.mutable_data<double>()[i] = x.data<double>()[i] * cos.data<double>()[row * width + e % width] +
                                  turned * sin.data<double>()[row * width + e % width];
  }
  return y;
}

TEST(Rotary, MatchesTheSpellingOfExporters) {
  for (const Shape& table : {Shape{1, 1, 3, 6}, Shape{2, 1, 3, 6}, Shape{1, 1, 3, 3}}) {
    check({.domain = "retune",
           .op = "Rotary",
           .version = 1,
           .inputs = {random_f64({2, 4, 3, 6}, 1), random_f64(table, 2), random_f64(table, 3)},
           .reference =
               [](const std::vector<Tensor>& in) { return std::vector<Tensor>{naive_rotary(in[0], in[1], in[2])}; },
           .gradients = {0}});
  }
}

struct Layout {
  std::int64_t heads, d, rotated;
  bool interleaved, heads_first;
};

// `angle_row` gives the cache row of (b, s).
template <class Row>
Tensor naive_embedding(const Tensor& x, const Tensor& cos, const Tensor& sin, Layout l, std::int64_t positions,
                       Row&& angle_row) {
  Tensor y = x.copy();
  const std::int64_t half = l.rotated / 2, batch = x.shape()[0];
  for (std::int64_t b = 0; b < batch; ++b) {
    for (std::int64_t h = 0; h < l.heads; ++h) {
      for (std::int64_t s = 0; s < positions; ++s) {
        const std::int64_t base =
            (l.heads_first ? (b * l.heads + h) * positions + s : (b * positions + s) * l.heads + h) * l.d;
        for (std::int64_t i = 0; i < half; ++i) {
          const std::int64_t first = base + (l.interleaved ? 2 * i : i),
                             second = base + (l.interleaved ? 2 * i + 1 : half + i);
          const double c = cos.data<double>()[angle_row(b, s) * half + i],
                       n = sin.data<double>()[angle_row(b, s) * half + i];
          y.mutable_data<double>()[first] = c * x.data<double>()[first] - n * x.data<double>()[second];
          y.mutable_data<double>()[second] = n * x.data<double>()[first] + c * x.data<double>()[second];
        }
      }
    }
  }
  return y;
}

TEST(RotaryEmbedding, TurnsHalvesOrNeighboursWithCachesByPosition) {
  const Tensor ids = Tensor::of<std::int64_t>({2, 3}, {0, 1, 2, 4, 0, 3});
  for (const bool interleaved : {false, true}) {
    for (const bool heads_first : {false, true}) {
      for (const std::int64_t rotated : {8, 4}) {
        const Layout l{.heads = 2, .d = 8, .rotated = rotated, .interleaved = interleaved, .heads_first = heads_first};
        const Tensor x = random_f64(heads_first ? Shape{2, 2, 3, 8} : Shape{2, 3, 16}, 1);
        const Tensor cos = random_f64({5, rotated / 2}, 2), sin = random_f64({5, rotated / 2}, 3);
        const Attributes attributes{{"interleaved", std::int64_t{interleaved}},
                                    {"num_heads", std::int64_t{2}},
                                    {"rotary_embedding_dim", rotated == 8 ? std::int64_t{0} : rotated}};
        const auto row = [ids](std::int64_t b, std::int64_t s) { return ids.data<std::int64_t>()[b * 3 + s]; };
        check({.op = "RotaryEmbedding",
               .version = 23,
               .inputs = {x, cos, sin, ids},
               .attributes = attributes,
               .reference =
                   [=](const std::vector<Tensor>& in) {
                     return std::vector<Tensor>{naive_embedding(in[0], in[1], in[2], l, 3, row)};
                   },
               .gradients = {0}});
        check({.domain = "com.microsoft",
               .op = "RotaryEmbedding",
               .version = 1,
               .inputs = {x, ids, cos, sin},
               .attributes = attributes,
               .reference =
                   [=](const std::vector<Tensor>& in) {
                     return std::vector<Tensor>{naive_embedding(in[0], in[2], in[3], l, 3, row)};
                   },
               .gradients = {0}});
      }
    }
  }
}

TEST(RotaryEmbedding, TakesAnOffsetOrTablesOfTheirOwn) {
  const Layout l{.heads = 2, .d = 4, .rotated = 4, .interleaved = false, .heads_first = true};
  check({.domain = "com.microsoft",
         .op = "RotaryEmbedding",
         .version = 1,
         .inputs = {random_f64({2, 2, 3, 4}, 1), Tensor::of<std::int64_t>({1}, {2}), random_f64({5, 2}, 2),
                    random_f64({5, 2}, 3)},
         .reference =
             [l](const std::vector<Tensor>& in) {
               return std::vector<Tensor>{
                   naive_embedding(in[0], in[2], in[3], l, 3, [](std::int64_t, std::int64_t s) { return 2 + s; })};
             },
         .gradients = {0}});
  check({.op = "RotaryEmbedding",
         .version = 23,
         .inputs = {random_f64({2, 2, 3, 4}, 1), random_f64({2, 3, 2}, 2), random_f64({2, 3, 2}, 3)},
         .reference =
             [l](const std::vector<Tensor>& in) {
               return std::vector<Tensor>{naive_embedding(in[0], in[1], in[2], l, 3,
                                                          [](std::int64_t b, std::int64_t s) { return b * 3 + s; })};
             },
         .gradients = {0}});
}

TEST(RotaryEmbedding, BytesOfALargeCaseDoNotDependOnThreads) {
  check({.domain = "retune",
         .op = "Rotary",
         .version = 1,
         .inputs = {random_f64({5, 4, 100, 48}, 1), random_f64({1, 1, 100, 48}, 2), random_f64({1, 1, 100, 48}, 3)},
         .gradients = {0}});
}

}  // namespace
}  // namespace retune
