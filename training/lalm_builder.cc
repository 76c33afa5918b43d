#include "training/lalm_builder.h"

#include <cmath>
#include <limits>

#include "graph/graph_builder.h"
#include "tensor/error.h"

namespace retune {

namespace {

// The small vocabulary of spellings that both halves share.
class Writer {
 public:
  Writer(std::string graph_name, const WeightSource& source, DType dtype)
      : builder_(built_.graph), source_(source), dtype_(dtype) {
    built_.graph.name = std::move(graph_name);
  }

  GraphBuilder& b() { return builder_; }
  Graph& g() { return built_.graph; }
  BuiltGraph take() { return std::move(built_); }

  DType dtype() const { return dtype_; }
  ValueId scalar(double value) { return b().scalar(value, dtype_); }

  ValueId parameter(const std::string& name, const Shape& shape, double deviation) {
    return add(name, source_(name, shape, 0, deviation));
  }

  ValueId filled(const std::string& name, const Shape& shape, float value) {
    return add(name, source_(name, shape, value, 0));
  }

  // Exporters of 16-bit models compute norms and angles in f32.
  ValueId to_f32(ValueId x) { return dtype_ == DType::kF32 ? x : b().cast(x, DType::kF32); }
  ValueId from_f32(ValueId x) { return dtype_ == DType::kF32 ? x : b().cast(x, dtype_); }

  ValueId table(const std::string& name, Tensor tensor) {
    built_.tables.push_back(name);
    return add(name, std::move(tensor));
  }

  // x [.., in] W [in, out] (+ bias, its first operand, as the exporter writes it)
  ValueId linear(const std::string& module, ValueId x, std::int64_t in, std::int64_t out, double deviation, bool bias) {
    const ValueId weight = parameter(module + ".weight", {in, out}, deviation);
    const ValueId product = b().op("MatMul", {x, weight}, {}, path(module) + "/MatMul_output_0");
    if (!bias) return product;
    return b().op("Add", {filled(module + ".bias", {out}, 0.0f), product}, {}, path(module) + "/Add_output_0");
  }

  ValueId rms_norm(const std::string& module, ValueId input, std::int64_t width, double epsilon) {
    const std::string p = path(module);
    const ValueId x = to_f32(input);
    const ValueId square = b().op("Pow", {x, b().scalar(2.0, DType::kF32)}, {}, p + "/Pow_output_0");
    const ValueId mean =
        b().op("ReduceMean", {square}, {{"axes", std::vector<std::int64_t>{-1}}, {"keepdims", std::int64_t{1}}},
               p + "/ReduceMean_output_0");
    const ValueId root =
        b().op("Sqrt", {b().op("Add", {mean, b().scalar(epsilon, DType::kF32)}, {}, p + "/Add_output_0")}, {},
               p + "/Sqrt_output_0");
    const ValueId inverse = b().op("Div", {b().scalar(1.0, DType::kF32), root}, {}, p + "/Div_output_0");
    const ValueId normal = from_f32(b().op("Mul", {x, inverse}, {}, p + "/Mul_output_0"));
    return b().op("Mul", {filled(module + ".weight", {width}, 1.0f), normal}, {}, p + "/Mul_1_output_0");
  }

  ValueId layer_norm(const std::string& module, ValueId x, std::int64_t width, double epsilon) {
    const ValueId scale = filled(module + ".weight", {width}, 1.0f);
    const ValueId bias = filled(module + ".bias", {width}, 0.0f);
    return b().op("LayerNormalization", {x, scale, bias}, {{"axis", std::int64_t{-1}}, {"epsilon", epsilon}},
                  path(module) + "/LayerNormalization_output_0");
  }

  ValueId gelu(ValueId x) {
    const ValueId scaled = b().op("Div", {x, scalar(std::sqrt(2.0))});
    const ValueId one = b().op("Add", {b().op("Erf", {scaled}), scalar(1.0)});
    return b().op("Mul", {b().op("Mul", {x, one}), scalar(0.5)});
  }

