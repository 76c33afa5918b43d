#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <vector>

#include "graph/graph_builder.h"
#include "graph/op_case.h"
#include "graph/session.h"
#include "tensor/error.h"

namespace retune {
namespace {

constexpr std::int64_t kOne = 1;

// Turns the first 2 * half elements of a head by the angles of a position.
std::vector<double> turned(std::vector<double> x, const Tensor& cos, const Tensor& sin, std::int64_t position,
                           bool interleaved) {
  const std::int64_t half = cos.shape()[1];
  const std::vector<double> old = x;
  for (std::int64_t i = 0; i < half; ++i) {
    const auto first = static_cast<std::size_t>(interleaved ? 2 * i : i),
               second = static_cast<std::size_t>(interleaved ? 2 * i + 1 : half + i);
    const double c = cos.data<double>()[position * half + i], s = sin.data<double>()[position * half + i];
    x[first] = c * old[first] - s * old[second];
    x[second] = s * old[first] + c * old[second];
  }
  return x;
}

struct Group {
  std::int64_t batch = 2, queries = 3, heads = 4, key_heads = 2, width = 4, past = 0, total = 3, extent = 3;
  bool rotary = false, interleaved = false, packed = false;
  double softcap = 0;
  std::vector<std::int64_t> starts{0, 0};
};

std::vector<double> slice(const Tensor& x, std::int64_t begin, std::int64_t count) {
  return {x.data<double>() + begin, x.data<double>() + begin + count};
}

// A head of the query (kind 0), key (1) or value (2) of one new token.
std::vector<double> token(const std::vector<Tensor>& in, const Group& g, int kind, std::int64_t b, std::int64_t s,
                          std::int64_t h) {
  const std::int64_t row = b * g.queries + s;
  if (!g.packed)
    return slice(in[static_cast<std::size_t>(kind)], (row * (kind == 0 ? g.heads : g.key_heads) + h) * g.width,
                 g.width);
  const std::int64_t before = kind == 0 ? 0 : kind == 1 ? g.heads : g.heads + g.key_heads;
  return slice(in[0], (row * (g.heads + 2 * g.key_heads) + before + h) * g.width, g.width);
}

// By the definition, a query at a time.
std::vector<Tensor> naive(const std::vector<Tensor>& in, const Group& g) {
  Tensor y = Tensor::zeros(DType::kF64, {g.batch, g.queries, g.heads * g.width});
  Tensor present[2] = {Tensor::zeros(DType::kF64, {g.batch, g.key_heads, g.extent, g.width}),
                       Tensor::zeros(DType::kF64, {g.batch, g.key_heads, g.extent, g.width})};
  for (std::int64_t b = 0; b < g.batch; ++b) {
    const std::int64_t start = g.starts[static_cast<std::size_t>(b)];
    for (std::int64_t h = 0; h < g.key_heads; ++h) {
      for (std::int64_t t = 0; t < start + g.queries; ++t) {
        for (int kind = 1; kind <= 2; ++kind) {
          std::vector<double> x = t < start ? slice(in[static_cast<std::size_t>(kind + 2)],
                                                    ((b * g.key_heads + h) * g.past + t) * g.width, g.width)
                                            : token(in, g, kind, b, t - start, h);
          if (kind == 1 && t >= start && g.rotary) x = turned(x, in[7], in[8], t, g.interleaved);
          std::copy(x.begin(), x.end(),
                    present[kind - 1].mutable_data<double>() + ((b * g.key_heads + h) * g.extent + t) * g.width);
        }
      }
    }
    for (std::int64_t s = 0; s < g.queries; ++s) {
      for (std::int64_t h = 0; h < g.heads; ++h) {
        std::vector<double> q = token(in, g, 0, b, s, h);
        if (g.rotary) q = turned(q, in[7], in[8], start + s, g.interleaved);
        const std::int64_t source = (b * g.key_heads + h / (g.heads / g.key_heads)) * g.extent;
        std::vector<double> weights;
        double sum = 0;
        for (std::int64_t t = 0; t <= start + s; ++t) {
          const std::vector<double> key = slice(present[0], (source + t) * g.width, g.width);
          double score = 0;
          for (std::size_t i = 0; i < q.size(); ++i) score += q[i] * key[i] / std::sqrt(static_cast<double>(g.width));
          if (g.softcap > 0) score = g.softcap * std::tanh(score / g.softcap);
          if (in.size() > 10) score += in[10].data<double>()[s * g.total + t];  // [1, 1, S, T]
          weights.push_back(std::exp(score));
          sum += weights.back();
        }
        for (std::int64_t t = 0; t <= start + s; ++t)
          for (std::int64_t i = 0; i < g.width; ++i)
            y.mutable_data<double>()[((b * g.queries + s) * g.heads + h) * g.width + i] +=
                weights[static_cast<std::size_t>(t)] / sum * present[1].data<double>()[(source + t) * g.width + i];
      }
    }
  }
  return {y, present[0], present[1]};
}

OpCase group_query(const Group& g) {
  OpCase test{.domain = "com.microsoft",
              .op = "GroupQueryAttention",
              .version = 1,
              .inputs = {},
              .constants = {6},
              .attributes = {{"num_heads", g.heads},
                             {"kv_num_heads", g.key_heads},
                             {"do_rotary", std::int64_t{g.rotary}},
                             {"rotary_interleaved", std::int64_t{g.interleaved}},
                             {"softcap", g.softcap}},
              .outputs = 3,
              .reference = [g](const std::vector<Tensor>& in) { return naive(in, g); },
              .gradients = {0}};
  const std::int64_t packed = g.heads + 2 * g.key_heads;
  test.inputs.push_back(random_f64({g.batch, g.queries, (g.packed ? packed : g.heads) * g.width}, 1));
  for (int i = 1; i <= 2; ++i) {
    test.inputs.push_back(
        g.packed ? Tensor()
                 : random_f64({g.batch, g.queries, g.key_heads * g.width}, static_cast<std::uint64_t>(1 + i)));
    if (!g.packed) test.gradients.push_back(i);
  }
  for (int i = 3; i <= 4; ++i) {
    test.inputs.push_back(g.past == 0
                              ? Tensor()
                              : random_f64({g.batch, g.key_heads, g.past, g.width}, static_cast<std::uint64_t>(1 + i)));
    if (g.past != 0) test.gradients.push_back(i);
  }
  std::vector<std::int32_t> last;
  for (const std::int64_t start : g.starts) last.push_back(static_cast<std::int32_t>(start + g.queries - 1));
  test.inputs.push_back(Tensor::vector(last));
  test.inputs.push_back(Tensor::scalar(static_cast<std::int32_t>(g.total)));
  if (g.rotary)
    for (std::uint64_t i = 0; i < 2; ++i) test.inputs.push_back(random_f64({8, g.width / 2}, 20 + i));
  return test;
}

TEST(GroupQueryAttention, StartsCausally) {
  check(group_query({}));
  check(group_query({.packed = true}));
  check(group_query({.softcap = 0.3}));
}

TEST(GroupQueryAttention, TurnsQueriesAndKeysByTheirPositions) {
  for (const bool interleaved : {false, true})
    for (const bool packed : {false, true})
      check(group_query({.rotary = true, .interleaved = interleaved, .packed = packed}));
}

TEST(GroupQueryAttention, ContinuesBehindAPast) {
  check(group_query({.batch = 1, .queries = 2, .past = 3, .total = 5, .extent = 5, .rotary = true, .starts = {3}}));
  check(group_query({.batch = 1, .queries = 1, .past = 3, .total = 4, .extent = 4, .starts = {3}}));
}

TEST(GroupQueryAttention, RowsOfABatchHavePastsOfTheirOwnLength) {
  check(group_query({.queries = 2, .past = 3, .total = 5, .extent = 5, .rotary = true, .starts = {3, 1}}));
}

TEST(GroupQueryAttention, WritesIntoACacheThatHasRoom) {
  check(group_query({.batch = 1, .queries = 2, .past = 7, .total = 5, .extent = 7, .starts = {3}}));
  check(group_query({.batch = 1, .queries = 3, .past = 7, .total = 3, .extent = 7, .rotary = true, .starts = {0}}));
}

TEST(GroupQueryAttention, AddsABias) {
  OpCase test =
      group_query({.batch = 1, .queries = 2, .past = 3, .total = 5, .extent = 5, .rotary = true, .starts = {3}});
  test.inputs.push_back({});
  test.inputs.push_back(random_f64({1, 1, 2, 5}, 9));
  check(test);
}

// Rows of a batch with pasts of three and of one, in a cache of six; on the first step nothing of the past counts.
TEST(GroupQueryAttention, PutsNewTokensBehindThePastOfTheirRow) {
  for (const bool first : {false, true})
    check({.domain = "retune",
           .op = "PastAppend",
           .version = 1,
           .inputs = {random_f64({2, 2, 4, 3}, 1), random_f64({2, 2, 2, 3}, 2), Tensor::of<std::int32_t>({2}, {4, 2})},
           .attributes = {{"extent", std::int64_t{6}}, {"first", std::int64_t{first}}},
           .reference =
               [first](const std::vector<Tensor>& in) {
                 Tensor y = Tensor::zeros(DType::kF64, {2, 2, 6, 3});
                 for (std::int64_t i = 0; i < y.numel(); ++i) {
                   const std::int64_t column = i % 3, t = i / 3 % 6, plane = i / 18;
                   const std::int64_t start = first ? 0 : plane < 2 ? 3 : 1;
                   if (t < start + 2)
                     y.mutable_data<double>()[i] = t < start
                                                       ? in[0].data<double>()[(plane * 4 + t) * 3 + column]
                                                       : in[1].data<double>()[(plane * 2 + t - start) * 3 + column];
                 }
                 return std::vector<Tensor>{y};
               },
           .gradients = {0, 1}});
}

void expect_refusal(const OpCase& op_case, const std::string& why) {
  auto graph = std::make_shared<Graph>();
  Node node{.domain = op_case.domain, .op = op_case.op, .version = op_case.version, .name = "attention"};
  node.attributes = op_case.attributes;
  Request request{.outputs = {"y"}};
  for (std::size_t i = 0; i < op_case.inputs.size(); ++i) {
    const std::string name = std::to_string(i);
    node.inputs.push_back(op_case.inputs[i].defined() ? graph->add_input(name, op_case.inputs[i].dtype()) : kNoValue);
    if (op_case.inputs[i].defined()) request.inputs[name] = {op_case.inputs[i]};
  }
  request.pinned = {"6"};
  graph->add_node(std::move(node), {"y"});
  Session session({.threads = 1});
  try {
    session.run(graph, {}, request);
    ADD_FAILURE() << "expected an error: " << why;
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kUser);
    EXPECT_NE(std::string(error.what()).find(why), std::string::npos) << error.what();
    EXPECT_NE(std::string(error.what()).find("'attention'"), std::string::npos) << error.what();
  }
}

TEST(GroupQueryAttention, RefusesWhatItWouldGetWrong) {
  OpCase test = group_query({});
  test.attributes.set("local_window_size", std::int64_t{2});
  expect_refusal(test, "local_window_size");
  test = group_query({});
  test.attributes.set("smooth_softmax", kOne);
  expect_refusal(test, "smooth_softmax");
  test = group_query({});
  test.inputs.resize(11);
  test.inputs.push_back(random_f64({4}, 1));
  expect_refusal(test, "head_sink");
  test = group_query({});
  test.inputs[6] = Tensor::scalar(std::int32_t{5});
  expect_refusal(test, "past_key and past_value are needed");
}

TEST(GroupQueryAttention, RefusesLengthsThatDoNotFitItsPast) {
  OpCase test = group_query({.batch = 1, .queries = 2, .past = 3, .total = 5, .extent = 5, .starts = {3}});
  test.inputs[5] = Tensor::of<std::int32_t>({1}, {7});
  expect_refusal(test, "seqlens_k 7 does not fit");
}

// --- MultiHeadAttention ---

struct Multi {
  std::int64_t batch = 2, heads = 2, width = 3, queries = 3, keys = 3, past = 0;
};

using Score = std::function<double(std::int64_t b, std::int64_t h, std::int64_t s, std::int64_t t)>;

// Element i of head h of token t, from [B, L, H D] or [B, H, L, D].
double element(const Tensor& x, const Multi& m, std::int64_t b, std::int64_t t, std::int64_t h, std::int64_t i) {
  const Shape& shape = x.shape();
  return x.data<double>()[shape.rank() == 3 ? (b * shape[1] + t) * shape[2] + h * m.width + i
                                            : ((b * m.heads + h) * shape[2] + t) * m.width + i];
}

// y, present key and present value; `extra` is added to the scores.
std::vector<Tensor> naive_multi(const std::vector<Tensor>& in, const Multi& m, const Score& extra) {
  const std::int64_t total = m.past + m.keys;
  const auto bias = [&](int kind, std::int64_t h, std::int64_t i) {
    const bool given = in.size() > 3 && in[3].defined() && in[static_cast<std::size_t>(kind)].shape().rank() == 3;
    return given ? in[3].data<double>()[kind * m.heads * m.width + h * m.width + i] : 0.0;
  };
  const auto cached = [&](int kind, std::int64_t b, std::int64_t h, std::int64_t t, std::int64_t i) {
    if (t < m.past) return element(in[static_cast<std::size_t>(kind + 5)], m, b, t, h, i);
    return element(in[static_cast<std::size_t>(kind)], m, b, t - m.past, h, i) + bias(kind, h, i);
  };
  std::vector<Tensor> out{Tensor::zeros(DType::kF64, {m.batch, m.queries, m.heads * m.width}),
                          Tensor::empty(DType::kF64, {m.batch, m.heads, total, m.width}),
                          Tensor::empty(DType::kF64, {m.batch, m.heads, total, m.width})};
  for (std::int64_t b = 0; b < m.batch; ++b) {
    for (std::int64_t h = 0; h < m.heads; ++h) {
      for (std::int64_t t = 0; t < total; ++t)
        for (std::int64_t i = 0; i < m.width; ++i)
          for (int kind = 1; kind <= 2; ++kind)
            out[static_cast<std::size_t>(kind)].mutable_data<double>()[((b * m.heads + h) * total + t) * m.width + i] =
                cached(kind, b, h, t, i);
      for (std::int64_t s = 0; s < m.queries; ++s) {
        std::vector<double> weights;
        double sum = 0;
        for (std::int64_t t = 0; t < total; ++t) {
          double score = extra(b, h, s, t);
          for (std::int64_t i = 0; i < m.width; ++i)
            score += (element(in[0], m, b, s, h, i) + bias(0, h, i)) * cached(1, b, h, t, i) /
                     std::sqrt(static_cast<double>(m.width));
          weights.push_back(std::exp(score));
          sum += weights.back();
        }
        for (std::int64_t t = 0; t < total; ++t)
          for (std::int64_t i = 0; i < m.width; ++i)
            out[0].mutable_data<double>()[(b * m.queries + s) * m.heads * m.width + h * m.width + i] +=
                weights[static_cast<std::size_t>(t)] / sum * cached(2, b, h, t, i);
      }
    }
  }
  return out;
}

OpCase multi_head(const Multi& m, std::vector<Tensor> rest, Score extra) {
  const std::int64_t hidden = m.heads * m.width;
  OpCase test{.domain = "com.microsoft",
              .op = "MultiHeadAttention",
              .version = 1,
              .inputs = {random_f64({m.batch, m.queries, hidden}, 1), random_f64({m.batch, m.keys, hidden}, 2),
                         random_f64({m.batch, m.keys, hidden}, 3)},
              .attributes = {{"num_heads", m.heads}},
              .outputs = 3,
              .reference = [m, extra](const std::vector<Tensor>& in) { return naive_multi(in, m, extra); },
              .gradients = {0, 1, 2}};
  test.inputs.insert(test.inputs.end(), rest.begin(), rest.end());
  return test;
}

const Score kNothing = [](std::int64_t, std::int64_t, std::int64_t, std::int64_t) { return 0.0; };

TEST(MultiHeadAttention, AttendsWithAndWithoutBias) {
  check(multi_head({}, {}, kNothing));
  OpCase test = multi_head({.queries = 2, .keys = 4}, {random_f64({18}, 4)}, kNothing);
  test.gradients.push_back(3);
  check(test);
}

TEST(MultiHeadAttention, LeavesPaddedKeysOut) {
  const Tensor lengths = Tensor::of<std::int32_t>({2}, {2, 3});
  check(multi_head({}, {{}, lengths}, [](std::int64_t b, std::int64_t, std::int64_t, std::int64_t t) {
    return t < 2 + b ? 0.0 : -10000.0;
  }));
  const Tensor flags = Tensor::of<std::int32_t>({2, 3}, {1, 0, 1, 1, 1, 0});
  check(multi_head({}, {{}, flags}, [](std::int64_t b, std::int64_t, std::int64_t, std::int64_t t) {
    return t == 1 + b ? -10000.0 : 0.0;
  }));
}

TEST(MultiHeadAttention, AddsABiasToTheScores) {
  const Tensor bias = random_f64({1, 2, 3, 3}, 7);
  check(multi_head({}, {{}, {}, bias}, [bias](std::int64_t, std::int64_t h, std::int64_t s, std::int64_t t) {
    return bias.data<double>()[(h * 3 + s) * 3 + t];
  }));
}

TEST(MultiHeadAttention, ContinuesBehindAPastCausally) {
  OpCase test = multi_head(
      {.queries = 2, .keys = 2, .past = 3}, {{}, {}, {}, random_f64({2, 2, 3, 3}, 8), random_f64({2, 2, 3, 3}, 9)},
      [](std::int64_t, std::int64_t, std::int64_t s, std::int64_t t) { return t > s + 3 ? -INFINITY : 0.0; });
  test.attributes.set("unidirectional", kOne);
  test.gradients = {0, 1, 2, 6, 7};
  check(test);
}

TEST(MultiHeadAttention, TakesKeysThatAreProjectedAlready) {
  OpCase test = multi_head({.keys = 4}, {}, kNothing);
  test.inputs[1] = random_f64({2, 2, 4, 3}, 2);
  test.inputs[2] = random_f64({2, 2, 4, 3}, 3);
  check(test);
}

}  // namespace
}  // namespace retune
