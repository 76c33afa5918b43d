#include "bench/lalm/prompts.h"

#include <algorithm>
#include <functional>
#include <numeric>

#include "tensor/error.h"
#include "tensor/rng.h"

namespace retune::bench {

namespace {

constexpr std::int64_t kLabels = 4;
constexpr std::int64_t kBeforeClip = 3;  // tokens

Tensor integers(const Shape& shape, const std::function<std::int64_t(std::int64_t)>& value) {
  Tensor tensor = Tensor::empty(DType::kI64, shape);
  for (std::int64_t i = 0; i < tensor.numel(); ++i) tensor.mutable_data<std::int64_t>()[i] = value(i);
  return tensor;
}

Tensor random_mel(const Bundle& bundle, std::int64_t clips, std::int64_t frames, std::uint64_t seed) {
  const Graph& graph = *bundle.graph();
  return noise({clips, bundle.front_end().options().mels, frames}, seed)
      .cast(graph.value(graph.require("audio_values")).dtype);
}

std::int64_t placeholder_of(const Bundle& bundle) { return bundle.tokenizer().require_id(bundle.placeholder()); }

}  // namespace

Sizes sizes_of(const std::vector<std::string>& options) {
  Sizes sizes;
  const std::map<std::string, std::int64_t*> numbers = {
      {"batch", &sizes.batch},         {"clips", &sizes.clips},   {"text", &sizes.text},
      {"frames", &sizes.frames},       {"block", &sizes.block},   {"steps", &sizes.steps},
      {"positions", &sizes.positions}, {"tokens", &sizes.tokens}, {"questions", &sizes.questions}};
  const std::map<std::string, std::string*> texts = {{"facts", &sizes.facts}, {"out", &sizes.out}, {"of", &sizes.of}};
  for (const std::string& option : options) {
    const std::size_t equals = std::min(option.find('='), option.size());
    const std::string name = option.substr(0, equals), value = option.substr(std::min(equals + 1, option.size()));
    if (const auto number = numbers.find(name); number != numbers.end())
      *number->second = std::stoll(value);
    else if (const auto text = texts.find(name); text != texts.end())
      *text->second = value;
    else if (name == "runs")
      sizes.repeats.runs = std::stoi(value);
    else if (name == "warm_up")
      sizes.repeats.warm_up = std::stoi(value);
    else if (name == "profile")
      sizes.repeats.profile = value == "1";
    else
      throw user_error("'{}' is no option of a work", option);
  }
  return sizes;
}

Tensor noise(const Shape& shape, std::uint64_t seed) {
  Tensor tensor = Tensor::empty(DType::kF32, shape);
  Rng rng(seed);
  for (std::int64_t i = 0; i < tensor.numel(); ++i) tensor.mutable_data<float>()[i] = static_cast<float>(rng.normal());
  return tensor;
}

std::vector<std::int64_t> random_ids(const Bundle& bundle, std::int64_t count, std::uint64_t seed) {
  Rng rng(seed);
  std::vector<std::int64_t> ids;
  const auto below = static_cast<std::uint64_t>(placeholder_of(bundle));
  for (std::int64_t i = 0; i < count; ++i) ids.push_back(static_cast<std::int64_t>(rng.below(below)));
  return ids;
}

std::int64_t audio_slots(Session& session, const Bundle& bundle, std::int64_t frames) {
  Request request;
  request.inputs["audio_values"] = {random_mel(bundle, 1, frames, 1)};
  request.outputs = {"audio_features"};
  return session.run(bundle.graph(), bundle.parameters(), request)["audio_features"].tensor.shape()[0];
}

Prompt text_prompt(const Bundle& bundle, std::int64_t length, std::uint64_t seed) {
  return {random_ids(bundle, length, seed), {}, {}};
}

Feed random_clip(const Bundle& bundle, std::int64_t frames, std::uint64_t seed) {
  Feed clip{random_mel(bundle, 1, frames, seed)};
  clip.version = version_of(clip.tensor);
  return clip;
}

Prompt sound_prompt(const Bundle& bundle, const Feed& clip, std::int64_t slots, std::int64_t length,
                    std::uint64_t seed) {
  const std::int64_t before = kBeforeClip + slots;
  if (length <= before)
    throw user_error("a prompt of {} tokens does not hold a clip of {}; expected more than {}", length, slots, before);
  Prompt prompt{std::vector<std::int64_t>(kBeforeClip, 1), {}, clip};
  for (std::int64_t slot = 0; slot < slots; ++slot) prompt.audio_rows.push_back(kBeforeClip + slot);
  prompt.ids.insert(prompt.ids.end(), static_cast<std::size_t>(slots), placeholder_of(bundle));
  const std::vector<std::int64_t> question = random_ids(bundle, length - before, seed);
  prompt.ids.insert(prompt.ids.end(), question.begin(), question.end());
  return prompt;
}

Request batch_request(Session& session, const Bundle& bundle, const Sizes& sizes) {
  const std::int64_t rows = sizes.clips == 0 ? 0 : audio_slots(session, bundle, sizes.frames);
  const std::int64_t length = rows + sizes.text, placeholder = placeholder_of(bundle);
  Request request;
  request.inputs["input_ids"] = {integers({sizes.batch, length}, [&](std::int64_t i) { return i * 7 % placeholder; })};
  request.inputs["attention_mask"] = {integers({sizes.batch, length}, [](std::int64_t) { return 1; })};
  request.inputs["position_ids"] = {integers({sizes.batch, length}, [&](std::int64_t i) { return i % length; })};
  request.inputs["label_rows"] = {integers(
      {sizes.batch * kLabels}, [&](std::int64_t i) { return i / kLabels * length + length - kLabels + i % kLabels; })};
  request.inputs["labels"] = {integers({sizes.batch * kLabels}, [&](std::int64_t i) { return i * 5 % placeholder; })};
  Tensor weights = Tensor::empty(DType::kF32, {sizes.batch * kLabels});
  std::fill_n(weights.mutable_data<float>(), weights.numel(), 1.0f / static_cast<float>(weights.numel()));
  request.inputs["label_weights"] = {weights};
  for (const auto& cache : bundle.decoder().caches)
    for (const std::string& past : {cache.past_key, cache.past_value})
      request.inputs[past] = {Tensor::zeros(cache.dtype, {sizes.batch, cache.empty[1], 0, cache.empty[3]})};
  if (sizes.clips == 0) return request;
  request.inputs["audio_rows"] = {
      integers({sizes.clips * rows, 1}, [&](std::int64_t i) { return i / rows * length + kBeforeClip + i % rows; })};
  request.inputs["audio_values"] = {random_mel(bundle, sizes.clips, sizes.frames, 1)};
  return request;
}

}  // namespace retune::bench
