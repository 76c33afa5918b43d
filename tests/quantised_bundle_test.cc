// Bundles whose weights are stored as codes, written as the exporters of transformers.js do it: they open under their
// names, are read as the same model, answer as the model of the decoded weights does, and are not edited.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "graph/graph_builder.h"
#include "graph/import.h"
#include "lalm/answer.h"
#include "lalm/check.h"
#include "recipes/study.h"
#include "tensor/error.h"
#include "tests/tiny_bundle.h"

namespace retune {
namespace {

namespace fs = std::filesystem;

enum class Scheme { kBlocks, kNormalFloats, kDequantised, kDynamic };

constexpr std::int64_t kBlock = 16;
constexpr double kNf4[16] = {-1.0,
                             -0.6961928009986877,
                             -0.5250730514526367,
                             -0.39491748809814453,
                             -0.28444138169288635,
                             -0.18477343022823334,
                             -0.09105003625154495,
                             0.0,
                             0.07958029955625534,
                             0.16093020141124725,
                             0.24611230194568634,
                             0.33791524171829224,
                             0.44070982933044434,
                             0.5626170039176941,
                             0.7229568362236023,
                             1.0};

// A weight [in, out] as codes and scales, and the f32 weight that they stand for.
struct Codes {
  Tensor codes, scales, decoded;
};

// Of 4 bits, blocks of one output's weights: scale is the value of largest magnitude over -8.
Codes in_blocks(const Tensor& weight) {
  const std::int64_t in = weight.shape()[0], out = weight.shape()[1], blocks = (in + kBlock - 1) / kBlock;
  Codes result{Tensor::zeros(DType::kU8, {out, blocks, kBlock / 2}), Tensor::zeros(DType::kF32, {out, blocks}),
               weight.copy()};
  for (std::int64_t n = 0; n < out; ++n)
    for (std::int64_t j = 0; j < blocks; ++j) {
      float top = 0;
      const std::int64_t end = std::min(in, (j + 1) * kBlock);
      for (std::int64_t k = j * kBlock; k < end; ++k)
        if (const float w = weight.data<float>()[k * out + n]; std::fabs(w) > std::fabs(top)) top = w;
      const float scale = top / -8;
      result.scales.mutable_data<float>()[n * blocks + j] = scale;
      for (std::int64_t k = j * kBlock; k < end; ++k) {
        const float level = scale == 0 ? 8 : std::round(weight.data<float>()[k * out + n] / scale) + 8;
        const int code = static_cast<int>(std::min(std::max(level, 0.f), 15.f));
        std::uint8_t& byte = result.codes.mutable_data<std::uint8_t>()[(n * blocks * kBlock + k) / 2];
        byte = static_cast<std::uint8_t>(byte | (code << (k % 2 * 4)));
        result.decoded.mutable_data<float>()[k * out + n] = static_cast<float>(code - 8) * scale;
      }
    }
  return result;
}

// NF4 over the row-major [out, in].
Codes in_normal_floats(const Tensor& weight) {
  const std::int64_t in = weight.shape()[0], out = weight.shape()[1], count = in * out;
  Codes result{Tensor::zeros(DType::kU8, {(count + 1) / 2}),
               Tensor::zeros(DType::kF32, {(count + kBlock - 1) / kBlock}), weight.copy()};
  const auto at = [&](std::int64_t i) { return i % in * out + i / in; };  // where the transposed element is stored
  float* scales = result.scales.mutable_data<float>();
  for (std::int64_t i = 0; i < count; ++i)
    scales[i / kBlock] = std::max(scales[i / kBlock], std::fabs(weight.data<float>()[at(i)]));
  for (std::int64_t i = 0; i < count; ++i) {
    const float scale = scales[i / kBlock];
    const double value = scale == 0 ? 0 : static_cast<double>(weight.data<float>()[at(i)] / scale);
    const auto* nearest = std::min_element(std::begin(kNf4), std::end(kNf4), [&](double a, double b) {
      return std::fabs(a - value) < std::fabs(b - value);
    });
    std::uint8_t& byte = result.codes.mutable_data<std::uint8_t>()[i / 2];
    byte = static_cast<std::uint8_t>(byte | ((nearest - kNf4) << (i % 2 == 0 ? 4 : 0)));
    result.decoded.mutable_data<float>()[at(i)] = static_cast<float>(*nearest) * scale;
  }
  return result;
}

// i8 with a scale for each output, or one for all.
Codes in_bytes(const Tensor& weight, bool each_output) {
  const std::int64_t out = weight.shape()[1];
  Codes result{Tensor::zeros(DType::kI8, weight.shape()),
               Tensor::zeros(DType::kF32, each_output ? Shape{out} : Shape{}), weight.copy()};
  float* scales = result.scales.mutable_data<float>();
  const auto scale = [&](std::int64_t i) -> float& { return scales[each_output ? i % out : 0]; };
  for (std::int64_t i = 0; i < weight.numel(); ++i)
    scale(i) = std::max(scale(i), std::fabs(weight.data<float>()[i]) / 127);
  for (std::int64_t i = 0; i < weight.numel(); ++i) {
    const float code = scale(i) == 0 ? 0 : std::round(weight.data<float>()[i] / scale(i));
    result.codes.mutable_data<std::int8_t>()[i] = static_cast<std::int8_t>(code);
    result.decoded.mutable_data<float>()[i] = code * scale(i);
  }
  return result;
}

// Copies a graph; every product with a weight becomes one with codes, or one with the weight that they stand for.
class Quantiser {
 public:
  Quantiser(Scheme scheme, bool decode) : scheme_(scheme), decode_(decode) {}

