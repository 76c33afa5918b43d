// What is to be done to a model, written down: a JSON file with a method and its settings, what to measure, and what
// the result must reach. recipes/schema.json is its schema, docs/formats/recipe.md its page.
//
//   Recipe recipe = Recipe::load("recipes/rome.json").with("seed", 7);
//   std::unique_ptr<const Editor> editor = make_editor(recipe.method(), recipe.settings());
//
// A Recipe is a value that was checked whole; nothing is opened. Paths in it are relative to the working directory, as
// those of the command line are.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "editors/settings.h"
#include "eval/ask.h"
#include "eval/score.h"
#include "facts/edit_request.h"
#include "recipes/form.h"

namespace retune {

// How the edits of a study relate (architecture decision 11).
enum class StudyMode {
  kSingle,      // each edit from the base, rolled back exactly
  kBatch,       // all edits in one patch
  kSequential,  // edits of a sequence stacked on each other; each sequence from the base
};
const char* mode_name(StudyMode mode);  // "single", "batch", "sequential"

class Recipe {
 public:
  // User errors: a file that cannot be read, bad JSON, and everything that resolve() (form.h) refuses.
  static Recipe load(const std::filesystem::path& path);
  // `name` stands in errors and in nothing else.
  static Recipe parse(const std::string& text, const std::string& name);
  // The same with one key of the outermost object set; errors as parse().
  Recipe with(const std::string& key, const Settings& value) const;

  const std::string& name() const { return name_; }
  std::string method() const;
  const Settings& settings() const;  // of the method, resolved
  std::optional<std::string> model() const;
  std::optional<std::string> facts() const;
  std::optional<std::string> audio_root() const;  // of the facts
  std::optional<std::string> corpus() const;
  std::optional<std::string> corpus_audio_root() const;
  StudyMode mode() const;
  // Sequential mode: a probe is asked right before its own edit and after each of the edits up to so many later.
  std::int64_t gaps() const;
  std::uint64_t seed() const;
  // Absent: as the facts say.
  std::optional<Scope> scope() const;
  AskSettings decoding() const;
  MetricOptions metrics() const;
  // Least micro score by metric, in [0, 1]; by the first judge of metrics().
  std::map<std::string, double> require() const;

  // Everything, defaults included, in a fixed order: what patches and results keep.
  const Settings& resolved() const { return resolved_; }

 private:
  Recipe(std::string name, Settings resolved) : name_(std::move(name)), resolved_(std::move(resolved)) {}
  std::optional<std::string> optional_text(const char* key) const;

  std::string name_;
  Settings resolved_;
};

// What an edit recipe may hold, but for "settings", which depends on the method.
Form recipe_form();
// "settings" of a method.
Form method_form(const std::string& method);

// recipes/schema.json, byte for byte: edit recipes and training recipes. `retune methods --schema` prints it.
std::string recipe_schema();

}  // namespace retune
