// Each composite operation, in the spellings that exporters write, against the same graph run node by node.
#include "graph/patterns.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <numbers>

#include "graph/canonicalize.h"
#include "graph/differentiate.h"
#include "graph/graph_builder.h"
#include "graph/node_by_node.h"
#include "graph/session.h"

namespace retune {
namespace {

constexpr double kTolerance = 1e-5;

// A graph under construction with tensors for its leaves.
struct Sketch {
  Graph graph;
  GraphBuilder b{graph};
  Leaves leaves;
  std::uint64_t seed = 1;

  ValueId input(const std::string& name, const Shape& shape) {
    std::vector<Dim> dims;
    for (const std::int64_t extent : shape) dims.push_back({extent, ""});
    leaves[name] = normal_f32(shape, ++seed);
    return graph.add_input(name, DType::kF32, dims);
  }
  ValueId parameter(const std::string& name, const Shape& shape) {
    leaves[name] = normal_f32(shape, ++seed);
    return graph.add_parameter(name, DType::kF32, shape, "model.onnx", name);
  }
  ValueId number(double value) { return b.scalar(value, DType::kF32); }
  ValueId add(ValueId x, ValueId y) { return b.add(x, y); }
  ValueId mul(ValueId x, ValueId y) { return b.mul(x, y); }
  ValueId mean(ValueId x, std::int64_t axis) {
    return b.op("ReduceMean", {x}, {{"axes", std::vector<std::int64_t>{axis}}});
  }
  ValueId slice(ValueId x, std::int64_t from, std::int64_t to, std::int64_t axis) {
    return b.op("Slice", {x, b.ints({from}), b.ints({to}), b.ints({axis})});
  }
  ValueId softmax(ValueId x, std::int64_t axis) { return b.op("Softmax", {x}, {{"axis", axis}}); }
};

struct Spelling {
  std::string name;
  std::string fused;                        // the operator that is to stand for it; empty: it must be left alone
  std::function<ValueId(Sketch&)> compose;  // gives the last value
};
void PrintTo(const Spelling& spelling, std::ostream* out) { *out << spelling.name; }

ValueId rms(Sketch& s, ValueId x, double power = 2, std::int64_t axis = -1) {
  return s.b.op("Sqrt", {s.add(s.mean(s.b.op("Pow", {x, s.number(power)}), axis), s.number(1e-5))});
}

// Position tables as a Llama decoder computes them, [1, 1, S, D].
std::pair<ValueId, ValueId> tables(Sketch& s, std::int64_t positions, std::int64_t size) {
  std::vector<std::int64_t> range;
  for (std::int64_t i = 0; i < positions; ++i) range.push_back(i);
  s.leaves["position_ids"] = Tensor::of<std::int64_t>({1, positions}, range);
  const ValueId ids = s.graph.add_input("position_ids", DType::kI64, {{1, ""}, {positions, ""}});
  const ValueId frequencies = s.parameter("inv_freq", {size / 2});
  const ValueId real = s.b.op("Cast", {ids}, {{"to", std::int64_t{1}}});
  const ValueId angles = s.mul(s.b.op("Unsqueeze", {real, s.b.ints({1, 3})}), frequencies);
  const ValueId both = s.b.op("Concat", {angles, angles}, {{"axis", std::int64_t{-1}}});
  return {s.b.op("Cos", {both}), s.b.op("Sin", {both})};
}

ValueId rotary(Sketch& s, bool negate_high) {
  const ValueId x = s.input("x", {2, 3, 5, 8});
  const auto [cos, sin] = tables(s, 5, 8);
  const ValueId low = s.slice(x, 0, 4, 3), high = s.slice(x, 4, INT64_MAX, 3);
  const ValueId turned = s.b.op("Concat", {negate_high ? s.b.neg(high) : high, negate_high ? low : s.b.neg(low)},
                                {{"axis", std::int64_t{-1}}});
  return s.add(s.mul(turned, sin), s.mul(cos, x));
}

struct Heads {
  ValueId q, k, v;
};
Heads heads(Sketch& s, std::int64_t queries, std::int64_t keys) {
  return {s.input("q", {2, queries, 5, 8}), s.input("k", {2, keys, 7, 8}), s.input("v", {2, keys, 7, 8})};
}
ValueId flipped(Sketch& s, ValueId k) { return s.b.transpose(k, {0, 1, 3, 2}); }

// [2, kv, 7, 8] to [2, 3 kv, 7, 8], as transformers' repeat_kv is exported.
ValueId repeated(Sketch& s, ValueId x) {
  const std::int64_t kv = s.b.shape(x)[1];
  const ValueId wide = s.b.op("Expand", {s.b.op("Unsqueeze", {x, s.b.ints({2})}), s.b.ints({2, kv, 3, 7, 8})});
  return s.b.op("Reshape", {wide, s.b.ints({2, 3 * kv, 7, 8})});
}

// Additive, of integers alone: -1e9 above the diagonal.
ValueId causal(Sketch& s) {
  const auto range = [&](std::int64_t n, std::int64_t axis) {
    const auto scalar = [&](std::int64_t v) { return s.b.constant(Tensor::scalar<std::int64_t>(v)); };
    return s.b.op("Unsqueeze", {s.b.op("Range", {scalar(0), scalar(n), scalar(1)}), s.b.ints({axis})});
  };
  const ValueId seen = s.b.op("LessOrEqual", {range(7, 0), s.b.op("Add", {range(5, 1), s.b.ints({2})})});
  return s.b.op("Where", {seen, s.number(0), s.number(-1e9)});
}

std::vector<Spelling> spellings() {
  return {
      {"RmsByReciprocalRoot", "RMSNormalization",
       [](Sketch& s) {
         const ValueId x = s.input("x", {2, 3, 8});
         return s.mul(s.parameter("w", {8}), s.mul(x, s.b.div(s.number(1), rms(s, x))));
       }},
      {"RmsByDivision", "RMSNormalization",
       [](Sketch& s) {
         const ValueId x = s.input("x", {4, 8});
         return s.mul(s.b.div(x, rms(s, x)), s.parameter("w", {8}));
       }},
      {"RmsOfAProductByReciprocal", "RMSNormalization",
       [](Sketch& s) {
         const ValueId x = s.input("x", {2, 3, 8});
         const ValueId root = s.b.op("Sqrt", {s.add(s.number(1e-6), s.mean(s.mul(x, x), 2))});
         return s.mul(s.mul(s.b.op("Reciprocal", {root}), x), s.parameter("w", {8}));
       }},
      {"SiluGateLast", "QuickGelu",
       [](Sketch& s) {
         const ValueId x = s.input("x", {3, 8});
         return s.mul(x, s.b.op("Sigmoid", {x}));
       }},
      {"SiluGateFirst", "QuickGelu",
       [](Sketch& s) {
         const ValueId x = s.input("x", {3, 8});
         return s.mul(s.b.op("Sigmoid", {x}), x);
       }},
      {"GeluHalfLast", "Gelu",
       [](Sketch& s) {
         const ValueId x = s.input("x", {3, 8});
         const ValueId erf = s.b.op("Erf", {s.b.div(x, s.number(std::numbers::sqrt2))});
         return s.mul(s.mul(x, s.add(erf, s.number(1))), s.number(0.5));
       }},
      {"GeluHalfFirst", "Gelu",
       [](Sketch& s) {
         const ValueId x = s.input("x", {3, 8});
         const ValueId erf = s.b.op("Erf", {s.mul(s.number(1 / std::numbers::sqrt2), x)});
         return s.mul(s.mul(s.number(0.5), x), s.add(s.number(1), erf));
       }},
      {"GeluHalfInside", "Gelu",
       [](Sketch& s) {
         const ValueId x = s.input("x", {3, 8});
         const ValueId erf = s.b.op("Erf", {s.b.div(x, s.number(std::numbers::sqrt2))});
         return s.mul(x, s.mul(s.add(erf, s.number(1)), s.number(0.5)));
       }},
      {"Rotary", "Rotary", [](Sketch& s) { return rotary(s, true); }},
      {"AttentionScaledQueries", "Attention",
       [](Sketch& s) {
         const Heads h = heads(s, 3, 3);
         return s.b.matmul(s.softmax(s.b.matmul(s.mul(h.q, s.number(0.35)), flipped(s, h.k)), -1), h.v);
       }},
      {"AttentionScaledScoresMasked", "Attention",
       [](Sketch& s) {
         const Heads h = heads(s, 3, 3);
         const ValueId scores = s.b.div(s.b.matmul(h.q, flipped(s, h.k)), s.number(2.8284271));
         return s.b.matmul(s.softmax(s.add(causal(s), scores), 3), h.v);
       }},
      {"AttentionRootsOnBothSidesGrouped", "Attention",
       [](Sketch& s) {
         const Heads h = heads(s, 6, 2);
         const ValueId q = s.mul(h.q, s.number(0.6)), k = s.mul(flipped(s, repeated(s, h.k)), s.number(0.6));
         return s.b.matmul(s.softmax(s.add(s.b.matmul(q, k), causal(s)), -1), repeated(s, h.v));
       }},
      {"ProductWithTransposedRight", "FusedMatMul",
       [](Sketch& s) {
         const ValueId w = s.parameter("w", {6, 8});
         return s.b.matmul(s.input("x", {2, 5, 8}), s.b.transpose(w, {1, 0}));
       }},
      {"ProductWithTransposedLeft", "FusedMatMul",
       [](Sketch& s) {
         const ValueId x = s.b.transpose(s.input("x", {2, 8, 5}), {0, 2, 1});
         return s.b.matmul(x, s.parameter("w", {8, 6}));
       }},
      // What looks alike and is not the same.
      {"CubesAreNoRms", "",
       [](Sketch& s) {
         const ValueId x = s.b.op("Abs", {s.input("x", {2, 3, 8})});
         return s.mul(s.parameter("w", {8}), s.b.div(x, rms(s, x, 3)));
       }},
      {"TheMeanOverAnotherAxisIsNoRms", "",
       [](Sketch& s) {
         const ValueId x = s.input("x", {8, 8, 8});
         return s.mul(s.parameter("w", {8}), s.b.div(x, rms(s, x, 2, 1)));
       }},
      {"TheRootOfAnotherValueIsNoRms", "",
       [](Sketch& s) {
         const ValueId x = s.input("x", {2, 3, 8}), other = s.input("other", {2, 3, 8});
         return s.mul(s.parameter("w", {8}), s.b.div(x, rms(s, other)));
       }},
      {"AGateOfAnotherValueIsNoSilu", "",
       [](Sketch& s) {
         return s.mul(s.input("x", {3, 8}), s.b.op("Sigmoid", {s.input("other", {3, 8})}));
       }},
      {"ErfWithoutTheRootIsNoGelu", "",
       [](Sketch& s) {
         const ValueId x = s.input("x", {3, 8});
         return s.mul(s.mul(x, s.add(s.b.op("Erf", {s.mul(x, s.number(1.5))}), s.number(1))), s.number(0.5));
       }},
      {"TurningTheOtherWayIsNoRotary", "", [](Sketch& s) { return rotary(s, false); }},
      {"SoftmaxOverQueriesIsNoAttention", "FusedMatMul",
       [](Sketch& s) {
         const Heads h = heads(s, 3, 3);
         return s.b.matmul(s.softmax(s.b.matmul(h.q, flipped(s, h.k)), 2), h.v);
       }},
      {"ALearntBiasIsNoMask", "FusedMatMul",
       [](Sketch& s) {
         const Heads h = heads(s, 3, 3);
         const ValueId scores = s.b.matmul(h.q, flipped(s, h.k));
         return s.b.matmul(s.softmax(s.add(scores, s.parameter("bias", {5, 7})), -1), h.v);
       }},
  };
}

bool holds(const Graph& graph, const std::string& op) {
  return std::any_of(graph.nodes().begin(), graph.nodes().end(), [&](const Node& n) { return n.op == op; });
}

class Patterns : public testing::TestWithParam<Spelling> {
 protected:
  Patterns() {
    const ValueId y = GetParam().compose(sketch_);
    sketch_.graph.name = GetParam().name;
    sketch_.graph.rename(y, "y");
    const ValueId weights = sketch_.b.constant(normal_f32(sketch_.b.shape(y), 99));
    sketch_.b.op("ReduceSum", {sketch_.mul(y, weights)}, {{"keepdims", std::int64_t{0}}}, "loss");
    // Every inner value by a name, so that it can be asked for.
    for (std::size_t i = 0; i < sketch_.graph.values().size(); ++i) {
      const Value& value = sketch_.graph.values()[i];
      if (value.kind != ValueKind::kComputed || value.name == "loss" || value.name == "y") continue;
      sketch_.graph.rename(static_cast<ValueId>(i), fmt::format("inner{}", i));
      if (is_float(value.dtype)) inner_.push_back(fmt::format("inner{}", i));
    }
    for (const auto& [name, tensor] : sketch_.leaves)
      if (is_float(tensor.dtype()) && name != "inv_freq") float_leaves_.push_back(name);
  }

