#include "recipes/hyper_recipe.h"

#include "facts/json_text.h"
#include "tensor/error.h"

namespace retune {

namespace {

constexpr double kLargestSeed = 9007199254740992.0;
constexpr double kLargestCount = 1e9;

Setting setting_of(const HyperOption& option) {
  switch (option.type) {
    case HyperOption::Type::kBoolean:
      return {option.name, Setting::Type::kBoolean, option.fallback != 0, {}, {}, {}, option.meaning};
    case HyperOption::Type::kInteger:
      return {
          option.name, Setting::Type::kInteger, static_cast<std::int64_t>(option.fallback), option.least, option.most,
          {},          option.meaning};
    case HyperOption::Type::kNumber:
      break;
  }
  return {option.name, Setting::Type::kNumber, option.fallback, option.least, option.most, {}, option.meaning};
}

const HyperNetworkKind* kind_of(const Settings& given) {
  const auto train = given.find("train");
  return train != given.end() && train->is_string() ? find_hyper_network_kind(train->get<std::string>()) : nullptr;
}

// SAKE's: gate and up of the last three blocks.
Settings published_sites() {
  Settings sites = Settings::array();
  for (const char* block : {"last-2", "last-1", "last"})
    for (const char* matrix : {"gate", "up"}) sites.push_back(fmt::format("decoder.block.{}.mlp.{}", block, matrix));
  return sites;
}

}  // namespace

HyperRecipe HyperRecipe::load(const std::filesystem::path& path) { return parse(read_text(path), path.string()); }

HyperRecipe HyperRecipe::parse(const std::string& text, const std::string& name) {
  parse_json(text, name);  // the strict reader; the one below keeps the order of keys
  const Settings given = Settings::parse(text);
  const HyperNetworkKind* kind = given.is_object() ? kind_of(given) : nullptr;
  if (kind == nullptr)
    throw user_error("{}: this is no training recipe of a hyper-network; 'train' must name its method", name);
  HyperRecipe recipe(name, resolve(hyper_recipe_form(*kind), name, given));
  try {
    recipe.training().validate();
  } catch (const Error& error) {
    throw Error(error.code(), fmt::format("{}: {}", name, error.what()));
  }
  return recipe;
}

HyperRecipe HyperRecipe::with(const std::string& key, const Settings& value) const {
  Settings changed = resolved_;
  changed[key] = value;
  return parse(changed.dump(), name_);
}

std::optional<std::string> HyperRecipe::model() const {
  const auto found = resolved_.find("model");
  if (found == resolved_.end()) return std::nullopt;
  return found->get<std::string>();
}

std::vector<std::string> HyperRecipe::sites() const { return texts_of(resolved_, "sites"); }

DType HyperRecipe::stored() const {
  return resolved_.at("stored").get<std::string>() == "f16" ? DType::kF16 : DType::kF32;
}

HyperTrainingOptions HyperRecipe::training() const {
  HyperTrainingOptions options;
  options.kind = resolved_.at("train").get<std::string>();
  for (const auto& [name, value] : resolved_.at("network").items())
    options.network[name] = value.is_boolean() ? (value.get<bool>() ? 1 : 0) : value.get<double>();
  options.seed = resolved_.at("seed").get<std::uint64_t>();
  options.steps = resolved_.at("steps").get<std::int64_t>();
  options.accumulate = resolved_.at("accumulate").get<std::int64_t>();
  options.learning_rate = resolved_.at("learning_rate").get<double>();
  options.clip_norm = resolved_.at("clip_norm").get<double>();
  options.loss.edit_weight = resolved_.at("edit_weight").get<double>();
  options.loss.locality_weight = resolved_.at("locality_weight").get<double>();
  options.loss.locality = resolved_.at("locality").get<std::string>() == "answer" ? HyperLoss::Locality::kAnswer
                                                                                  : HyperLoss::Locality::kEverywhere;
  options.validate_every = resolved_.at("validate_every").get<std::int64_t>();
  options.checkpoint_every = resolved_.at("checkpoint_every").get<std::int64_t>();
  return options;
}

bool is_hyper_recipe(const std::filesystem::path& path) {
  const std::string text = read_text(path);
  const nlohmann::json given = parse_json(text, path.string());
  if (!given.is_object()) throw user_error("{}: expected a JSON object, got {}", path.string(), given.type_name());
  return kind_of(Settings::parse(text)) != nullptr;
}

Form hyper_recipe_form(const HyperNetworkKind& kind) {
  const auto text = Setting::Type::kText;
  const auto integer = Setting::Type::kInteger;
  const auto number = Setting::Type::kNumber;
  const HyperTrainingOptions defaults;
  Form network{"network", kind.word + ": " + kind.summary, {}, {}};
  for (const HyperOption& option : kind.options) network.settings.push_back(setting_of(option));
  return {"",
          "a training recipe of a hyper-network: what it edits, how large it is and how it learns",
          {{"description", text, nullptr, {}, {}, {}, "for people"},
           {"train", text, nullptr, {}, {}, {kind.word}, "what is trained: the network of that method"},
           {"model", text, nullptr, {}, {}, {}, "the bundle, where the command line does not name it"},
           {"sites",
            Setting::Type::kTexts,
            published_sites(),
            {},
            {},
            {},
            "linear layers that it edits; a block may be a number, last, last-N or a share of the depth"},
           {"seed", integer, 1, 0, kLargestSeed, {}, "of the first weights and of the order of the facts"},
           {"steps", integer, defaults.steps, 0, kLargestCount, {}, "of the optimiser"},
           {"accumulate", integer, defaults.accumulate, 1, 1e6, {}, "edits a step"},
           {"learning_rate", number, kind.learning_rate, 0, 1e3, {}, "of the optimiser"},
           {"clip_norm", number, defaults.clip_norm, 1e-9, 1e9, {}, "longest gradient, over all parameters"},
           {"edit_weight", number, defaults.loss.edit_weight, 0, 1e6, {}, "of the generality items' loss"},
           {"locality_weight", number, defaults.loss.locality_weight, 0, 1e6, {}, "of the locality items' divergence"},
           {"locality",
            text,
            "everywhere",
            {},
            {},
            {"everywhere", "answer"},
            "where the divergence is measured: at every position, or where the answer is made"},
           {"validate_every", integer, defaults.validate_every, 1, kLargestCount, {}, "in steps"},
           {"checkpoint_every", integer, defaults.checkpoint_every, 1, kLargestCount, {}, "in steps"},
           {"stored", text, "f32", {}, {}, {"f32", "f16"}, "type of the parameters in the file"}},
          {std::move(network)}};
}

}  // namespace retune
