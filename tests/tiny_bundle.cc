#include "tests/tiny_bundle.h"

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <numbers>

#include "graph/graph.h"
#include "graph/import.h"
#include "learning/site_weight.h"
#include "tensor/error.h"
#include "tensor/staged_output.h"
#include "text/bpe_trainer.h"
#include "training/lalm_bundle_files.h"

namespace retune {

namespace fs = std::filesystem;

namespace {

// Tables that are computed, and vectors (norms, biases), stay as they are.
Parameters louder(const BuiltGraph& built, float loudness) {
  Parameters parameters = built.parameters;
  for (auto& [name, feed] : parameters) {
    const bool table = std::find(built.tables.begin(), built.tables.end(), name) != built.tables.end();
    if (table || feed.tensor.shape().rank() < 2) continue;
    Tensor scaled = feed.tensor.copy();
    for (std::int64_t i = 0; i < scaled.numel(); ++i) scaled.mutable_data<float>()[i] *= loudness;
    feed = {scaled, {}};
  }
  return parameters;
}

// A 16-bit exporter writes the largest finite value where f32 has a larger one.
Tensor narrowed(const Tensor& tensor, DType type) {
  if (tensor.dtype() != DType::kF32 || type != DType::kF16) return tensor.cast(type);
  Tensor held = tensor.copy();
  for (std::int64_t i = 0; i < held.numel(); ++i)
    held.mutable_data<float>()[i] = std::clamp(held.data<float>()[i], -65504.0F, 65504.0F);
  return held.cast(type);
}

struct StoredGraph {
  Graph graph;
  Parameters parameters;
};

// The graph with its weights stored in one type and computed with in another.
class Narrower {
 public:
  Narrower(DType stored, DType arithmetic) : stored_(stored), arithmetic_(arithmetic) {}

  StoredGraph narrow(const Graph& source, const Parameters& parameters) {
    result_.graph.name = source.name;
    ids_.assign(source.values().size(), kNoValue);
    for (std::size_t i = 0; i < ids_.size(); ++i) ids_[i] = leaf(source.values()[i]);
    for (std::size_t i = 0; i < ids_.size(); ++i)
      if (const Value& value = source.values()[i]; value.kind == ValueKind::kParameter) {
        result_.parameters[value.name] = {narrowed(parameters.at(value.name).tensor, stored_), {}};
        if (stored_ != arithmetic_) ids_[i] = cast(ids_[i], value.name + "/Cast_output_0");
      }
    for (const Node& node : source.nodes()) copy(source, node);
    for (const ValueId id : source.outputs) {
      Value& output = result_.graph.value(at(id));
      output.dtype = arithmetic_;
      output.declared = source.value(id).declared;
      result_.graph.outputs.push_back(at(id));
    }
    return std::move(result_);
  }

 private:
  ValueId at(ValueId id) const { return id == kNoValue ? kNoValue : ids_[static_cast<std::size_t>(id)]; }
  DType type_of(DType before) const { return before == DType::kF32 ? arithmetic_ : before; }

  ValueId leaf(const Value& value) {
    Graph& graph = result_.graph;
    if (value.kind == ValueKind::kInput) return graph.add_input(value.name, type_of(value.dtype), value.declared);
    if (value.kind == ValueKind::kParameter)
      return graph.add_parameter(value.name, stored_, *value.shape, "", value.initializer);
    if (value.kind == ValueKind::kConstant)
      return graph.add_constant(narrowed(value.constant, type_of(value.constant.dtype())), value.name);
    return kNoValue;
  }

  ValueId cast(ValueId id, const std::string& name) {
    return result_.graph.add_node({.op = "Cast", .inputs = {id}, .attributes = {{"to", onnx_type()}}}, {name})[0];
  }

  void copy(const Graph& source, const Node& node) {
    Node narrow = node;
    for (ValueId& id : narrow.inputs) id = at(id);
    if (narrow.op == "Cast" && narrow.attributes.i("to", 0) == static_cast<std::int64_t>(DType::kF32))
      narrow.attributes.set("to", onnx_type());
    std::vector<std::string> names;
    for (const ValueId id : node.outputs) names.push_back(source.value(id).name);
    const std::vector<ValueId> made = result_.graph.add_node(std::move(narrow), names);
    for (std::size_t i = 0; i < made.size(); ++i) ids_[static_cast<std::size_t>(node.outputs[i])] = made[i];
  }

  AttributeValue onnx_type() const { return static_cast<std::int64_t>(arithmetic_); }