  void run(const fs::path& from, const fs::path& to) {
    const OnnxModel model = OnnxModel::open(from);
    source_ = import_onnx(model, from.filename().string());
    parameters_ = parameters_of(source_, model);
    graph_.name = source_.name;
    ids_.assign(source_.values().size(), kNoValue);
    for (std::size_t i = 0; i < ids_.size(); ++i) ids_[i] = leaf(source_.values()[i]);
    for (const Node& node : source_.nodes()) copy(node);
    for (const ValueId id : source_.outputs) {
      graph_.value(at(id)).declared = source_.value(id).declared;
      graph_.value(at(id)).dtype = source_.value(id).dtype;
      graph_.outputs.push_back(at(id));
    }
    Parameters used;
    for (const Value& value : graph_.values())
      if (value.kind == ValueKind::kParameter) used[value.name] = parameters_.at(value.name);
    export_onnx(graph_, used, to);
  }

 private:
  ValueId at(ValueId id) const { return id == kNoValue ? kNoValue : ids_[static_cast<std::size_t>(id)]; }
  const Value& source(ValueId id) const { return source_.value(id); }

  ValueId leaf(const Value& value) {
    if (value.kind == ValueKind::kInput) return graph_.add_input(value.name, value.dtype, value.declared);
    if (value.kind == ValueKind::kConstant) return graph_.add_constant(value.constant, value.name);
    return kNoValue;  // parameters come with who reads them
  }

  ValueId parameter(const std::string& name, const Tensor& tensor) {
    parameters_[name] = {tensor, {}};
    if (const ValueId known = graph_.find(name); known != kNoValue) return known;
    return graph_.add_parameter(name, tensor.dtype(), tensor.shape(), "", name);
  }

  void copy(const Node& node) {
    const bool product = node.op == "MatMul" && source(node.inputs[1]).kind == ValueKind::kParameter;
    Node same = node;
    for (std::size_t i = 0; i < node.inputs.size(); ++i) {
      if (node.inputs[i] != kNoValue && source(node.inputs[i]).kind == ValueKind::kParameter && !(product && i == 1))
        ids_[static_cast<std::size_t>(node.inputs[i])] =
            parameter(source(node.inputs[i]).name, parameters_.at(source(node.inputs[i]).name).tensor);
      same.inputs[i] = at(node.inputs[i]);
    }
    std::vector<std::string> names;
    for (const ValueId id : node.outputs) names.push_back(source(id).name);
    if (product) return quantise(node, same, names[0]);
    const std::vector<ValueId> made = graph_.add_node(std::move(same), names);
    for (std::size_t i = 0; i < made.size(); ++i) ids_[static_cast<std::size_t>(node.outputs[i])] = made[i];
  }