  // y, and the gradient of the loss with respect to each float leaf.
  std::vector<Tensor> values_and_gradients(Graph graph) const {
    std::vector<ValueId> wrt, wanted{graph.require("y")};
    for (const std::string& name : float_leaves_) wrt.push_back(graph.require(name));
    for (const ValueId id : differentiate(graph, graph.require("loss"), wrt)) wanted.push_back(id);
    return run_node_by_node(graph, sketch_.leaves, wanted);
  }

  Sketch sketch_;
  std::vector<std::string> inner_;
  std::vector<std::string> float_leaves_;
};

TEST_P(Patterns, HasTheValuesAndGradientsOfItsDecomposition) {
  const Graph plain = specialize_to(sketch_.graph, sketch_.leaves, {"y", "loss"});
  const Graph rewritten = canonicalize(plain);
  if (!GetParam().fused.empty()) {
    EXPECT_FALSE(holds(plain, GetParam().fused));
    EXPECT_TRUE(holds(rewritten, GetParam().fused));
    EXPECT_LT(rewritten.nodes().size(), plain.nodes().size());
  } else {
    EXPECT_EQ(rewritten.nodes().size(), plain.nodes().size());
  }
  const std::vector<Tensor> expected = values_and_gradients(plain), got = values_and_gradients(rewritten);
  EXPECT_LT(relative_difference(got[0], expected[0]), kTolerance);
  for (std::size_t i = 0; i < float_leaves_.size(); ++i)
    EXPECT_LT(relative_difference(got[i + 1], expected[i + 1]), kTolerance) << "gradient of " << float_leaves_[i];
}

TEST_P(Patterns, CapturingAnInnerValueLeavesTheOtherBitsAlone) {
  const auto graph = std::make_shared<const Graph>(sketch_.graph);
  Session session({.threads = 1});
  Request request;
  Parameters parameters;
  for (const auto& [name, tensor] : sketch_.leaves)
    if (graph->value(graph->find(name)).kind == ValueKind::kParameter)
      parameters[name] = {tensor, {}};
    else
      request.inputs[name] = {tensor, {}};
  request.outputs = {"y"};
  const Tensor alone = session.run(graph, parameters, request)["y"].tensor;
  const Graph plain = specialize_to(sketch_.graph, sketch_.leaves, inner_);
  for (std::size_t i = 0; i < inner_.size(); ++i) {
    request.outputs = {"y", inner_[i]};
    const Results both = session.run(graph, parameters, request);
    EXPECT_TRUE(identical(both["y"].tensor, alone)) << inner_[i];
    const Tensor expected = run_node_by_node(plain, sketch_.leaves, {plain.outputs[i]})[0];
    EXPECT_LT(relative_difference(both[inner_[i]].tensor, expected), kTolerance) << inner_[i];
  }
}

// A table that rotary positions are computed from, and a mask, are gradients' ends only when somebody asks.
TEST(PatternsOfTables, AreLeftAloneWhereTheirGradientIsAskedFor) {
  Sketch s;
  s.graph.rename(rotary(s, true), "y");
  s.b.op("ReduceSum", {s.mul(s.graph.find("y"), s.graph.find("y"))}, {{"keepdims", std::int64_t{0}}}, "loss");
  const Graph plain = specialize_to(s.graph, s.leaves, {"y", "loss"});
  EXPECT_TRUE(holds(canonicalize(plain, {"x"}), "Rotary"));
  EXPECT_FALSE(holds(canonicalize(plain, {"x", "inv_freq"}), "Rotary"));

  Session session({.threads = 1});
  Request request;
  request.inputs["x"] = {s.leaves["x"], {}};
  request.inputs["position_ids"] = {s.leaves["position_ids"], {}};
  request.outputs = {"loss"};
  request.loss = "loss";
  request.wrt = {"x", "inv_freq"};
  const auto graph = std::make_shared<const Graph>(s.graph);
  const Tensor gradient =
      session.run(graph, {{"inv_freq", {s.leaves["inv_freq"], {}}}}, request)["grad:inv_freq"].tensor;
  // A rotation keeps lengths, whatever the frequency: |y|^2 does not depend on it.
  for (std::int64_t i = 0; i < gradient.numel(); ++i) EXPECT_NEAR(gradient.data<float>()[i], 0, 1e-3);

  // And of the sum of y itself, against central differences.
  s.b.op("ReduceSum", {s.graph.find("y")}, {{"keepdims", std::int64_t{0}}}, "sum");
  const auto wider = std::make_shared<const Graph>(s.graph);
  request.outputs = {"sum"};
  request.loss = "sum";
  const auto run = [&](float step) {
    Tensor moved = s.leaves["inv_freq"].copy();
    moved.mutable_data<float>()[1] += step;
    return session.run(wider, {{"inv_freq", {moved, {}}}}, request);
  };
  const double slope = (run(1e-2f)["sum"].tensor.to_f64()[0] - run(-1e-2f)["sum"].tensor.to_f64()[0]) / 2e-2;
  const double got = run(0)["grad:inv_freq"].tensor.to_f64()[1];
  EXPECT_NEAR(got, slope, 2e-2 * std::max(1.0, std::abs(slope)));
}

INSTANTIATE_TEST_SUITE_P(Spellings, Patterns, testing::ValuesIn(spellings()),
                         [](const auto& spelling) { return spelling.param.name; });

}  // namespace
}  // namespace retune
