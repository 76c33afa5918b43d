// Trains a hyper-network as a recipe says, on data as retune synth makes them (docs/formats/synthetic-data.md).
//
//   HyperRun run{.recipe = HyperRecipe::load("recipes/train-mend.json"), .model = "demo/bundle", .data = "data",
//                .work = "mend.work", .out = "mend.h5"};
//   run_hyper_training(run, session);
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <vector>

#include "recipes/hyper_recipe.h"
#include "recipes/progress.h"
#include "tensor/staged_output.h"

namespace retune {

struct HyperRun {
  HyperRecipe recipe;
  std::filesystem::path model;  // a bundle
  // Holds train/facts.json to learn from and val/facts.json to validate with, each with its audio/ beside it.
  std::filesystem::path data;
  std::filesystem::path work;  // checkpoint and loss curve. The same command goes on from there
  std::filesystem::path out;   // the file
  Existing existing = Existing::kRefuse;
  Watch watch = {};
  std::function<void(const HyperValidation&)> validated = {};  // told of each
};

// Returns the validations. User errors: facts that are missing or share a clip, by contents, with those to validate or
// (test/facts.json, where it is there) to test with, clips that cannot be heard, sites that the model lacks, an output
// that may not be written, those of train_hyper_network. Interrupted: the watch's flag, after a checkpoint.
std::vector<HyperValidation> run_hyper_training(const HyperRun& run, Session& session);

struct HyperPlan {
  std::int64_t edits = 0;  // to learn from, repetitions counted
  std::int64_t steps = 0;
  std::int64_t parameters = 0;     // of the network
  std::int64_t session_bytes = 0;  // predicted peak of an edit's values (recipes/forecast.h)
  std::int64_t memory_bytes = 0;   // and the model, the network, gradients and moments
  std::int64_t disk_bytes = 0;     // checkpoint and file
};
// Nothing is written. User errors as run_hyper_training.
HyperPlan plan_hyper_training(const HyperRun& run, int threads);

}  // namespace retune
