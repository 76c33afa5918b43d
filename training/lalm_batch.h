// What a training step of an audio-language model reads: items of a corpus as tensors.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "audio/front_end.h"
#include "facts/corpus.h"
#include "graph/session.h"
#include "tensor/rng.h"
#include "tensor/thread_pool.h"
#include "text/chat_template.h"
#include "text/tokenizer.h"

namespace retune {

// A clip's class for each attribute that the corpus tells: indices into LalmData::labels, -1 where it tells none.
struct TrainingClip {
  Tensor features;                   // f16 [mels, F]: half the memory, and far finer than the front-end's own accuracy
  std::vector<std::int64_t> labels;  // one an attribute, in the order of LalmData::attributes
};

struct TrainingItem {
  std::int64_t clip = -1;            // index into LalmData::clips; -1 for text alone
  std::vector<std::int64_t> prompt;  // ids, each clip's placeholder once
  std::vector<std::int64_t> answer;  // ids, the end-of-turn token included
};

// A corpus, heard and tokenised.
struct LalmData {
  std::vector<std::string> attributes;           // sorted
  std::vector<std::vector<std::string>> labels;  // of each attribute, sorted
  std::vector<TrainingClip> clips;
  std::vector<TrainingItem> items;
  std::vector<std::int64_t> sound_items, text_items;  // indices into items
  std::int64_t frames = 0;  // of the longest clip: every clip is padded to it with its own lowest value
  std::int64_t mels = 0;
};

// Reads every clip once, on the pool. User errors name item and clip: one that is missing or cannot be heard; an answer
// that the tokenizer splits to nothing is one.
LalmData load_lalm_data(const Corpus& corpus, const FrontEnd& front_end, const Tokenizer& tokenizer,
                        const ChatTemplate& chat, const std::string& placeholder, ThreadPool& pool);

// Masks of SpecAugment (Park et al. 2019): one band of mel bins and one of frames set to the clip's mean, widths
// uniform in [0, max].
struct SpecAugment {
  std::int64_t max_bins = 0;
  std::int64_t max_frames = 0;
};

// audio_values f32 [B, mels, frames] of the clips.
Tensor audio_batch(const LalmData& data, const std::vector<std::int64_t>& clips, const SpecAugment& augment, Rng rng);

// attribute_labels/NAME i64 [B] and attribute_weights/NAME f32 [B]: weights sum to `weight` over the clips that have a
// label, 0 elsewhere.
void add_attribute_labels(const LalmData& data, const std::vector<std::int64_t>& clips, double weight,
                          std::map<std::string, Feed, std::less<>>& inputs);

// input_ids, attention_mask, position_ids, audio_rows, label_rows, labels, label_weights for the items, right-padded to
// a multiple of eight; each item's label weights sum to 1/B. `rows` is the number of audio rows a clip. Items with
// sound come first: their clips, in order, are the rows of audio_values.
void add_prompts(const LalmData& data, const std::vector<std::int64_t>& items, std::int64_t rows,
                 std::int64_t placeholder_id, std::map<std::string, Feed, std::less<>>& inputs);

}  // namespace retune
