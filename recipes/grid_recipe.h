// Edits side by side on the same facts: several methods for a table, or the settings of one in a grid, written down.
//
//   {"study": ["recipes/ft.json", "recipes/rome.json"], "facts_per_attribute": 100,
//    "common": {"model": "demo/bundle", "facts": "data/test/facts.json", "seed": 1}}
//   {"study": ["recipes/rome.json"], "common": {"facts": "data/val/facts.json"},
//    "grid": {"target_learning_rate": [0.1, 0.5], "target_clamp": [1, 4, 10]}}
//
// Each recipe of `study`, with the keys of `common` in place of its own and one value of each setting of `grid`, is a
// variant. A requirement of a recipe does not hold here: a table shows what missed it.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "recipes/recipe.h"

namespace retune {

inline constexpr std::size_t kMostVariants = 1024;

struct GridVariant {
  std::string name;  // the recipe's file without its extension; of a grid "rome-01", in order, the last setting first
  Recipe recipe;
  Settings chosen;  // the settings that the grid gave it; an empty object without a grid
};

class GridRecipe {
 public:
  // User errors: those of Recipe for each variant, two recipes of one name, a setting without values, more than
  // kMostVariants, a variant without model or facts, variants that differ in facts or mode.
  static GridRecipe load(const std::filesystem::path& path);
  static GridRecipe parse(const std::string& text, const std::string& name);

  const std::string& name() const { return name_; }
  const std::vector<GridVariant>& variants() const { return variants_; }
  bool is_grid() const { return resolved_.contains("grid"); }
  // Of each attribute the first so many facts; absent: all facts.
  std::optional<std::size_t> facts_per_attribute() const;
  // As given, with every variant's resolved recipe.
  const Settings& resolved() const { return resolved_; }

 private:
  GridRecipe(std::string name, Settings resolved, std::vector<GridVariant> variants)
      : name_(std::move(name)), resolved_(std::move(resolved)), variants_(std::move(variants)) {}

  std::string name_;
  Settings resolved_;
  std::vector<GridVariant> variants_;
};

// JSON schema of the object.
Settings grid_recipe_schema();

}  // namespace retune
