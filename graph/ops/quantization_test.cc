#include <gtest/gtest.h>

#include <cmath>

#include "graph/graph_builder.h"
#include "graph/op_case.h"
#include "graph/session.h"
#include "tensor/error.h"
#include "tensor/narrow.h"
#include "tensor/rng.h"

namespace retune {
namespace {

Tensor random_codes(DType dtype, Shape shape, std::uint64_t seed) {
  Rng rng(seed);
  Tensor codes = Tensor::empty(DType::kU8, std::move(shape));
  for (std::int64_t i = 0; i < codes.numel(); ++i)
    codes.mutable_data<std::uint8_t>()[i] = static_cast<std::uint8_t>(rng.uniform(0, 255));
  return is_narrow(dtype) ? pack(dtype, codes) : codes.cast(dtype);
}

struct Layout {
  Shape x, scale;
  std::int64_t axis = 1, block = 0;
};

const Layout kLayouts[] = {{{3, 5}, {}},
                           {{7}, {1}},
                           {{2, 5, 3}, {5}},
                           {{4, 7}, {7}, -1},
                           {{6, 3}, {6}, 0},
                           {{0, 4}, {4}},
                           {{3, 11}, {3, 3}, 1, 4},
                           {{11, 3}, {3, 3}, 0, 4},
                           {{2, 5, 3}, {2, 2, 3}, -2, 3}};

// Which scale serves element i, by coordinates.
std::int64_t scale_of(const Layout& layout, std::int64_t i) {
  if (layout.scale.numel() == 1) return 0;
  const int axis = normalize_axis(layout.axis, layout.x.rank());
  const std::vector<std::int64_t> strides = layout.x.strides(), scale_strides = layout.scale.strides();
  std::int64_t at = 0;
  for (int d = 0; d < layout.x.rank(); ++d) {
    const std::int64_t index = i / strides[static_cast<std::size_t>(d)] % layout.x[d];
    if (layout.block == 0 && d == axis) return index;
    if (layout.block != 0)
      at += (d == axis ? index / layout.block : index) * scale_strides[static_cast<std::size_t>(d)];
  }
  return at;
}

Attributes attributes_of(const Layout& layout) { return {{"axis", layout.axis}, {"block_size", layout.block}}; }

TEST(DequantizeLinear, ScalesWhatIsAboveTheZeroPoint) {
  std::uint64_t seed = 0;
  for (const DType dtype :
       {DType::kU8, DType::kI8, DType::kI16, DType::kI4, DType::kU2, DType::kF8E4M3FN, DType::kF4E2M1})
    for (const Layout& layout : kLayouts) {
      const bool with_zero = !is_narrow_float(dtype) && ++seed % 3 != 0;
      const Tensor codes = is_narrow_float(dtype) ? Tensor(random_f64(layout.x, ++seed).cast(dtype))
                                                  : random_codes(dtype, layout.x, ++seed);
      const Tensor zero = with_zero ? random_codes(dtype, layout.scale, ++seed) : Tensor();
      check({.op = "DequantizeLinear",
             .version = 21,
             .inputs = {codes, random_f64(layout.scale, ++seed, 0.1, 2), zero},
             .attributes = attributes_of(layout),
             .reference =
                 [&](const std::vector<Tensor>& in) {
                   Tensor y = Tensor::empty(DType::kF64, layout.x);
                   const std::vector<double> x = in[0].to_f64(), s = in[1].to_f64(),
                                             z = in[2].defined() ? in[2].to_f64() : std::vector<double>(s.size(), 0);
                   for (std::int64_t i = 0; i < y.numel(); ++i) {
                     const auto at = static_cast<std::size_t>(scale_of(layout, i));
                     y.mutable_data<double>()[i] = (x[static_cast<std::size_t>(i)] - z[at]) * s[at];
                   }
                   return std::vector<Tensor>{y};
                 },
             .gradients = {1}});
    }
}

TEST(QuantizeLinear, RoundsToTheNearestEvenAndSaturates) {
  std::uint64_t seed = 100;
  for (const DType dtype :
       {DType::kU8, DType::kI8, DType::kU16, DType::kI16, DType::kI4, DType::kU4, DType::kU2, DType::kI2})
    for (const Layout& layout : kLayouts) {
      const bool is_signed = dtype == DType::kI8 || dtype == DType::kI16 || dtype == DType::kI4 || dtype == DType::kI2;
      const double top = std::pow(2.0, dtype_bits(dtype)) - 1, low = is_signed ? -(top + 1) / 2 : 0, high = low + top;
      const Tensor x = random_f64(layout.x, ++seed, -high - 20, high + 20).cast(DType::kF32);
      check({.op = "QuantizeLinear",
             .version = 21,
             .inputs = {x, random_f64(layout.scale, ++seed, 0.5, 2).cast(DType::kF32),
                        Tensor::zeros(DType::kU8, layout.scale).cast(dtype)},
             .attributes = attributes_of(layout),
             .reference = [&](const std::vector<Tensor>& in) {
               Tensor y = Tensor::empty(DType::kF64, layout.x);
               for (std::int64_t i = 0; i < y.numel(); ++i) {
                 const float quotient = in[0].data<float>()[i] / in[1].data<float>()[scale_of(layout, i)];
                 y.mutable_data<double>()[i] =
                     std::min(std::max(std::nearbyint(static_cast<double>(quotient)), low), high);
               }
               return std::vector<Tensor>{y};
             }});
    }
}

std::vector<double> run(const std::string& op, std::vector<Tensor> inputs, Attributes attributes, int version = 23) {
  auto graph = std::make_shared<Graph>();
  Node node{.op = op, .version = version, .name = "n", .attributes = std::move(attributes)};
  Request request{.outputs = {"y"}};
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    const std::string name = fmt::format("x{}", i);
    node.inputs.push_back(graph->add_input(name, inputs[i].dtype()));
    request.inputs[name] = {inputs[i]};
  }
  graph->add_node(std::move(node), {"y"});
  Session session({.threads = 1});
  return session.run(graph, {}, request)["y"].tensor.to_f64();
}

TEST(QuantizeLinear, TakesItsTypeFromTheAttributeAndDividesAsPreciselyAsAsked) {
  const auto type = [](DType d) { return static_cast<std::int64_t>(d); };
  EXPECT_EQ(run("QuantizeLinear", {Tensor::of<float>({3}, {-9, 3.4f, 900}), Tensor::scalar(1.f)},
                {{"output_dtype", type(DType::kI4)}}),
            (std::vector<double>{-8, 3, 7}));
  EXPECT_EQ(run("QuantizeLinear", {Tensor::of<float>({2}, {0.4f, 900}), Tensor::scalar(2.f)},
                {{"output_dtype", type(DType::kF8E4M3FN)}}),
            (std::vector<double>{0.203125, 448}));
  EXPECT_TRUE(std::isnan(run("QuantizeLinear", {Tensor::of<float>({1}, {1e4f}), Tensor::scalar(2.f)},
                             {{"output_dtype", type(DType::kF8E4M3FN)}, {"saturate", std::int64_t{0}}})[0]));
  // 2049 is a tie of f16 between 2048 and 2050: 2049 / 2 is 1024 or 1024.5, which rounds to 1024, after 2048 in f16.
  const Tensor x = Tensor::of<float>({1}, {4097.f}), two = Tensor::scalar(2.f);
  const Tensor zero = Tensor::scalar<std::uint16_t>(0);
  EXPECT_EQ(run("QuantizeLinear", {x.cast(DType::kF32), Tensor::scalar(1.f), zero}, {}), (std::vector<double>{4097}));
  EXPECT_EQ(run("QuantizeLinear", {x, Tensor::scalar(1.f), zero}, {{"precision", type(DType::kF16)}}),
            (std::vector<double>{4096}));
  EXPECT_EQ(run("QuantizeLinear", {Tensor::of<std::int32_t>({2}, {5, 7}), two, zero}, {}), (std::vector<double>{2, 4}));
}

TEST(DynamicQuantizeLinear, CoversTheRangeWithZero) {
  for (const Shape& shape : {Shape{3, 5}, Shape{1}, Shape{0, 3}, Shape{20000}})
    for (const auto& [low, high] :
         {std::pair{-1.0, 3.0}, std::pair{2.0, 3.0}, std::pair{-5.0, -4.0}, std::pair{0.0, 0.0}})
      check({.op = "DynamicQuantizeLinear",
             .inputs = {random_f64(shape, 7, low, high).cast(DType::kF32)},
             .outputs = 3,
             .reference = [](const std::vector<Tensor>& in) {
               float least = 0, largest = 0;
               for (const float x : in[0].values<float>()) {
                 least = std::min(least, x);
                 largest = std::max(largest, x);
               }
               const float scale = least == largest ? 1 : (largest - least) / 255;
               const float zero = std::min(std::max(std::nearbyint(-least / scale), 0.f), 255.f);
               Tensor y = Tensor::empty(DType::kU8, in[0].shape());
               for (std::int64_t i = 0; i < y.numel(); ++i)
                 y.mutable_data<std::uint8_t>()[i] = static_cast<std::uint8_t>(
                     std::min(std::max(std::nearbyint(in[0].data<float>()[i] / scale) + zero, 0.f), 255.f));
               return std::vector<Tensor>{y, Tensor::scalar(scale), Tensor::scalar(static_cast<std::uint8_t>(zero))};
             }});
}

// A gradient through integers is zero, but not through integers that stand for floats.
TEST(QuantizeLinear, RefusesAGradientThatWouldHaveToPass) {
  auto graph = std::make_shared<Graph>();
  GraphBuilder b(*graph);
  const ValueId x = graph->add_input("x", DType::kF32), scale = b.constant(Tensor::scalar(0.1f));
  const ValueId back = b.op("DequantizeLinear", {b.op("QuantizeLinear", {x, scale}), scale});
  b.op("ReduceSum", {back}, {{"keepdims", std::int64_t{0}}}, "loss");
  Session session({.threads = 1});
  try {
    session.run(graph, {}, {.inputs = {{"x", {Tensor::of<float>({2}, {1, 2})}}}, .loss = "loss", .wrt = {"x"}});
    FAIL() << "no error";
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("forward only"), std::string::npos) << error.what();
  }
}