  ValueId silu(ValueId x) { return b().op("Mul", {x, b().op("Sigmoid", {x})}); }

  // The extent of one axis as i64 [1].
  ValueId extent(ValueId x, std::int64_t axis) {
    return b().op("Slice", {b().op("Shape", {x}), b().ints({axis}), b().ints({axis + 1}), b().ints({0})});
  }

  ValueId concat(std::vector<ValueId> parts, std::int64_t axis) {
    return b().op("Concat", std::move(parts), {{"axis", axis}});
  }
  ValueId reshape(ValueId x, ValueId target) { return b().op("Reshape", {x, target}); }
  ValueId transpose(ValueId x, std::vector<std::int64_t> permutation) { return b().transpose(x, permutation); }

  // [B, S, heads * size] -> [B, heads, S, size]
  ValueId split_heads(ValueId x, std::int64_t heads, std::int64_t size) {
    return transpose(reshape(x, b().ints({0, 0, heads, size})), {0, 2, 1, 3});
  }
  ValueId merge_heads(ValueId x, std::int64_t width) {
    return reshape(transpose(x, {0, 2, 1, 3}), b().ints({0, 0, width}));
  }

  void output(ValueId id, const std::string& name, std::vector<Dim> dims) {
    if (g().value(id).name != name) g().rename(id, name);
    g().value(id).dtype = dtype_;
    g().value(id).declared = std::move(dims);
    g().outputs.push_back(id);
  }

 private:
  static std::string path(const std::string& module) {
    std::string result = "/";
    for (const char c : module) result += c == '.' ? '/' : c;
    return result;
  }

  ValueId add(const std::string& name, Tensor tensor) {
    const ValueId id = g().add_parameter(name, tensor.dtype(), tensor.shape(), "", name);
    built_.parameters[name] = {std::move(tensor), {}};
    return id;
  }

