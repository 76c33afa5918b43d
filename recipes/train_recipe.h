// How a model is made, written down: the data, the shape of the model and the stages of its training.
//
//   TrainRecipe recipe = TrainRecipe::load("recipes/demo-lalm.json");
//   train_lalm(corpus, recipe.training(), work, out, session, observer);
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

#include "editors/settings.h"
#include "recipes/form.h"
#include "training/lalm_trainer.h"
#include "training/synth.h"

namespace retune {

class TrainRecipe {
 public:
  // User errors as Recipe's, and those of LalmTrainingOptions and SynthOptions.
  static TrainRecipe load(const std::filesystem::path& path);
  static TrainRecipe parse(const std::string& text, const std::string& name);
  TrainRecipe with(const std::string& key, const Settings& value) const;

  const std::string& name() const { return name_; }
  std::uint64_t seed() const;
  // Absent: the recipe trains on a data folder that is there.
  std::optional<SynthOptions> synth() const;
  LalmTrainingOptions training() const;
  const Settings& resolved() const { return resolved_; }

 private:
  TrainRecipe(std::string name, Settings resolved) : name_(std::move(name)), resolved_(std::move(resolved)) {}

  std::string name_;
  Settings resolved_;
};

// Whether the file is a training recipe, by its key "train". User error if it is no JSON object.
bool is_train_recipe(const std::filesystem::path& path);

Form train_recipe_form();

}  // namespace retune
