// Sites of the spellings that exporters write (the layouts page of the manual): GPT-2's packed Gemm, fused
// normalisations, Gemm with a transposed weight, Transpose + MatMul, and Whisper's missing key bias. Each site is
// checked by multiplying its weight with the key that a Session captures.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <numbers>

#include "graph/graph_builder.h"
#include "lalm/graph_structure.h"
#include "lalm/link.h"
#include "lalm/site.h"
#include "tensor/rng.h"
#include "tests/tiny_bundle.h"

namespace retune {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

constexpr std::int64_t kWidth = 12, kHeads = 3, kSize = 4, kHidden = 20, kVocabulary = 31;

// How y = W x is written.
enum class Product { kMatMul, kTransposeMatMul, kGemm, kGemmTransB };

// Writes one graph in some exporter's manner.
class Exporter {
 public:
  explicit Exporter(std::string file) : file_(std::move(file)) { graph.name = file_; }

  ValueId parameter(const std::string& name, const Shape& shape, double scale = 0.5) {
    Rng rng = Rng(11).fork(name);
    Tensor tensor = Tensor::empty(DType::kF32, shape);
    for (std::int64_t i = 0; i < tensor.numel(); ++i)
      tensor.mutable_data<float>()[i] = static_cast<float>(scale * rng.normal());
    parameters[name] = {tensor, {}};
    return graph.add_parameter(name, DType::kF32, shape, file_, name);
  }
  ValueId number(double value) { return b.scalar(value, DType::kF32); }

  Attributes factors{};  // of every Gemm

  // [B, S, in] -> [B, S, out]; Gemm is wrapped in reshapes to two axes, as torch.addmm is exported.
  ValueId linear(const std::string& name, ValueId x, std::int64_t in, std::int64_t out, Product product, bool bias) {
    const bool by_rows = product == Product::kTransposeMatMul || product == Product::kGemmTransB;
    const ValueId weight = parameter(name + ".weight", by_rows ? Shape{out, in} : Shape{in, out});
    if (product == Product::kMatMul || product == Product::kTransposeMatMul) {
      const ValueId right = product == Product::kMatMul ? weight : b.transpose(weight, {1, 0});
      const ValueId y = b.op("MatMul", {x, right}, {}, name + ".product");
      return bias ? b.op("Add", {parameter(name + ".bias", {out}), y}, {}, name + ".sum") : y;
    }
    const ValueId flat = b.op("Reshape", {x, b.ints({-1, in})}, {}, name + ".flat");
    std::vector<ValueId> inputs = {flat, weight};
    if (bias) inputs.push_back(parameter(name + ".bias", {out}));
    Attributes attributes = factors;
    if (product == Product::kGemmTransB) attributes.set("transB", std::int64_t{1});
    const ValueId y = b.op("Gemm", inputs, attributes, name + ".product");
    const ValueId rows = b.op("Slice", {b.op("Shape", {x}), b.ints({0}), b.ints({2}), b.ints({0})});
    const ValueId shape = b.op("Concat", {rows, b.ints({out})}, {{"axis", std::int64_t{0}}});
    return b.op("Reshape", {y, shape}, {}, name + ".out");
  }

  // softmax(q k^T / sqrt(size)) v, causality left out: it changes no structure.
  ValueId attention(const std::string& name, ValueId q, ValueId k, ValueId v) {
    const auto heads = [&](ValueId x, std::vector<std::int64_t> permutation) {
      return b.transpose(b.op("Reshape", {x, b.ints({0, 0, kHeads, kSize})}), permutation);
    };
    const ValueId scores = b.op("MatMul", {heads(q, {0, 2, 1, 3}), heads(k, {0, 2, 3, 1})}, {}, name + ".scores");
    const ValueId scaled = b.op("Div", {scores, number(2.0)}, {}, name + ".scaled");
    const ValueId weights = b.op("Softmax", {scaled}, {{"axis", std::int64_t{-1}}}, name + ".weights");
    const ValueId mixed = b.op("MatMul", {weights, heads(v, {0, 2, 1, 3})}, {}, name + ".mixed");
    return b.op("Reshape", {b.transpose(mixed, {0, 2, 1, 3}), b.ints({0, 0, kWidth})}, {}, name + ".joined");
  }