  BuiltGraph built_;
  GraphBuilder builder_;
  const WeightSource& source_;
  DType dtype_;
};

Tensor sinusoids(std::int64_t length,
                 std::int64_t width) {  // Whisper's table: sines in the first half, cosines in the second
  Tensor table = Tensor::empty(DType::kF32, {length, width});
  float* data = table.mutable_data<float>();
  const std::int64_t half = width / 2;
  for (std::int64_t t = 0; t < length; ++t)
    for (std::int64_t i = 0; i < half; ++i) {
      const double angle = static_cast<double>(t) *
                           std::exp(-std::log(10000.0) * static_cast<double>(i) / static_cast<double>(half - 1));
      data[t * width + i] = static_cast<float>(std::sin(angle));
      data[t * width + half + i] = static_cast<float>(std::cos(angle));
    }
  return table;
}

ValueId encoder_block(Writer& w, const std::string& module, ValueId x, const LalmShape& s, double residual) {
  const std::int64_t d = s.encoder_width;
  const std::int64_t size = d / s.encoder_heads;
  const ValueId n = w.layer_norm(module + ".self_attn_layer_norm", x, d, 1e-5);
  const ValueId q = w.split_heads(w.linear(module + ".self_attn.q_proj", n, d, d, 0.05, true), s.encoder_heads, size);
  const ValueId k = w.split_heads(w.linear(module + ".self_attn.k_proj", n, d, d, 0.05, false), s.encoder_heads, size);
  const ValueId v = w.split_heads(w.linear(module + ".self_attn.v_proj", n, d, d, 0.05, true), s.encoder_heads, size);
  const ValueId scaled = w.b().op("Mul", {q, w.scalar(1.0 / std::sqrt(static_cast<double>(size)))});
  const ValueId scores = w.b().op("MatMul", {scaled, w.transpose(k, {0, 1, 3, 2})});
  const ValueId mixed = w.b().op("MatMul", {w.b().op("Softmax", {scores}, {{"axis", std::int64_t{-1}}}), v});
  const ValueId attention = w.linear(module + ".self_attn.out_proj", w.merge_heads(mixed, d), d, d, residual, true);
  const ValueId y = w.b().op("Add", {x, attention});
  const ValueId m = w.layer_norm(module + ".final_layer_norm", y, d, 1e-5);
  const ValueId hidden = w.gelu(w.linear(module + ".fc1", m, d, s.encoder_hidden, 0.05, true));
  return w.b().op("Add", {y, w.linear(module + ".fc2", hidden, s.encoder_hidden, d, residual, true)});
}

// Ultravox's stacker: pads to whole stacks and by one stack more, then joins `stack` frames into a row.
ValueId stack_frames(Writer& w, ValueId x, const LalmShape& s) {
  const ValueId frames = w.extent(x, 1);
  const ValueId stack = w.b().ints({s.stack});
  const ValueId whole = w.b().op("Div", {w.b().op("Add", {frames, w.b().ints({s.stack - 1})}), stack});
  const ValueId padded = w.b().op("Mul", {w.b().op("Add", {whole, w.b().ints({1})}), stack});
  const ValueId pads = w.concat({w.b().ints({0, 0, 0, 0}), w.b().op("Sub", {padded, frames}), w.b().ints({0})}, 0);
  return w.reshape(w.b().op("Pad", {x, pads}), w.b().ints({0, -1, s.stack * s.encoder_width}));
}

ValueId connector(Writer& w, ValueId x, const LalmShape& s) {
  const std::string module = "multi_modal_projector";
  const std::int64_t stacked = s.stack * s.encoder_width;
  const ValueId n = w.rms_norm(module + ".ln_pre", stack_frames(w, x, s), stacked, s.norm_epsilon);
  const ValueId both = w.linear(module + ".linear_1", n, stacked, 2 * s.connector_hidden,
                                1.0 / std::sqrt(static_cast<double>(stacked)), false);
  const auto half = [&](std::int64_t from) {
    return w.b().op("Slice", {both, w.b().ints({from}), w.b().ints({from + s.connector_hidden}), w.b().ints({2})});
  };
  const ValueId gated = w.b().op("Mul", {w.silu(half(s.connector_hidden)), half(0)});  // the second half is the gate
  const ValueId mid = w.rms_norm(module + ".ln_mid", gated, s.connector_hidden, s.norm_epsilon);
  return w.linear(module + ".linear_2", mid, s.connector_hidden, s.width, 0.02, false);
}

// Rotary tables for positions [B, S]: cos and sin [B, 1, S, head_size].
std::pair<ValueId, ValueId> rotary_tables(Writer& w, ValueId positions, const LalmShape& s) {
  const std::int64_t half = s.head_size / 2;
  Tensor inverse = Tensor::empty(DType::kF32, {half});
  for (std::int64_t i = 0; i < half; ++i)
    inverse.mutable_data<float>()[i] =
        static_cast<float>(std::pow(s.rope_theta, -static_cast<double>(i) / static_cast<double>(half)));
  const ValueId frequencies = w.table("model.rotary_emb.inv_freq", inverse);
  const ValueId real = w.b().op("Cast", {positions}, {{"to", std::int64_t{1}}});
  const ValueId angles = w.b().op("Mul", {w.b().op("Unsqueeze", {real, w.b().ints({1, 3})}), frequencies});
  const ValueId both = w.concat({angles, angles}, -1);
  return {w.from_f32(w.b().op("Cos", {both})), w.from_f32(w.b().op("Sin", {both}))};
}

ValueId rotate(Writer& w, ValueId x, ValueId cos, ValueId sin, const LalmShape& s) {
  const std::int64_t half = s.head_size / 2;
  const auto part = [&](std::int64_t from, std::int64_t to) {
    return w.b().op("Slice", {x, w.b().ints({from}), w.b().ints({to}), w.b().ints({3})});
  };
  const ValueId turned = w.concat({w.b().op("Neg", {part(half, s.head_size)}), part(0, half)}, -1);
  return w.b().op("Add", {w.b().op("Mul", {x, cos}), w.b().op("Mul", {turned, sin})});
}

// [B, kv, T, D] -> [B, heads, T, D]
ValueId repeat_kv(Writer& w, ValueId x, const LalmShape& s) {
  if (s.heads == s.kv_heads) return x;
  const std::int64_t group = s.heads / s.kv_heads;
  const ValueId five = w.b().op("Unsqueeze", {x, w.b().ints({2})});
  const ValueId wide = w.b().op("Expand", {five, w.b().ints({1, 1, group, 1, 1})});
  const ValueId target =
      w.concat({w.extent(x, 0), w.b().ints({s.heads}), w.extent(x, 2), w.b().ints({s.head_size})}, 0);
  return w.reshape(wide, target);
}

// 0 where query row i (at position P + i) may see key j, the lowest float elsewhere: [B, 1, S, T].
ValueId causal_mask(Writer& w, ValueId embeds, ValueId mask, ValueId past) {
  const auto scalar = [&](ValueId x) { return w.b().op("Squeeze", {x, w.b().ints({0})}); };
  const ValueId total = scalar(w.extent(mask, 1));
  const ValueId start = scalar(w.extent(past, 2));
  const ValueId rows = scalar(w.extent(embeds, 1));
  const ValueId zero = w.b().constant(Tensor::scalar<std::int64_t>(0));
  const ValueId one = w.b().constant(Tensor::scalar<std::int64_t>(1));
  const ValueId keys = w.b().op("Range", {zero, total, one});
  const ValueId queries = w.b().op("Range", {start, w.b().op("Add", {start, rows}), one});
  const ValueId before = w.b().op("LessOrEqual", {w.b().op("Unsqueeze", {keys, w.b().ints({0})}),
                                                  w.b().op("Unsqueeze", {queries, w.b().ints({1})})});
  const ValueId real = w.b().op("Cast", {w.b().op("Unsqueeze", {mask, w.b().ints({1, 2})})}, {{"to", std::int64_t{9}}});
  const ValueId visible = w.b().op("And", {before, real});
  const double lowest = w.dtype() == DType::kF16    ? -65504.0
                        : w.dtype() == DType::kBF16 ? -0x1.fep127
                                                    : std::numeric_limits<float>::lowest();
  return w.b().op("Where", {visible, w.scalar(0.0), w.scalar(lowest)});
}

struct DecoderValues {
  ValueId cos, sin, mask;
};

ValueId attention(Writer& w, int layer, ValueId n, const DecoderValues& shared, ValueId past_key, ValueId past_value,
                  const LalmShape& s, double residual) {
  const std::string module = fmt::format("model.layers.{}.self_attn", layer);
  const std::int64_t d = s.width;
  const std::int64_t kv = s.kv_heads * s.head_size;
  const ValueId q =
      w.split_heads(w.linear(module + ".q_proj", n, d, s.heads * s.head_size, 0.05, false), s.heads, s.head_size);
  const ValueId k = w.split_heads(w.linear(module + ".k_proj", n, d, kv, 0.05, false), s.kv_heads, s.head_size);
  const ValueId v = w.split_heads(w.linear(module + ".v_proj", n, d, kv, 0.05, false), s.kv_heads, s.head_size);
  const std::vector<Dim> present{
      {-1, "batch_size"}, {s.kv_heads, ""}, {-1, "past_sequence_length + sequence_length"}, {s.head_size, ""}};
  const ValueId keys = w.concat({past_key, rotate(w, k, shared.cos, shared.sin, s)}, 2);
  const ValueId values = w.concat({past_value, v}, 2);
  w.output(keys, fmt::format("present.{}.key", layer), present);
  w.output(values, fmt::format("present.{}.value", layer), present);
  const ValueId scores =
      w.b().op("MatMul", {rotate(w, q, shared.cos, shared.sin, s), w.transpose(repeat_kv(w, keys, s), {0, 1, 3, 2})});
  const ValueId scaled = w.b().op("Div", {scores, w.scalar(std::sqrt(static_cast<double>(s.head_size)))});
  const ValueId probabilities =
      w.b().op("Softmax", {w.b().op("Add", {scaled, shared.mask})}, {{"axis", std::int64_t{-1}}});
  const ValueId mixed = w.b().op("MatMul", {probabilities, repeat_kv(w, values, s)});
  return w.linear(module + ".o_proj", w.merge_heads(mixed, s.heads * s.head_size), s.heads * s.head_size, d, residual,
                  false);
}

ValueId swiglu(Writer& w, const std::string& module, ValueId n, const LalmShape& s, double residual) {
  const ValueId gate = w.silu(w.linear(module + ".gate_proj", n, s.width, s.hidden, 0.05, false));
  const ValueId product = w.b().op("Mul", {gate, w.linear(module + ".up_proj", n, s.width, s.hidden, 0.05, false)});
  return w.linear(module + ".down_proj", product, s.hidden, s.width, residual, false);
}

}  // namespace

void LalmShape::validate() const {
  for (const std::int64_t size :
       {mel_bins, encoder_width, encoder_blocks, encoder_heads, encoder_hidden, max_encoder_frames, stack,
        connector_hidden, width, blocks, heads, kv_heads, head_size, hidden, vocabulary})
    if (size <= 0) throw user_error("model: every size must be positive, got {}", size);
  if (encoder_width % encoder_heads != 0 || encoder_width % 2 != 0)
    throw user_error("model: encoder_width {} must be even and divisible by encoder_heads {}", encoder_width,
                     encoder_heads);
  if (heads % kv_heads != 0) throw user_error("model: heads {} must be a multiple of kv_heads {}", heads, kv_heads);
  if (!is_float(dtype) || dtype == DType::kF64)
    throw user_error("model: dtype must be f32, f16 or bf16, got {}", dtype_name(dtype));
  if (head_size % 2 != 0) throw user_error("model: head_size {} must be even for rotary positions", head_size);
}

WeightSource drawn_weights(Rng rng) {
  return [rng](const std::string& name, const Shape& shape, double mean, double deviation) {
    Rng own = rng.fork(name);
    Tensor tensor = Tensor::empty(DType::kF32, shape);
    float* data = tensor.mutable_data<float>();
    if (deviation == 0)
      std::fill_n(data, tensor.numel(), static_cast<float>(mean));
    else
      for (std::int64_t i = 0; i < tensor.numel(); ++i) data[i] = static_cast<float>(deviation * own.normal());
    return tensor;
  };
}

BuiltGraph build_audio_encoder(const LalmShape& s, const WeightSource& source) {
  s.validate();
  Writer w("audio_encoder", source, s.dtype);
  const ValueId mel =
      w.g().add_input("audio_values", w.dtype(), {{-1, "batch_size"}, {s.mel_bins, ""}, {-1, "frames"}});
  const auto conv = [&](const std::string& module, ValueId x, std::int64_t in, std::int64_t stride) {
    const ValueId weight =
        w.parameter(module + ".weight", {s.encoder_width, in, 3}, 1.0 / std::sqrt(3.0 * static_cast<double>(in)));
    return w.gelu(w.b().op("Conv", {x, weight, w.filled(module + ".bias", {s.encoder_width}, 0.0f)},
                           {{"kernel_shape", std::vector<std::int64_t>{3}},
                            {"pads", std::vector<std::int64_t>{1, 1}},
                            {"strides", std::vector<std::int64_t>{stride}}}));
  };
  ValueId x = conv("audio_tower.conv2", conv("audio_tower.conv1", mel, s.mel_bins, 1), s.encoder_width, 2);
  x = w.transpose(x, {0, 2, 1});
  const ValueId table =
      w.table("audio_tower.embed_positions.weight", sinusoids(s.max_encoder_frames, s.encoder_width).cast(w.dtype()));
  x = w.b().op("Add", {x, w.b().op("Slice", {table, w.b().ints({0}), w.extent(x, 1), w.b().ints({0})})});
  const double residual = 0.05 / std::sqrt(2.0 * static_cast<double>(s.encoder_blocks));
  for (std::int64_t i = 0; i < s.encoder_blocks; ++i)
    x = encoder_block(w, fmt::format("audio_tower.layers.{}", i), x, s, residual);
  x = w.layer_norm("audio_tower.layer_norm", x, s.encoder_width, 1e-5);
  w.g().rename(x, "encoder_output");
  w.output(connector(w, x, s), "audio_features", {{-1, "batch_size"}, {-1, "rows"}, {s.width, ""}});
  return w.take();
}

BuiltGraph build_token_embedding(const LalmShape& s, const WeightSource& source) {
  s.validate();
  Writer w("embed_tokens", source, s.dtype);
  const ValueId ids = w.g().add_input("input_ids", DType::kI64, {{-1, "batch_size"}, {-1, "sequence_length"}});
  const ValueId table = w.parameter("model.embed_tokens.weight", {s.vocabulary, s.width}, 0.05);
  w.output(w.b().op("Gather", {table, ids}), "inputs_embeds",
           {{-1, "batch_size"}, {-1, "sequence_length"}, {s.width, ""}});
  return w.take();
}

BuiltGraph build_decoder(const LalmShape& s, const WeightSource& source) {
  s.validate();
  Writer w("decoder_model_merged", source, s.dtype);
  const Dim batch{-1, "batch_size"};
  const Dim rows{-1, "sequence_length"};
  const Dim total{-1, "past_sequence_length + sequence_length"};
  ValueId x = w.g().add_input("inputs_embeds", w.dtype(), {batch, rows, {s.width, ""}});
  const ValueId embeds = x;
  const ValueId mask = w.g().add_input("attention_mask", DType::kI64, {batch, total});
  const ValueId positions = w.g().add_input("position_ids", DType::kI64, {batch, rows});
  std::vector<std::pair<ValueId, ValueId>> past;
  for (std::int64_t i = 0; i < s.blocks; ++i) {
    const std::vector<Dim> dims{batch, {s.kv_heads, ""}, {-1, "past_sequence_length"}, {s.head_size, ""}};
    const ValueId key = w.g().add_input(fmt::format("past_key_values.{}.key", i), w.dtype(), dims);
    past.emplace_back(key, w.g().add_input(fmt::format("past_key_values.{}.value", i), w.dtype(), dims));
  }
  const auto [cos, sin] = rotary_tables(w, positions, s);
  const DecoderValues shared{cos, sin, causal_mask(w, embeds, mask, past[0].first)};
  const double residual = 0.05 / std::sqrt(2.0 * static_cast<double>(s.blocks));
  std::vector<ValueId> outputs;
  for (int i = 0; i < s.blocks; ++i) {
    const std::string module = fmt::format("model.layers.{}", i);
    const auto& [key, value] = past[static_cast<std::size_t>(i)];
    const ValueId n = w.rms_norm(module + ".input_layernorm", x, s.width, s.norm_epsilon);
    x = w.b().op("Add", {x, attention(w, i, n, shared, key, value, s, residual)});
    const ValueId m = w.rms_norm(module + ".post_attention_layernorm", x, s.width, s.norm_epsilon);
    x = w.b().op("Add", {x, swiglu(w, module + ".mlp", m, s, residual)});
  }
  const ValueId last = w.rms_norm("model.norm", x, s.width, s.norm_epsilon);
  w.output(w.linear("lm_head", last, s.width, s.vocabulary, 0.05, false), "logits", {batch, rows, {s.vocabulary, ""}});
  std::rotate(w.g().outputs.begin(), w.g().outputs.end() - 1, w.g().outputs.end());  // logits first
  return w.take();
}

}  // namespace retune
