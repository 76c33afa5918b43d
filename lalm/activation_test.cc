// The activation of an MLP as exporters spell it, found and written again: against its closed form.
#include "lalm/activation.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <functional>

#include "graph/session.h"
#include "tensor/error.h"

namespace retune {
namespace {

constexpr std::int64_t kIn = 3, kHidden = 4, kOut = 2;

// An MLP behind x [1, rows, 3], written by `middle` from the layers before the down-projection to what it reads.
struct Mlp {
  Graph graph;
  GraphBuilder builder{graph};
  ValueId x = graph.add_input("x", DType::kF32, {{1, ""}, {-1, "rows"}, {kIn, ""}});

  ValueId linear(const std::string& name, ValueId from, std::int64_t in, std::int64_t out) {
    const ValueId weight = graph.add_parameter(name + ".weight", DType::kF32, {in, out}, "mlp.onnx", name + ".weight");
    return builder.op("MatMul", {from, weight}, {}, name + "/MatMul_output_0");
  }
  ValueId number(float value) { return graph.add_constant(Tensor::scalar(value)); }
  Site down(ValueId key) {
    for (std::size_t i = 0; i < graph.values().size(); ++i)  // a file's values have names
      if (graph.values()[i].name.empty()) graph.rename(static_cast<ValueId>(i), fmt::format("value_{}", i));
    const ValueId output = linear("down", key, kHidden, kOut);
    graph.outputs = {output};
    Site site;
    site.name = "decoder.block.0.mlp.down";
    site.key = graph.value(key).name;
    site.value = graph.value(output).name;
    site.in = kHidden;
    site.out = kOut;
    return site;
  }
};

void expect_activation(const Mlp& mlp, const Site& site, const std::function<double(double)>& closed_form) {
  const Graph phi = find_activation(mlp.graph, site);
  ASSERT_EQ(phi.inputs.size(), 1u);
  Graph graph;
  GraphBuilder builder(graph);
  const ValueId x = graph.add_input("x", DType::kF32, {{-1, "rows"}});
  graph.outputs = {builder.op("Identity", {append_activation(builder, phi, x)}, {}, "y")};
  const std::vector<float> at{-6, -2.5F, -0.5F, 0, 0.25F, 1, 3, 7};
  Session session({.threads = 1});
  Request request;
  request.inputs["x"] = {Tensor::vector(at), {}};
  request.outputs = {"y"};
  const Tensor y = session.run(std::make_shared<const Graph>(graph), {}, request)["y"].tensor;
  for (std::size_t i = 0; i < at.size(); ++i)
    EXPECT_NEAR(y.data<float>()[i], closed_form(static_cast<double>(at[i])), 2e-6) << at[i];
}

double silu(double x) { return x / (1 + std::exp(-x)); }
double gelu(double x) { return x / 2 * (1 + std::erf(x / std::sqrt(2.0))); }
double tanh_gelu(double x) { return x / 2 * (1 + std::tanh(std::sqrt(2 / M_PI) * (x + 0.044715 * x * x * x))); }

ValueId write_silu(Mlp& mlp, ValueId x) { return mlp.builder.mul(x, mlp.builder.op("Sigmoid", {x})); }
ValueId write_tanh_gelu(Mlp& mlp, ValueId x) {
  GraphBuilder& b = mlp.builder;
  const ValueId cube = b.op("Pow", {x, mlp.number(3)});
  const ValueId inner = b.mul(b.add(x, b.mul(cube, mlp.number(0.044715F))), mlp.number(0.7978845608F));
  return b.mul(b.mul(x, mlp.number(0.5F)), b.add(b.op("Tanh", {inner}), mlp.number(1)));
}
ValueId write_gelu(Mlp& mlp, ValueId x) {
  GraphBuilder& b = mlp.builder;
  const ValueId erf = b.op("Erf", {b.div(x, mlp.number(1.4142135624F))});
  return b.mul(b.mul(x, b.add(erf, mlp.number(1))), mlp.number(0.5F));
}

TEST(Activation, OfAGateIsFoundOnEitherSide) {
  for (const bool gate_first : {true, false}) {
    Mlp mlp;
    const ValueId gate = mlp.linear("gate", mlp.x, kIn, kHidden), up = mlp.linear("up", mlp.x, kIn, kHidden);
    const ValueId acted = write_silu(mlp, gate);
    const Site site = mlp.down(gate_first ? mlp.builder.mul(acted, up) : mlp.builder.mul(up, acted));
    expect_activation(mlp, site, silu);
  }
}

TEST(Activation, OfAPackedGateIsFound) {
  for (const bool gate_first : {true, false}) {
    Mlp mlp;
    const ValueId both = mlp.linear("gate_up", mlp.x, kIn, 2 * kHidden);
    const std::vector<ValueId> halves = mlp.builder.ops("", "Split", {both}, {{"axis", std::int64_t{-1}}}, {"a", "b"});
    const ValueId acted = write_tanh_gelu(mlp, halves[gate_first ? 0 : 1]);
    expect_activation(mlp, mlp.down(mlp.builder.mul(acted, halves[gate_first ? 1 : 0])), tanh_gelu);
  }
}

TEST(Activation, WithoutAGateIsFound) {
  {
    Mlp mlp;
    expect_activation(mlp, mlp.down(write_gelu(mlp, mlp.linear("up", mlp.x, kIn, kHidden))), gelu);
  }
  {
    Mlp mlp;
    expect_activation(mlp, mlp.down(write_silu(mlp, mlp.linear("up", mlp.x, kIn, kHidden))), silu);
  }
  {
    Mlp mlp;
    const ValueId relu = mlp.builder.op("Relu", {mlp.linear("up", mlp.x, kIn, kHidden)});
    expect_activation(mlp, mlp.down(relu), [](double x) { return std::max(x, 0.0); });
  }
}

TEST(Activation, OfNothingIsAUserError) {
  const auto refuses = [](Mlp& mlp, ValueId key) {
    const Site site = mlp.down(key);
    try {
      find_activation(mlp.graph, site);
      ADD_FAILURE() << "an activation was found";
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kUser);
      EXPECT_THAT(error.what(), testing::HasSubstr("decoder.block.0.mlp.down"));
    }
  };
  Mlp straight;
  refuses(straight, straight.linear("up", straight.x, kIn, kHidden));
  Mlp slopes;  // a number an element: no activation of any other layer's width
  const ValueId slope = slopes.graph.add_constant(Tensor::vector<float>({1, 2, 3, 4}));
  refuses(slopes, slopes.builder.op("PRelu", {slopes.linear("up", slopes.x, kIn, kHidden), slope}));
  Mlp foreign;
  refuses(foreign, foreign.builder.ops("com.microsoft", "QuickGelu", {foreign.linear("up", foreign.x, kIn, kHidden)},
                                       {}, {"quick"})[0]);
}

}  // namespace
}  // namespace retune