  ValueId gelu_new(ValueId x) {
    const ValueId cubic = b.op("Mul", {b.op("Pow", {x, number(3)}), number(0.044715)});
    const ValueId inner = b.op("Mul", {b.op("Add", {x, cubic}), number(std::sqrt(2 / std::numbers::pi))});
    return b.op("Mul", {b.op("Mul", {x, number(0.5)}), b.op("Add", {b.op("Tanh", {inner}), number(1)})});
  }
  ValueId silu(ValueId x) { return b.op("Mul", {x, b.op("Sigmoid", {x})}); }

  // As exporters below opset 17 write it.
  ValueId decomposed_layer_norm(const std::string& name, ValueId x) {
    const Attributes last({{"axes", std::vector<std::int64_t>{-1}}});
    const ValueId centred = b.op("Sub", {x, b.op("ReduceMean", {x}, last)});
    const ValueId variance = b.op("ReduceMean", {b.op("Pow", {centred, number(2)})}, last);
    const ValueId normal = b.op("Div", {centred, b.op("Sqrt", {b.op("Add", {variance, number(1e-5)})})});
    const ValueId scaled = b.op("Mul", {normal, parameter(name + ".weight", {kWidth})});
    return b.op("Add", {scaled, parameter(name + ".bias", {kWidth})}, {}, name);
  }
  ValueId layer_norm(const std::string& name, ValueId x) {
    return b.op("LayerNormalization", {x, parameter(name + ".weight", {kWidth}), parameter(name + ".bias", {kWidth})},
                {}, name);
  }

  // (normalised, the sum): stream and branch added by the normalisation itself.
  std::pair<ValueId, ValueId> skip_norm(const std::string& name, ValueId stream, ValueId branch, bool gives_sum) {
    const std::vector<std::string> outputs =
        gives_sum ? std::vector<std::string>{name, "", "", name + ".sum"} : std::vector<std::string>{name};
    const auto made = b.ops("com.microsoft", "SkipSimplifiedLayerNormalization",
                            {stream, branch, parameter(name + ".weight", {kWidth})}, {{"epsilon", 1e-6}}, outputs);
    if (!gives_sum) return {made[0], kNoValue};
    Node& node = graph.node(graph.nodes().size() - 1);
    node.outputs[1] = node.outputs[2] = kNoValue;
    return {made[0], made[3]};
  }

  ValueId input(std::int64_t width = kWidth) {
    return graph.add_input("inputs_embeds", DType::kF32, {{-1, "batch"}, {-1, "rows"}, {width, ""}});
  }
  void output(ValueId x, const std::string& name) {
    graph.rename(x, name);
    graph.outputs.push_back(x);
  }

  Graph graph;
  GraphBuilder b{graph};
  Parameters parameters;

 private:
  std::string file_;
};

// As in a file, where every value has a name.
Graph named(Graph graph) {
  for (std::size_t i = 0; i < graph.values().size(); ++i)
    if (graph.values()[i].kind == ValueKind::kComputed && graph.values()[i].name.empty())
      graph.rename(static_cast<ValueId>(i), fmt::format("inner.{}", i));
  return graph;
}

class Layouts : public testing::Test {
 protected:
  // Links the decoder behind a token embedding, and finds its sites.
  void link_decoder(const Exporter& decoder) {
    Exporter embed("embed.onnx");
    const ValueId ids = embed.graph.add_input("input_ids", DType::kI64, {{-1, "batch"}, {-1, "rows"}});
    const ValueId table = embed.parameter("wte", {kVocabulary, kWidth}, 1.0);
    embed.output(embed.b.op("Gather", {table, ids}), "inputs_embeds");
    const Graph body = named(decoder.graph);
    graph_ = std::make_shared<const Graph>(link({nullptr, &embed.graph, &body}));
    for (const auto& [prefix, part] :
         {std::pair<const char*, const Exporter*>{kEmbedPrefix, &embed}, {kDecoderPrefix, &decoder}})
      for (const auto& [name, feed] : part->parameters) parameters_[prefix + name] = feed;
    request_.inputs["input_ids"] = {Tensor::of<std::int64_t>({2, 3}, {1, 5, 30, 7, 0, 2}), {}};
    map_ = find_sites(*graph_);
  }

