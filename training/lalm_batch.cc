#include "training/lalm_batch.h"

#include <algorithm>
#include <numeric>
#include <set>

#include "audio/waveform.h"
#include "lalm/prompt.h"
#include "tensor/error.h"

namespace retune {

namespace {

std::int64_t index_of(const std::vector<std::string>& sorted, const std::string& name) {
  const auto it = std::lower_bound(sorted.begin(), sorted.end(), name);
  return it != sorted.end() && *it == name ? it - sorted.begin() : -1;
}

void collect_labels(const Corpus& corpus, LalmData& data) {
  std::map<std::string, std::set<std::string>> labels;
  for (const CorpusItem& item : corpus.items())
    if (item.clip && !item.attribute.empty() && !item.label.empty()) labels[item.attribute].insert(item.label);
  for (const auto& [attribute, names] : labels) {
    data.attributes.push_back(attribute);
    data.labels.emplace_back(names.begin(), names.end());
  }
}

// Clips by name, in order of first mention, each with its first item, and the labels that any of their items tells.
std::vector<ClipUse> collect_clips(const Corpus& corpus, LalmData& data, std::vector<std::int64_t>& clip_of_item) {
  std::vector<ClipUse> clips;
  std::map<std::string, std::int64_t> by_name;
  for (const CorpusItem& item : corpus.items()) {
    if (!item.clip) {
      clip_of_item.push_back(-1);
      continue;
    }
    const auto [it, added] = by_name.emplace(item.clip->name(), static_cast<std::int64_t>(clips.size()));
    if (added) {
      clips.push_back({*item.clip, fmt::format("corpus item {}", clip_of_item.size())});
      data.clips.push_back({Tensor(), std::vector<std::int64_t>(data.attributes.size(), -1)});
    }
    clip_of_item.push_back(it->second);
    const std::int64_t attribute = index_of(data.attributes, item.attribute);
    if (attribute < 0 || item.label.empty()) continue;
    const auto a = static_cast<std::size_t>(attribute);
    data.clips[static_cast<std::size_t>(it->second)].labels[a] = index_of(data.labels[a], item.label);
  }
  return clips;
}

// f16 [mels, frames]
Tensor features_of(const ClipUse& use, const FrontEnd& front_end) {
  try {
    return front_end.features(load_audible(use.clip.locate()), Padding::kNone).values.cast(DType::kF16);
  } catch (const Error& error) {
    throw Error(error.code(), fmt::format("{}: clip '{}': {}", use.user, use.clip.name(), error.what()));
  }
}

Tensor int_tensor(const Shape& shape, const std::vector<std::int64_t>& values) {
  return Tensor::of<std::int64_t>(shape, values);
}

}  // namespace

LalmData load_lalm_data(const Corpus& corpus, const FrontEnd& front_end, const Tokenizer& tokenizer,
                        const ChatTemplate& chat, const std::string& placeholder, ThreadPool& pool) {
  LalmData data;
  collect_labels(corpus, data);
  std::vector<std::int64_t> clip_of_item;
  const std::vector<ClipUse> clips = collect_clips(corpus, data, clip_of_item);
  pool.parallel_for(static_cast<std::int64_t>(clips.size()), 8, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      const auto index = static_cast<std::size_t>(i);
      data.clips[index].features = features_of(clips[index], front_end);
    }
  });
  for (const TrainingClip& clip : data.clips) data.frames = std::max(data.frames, clip.features.shape()[1]);
  data.mels = front_end.options().mels;
  if (chat.end_of_turn().empty())
    throw user_error("the chat template names no end-of-turn token; an answer could not end");
  const std::int64_t end_of_turn = tokenizer.require_id(chat.end_of_turn()[0]);
  for (std::size_t i = 0; i < corpus.items().size(); ++i) {
    const CorpusItem& item = corpus.items()[i];
    TrainingItem made;
    made.clip = clip_of_item[i];
    made.prompt = make_prompt(tokenizer, chat, placeholder, item.question,
                              made.clip < 0 ? std::vector<std::int64_t>{} : std::vector<std::int64_t>{1})
                      .ids;
    made.answer = tokenizer.encode(item.answer);
    if (made.answer.empty()) throw user_error("corpus item {}: the answer '{}' has no tokens", i, item.answer);
    made.answer.push_back(end_of_turn);
    (made.clip < 0 ? data.text_items : data.sound_items).push_back(static_cast<std::int64_t>(i));
    data.items.push_back(std::move(made));
  }
  return data;
}