  DType stored_, arithmetic_;
  StoredGraph result_;
  std::vector<ValueId> ids_;
};

}  // namespace

LalmShape tiny_shape() {
  LalmShape shape;
  shape.mel_bins = 16;
  shape.encoder_width = 16;
  shape.encoder_blocks = 2;
  shape.encoder_heads = 2;
  shape.encoder_hidden = 24;
  shape.max_encoder_frames = 100;
  shape.stack = 4;
  shape.connector_hidden = 16;
  shape.width = 16;
  shape.blocks = 3;
  shape.heads = 2;
  shape.kv_heads = 1;
  shape.head_size = 8;
  shape.hidden = 24;
  return shape;
}

void write_tiny_bundle(const fs::path& folder, const TinyBundleOptions& options) {
  const std::vector<std::string> lines = {kTinyQuestion, kTinyTextQuestion, "system\n",
                                          "user\n",      "assistant\n",     "cow cat dog elephant animal loud quiet"};
  const std::string json = train_byte_level_bpe(
      lines, {.vocabulary_size = 300, .special_tokens = {kEndOfText, kTurnStart, kTurnEnd, kAudioPlaceholder}});
  const Tokenizer tokenizer = Tokenizer::parse(json, "tiny");
  LalmShape shape = options.shape;
  shape.vocabulary = tokenizer.vocabulary_size();
  const BundleTexts texts =
      bundle_texts(shape, {tokenizer.require_id(kEndOfText), tokenizer.require_id(kTurnStart),
                           tokenizer.require_id(kTurnEnd), tokenizer.require_id(kAudioPlaceholder)});
  fs::create_directories(folder / "onnx");
  const Rng rng(options.seed);
  for (const auto& [built, file] :
       {std::pair{build_audio_encoder(shape, drawn_weights(rng.fork("encoder"))), "audio_encoder.onnx"},
        {build_token_embedding(shape, drawn_weights(rng.fork("embed"))), "embed_tokens.onnx"},
        {build_decoder(shape, drawn_weights(rng.fork("decoder"))), "decoder_model_merged.onnx"}}) {
    const StoredGraph narrow =
        Narrower(options.stored, options.arithmetic).narrow(built.graph, louder(built, options.loudness));
    export_onnx(narrow.graph, narrow.parameters, folder / "onnx" / file);
  }
  write_file_atomically(folder / "config.json", texts.config);
  write_file_atomically(folder / "generation_config.json", texts.generation_config);
  write_file_atomically(folder / "tokenizer.json", json);
  write_file_atomically(folder / "tokenizer_config.json", texts.tokenizer_config);
  write_file_atomically(folder / "preprocessor_config.json", texts.preprocessor_config);
  write_file_atomically(folder / "processor_config.json", texts.processor_config);
}

Bundle with_random_change(const Bundle& bundle, const std::string& name, double size) {
  const Site site = bundle.site(name);
  Rng rng = Rng(11).fork(name);
  const auto column = [&](std::int64_t rows, double scale) {
    std::vector<float> values(static_cast<std::size_t>(rows));
    for (float& value : values) value = static_cast<float>(scale * rng.normal());
    return Tensor::of(Shape{rows, 1}, values);
  };
  Patch patch;
  patch.method = "random";
  patch.graph_hash = bundle.view().graph_hash();
  patch.files = bundle.view().files();
  patch.beneath = bundle.view().patch_ids();
  patch.deltas.push_back({name, site.delta_shape, LowRankDelta{column(site.out, size), column(site.in, 1)},
                          hashed_targets(bundle.view(), site)});
  return bundle.with(std::make_shared<const Patch>(std::move(patch)));
}

Waveform tone(double hertz, double seconds) {
  constexpr int kRate = 16000;
  Waveform clip{std::vector<float>(static_cast<std::size_t>(seconds * kRate)), kRate};
  for (std::size_t i = 0; i < clip.samples.size(); ++i)
    clip.samples[i] = static_cast<float>(0.4 * std::sin(2 * std::numbers::pi * hertz * static_cast<double>(i) / kRate) *
                                         (i % 4000 < 2500 ? 1.0 : 0.2));
  return clip;
}

std::string bytes_of(const fs::path& file) {
  std::ifstream stream(file, std::ios::binary);
  return {std::istreambuf_iterator<char>(stream), {}};
}

std::map<std::string, std::string> files_below(const fs::path& folder) {
  std::map<std::string, std::string> files;
  for (const auto& entry : fs::recursive_directory_iterator(folder))
    if (entry.is_regular_file()) files[entry.path().lexically_relative(folder).string()] = bytes_of(entry.path());
  return files;
}

bool same_parameters(const Bundle& a, const Bundle& b) {
  return a.parameters().size() == b.parameters().size() &&
         std::all_of(a.parameters().begin(), a.parameters().end(), [&](const auto& item) {
           const auto other = b.parameters().find(item.first);
           return other != b.parameters().end() && identical(item.second.tensor, other->second.tensor);
         });
}

ScratchFolder::ScratchFolder() {
  std::string pattern = (fs::canonical(testing::TempDir()) / "retune_test_XXXXXX").string();
  if (mkdtemp(pattern.data()) == nullptr) throw failure("cannot make a folder {}", pattern);
  path_ = pattern;
}

ScratchFolder::~ScratchFolder() {
  std::error_code ignored;
  fs::remove_all(path_, ignored);
}

}  // namespace retune
