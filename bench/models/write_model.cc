// Writes a bundle with random weights for the benchmark, of the dimensions of a known model.
//
//   write_model NAME OUT TOKENIZER.json     NAME: decoder-134m, lalm-0.5b, lalm-0.5b-bf16, lalm-7b-bf16
//
// Only shapes and types matter to speed: every matrix is a stretch of one block of normal numbers (deviation 0.02), so
// that a model of 16 GB is written in the time of the disk. The tokenizer has fewer tokens than the output layer has
// rows, as published models do.
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <map>
#include <sstream>

#include "graph/import.h"
#include "tensor/error.h"
#include "tensor/staged_output.h"
#include "text/tokenizer.h"
#include "training/lalm_builder.h"
#include "training/lalm_bundle_files.h"

namespace {

using namespace retune;
namespace fs = std::filesystem;

// A Llama-style decoder beside which the demo model's small encoder stands.
LalmShape decoder_134m() {
  LalmShape s;
  s.width = 768;
  s.blocks = 12;
  s.heads = s.kv_heads = 12;
  s.head_size = 64;
  s.hidden = 2048;
  s.vocabulary = 32'000;
  return s;
}

// Whisper-small and Qwen2-0.5B.
LalmShape lalm_half_billion(DType dtype) {
  LalmShape s;
  s.dtype = dtype;
  s.encoder_width = 768;
  s.encoder_blocks = s.encoder_heads = 12;
  s.encoder_hidden = 3072;
  s.connector_hidden = 896;
  s.width = 896;
  s.blocks = 24;
  s.heads = 14;
  s.kv_heads = 2;
  s.head_size = 64;
  s.hidden = 4864;
  s.vocabulary = 151'936;
  s.rope_theta = 1e6;
  return s;
}

// Qwen2-Audio: Whisper-large-v3 and Qwen-7B.
LalmShape lalm_7b() {
  LalmShape s;
  s.dtype = DType::kBF16;
  s.mel_bins = 128;
  s.encoder_width = 1280;
  s.encoder_blocks = 32;
  s.encoder_heads = 20;
  s.encoder_hidden = 5120;
  s.stack = 2;
  s.connector_hidden = 4096;
  s.width = 4096;
  s.blocks = 32;
  s.heads = s.kv_heads = 32;
  s.head_size = 128;
  s.hidden = 11'008;
  s.vocabulary = 156'032;
  return s;
}

LalmShape shape_named(const std::string& name) {
  if (name == "decoder-134m") return decoder_134m();
  if (name == "lalm-0.5b") return lalm_half_billion(DType::kF32);
  if (name == "lalm-0.5b-bf16") return lalm_half_billion(DType::kBF16);
  if (name == "lalm-7b-bf16") return lalm_7b();
  throw user_error("there is no benchmark model '{}'; expected decoder-134m, lalm-0.5b, lalm-0.5b-bf16 or lalm-7b-bf16",
                   name);
}

// Views of one block of noise as long as the largest matrix.
WeightSource stretches_of_noise(const LalmShape& s) {
  const std::int64_t longest = std::max(
      {s.vocabulary * s.width, s.encoder_width * s.encoder_hidden, s.stack * s.encoder_width * 2 * s.connector_hidden});
  constexpr std::int64_t kDrawn = 1 << 20;
  Tensor noise = Tensor::empty(DType::kF32, {kDrawn});
  Rng rng(1);
  for (std::int64_t i = 0; i < kDrawn; ++i) noise.mutable_data<float>()[i] = static_cast<float>(0.02 * rng.normal());
  noise = noise.cast(s.dtype);
  Tensor block = Tensor::empty(s.dtype, {longest});
  for (std::int64_t at = 0; at < longest; at += kDrawn)
    std::memcpy(block.mutable_raw() + static_cast<std::size_t>(at) * dtype_size(s.dtype), noise.raw(),
                static_cast<std::size_t>(std::min(kDrawn, longest - at)) * dtype_size(s.dtype));
  return [block, dtype = s.dtype](const std::string&, const Shape& shape, double mean, double deviation) {
    if (deviation != 0) return block.rows(0, shape.numel()).reshaped(shape);
    Tensor tensor = Tensor::empty(DType::kF32, shape);
    std::fill_n(tensor.mutable_data<float>(), tensor.numel(), static_cast<float>(mean));
    return tensor.cast(dtype);
  };
}

std::string contents_of(const fs::path& file) {
  std::ifstream in(file, std::ios::binary);
  if (!in) throw user_error("{} cannot be read", file.string());
  std::ostringstream text;
  text << in.rdbuf();
  return text.str();
}

void write_model(const std::string& name, const fs::path& out, const fs::path& tokenizer_file) {
  const LalmShape shape = shape_named(name);
  const std::string json = contents_of(tokenizer_file);
  const Tokenizer tokenizer = Tokenizer::parse(json, tokenizer_file.string());
  const SpecialIds ids{.end_of_text = tokenizer.require_id(kEndOfText),
                       .turn_start = tokenizer.require_id(kTurnStart),
                       .turn_end = tokenizer.require_id(kTurnEnd),
                       .audio = tokenizer.require_id(kAudioPlaceholder)};
  fs::create_directories(out / "onnx");
  const WeightSource source = stretches_of_noise(shape);
  const auto write = [&](const BuiltGraph& built, const char* file) {
    export_onnx(built.graph, built.parameters, out / "onnx" / file, {.external_from = 1 << 20});
  };
  write(build_audio_encoder(shape, source), "audio_encoder.onnx");
  write(build_token_embedding(shape, source), "embed_tokens.onnx");
  write(build_decoder(shape, source), "decoder_model_merged.onnx");
  const BundleTexts texts = bundle_texts(shape, ids);
  write_file_atomically(out / "generation_config.json", texts.generation_config);
  write_file_atomically(out / "tokenizer.json", json);
  write_file_atomically(out / "tokenizer_config.json", texts.tokenizer_config);
  write_file_atomically(out / "preprocessor_config.json", texts.preprocessor_config);
  write_file_atomically(out / "processor_config.json", texts.processor_config);
  write_file_atomically(out / "config.json", texts.config);  // last: with it the bundle is whole
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 4) {
    std::fprintf(stderr, "usage: write_model NAME OUT TOKENIZER.json\n");
    return 2;
  }
  try {
    write_model(argv[1], argv[2], argv[3]);
    return 0;
  } catch (const retune::Error& error) {
    std::fprintf(stderr, "write_model: %s\n", error.what());
    return static_cast<int>(error.code());
  }
}
