// Makes a model from a training recipe: its data where they are missing, then the training.
//
//   TrainRun run{.recipe = TrainRecipe::load("recipes/demo-lalm.json"), .data = "data", .work = "work", .out =
//   "bundle"}; run_train(run, session);
#pragma once

#include <cstdint>
#include <filesystem>

#include "graph/session.h"
#include "recipes/progress.h"
#include "recipes/train_recipe.h"
#include "tensor/staged_output.h"

namespace retune {

struct TrainRun {
  TrainRecipe recipe;
  // A folder as synthesise() makes it (training/synth.h); the model learns from its train/. If it is missing and the
  // recipe says "synth", it is made.
  std::filesystem::path data;
  // Checkpoint and loss curve. The same command goes on from there.
  std::filesystem::path work;
  std::filesystem::path out;  // the bundle
  Existing existing = Existing::kRefuse;
  int threads = 0;  // of the synthesis; 0: one per processor
  Watch watch = {};
};

// User errors: no data, data that were made with other options than the recipe's, an output folder that may not be
// used, those of train_lalm. Interrupted: the watch's flag, after a checkpoint.
void run_train(const TrainRun& run, Session& session);

struct TrainPlan {
  bool makes_data = false;
  std::int64_t clips = 0;          // to be made for the training split; 0 if the data are there
  std::int64_t steps = 0;          // of all stages
  std::int64_t parameters = 0;     // of the model with a vocabulary of the size asked for
  std::int64_t session_bytes = 0;  // predicted peak of a step's activations and gradients (recipes/forecast.h)
  std::int64_t memory_bytes = 0;   // session, weights, moments, heard clips
  std::int64_t disk_bytes = 0;     // data, checkpoint and bundle
};
// Data that are there are tokenised, and their clips read unless "synth" tells their length. User errors as run_train.
TrainPlan plan_train(const TrainRun& run);

}  // namespace retune