  const Site& site(const std::string& name) const {
    for (const Site& s : map_.sites)
      if (s.name == name) return s;
    throw std::out_of_range(name);
  }

  std::vector<std::string> names(Site::Kind kind) const {
    std::vector<std::string> result;
    for (const Site& s : map_.sites)
      if (s.kind == kind) result.push_back(s.name);
    return result;
  }

  // W k + b = v for every linear site, in f64 from the stored tensor and the site's orientation.
  void expect_weights_to_map_keys_to_values() {
    Session session({.threads = 1});
    for (const Site& s : map_.sites) {
      if (s.kind != Site::Kind::kLinear) continue;
      SCOPED_TRACE(s.name);
      request_.outputs = {s.key, s.value};
      const Results captured = session.run(graph_, parameters_, request_);
      const Tensor &key = captured[s.key].tensor, &value = captured[s.value].tensor;
      const Tensor& weight = parameters_.at(s.weight).tensor;
      ASSERT_EQ(key.shape().back(), s.in);
      ASSERT_EQ(value.shape().back(), s.out);
      ASSERT_EQ(weight.shape(), s.targets[0].transposed ? (Shape{s.in, s.out}) : (Shape{s.out, s.in}));
      for (std::int64_t row = 0; row < key.numel() / s.in; ++row)
        for (std::int64_t o = 0; o < s.out; ++o) {
          double sum = s.bias ? static_cast<double>(parameters_.at(*s.bias).tensor.data<float>()[o]) : 0.0;
          for (std::int64_t i = 0; i < s.in; ++i)
            sum += static_cast<double>(key.data<float>()[row * s.in + i]) *
                   static_cast<double>(weight.data<float>()[s.targets[0].transposed ? i * s.out + o : o * s.in + i]);
          EXPECT_NEAR(value.data<float>()[row * s.out + o], sum, 1e-4 * std::max(1.0, std::abs(sum)));
        }
    }
  }

