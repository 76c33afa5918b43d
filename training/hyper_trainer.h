// Trains a hyper-network (learning/hyper_network.h) to edit a model as SAKE-format facts ask (methods.md 5.12, 5.13).
//
// An edit of training: the gradient of the request's loss, as factors; the change that the network makes of it; the
// edited model's loss on the fact's generality and locality items (hyper_task.h); its gradient at the edited weights,
// an item at a time; and through the network alone. The mean over `accumulate` edits is one step of the optimiser. The
// model is never written.
//
//   HyperNetworkFile trained = train_hyper_network(task, train, validation, options, "work", observer);
//   trained.save("mend.h5");
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "facts/fact_set.h"
#include "learning/hyper_network_file.h"
#include "training/hyper_task.h"

namespace retune {

struct HyperTrainingOptions {
  std::string kind;      // a word of hyper_network_kinds()
  HyperOptions network;  // every option of the kind
  std::uint64_t seed = 1;
  std::int64_t steps = 1800;    // of the optimiser
  std::int64_t accumulate = 2;  // edits a step
  double learning_rate = 1e-6;
  double clip_norm = 100;  // longest gradient, over all parameters
  HyperLoss loss;
  std::int64_t validate_every = 450;   // steps
  std::int64_t checkpoint_every = 25;  // steps
  void validate() const;               // user errors
};

// Shares in [0, 1]; negative where there are no items. Reliability and generality: the greedy answer is the new one,
// token for token. Localities: it is the one before the edit, token for token.
struct HyperValidation {
  std::int64_t step = 0;
  double reliability = -1, generality = -1, audio_locality = -1, text_locality = -1;
};

struct HyperProgress {
  std::string stage;                 // "train" or "validate"
  std::int64_t done = 0, total = 0;  // steps, or facts
  double loss = 0;                   // of the step
};

struct HyperObserver {
  std::function<bool(const HyperProgress&)> progress;  // false stops after a checkpoint
  std::function<void(const HyperValidation&)> validated;
};

struct HyperTrainingResult {
  HyperNetworkFile file;
  std::vector<HyperValidation> validations;  // the last is of the finished network
};

// `work` holds the checkpoint and the loss curve; a checkpoint of the same options, model and facts is gone on from,
// with the same result as if it had never stopped; another is a user error. Without a folder nothing is kept. User
// errors besides: facts without generality or locality items, those of the model; failures: a loss that is not finite.
// Throws Error{kInterrupted} when the observer stops it.
HyperTrainingResult train_hyper_network(HyperTask& task, const FactSet& train, const FactSet& validation,
                                        const HyperTrainingOptions& options, const std::filesystem::path& work,
                                        const HyperObserver& observer);

}  // namespace retune
