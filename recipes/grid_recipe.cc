#include "recipes/grid_recipe.h"

#include <algorithm>
#include <set>

#include "facts/json_text.h"
#include "tensor/error.h"

namespace retune {

namespace {

Form grid_form() {
  return {"",
          "a study: several edit recipes, or one with a grid of settings, on the same facts",
          {{"description", Setting::Type::kText, nullptr, {}, {}, {}, "for people"},
           {"study", Setting::Type::kTexts, Settings::array(), {}, {}, {}, "files of edit recipes"},
           {"facts_per_attribute",
            Setting::Type::kInteger,
            nullptr,
            1,
            1e9,
            {},
            "of each attribute the first so many facts; not given: all"}},
          {}};
}

// `given` without the two keys whose content is free.
Settings resolve_fixed(const Settings& given, const std::string& name) {
  Form known = grid_form();
  known.parts = {{"common", "", {}, {}}, {"grid", "", {}, {}}};
  check_keys(known, name, given);
  for (const char* key : {"common", "grid"})
    if (given.contains(key) && !given.at(key).is_object())
      throw user_error("{}: '{}' must be an object, got {}", name, key, given.at(key).dump());
  Settings fixed = given;
  fixed.erase("common");
  fixed.erase("grid");
  return resolve(grid_form(), name, fixed);
}

// Every choice of one value a setting, the last setting changing first.
std::vector<Settings> combinations(const Settings& grid, const std::string& name) {
  std::vector<Settings> all = {Settings::object()};
  for (const auto& [key, values] : grid.items()) {
    if (!values.is_array() || values.empty())
      throw user_error("{}: grid: '{}' must be a list of values, got {}", name, key, values.dump());
    if (all.size() * values.size() > kMostVariants)
      throw user_error("{}: the grid has more than {} settings", name, kMostVariants);
    std::vector<Settings> longer;
    for (const Settings& before : all)
      for (const Settings& value : values) {
        longer.push_back(before);
        longer.back()[key] = value;
      }
    all = std::move(longer);
  }
  return all;
}

Recipe with_common(Recipe recipe, const Settings& common, const std::string& name) {
  for (const auto& [key, value] : common.items()) {
    if (key == "method" || key == "settings" || key == "require")
      throw user_error("{}: common: '{}' belongs to each recipe, not to all", name, key);
    recipe = recipe.with(key, value);
  }
  return recipe.with("require", Settings::object());
}

void check_alike(const std::vector<GridVariant>& variants, const std::string& name) {
  const Recipe& first = variants.front().recipe;
  for (const GridVariant& variant : variants) {
    if (!variant.recipe.model() || !variant.recipe.facts())
      throw user_error("{}: {} names no {}; set it in 'common'", name, variant.name,
                       variant.recipe.model() ? "facts" : "model");
    if (variant.recipe.model() != first.model() || variant.recipe.facts() != first.facts() ||
        variant.recipe.mode() != first.mode())
      throw user_error("{}: {} and {} differ in model, facts or mode; set them in 'common'", name, variants[0].name,
                       variant.name);
  }
}

}  // namespace

GridRecipe GridRecipe::load(const std::filesystem::path& path) { return parse(read_text(path), path.string()); }

GridRecipe GridRecipe::parse(const std::string& text, const std::string& name) {
  parse_json(text, name);  // the strict reader; the one below keeps the order of keys
  const Settings given = Settings::parse(text);
  if (!given.is_object()) throw user_error("{}: expected a JSON object, got {}", name, given.type_name());
  Settings resolved = resolve_fixed(given, name);
  const Settings common = given.value("common", Settings::object());
  const bool has_grid = given.contains("grid");
  std::vector<GridVariant> variants;
  std::set<std::string> names;
  for (const std::string& file : texts_of(resolved, "study")) {
    const Recipe base = with_common(Recipe::load(file), common, name);
    const std::string stem = std::filesystem::path(file).stem().string();
    if (!names.insert(stem).second) throw user_error("{}: two recipes are named '{}'", name, stem);
    std::size_t number = 0;
    for (Settings& chosen : combinations(given.value("grid", Settings::object()), name)) {
      Settings settings = base.settings();
      settings.update(chosen);
      variants.push_back({has_grid ? fmt::format("{}-{:02}", stem, ++number) : stem, base.with("settings", settings),
                          std::move(chosen)});
    }
  }
  if (variants.empty()) throw user_error("{}: 'study' names no recipe; give a list of files", name);
  if (variants.size() > kMostVariants)
    throw user_error("{}: {} variants, expected at most {}", name, variants.size(), kMostVariants);
  check_alike(variants, name);
  if (has_grid) resolved["grid"] = given.at("grid");
  resolved["variants"] = Settings::object();
  for (const GridVariant& variant : variants) resolved["variants"][variant.name] = variant.recipe.resolved();
  return {name, std::move(resolved), std::move(variants)};
}

std::optional<std::size_t> GridRecipe::facts_per_attribute() const {
  const auto count = resolved_.find("facts_per_attribute");
  if (count == resolved_.end()) return std::nullopt;
  return count->get<std::size_t>();
}

Settings grid_recipe_schema() {
  Settings schema = json_schema(grid_form());
  schema["properties"]["common"] = {{"type", "object"},
                                    {"description", "keys of edit recipes, in place of each one's own"}};
  schema["properties"]["grid"] = {{"type", "object"},
                                  {"description", "settings of the method, each with the values to try"},
                                  {"additionalProperties", {{"type", "array"}, {"minItems", 1}}}};
  schema["required"] = Settings::array({"study"});
  return schema;
}

}  // namespace retune