  std::shared_ptr<const Graph> graph_;
  Parameters parameters_;
  Request request_;
  SiteMap map_;
};

// GPT-2 from PyTorch: LayerNormalization, Conv1D as Gemm with a packed [H, 3H], gelu_new, biases everywhere, learnt
// positions, and the final norm in its decomposed form.
TEST_F(Layouts, Gpt2) {
  Exporter e("gpt2.onnx");
  ValueId x = e.b.op("Add", {e.input(), e.parameter("wpe", {3, kWidth})}, {}, "positioned");
  for (int i = 0; i < 2; ++i) {
    const std::string h = fmt::format("h.{}", i);
    const ValueId packed =
        e.linear(h + ".attn.c_attn", e.layer_norm(h + ".ln_1", x), kWidth, 3 * kWidth, Product::kGemm, true);
    const auto qkv = e.b.ops("", "Split", {packed, e.b.ints({kWidth, kWidth, kWidth})}, {{"axis", std::int64_t{2}}},
                             {h + ".q", h + ".k", h + ".v"});
    const ValueId mixed = e.attention(h + ".attn", qkv[0], qkv[1], qkv[2]);
    x = e.b.op("Add", {e.linear(h + ".attn.c_proj", mixed, kWidth, kWidth, Product::kGemm, true), x}, {}, h + ".mid");
    const ValueId hidden =
        e.gelu_new(e.linear(h + ".mlp.c_fc", e.layer_norm(h + ".ln_2", x), kWidth, kHidden, Product::kGemm, true));
    x = e.b.op("Add", {x, e.linear(h + ".mlp.c_proj", hidden, kHidden, kWidth, Product::kGemm, true)}, {}, h + ".end");
  }
  e.output(
      e.linear("lm_head", e.decomposed_layer_norm("ln_f", x), kWidth, kVocabulary, Product::kTransposeMatMul, false),
      "logits");
  link_decoder(e);

  EXPECT_THAT(map_.unmatched, IsEmpty());
  EXPECT_THAT(names(Site::Kind::kLinear),
              ElementsAre("decoder.block.0.attn.qkv", "decoder.block.0.attn.o", "decoder.block.0.mlp.up",
                          "decoder.block.0.mlp.down", "decoder.block.1.attn.qkv", "decoder.block.1.attn.o",
                          "decoder.block.1.mlp.up", "decoder.block.1.mlp.down", "decoder.head"));
  EXPECT_THAT(names(Site::Kind::kResidual), ElementsAre("decoder.block.0.residual", "decoder.block.1.residual"));
  EXPECT_EQ(site("decoder.block.0.residual").value, "decoder/h.0.end");
  EXPECT_EQ(site("decoder.block.1.residual").value, "decoder/h.1.end");
  EXPECT_EQ(map_.decoder_width, kWidth);
  EXPECT_EQ(map_.decoder_hidden, kHidden);
  const Site& down = site("decoder.block.1.mlp.down");
  EXPECT_TRUE(down.targets[0].transposed);
  EXPECT_EQ(down.bias, "decoder/h.1.mlp.c_proj.bias");
  EXPECT_FALSE(site("decoder.head").targets[0].transposed);
  EXPECT_EQ(site("decoder.block.0.attn.qkv").out, 3 * kWidth);
  EXPECT_EQ(site("decoder.block.0.attn.qkv").targets[0].initializer, "h.0.attn.c_attn.weight");
  expect_weights_to_map_keys_to_values();
}

// A Llama block whose normalisations add the residual themselves, as ONNX Runtime's optimiser and GenAI's builder
// write.
TEST_F(Layouts, FusedSkipNormalisations) {
  Exporter e("fused.onnx");
  ValueId stream = e.input();
  ValueId normal = e.b.ops("com.microsoft", "SimplifiedLayerNormalization",
                           {stream, e.parameter("norm.0.weight", {kWidth})}, {{"epsilon", 1e-6}}, {"norm.0"})[0];
  constexpr int kBlocks = 3;
  for (int i = 0; i < kBlocks; ++i) {
    const std::string layer = fmt::format("layers.{}", i);
    const auto project = [&](const char* name) {
      return e.linear(layer + "." + name, normal, kWidth, kWidth, Product::kMatMul, false);
    };
    const ValueId mixed = e.attention(layer, project("q_proj"), project("k_proj"), project("v_proj"));
    const ValueId o = e.linear(layer + ".o_proj", mixed, kWidth, kWidth, Product::kMatMul, false);
    std::tie(normal, stream) = e.skip_norm(layer + ".post_norm", stream, o, true);
    const ValueId gate = e.silu(e.linear(layer + ".gate_proj", normal, kWidth, kHidden, Product::kMatMul, false));
    const ValueId up = e.linear(layer + ".up_proj", normal, kWidth, kHidden, Product::kMatMul, false);
    const ValueId down =
        e.linear(layer + ".down_proj", e.b.op("Mul", {up, gate}), kHidden, kWidth, Product::kMatMul, false);
    std::tie(normal, stream) = e.skip_norm(fmt::format("norm.{}", i + 1), down, stream, i + 1 < kBlocks);
  }
  e.output(e.linear("lm_head", normal, kWidth, kVocabulary, Product::kMatMul, false), "logits");
  link_decoder(e);

  EXPECT_THAT(map_.unmatched, IsEmpty());
  EXPECT_EQ(map_.blocks.decoder, kBlocks);
  std::vector<std::string> expected;
  for (int i = 0; i < kBlocks; ++i)
    for (const char* part : {"attn.q", "attn.k", "attn.v", "attn.o", "mlp.gate", "mlp.up", "mlp.down"})
      expected.push_back(fmt::format("decoder.block.{}.{}", i, part));
  expected.emplace_back("decoder.head");
  EXPECT_EQ(names(Site::Kind::kLinear), expected);
  EXPECT_EQ(site("decoder.block.1.mlp.gate").weight, "decoder/layers.1.gate_proj.weight");
  EXPECT_EQ(site("decoder.block.1.mlp.up").weight, "decoder/layers.1.up_proj.weight");
  // The stream after the last block is inside the final normalisation alone.
  EXPECT_THAT(names(Site::Kind::kResidual), ElementsAre("decoder.block.0.residual", "decoder.block.1.residual"));
  EXPECT_EQ(site("decoder.block.0.residual").value, "decoder/norm.1.sum");
  expect_weights_to_map_keys_to_values();
}

// The same block with every way of writing a product, gate and up packed into one.
TEST_F(Layouts, EveryWayOfWritingAProduct) {
  Exporter e("products.onnx");
  ValueId x = e.input();
  const Product products[] = {Product::kMatMul, Product::kTransposeMatMul, Product::kGemm, Product::kGemmTransB};
  for (int i = 0; i < 4; ++i) {
    const std::string layer = fmt::format("layers.{}", i);
    const Product product = products[i];
    const ValueId n = e.layer_norm(layer + ".ln_1", x);
    const auto project = [&](const char* name) {
      return e.linear(layer + "." + name, n, kWidth, kWidth, product, i % 2 == 0);
    };
    const ValueId mixed = e.attention(layer, project("q"), project("k"), project("v"));
    x = e.b.op("Add", {x, e.linear(layer + ".o", mixed, kWidth, kWidth, product, false)});
    const ValueId packed =
        e.linear(layer + ".gate_up", e.layer_norm(layer + ".ln_2", x), kWidth, 2 * kHidden, product, false);
    const auto half = [&](std::int64_t from) {
      return e.b.op("Slice", {packed, e.b.ints({from}), e.b.ints({from + kHidden}), e.b.ints({2})});
    };
    const ValueId hidden = e.b.op("Mul", {e.silu(half(0)), half(kHidden)});
    x = e.b.op("Add", {e.linear(layer + ".down", hidden, kHidden, kWidth, product, i % 2 == 1), x});
  }
  e.output(e.linear("lm_head", e.layer_norm("ln_f", x), kWidth, kVocabulary, Product::kMatMul, false), "logits");
  link_decoder(e);

  EXPECT_THAT(map_.unmatched, IsEmpty());
  ASSERT_EQ(map_.blocks.decoder, 4);
  for (int i = 0; i < 4; ++i) {
    const bool by_rows = products[i] == Product::kTransposeMatMul || products[i] == Product::kGemmTransB;
    for (const char* part : {"attn.q", "attn.k", "attn.v", "attn.o", "mlp.gate_up", "mlp.down"}) {
      const Site& s = site(fmt::format("decoder.block.{}.{}", i, part));
      EXPECT_EQ(s.targets[0].transposed, !by_rows) << s.name;
    }
    EXPECT_EQ(site(fmt::format("decoder.block.{}.mlp.gate_up", i)).out, 2 * kHidden);
    EXPECT_EQ(site(fmt::format("decoder.block.{}.mlp.down", i)).bias.has_value(), i % 2 == 1);
  }
  expect_weights_to_map_keys_to_values();
}

// ROME solved for the weight of y = alpha W x + beta b as if it were W x + b.
TEST(GraphStructure, AGemmWithFactorsIsNoLinearLayer) {
  const auto layers = [](const Attributes& factors, bool bias) {
    Exporter e("gemm.onnx");
    e.factors = factors;
    e.output(e.linear("down", e.input(), kWidth, kHidden, Product::kGemm, bias), "y");
    return GraphStructure(e.graph).linears().size();
  };
  EXPECT_EQ(layers({}, true), 1u);
  EXPECT_EQ(layers({{"alpha", 1.0}, {"beta", 1.0}}, true), 1u);
  EXPECT_EQ(layers({{"alpha", 0.5}}, false), 0u);
  EXPECT_EQ(layers({{"beta", 0.5}}, true), 0u);
  EXPECT_EQ(layers({{"beta", 0.5}}, false), 1u);
}

// The encoder that the demo model has: Whisper's, no bias on the keys, exact GELU, stacking connector with SwiGLU.
TEST_F(Layouts, WhisperEncoderWithConnector) {
  LalmShape shape = tiny_shape();
  shape.vocabulary = kVocabulary;
  const BuiltGraph encoder = build_audio_encoder(shape, drawn_weights(Rng(1))),
                   embed = build_token_embedding(shape, drawn_weights(Rng(2))),
                   decoder = build_decoder(shape, drawn_weights(Rng(3)));
  const Graph hearing_graph = named(encoder.graph), body = named(decoder.graph);
  graph_ = std::make_shared<const Graph>(link({&hearing_graph, &embed.graph, &body}));
  for (const auto& [prefix, part] :
       {std::pair{kEncoderPrefix, &encoder}, {kEmbedPrefix, &embed}, {kDecoderPrefix, &decoder}})
    for (const auto& [name, feed] : part->parameters) parameters_[prefix + name] = feed;
  map_ = find_sites(*graph_);

  EXPECT_THAT(map_.unmatched, IsEmpty());
  EXPECT_EQ(map_.blocks.encoder, 2);
  EXPECT_EQ(map_.blocks.connector_layers, 2);
  EXPECT_EQ(map_.encoder_width, shape.encoder_width);
  std::vector<std::string> hearing;
  for (const std::string& name : names(Site::Kind::kLinear))
    if (!name.starts_with("decoder")) hearing.push_back(name);
  EXPECT_THAT(hearing, ElementsAre("connector.0", "connector.1", "encoder.block.0.attn.q", "encoder.block.0.attn.k",
                                   "encoder.block.0.attn.v", "encoder.block.0.attn.o", "encoder.block.0.mlp.fc1",
                                   "encoder.block.0.mlp.fc2", "encoder.block.1.attn.q", "encoder.block.1.attn.k",
                                   "encoder.block.1.attn.v", "encoder.block.1.attn.o", "encoder.block.1.mlp.fc1",
                                   "encoder.block.1.mlp.fc2"));
  for (const char* part : {"q", "v", "o"})
    EXPECT_TRUE(site(fmt::format("encoder.block.1.attn.{}", part)).bias.has_value()) << part;
  EXPECT_FALSE(site("encoder.block.1.attn.k").bias.has_value());

  const std::int64_t frames = 40, rows = (20 + shape.stack - 1) / shape.stack + 1, length = rows + 4;
  std::vector<std::int64_t> ids, slots, positions;
  for (std::int64_t i = 0; i < length; ++i) {
    ids.push_back(i % kVocabulary);
    positions.push_back(i);
    if (i < rows) slots.push_back(i);
  }
  Rng rng(5);
  Tensor mel = Tensor::empty(DType::kF32, {1, shape.mel_bins, frames});
  for (std::int64_t i = 0; i < mel.numel(); ++i) mel.mutable_data<float>()[i] = static_cast<float>(rng.normal());
  request_.inputs["audio_values"] = {mel, {}};
  request_.inputs["audio_rows"] = {Tensor::of<std::int64_t>({rows, 1}, slots), {}};
  request_.inputs["input_ids"] = {Tensor::of<std::int64_t>({1, length}, ids), {}};
  request_.inputs["position_ids"] = {Tensor::of<std::int64_t>({1, length}, positions), {}};
  request_.inputs["attention_mask"] = {
      Tensor::of<std::int64_t>({1, length}, std::vector<std::int64_t>(static_cast<std::size_t>(length), 1)), {}};
  for (std::int64_t i = 0; i < shape.blocks; ++i)
    for (const char* half : {"key", "value"})
      request_.inputs[fmt::format("past_key_values.{}.{}", i, half)] = {
          Tensor::zeros(DType::kF32, {1, shape.kv_heads, 0, shape.head_size}), {}};
  expect_weights_to_map_keys_to_values();
}

}  // namespace
}  // namespace retune
