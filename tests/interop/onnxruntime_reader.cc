#include "tests/interop/onnxruntime_reader.h"

#include <algorithm>
#include <numeric>

#include "tensor/error.h"

namespace retune {

OnnxRuntimeReader::OnnxRuntimeReader(std::filesystem::path bundle, const DecoderInterface& decoder)
    : graphs_(std::move(bundle) / "onnx"), decoder_(decoder) {}

Tensor OnnxRuntimeReader::embeddings(const std::vector<std::int64_t>& ids) const {
  const Tensor input = Tensor::of(Shape{1, static_cast<std::int64_t>(ids.size())}, ids);
  return run_in_onnxruntime(graphs_ / "embed_tokens.onnx", {{"input_ids", input}}).at("inputs_embeds").copy();
}

OnnxRuntimeReader::Call OnnxRuntimeReader::decode(Tensor embeddings, NamedTensors past, std::int64_t length) const {
  const std::int64_t rows = embeddings.shape()[1];
  std::vector<std::int64_t> positions(static_cast<std::size_t>(rows));
  std::iota(positions.begin(), positions.end(), length);
  NamedTensors inputs = std::move(past);
  inputs["inputs_embeds"] = std::move(embeddings);
  inputs["attention_mask"] =
      Tensor::of(Shape{1, length + rows}, std::vector<std::int64_t>(static_cast<std::size_t>(length + rows), 1));
  if (decoder_.position_ids) inputs["position_ids"] = Tensor::of(Shape{1, rows}, positions);
  if (decoder_.num_logits_to_keep) inputs["num_logits_to_keep"] = Tensor::scalar<std::int64_t>(0);
  if (decoder_.use_cache_branch) inputs["use_cache_branch"] = Tensor::of<bool>({1}, {length > 0});
  NamedTensors outputs = run_in_onnxruntime(graphs_ / "decoder_model_merged.onnx", inputs);
  Call call{outputs.at("logits"), {}, length + rows};
  for (const DecoderInterface::Cache& cache : decoder_.caches) {
    call.past[cache.past_key] = outputs.at(cache.present_key);
    call.past[cache.past_value] = outputs.at(cache.present_value);
  }
  return call;
}

OnnxRuntimeReader::Call OnnxRuntimeReader::prefill(const std::vector<std::int64_t>& ids, const Feed& audio,
                                                   const std::vector<std::int64_t>& audio_rows) const {
  Tensor embedded = embeddings(ids);
  if (!audio_rows.empty()) {
    const Tensor rows =
        run_in_onnxruntime(graphs_ / "audio_encoder.onnx", {{"audio_values", audio.tensor}}).at("audio_features");
    const std::int64_t width = embedded.shape().back();
    if (rows.numel() != static_cast<std::int64_t>(audio_rows.size()) * width)
      throw failure("{} rows of sound for {} slots", rows.numel() / width, audio_rows.size());
    for (std::size_t row = 0; row < audio_rows.size(); ++row)
      std::copy_n(rows.data<float>() + static_cast<std::int64_t>(row) * width, width,
                  embedded.mutable_data<float>() + audio_rows[row] * width);
  }
  NamedTensors nothing;
  for (const DecoderInterface::Cache& cache : decoder_.caches) {
    nothing[cache.past_key] = Tensor::zeros(cache.dtype, cache.empty);
    nothing[cache.past_value] = Tensor::zeros(cache.dtype, cache.empty);
  }
  return decode(std::move(embedded), std::move(nothing), 0);
}

OnnxRuntimeReader::Call OnnxRuntimeReader::go_on(const Call& before, const std::vector<std::int64_t>& ids) const {
  return decode(embeddings(ids), before.past, before.length);
}

}  // namespace retune