Tensor audio_batch(const LalmData& data, const std::vector<std::int64_t>& clips, const SpecAugment& augment, Rng rng) {
  const std::int64_t plane = data.mels * data.frames;
  Tensor result = Tensor::empty(DType::kF32, {static_cast<std::int64_t>(clips.size()), data.mels, data.frames});
  for (std::size_t b = 0; b < clips.size(); ++b) {
    const Tensor features = data.clips[static_cast<std::size_t>(clips[b])].features.cast(DType::kF32);
    const float* source = features.data<float>();
    const std::int64_t frames = features.shape()[1];
    const float lowest = *std::min_element(source, source + features.numel());
    const float mean = std::accumulate(source, source + features.numel(), 0.0f) / static_cast<float>(features.numel());
    const auto bins = static_cast<std::int64_t>(rng.below(static_cast<std::uint64_t>(augment.max_bins) + 1));
    const auto first_bin =
        static_cast<std::int64_t>(rng.below(static_cast<std::uint64_t>(data.mels - std::min(bins, data.mels) + 1)));
    const auto span = static_cast<std::int64_t>(rng.below(static_cast<std::uint64_t>(augment.max_frames) + 1));
    const auto first_frame =
        static_cast<std::int64_t>(rng.below(static_cast<std::uint64_t>(data.frames - std::min(span, data.frames) + 1)));
    float* target = result.mutable_data<float>() + static_cast<std::int64_t>(b) * plane;
    for (std::int64_t m = 0; m < data.mels; ++m)
      for (std::int64_t f = 0; f < data.frames; ++f) {
        const bool masked = (m >= first_bin && m < first_bin + bins) || (f >= first_frame && f < first_frame + span);
        target[m * data.frames + f] = masked ? mean : f < frames ? source[m * frames + f] : lowest;
      }
  }
  return result;
}

void add_attribute_labels(const LalmData& data, const std::vector<std::int64_t>& clips, double weight,
                          std::map<std::string, Feed, std::less<>>& inputs) {
  for (std::size_t a = 0; a < data.attributes.size(); ++a) {
    std::vector<std::int64_t> labels;
    std::int64_t labelled = 0;
    for (const std::int64_t clip : clips) {
      labels.push_back(data.clips[static_cast<std::size_t>(clip)].labels[a]);
      labelled += labels.back() >= 0 ? 1 : 0;
    }
    std::vector<float> weights;
    for (std::int64_t& label : labels) {
      weights.push_back(label < 0 ? 0.0f : static_cast<float>(weight / static_cast<double>(labelled)));
      label = std::max<std::int64_t>(label, 0);
    }
    inputs["attribute_labels/" + data.attributes[a]] = {Tensor::vector<std::int64_t>(labels)};
    inputs["attribute_weights/" + data.attributes[a]] = {Tensor::vector<float>(weights)};
  }
}

void add_prompts(const LalmData& data, const std::vector<std::int64_t>& items, std::int64_t rows,
                 std::int64_t placeholder_id, std::map<std::string, Feed, std::less<>>& inputs) {
  const auto batch = static_cast<std::int64_t>(items.size());
  std::vector<std::vector<std::int64_t>> sequences;
  std::vector<std::int64_t> audio_rows, label_rows, labels;
  std::vector<float> weights;
  std::int64_t longest = 0;
  for (const std::int64_t index : items) {
    const TrainingItem& item = data.items[static_cast<std::size_t>(index)];
    std::vector<std::int64_t> ids;
    for (const std::int64_t id : item.prompt)
      ids.insert(ids.end(), id == placeholder_id ? static_cast<std::size_t>(rows) : 1, id);
    ids.insert(ids.end(), item.answer.begin(), item.answer.end() - 1);
    longest = std::max(longest, static_cast<std::int64_t>(ids.size()));
    sequences.push_back(std::move(ids));
  }
  const std::int64_t width = (longest + 7) / 8 * 8;
  std::vector<std::int64_t> ids(static_cast<std::size_t>(batch * width), 0), mask(ids.size(), 0),
      positions(ids.size(), 0);
  for (std::int64_t b = 0; b < batch; ++b) {
    const auto& sequence = sequences[static_cast<std::size_t>(b)];
    const TrainingItem& item = data.items[static_cast<std::size_t>(items[static_cast<std::size_t>(b)])];
    const auto length = static_cast<std::int64_t>(sequence.size());
    for (std::int64_t s = 0; s < width; ++s) {
      const auto at = static_cast<std::size_t>(b * width + s);
      positions[at] = s;
      if (s >= length) continue;
      ids[at] = sequence[static_cast<std::size_t>(s)];
      mask[at] = 1;
      if (ids[at] == placeholder_id) audio_rows.push_back(b * width + s);
    }
    const auto targets = static_cast<std::int64_t>(item.answer.size());
    for (std::int64_t t = 0; t < targets; ++t) {
      label_rows.push_back(b * width + length - targets + t);
      labels.push_back(item.answer[static_cast<std::size_t>(t)]);
      weights.push_back(1.0f / static_cast<float>(targets * batch));
    }
  }
  inputs["input_ids"] = {int_tensor({batch, width}, ids)};
  inputs["attention_mask"] = {int_tensor({batch, width}, mask)};
  inputs["position_ids"] = {int_tensor({batch, width}, positions)};
  inputs["audio_rows"] = {int_tensor({static_cast<std::int64_t>(audio_rows.size()), 1}, audio_rows)};
  inputs["label_rows"] = {Tensor::vector<std::int64_t>(label_rows)};
  inputs["labels"] = {Tensor::vector<std::int64_t>(labels)};
  inputs["label_weights"] = {Tensor::vector<float>(weights)};
}

}  // namespace retune