TEST(QuantizeLinear, RefusesWhatDoesNotFit) {
  const Tensor x = Tensor::zeros(DType::kF32, {2, 3}), two = Tensor::of<float>({2}, {1, 1});
  const auto refuses = [](std::vector<Tensor> inputs, Attributes attributes) {
    EXPECT_THROW(run("QuantizeLinear", std::move(inputs), std::move(attributes)), Error);
  };
  refuses({x, two}, {});  // three elements along axis 1
  refuses({x, two}, {{"axis", std::int64_t{2}}});
  refuses({x, two}, {{"axis", std::int64_t{0}}, {"block_size", std::int64_t{-1}}});
  refuses({x, Tensor::scalar(1.f), Tensor::scalar(1.f)}, {});  // a float zero point
  refuses({x, Tensor::scalar(1.f)}, {{"output_dtype", std::int64_t{1}}});
  refuses({x, Tensor::scalar(1.f)}, {{"output_dtype", std::int64_t{999}}});
}

// What only moves elements moves packed ones too.
TEST(PackedElements, AreMovedAsCodes) {
  const Tensor codes = random_codes(DType::kI4, {3, 5}, 1);
  for (const char* op : {"Transpose", "Identity"}) {
    const std::vector<double> moved = run(op, {codes}, {}, 25), stayed = codes.to_f64();
    for (std::size_t i = 0; i < 3; ++i)
      for (std::size_t j = 0; j < 5; ++j)
        EXPECT_EQ(std::string(op) == "Transpose" ? moved[j * 3 + i] : moved[i * 5 + j], stayed[i * 5 + j]);
  }
  EXPECT_THROW(run("Neg", {codes}, {}), Error);
}

}  // namespace
}  // namespace retune
