#include "lalm/segment.h"

#include <algorithm>
#include <numeric>

#include "tensor/error.h"

namespace retune {

namespace {

Feed ids_feed(const std::vector<std::int64_t>& values, std::int64_t rows) {
  Tensor tensor = Tensor::of<std::int64_t>(
      {rows, static_cast<std::int64_t>(values.size()) / std::max<std::int64_t>(rows, 1)}, values);
  return {std::move(tensor), {}};
}

// Rotary positions beyond those that a decoder was made for make it answer nonsense, without any other sign.
void check_length(const Bundle& bundle, std::int64_t tokens) {
  const std::int64_t most = bundle.decoder().positions;
  if (most > 0 && tokens > most)
    throw user_error(
        "a prompt of {} tokens (with the answers to it) is longer than the {} positions of the decoder "
        "(max_position_embeddings in {}); ask a shorter question",
        tokens, most, (bundle.folder() / "config.json").string());
}

// The clips whose placeholders lie in a segment, and the placeholders' places in it.
struct Sound {
  std::vector<Feed> clips;
  std::vector<std::int64_t> rows;

  // Adds a clip if its placeholders, `begin` to `end` from the segment's first row, lie within `length` rows.
  void add(const Feed& clip, std::int64_t begin, std::int64_t end, std::int64_t length) {
    if (end <= 0 || begin >= length) return;
    if (begin < 0 || end > length) throw std::logic_error("a cut through the audio slots");
    clips.push_back(clip);
    for (std::int64_t row = begin; row < end; ++row) rows.push_back(row);
  }
};

Sound sound_of(const Prompt& prompt, const Segment& segment) {
  Sound sound;
  const std::int64_t length = segment.end - segment.begin;
  for (const EarlierClip& clip : prompt.earlier)
    sound.add(clip.audio, clip.begin - segment.begin, clip.end - segment.begin, length);
  std::vector<std::int64_t> own;
  for (const std::int64_t row : prompt.audio_rows)
    if (row >= segment.begin && row < segment.end) own.push_back(row - segment.begin);
  if (own.empty()) return sound;
  if (own.size() != prompt.audio_rows.size()) throw std::logic_error("a cut through the audio slots");
  sound.clips.push_back(prompt.audio);
  sound.rows.insert(sound.rows.end(), own.begin(), own.end());
  return sound;
}

// Several clips as one input of the encoder. The prompts of a context are read clip by clip; only what must be read
// whole, without a cache or for a gradient through all of it, comes here with several.
Feed joined(const std::vector<Feed>& clips) {
  if (clips.size() == 1) return clips.front();
  std::vector<std::int64_t> extents = clips.front().tensor.shape().extents();
  extents[0] = 0;
  for (const Feed& clip : clips) {
    const Shape& shape = clip.tensor.shape();
    if (shape[1] != extents[1] || shape[2] != extents[2])
      throw user_error(
          "the prompt holds clips of {} and {} frames, which cannot be read in one pass; this needs a decoder with a "
          "cache, or demonstrations of one length",
          extents[2], shape[2]);
    extents[0] += shape[0];
  }
  Tensor all = Tensor::empty(clips.front().tensor.dtype(), Shape(extents));
  std::byte* out = all.mutable_raw();
  for (const Feed& clip : clips) out = std::copy_n(clip.tensor.raw(), clip.tensor.bytes(), out);
  return {std::move(all), {}};
}

}  // namespace

SuffixRequest segment_request(const Bundle& bundle, const Prompt& prompt, const std::vector<std::int64_t>& ids,
                              const Segment& segment, const std::vector<std::string>& varying) {
  check_length(bundle, segment.end);
  SuffixRequest result;
  result.cut = segment.begin;
  Request& request = result.request;
  request.cache = Request::Cache::kUse;
  request.varying = varying;
  const std::int64_t rows = segment.end - segment.begin;
  request.inputs["input_ids"] = ids_feed({ids.begin() + segment.begin, ids.begin() + segment.end}, 1);
  std::vector<std::int64_t> mask(static_cast<std::size_t>(segment.end + segment.unused), 1);
  std::fill_n(mask.begin() + segment.begin, segment.unused, 0);
  request.inputs["attention_mask"] = ids_feed(std::move(mask), 1);
  const Sound sound = sound_of(prompt, segment);
  result.graph = sound.rows.empty() ? bundle.text_graph() : bundle.graph();
  if (!sound.rows.empty()) {
    request.inputs["audio_values"] = joined(sound.clips);
    request.inputs["audio_rows"] = {
        Tensor::of<std::int64_t>({static_cast<std::int64_t>(sound.rows.size()), 1}, sound.rows), {}};
  }
  const DecoderInterface& decoder = bundle.decoder();
  if (decoder.position_ids) {
    std::vector<std::int64_t> positions(static_cast<std::size_t>(rows));
    std::iota(positions.begin(), positions.end(), segment.begin);
    request.inputs["position_ids"] = ids_feed(std::move(positions), 1);
  }
  if (decoder.num_logits_to_keep) {
    request.inputs["num_logits_to_keep"] = {Tensor::scalar<std::int64_t>(0), {}};
    request.pinned.push_back("num_logits_to_keep");
  }
  if (decoder.use_cache_branch) {
    request.inputs["use_cache_branch"] = {Tensor::of<bool>({1}, {segment.begin > 0}), {}};
    request.pinned.push_back("use_cache_branch");
  }
  for (const auto& cache : decoder.caches)
    for (const std::string& past : {cache.past_key, cache.past_value}) {
      const auto it = segment.past.find(past);
      request.inputs[past] = it != segment.past.end() ? it->second : Feed{Tensor::zeros(cache.dtype, cache.empty), {}};
    }
  return result;
}

Past past_from(const Bundle& bundle, const Results& results) {
  Past past;
  for (const auto& cache : bundle.decoder().caches) {
    past[cache.past_key] = results[cache.present_key];
    past[cache.past_value] = results[cache.present_value];
  }
  return past;
}

void ask_for_cache(const Bundle& bundle, Request& request) {
  for (const auto& cache : bundle.decoder().caches) {
    request.outputs.push_back(cache.present_key);
    request.outputs.push_back(cache.present_value);
  }
}

}  // namespace retune