  Codes codes_of(const Tensor& weight) const {
    if (scheme_ == Scheme::kBlocks) return in_blocks(weight);
    if (scheme_ == Scheme::kNormalFloats) return in_normal_floats(weight);
    return in_bytes(weight, scheme_ == Scheme::kDequantised);
  }

  void quantise(const Node& node, Node product, const std::string& name) {
    const std::string weight = source(node.inputs[1]).name;
    const Codes codes = codes_of(parameters_.at(weight).tensor);
    ValueId& result = ids_[static_cast<std::size_t>(node.outputs[0])];
    if (decode_) {
      product.inputs[1] = parameter(weight, codes.decoded);
      result = graph_.add_node(product, {name})[0];
      return;
    }
    const ValueId stored = parameter(weight + "_quantized", codes.codes);
    const ValueId scales = codes.scales.numel() == 1 ? graph_.add_constant(codes.scales, weight + "_scale")
                                                     : parameter(weight + "_scale", codes.scales);
    const Shape& shape = codes.decoded.shape();
    GraphBuilder b(graph_);
    Attributes attributes{{"K", shape[0]}, {"N", shape[1]}, {"block_size", kBlock}};
    if (scheme_ == Scheme::kBlocks || scheme_ == Scheme::kNormalFloats) {
      const bool blocks = scheme_ == Scheme::kBlocks;
      attributes.set(blocks ? "bits" : "quant_type", std::int64_t{blocks ? 4 : 1});
      result = b.ops("com.microsoft", blocks ? "MatMulNBits" : "MatMulBnb4", {product.inputs[0], stored, scales},
                     attributes, {name})[0];
    } else if (scheme_ == Scheme::kDequantised) {
      product.inputs[1] = b.op("DequantizeLinear", {stored, scales}, {{"axis", std::int64_t{1}}}, weight + "_decoded");
      result = graph_.add_node(product, {name})[0];
    } else {
      const std::vector<ValueId> x =
          b.ops("", "DynamicQuantizeLinear", {product.inputs[0]}, {}, {name + "_x", name + "_scale", name + "_zero"});
      const ValueId sums = b.op("MatMulInteger", {x[0], stored, x[2]}, {}, name + "_sums");
      result = b.op("Mul", {b.cast(sums, DType::kF32), b.mul(x[1], scales)}, {}, name);
    }
  }

  Scheme scheme_;
  bool decode_;
  Graph source_, graph_;
  Parameters parameters_;
  std::vector<ValueId> ids_;
};

struct Variant {
  const char* suffix;
  Scheme scheme;
};

class QuantisedBundle : public testing::TestWithParam<Variant> {
 protected:
  QuantisedBundle() {
    write_tiny_bundle(scratch_ / "f32");
    for (const bool decode : {false, true}) {
      const fs::path folder = scratch_ / (decode ? "decoded" : "quantised");
      fs::copy(scratch_ / "f32", folder, fs::copy_options::recursive);
      for (const char* stem : {"audio_encoder", "decoder_model_merged"}) {
        const fs::path plain = folder / "onnx" / (std::string(stem) + ".onnx");
        const fs::path to = folder / "onnx" / (std::string(stem) + (decode ? "" : GetParam().suffix) + ".onnx");
        Quantiser(GetParam().scheme, decode).run(scratch_ / "f32" / "onnx" / plain.filename().string(), to);
        if (!decode) fs::remove(plain);
      }
    }
    save_waveform(scratch_ / "moo.wav", tone(180));
  }

  Tensor logits(const Bundle& bundle) {
    const Prompt prompt = prompt_for(session_, bundle, kTinyQuestion, load_waveform(scratch_ / "moo.wav"));
    return logits_of(session_, bundle, prompt, {}, 0);
  }

