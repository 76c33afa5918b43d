// How a hyper-network is trained, written down: the sites that it is to edit, its sizes and the stages of its training.
//
//   HyperRecipe recipe = HyperRecipe::load("recipes/train-mend.json");
//   run_hyper_training({.recipe = recipe, .model = "demo/bundle", .data = "data", ...}, session);
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "editors/settings.h"
#include "recipes/form.h"
#include "training/hyper_trainer.h"

namespace retune {

class HyperRecipe {
 public:
  // User errors as Recipe's, and those of HyperTrainingOptions.
  static HyperRecipe load(const std::filesystem::path& path);
  static HyperRecipe parse(const std::string& text, const std::string& name);
  HyperRecipe with(const std::string& key, const Settings& value) const;

  const std::string& name() const { return name_; }
  // Where the command line does not name it.
  std::optional<std::string> model() const;
  std::vector<std::string> sites() const;  // parts of the model, as part_in (editors/editor.h) reads them
  DType stored() const;                    // of the parameters in the file
  HyperTrainingOptions training() const;
  const Settings& resolved() const { return resolved_; }

 private:
  HyperRecipe(std::string name, Settings resolved) : name_(std::move(name)), resolved_(std::move(resolved)) {}

  std::string name_;
  Settings resolved_;
};

// Whether the file is a training recipe of a hyper-network, by the value of its key "train".
bool is_hyper_recipe(const std::filesystem::path& path);

// Of the kind of that word (learning/hyper_network.h).
Form hyper_recipe_form(const HyperNetworkKind& kind);

}  // namespace retune
