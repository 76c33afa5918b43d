// Trains a small audio-language model from random weights on a corpus of sound and text.
//
// Two stages. Hearing: the encoder alone learns the attributes that the corpus tells of its clips (a linear head an
// attribute on the mean of the encoder's output; the heads are not part of the model). Joint: the whole model learns to
// answer, the attribute loss stays on, because with it off the encoder forgets the finer attributes.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "facts/corpus.h"
#include "graph/optimizer.h"
#include "training/lalm_batch.h"
#include "training/lalm_builder.h"

namespace retune {

struct TrainingStage {
  std::int64_t steps = 0;
  std::int64_t batch = 32;      // items a step
  double learning_rate = 1e-3;  // the highest; it rises linearly over `warmup_steps` and falls as a cosine to a tenth
  std::int64_t warmup_steps = 100;
  double attribute_weight = 1.0;  // of the attribute loss, sum over attributes
  double text_share = 0.25;       // joint only: items without sound, of the batch
};

struct LalmTrainingOptions {
  LalmShape shape;  // `vocabulary` is set from the tokenizer
  std::uint64_t seed = 1;
  std::int64_t vocabulary_size = 1024;
  TrainingStage hearing{.steps = 1200, .batch = 64, .learning_rate = 1e-3};
  TrainingStage joint{.steps = 3000, .batch = 32, .learning_rate = 5e-4};
  double weight_decay = 0.01;
  double clip_norm = 1.0;
  SpecAugment augment{8, 20};
  std::int64_t checkpoint_every = 250;  // steps
  void validate() const;
};

struct TrainingProgress {
  std::string stage;
  std::int64_t step = 0, steps = 0;  // of the stage, counted from 1
  double loss = 0, answer_loss = 0, attribute_loss = 0;
};
// Returning false stops after a checkpoint: the caller reports "interrupted".
using TrainingObserver = std::function<bool(const TrainingProgress&)>;

// Writes a bundle in the Ultravox / transformers.js layout into the folder `out` (a staged folder of the caller's).
// `work` holds the checkpoint and the loss curve; if it holds a checkpoint of the same options and corpus, training
// goes on from there with the same result as if it had never stopped; one of other options is a user error. Throws
// Error{kInterrupted} when the observer stops it.
void train_lalm(const Corpus& corpus, const LalmTrainingOptions& options, const std::filesystem::path& work,
                const std::filesystem::path& out, Session& session, const TrainingObserver& observer);

// What decides how much memory a step takes.
struct TrainingSizes {
  std::int64_t frames = 0;  // of the longest clip
  std::int64_t clips = 0;   // heard and kept, f16 [mels, frames] each
  // Tokens of the longest prompt with sound (its placeholder once) and of the longest answer, both with the template's.
  std::int64_t prompt = 0, answer = 0;
  std::vector<std::int64_t> labels;  // of each attribute
};
// Of a corpus: makes its vocabulary and tokenises it, but reads no clip.
TrainingSizes training_sizes(const Corpus& corpus, const LalmTrainingOptions& options, std::int64_t frames);

// One step of each stage that has any, for a rehearsing Session (graph/session.h); writes nothing.
void rehearse_training(const LalmTrainingOptions& options, const TrainingSizes& sizes, Session& session);

}  // namespace retune