  ScratchFolder scratch_;
  Session session_{SessionOptions{.threads = 2}};
};

TEST_P(QuantisedBundle, IsReadAsTheSameModel) {
  const Bundle plain = Bundle::open(scratch_ / "f32"), quantised = Bundle::open(scratch_ / "quantised");
  std::vector<std::string> expected, found;
  for (const Site& site : plain.sites().sites)
    if (site.kind != Site::Kind::kParameter) expected.push_back(site.name);
  for (const Site& site : quantised.sites().sites)
    if (site.kind != Site::Kind::kParameter) found.push_back(site.name);
  EXPECT_EQ(found, expected);
  const Site site = quantised.site("decoder.block.1.mlp.down"), wide = plain.site("decoder.block.1.mlp.down");
  EXPECT_EQ(site.in, wide.in);
  EXPECT_EQ(site.out, wide.out);
  EXPECT_FALSE(is_float(site.targets.at(0).stored));
  // Where one scale rounds the activations of a whole pass, a row's result depends on the rows beside it.
  if (GetParam().scheme == Scheme::kDynamic) return;
  for (const CheckResult& check : check_bundle(session_, quantised))
    EXPECT_TRUE(check.passed) << check.name << ": " << check.detail;
}

TEST_P(QuantisedBundle, AnswersAsTheDecodedWeightsDo) {
  const Tensor got = logits(Bundle::open(scratch_ / "quantised")), want = logits(Bundle::open(scratch_ / "decoded")),
               plain = logits(Bundle::open(scratch_ / "f32"));
  double largest = 0, error = 0, rounding = 0;
  for (std::int64_t i = 0; i < want.numel(); ++i) {
    const double at = static_cast<double>(want.data<float>()[i]);
    largest = std::max(largest, std::fabs(at));
    error = std::max(error, std::fabs(static_cast<double>(got.data<float>()[i]) - at));
    rounding = std::max(rounding, std::fabs(static_cast<double>(plain.data<float>()[i]) - at));
  }
  EXPECT_GT(rounding, 1e-3 * largest);
  // Where activations are rounded too, to 8 bits, the two differ by that.
  EXPECT_LT(error, (GetParam().scheme == Scheme::kDynamic ? 0.3 : 1e-4) * largest);
  const Bundle bundle = Bundle::open(scratch_ / "quantised");
  AnswerOptions options;
  options.max_new_tokens = 4;
  options.options = {"cow", "dog"};
  const Answer said = answer(session_, bundle,
                             prompt_for(session_, bundle, kTinyQuestion, load_waveform(scratch_ / "moo.wav")), options);
  EXPECT_EQ(said.options.size(), 2u);
}

TEST_P(QuantisedBundle, IsNotEditedAndSaysWhy) {
  for (const char* recipe : {R"({"method": "rome", "settings": {"site": "decoder.block.1.mlp.down"}})",
                             R"({"method": "ft", "settings": {"sites": ["decoder.block.1.mlp"], "steps": 1}})"})
    try {
      run_edit({.recipe = Recipe::parse(recipe, "test.json"),
                .model = scratch_ / "quantised",
                .facts = fact_of(scratch_ / "moo.wav", kTinyQuestion, "dog"),
                .out = scratch_ / "out"},
               session_);
      ADD_FAILURE() << "edited by " << recipe;
    } catch (const Error& error) {
      EXPECT_THAT(error.what(),
                  testing::AllOf(testing::HasSubstr("is quantised: tensor '"),
                                 testing::HasSubstr(std::string("decoder_model_merged") + GetParam().suffix),
                                 testing::HasSubstr("edit the f32, f16 or bf16 file")));
    }
}

INSTANTIATE_TEST_SUITE_P(Schemes, QuantisedBundle,
                         testing::Values(Variant{"_q4", Scheme::kBlocks}, Variant{"_bnb4", Scheme::kNormalFloats},
                                         Variant{"_int8", Scheme::kDequantised},
                                         Variant{"_quantized", Scheme::kDynamic}),
                         [](const auto& variant) { return std::string(variant.param.suffix).substr(1); });

}  // namespace
}  // namespace retune
