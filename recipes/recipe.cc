#include "recipes/recipe.h"

#include <algorithm>

#include "editors/registry.h"
#include "facts/json_text.h"
#include "recipes/grid_recipe.h"
#include "recipes/hyper_recipe.h"
#include "recipes/train_recipe.h"
#include "tensor/error.h"

namespace retune {

namespace {

// Numbers that every JSON reader holds exactly.
constexpr double kLargestSeed = 9007199254740992.0;

std::vector<std::string> method_words() {
  std::vector<std::string> words;
  for (const EditingMethod& method : editing_methods()) words.push_back(method.info.word);
  return words;
}

Setting optional_path(std::string name, std::string meaning) {
  return {std::move(name), Setting::Type::kText, nullptr, {}, {}, {}, std::move(meaning)};
}

Form metrics_form() {
  const MetricOptions defaults;
  std::vector<std::string> judges;
  std::vector<std::string> names;
  for (const Judge judge : kJudges) names.emplace_back(judge_name(judge));
  for (const Judge judge : defaults.judges) judges.emplace_back(judge_name(judge));
  return {"metrics",
          "how answers are judged and counted",
          {{"judges",
            Setting::Type::kTexts,
            judges,
            {},
            {},
            names,
            "who decides whether an answer is right; the first is the one that 'require' asks"},
           {"bootstrap_samples",
            Setting::Type::kInteger,
            defaults.bootstrap_samples,
            0,
            1e6,
            {},
            "resamples of a bootstrap interval; 0: none"},
           {"seed", Setting::Type::kInteger, defaults.seed, 0, kLargestSeed, {}, "of the bootstrap"}},
          {}};
}

Form require_form() {
  Form form{"require", "what the edited model must reach, else the run ends with exit code 4 and no bundle", {}, {}};
  for (const Metric& metric : metrics())
    form.settings.push_back({metric.name, Setting::Type::kNumber, nullptr, 0, 1, {}, "least micro score"});
  return form;
}

Settings parse_given(const std::string& text, const std::string& name) {
  parse_json(text, name);  // refuses what the lenient reader below would let pass; that one keeps the order of keys
  return Settings::parse(text);
}

Settings resolve_recipe(const Settings& given, const std::string& name) {
  Form form = recipe_form();
  form.parts.insert(form.parts.begin(), Form{"settings", "", {}, {}});
  if (given.contains("study") && !given.contains("method"))
    throw user_error("{}: this is a study, expected an edit recipe; give it to retune study run", name);
  if (given.contains("train") && !given.contains("method"))
    throw user_error("{}: this is a training recipe, expected an edit recipe; give it to retune train", name);
  check_keys(form, name, given);
  const auto method = given.find("method");
  if (method == given.end())
    throw user_error("{}: 'method' is missing; choose one of {}", name, fmt::join(method_words(), ", "));
  if (!method->is_string()) throw user_error("{}: 'method' must be a text, got {}", name, method->dump());
  try {
    form.parts.front() = method_form(method->get<std::string>());
  } catch (const Error& error) {
    throw user_error("{}: {}", name, error.what());
  }
  return resolve(form, name, given);
}

}  // namespace

const char* mode_name(StudyMode mode) {
  switch (mode) {
    case StudyMode::kSingle:
      return "single";
    case StudyMode::kBatch:
      return "batch";
    case StudyMode::kSequential:
      return "sequential";
  }
  return "single";
}

Recipe Recipe::load(const std::filesystem::path& path) { return parse(read_text(path), path.string()); }

Recipe Recipe::parse(const std::string& text, const std::string& name) {
  return {name, resolve_recipe(parse_given(text, name), name)};
}

Recipe Recipe::with(const std::string& key, const Settings& value) const {
  Settings changed = resolved_;
  changed[key] = value;
  // The settings of one method mean nothing to another.
  if (key == "method" && value != resolved_.at("method")) changed.erase("settings");
  return {name_, resolve_recipe(changed, name_)};
}

std::optional<std::string> Recipe::optional_text(const char* key) const {
  const auto value = resolved_.find(key);
  if (value == resolved_.end()) return std::nullopt;
  return value->get<std::string>();
}

std::string Recipe::method() const { return resolved_.at("method").get<std::string>(); }
const Settings& Recipe::settings() const { return resolved_.at("settings"); }
std::optional<std::string> Recipe::model() const { return optional_text("model"); }
std::optional<std::string> Recipe::facts() const { return optional_text("facts"); }
std::optional<std::string> Recipe::audio_root() const { return optional_text("audio_root"); }
std::optional<std::string> Recipe::corpus() const { return optional_text("corpus"); }
std::optional<std::string> Recipe::corpus_audio_root() const { return optional_text("corpus_audio_root"); }
std::int64_t Recipe::gaps() const { return resolved_.at("gaps").get<std::int64_t>(); }
std::uint64_t Recipe::seed() const { return resolved_.at("seed").get<std::uint64_t>(); }

StudyMode Recipe::mode() const {
  const std::string word = resolved_.at("mode").get<std::string>();
  for (const StudyMode mode : {StudyMode::kSingle, StudyMode::kBatch})
    if (word == mode_name(mode)) return mode;
  return StudyMode::kSequential;
}

std::optional<Scope> Recipe::scope() const {
  const std::string word = resolved_.at("scope").get<std::string>();
  if (word == "facts") return std::nullopt;
  return scope_from_name(word, name_);
}

AskSettings Recipe::decoding() const {
  AskSettings settings;
  settings.max_new_tokens = resolved_.at("decoding").at("max_new_tokens").get<std::int64_t>();
  return settings;
}

MetricOptions Recipe::metrics() const {
  const Settings& given = resolved_.at("metrics");
  MetricOptions options;
  options.judges.clear();
  for (const std::string& judge : texts_of(given, "judges")) options.judges.push_back(judge_from_name(judge));
  options.bootstrap_samples = given.at("bootstrap_samples").get<int>();
  options.seed = given.at("seed").get<std::uint64_t>();
  options.validate();
  return options;
}

std::map<std::string, double> Recipe::require() const {
  std::map<std::string, double> least;
  for (const auto& [metric, value] : resolved_.at("require").items()) least[metric] = value.get<double>();
  return least;
}

Form recipe_form() {
  const auto text = Setting::Type::kText;
  const auto integer = Setting::Type::kInteger;
  return {"",
          "an edit recipe: what is to be changed in a model, how, and what the result must reach",
          {{"description", text, nullptr, {}, {}, {}, "for people"},
           {"method", text, nullptr, {}, {}, method_words(), "how the change is found; see retune methods"},
           optional_path("model", "the bundle, where the command line does not name it"),
           optional_path("facts", "the facts, where the command line does not name them"),
           optional_path("audio_root", "the folder of the facts' clips; by default 'audio' beside the facts"),
           optional_path("corpus", "text and sound (JSON Lines) for methods that need it; never the facts' own clips"),
           optional_path("corpus_audio_root", "the folder of the corpus's clips; by default 'audio' beside the corpus"),
           {"mode",
            text,
            "single",
            {},
            {},
            {"single", "batch", "sequential"},
            "each edit from the base, all in one patch, or stacked on each other"},
           {"gaps", integer, 5, 0, 1000, {}, "mode sequential: for how many later edits a probe is asked again"},
           {"seed", integer, 1, 0, kLargestSeed, {}, "of everything random in the method"},
           {"scope",
            text,
            "facts",
            {},
            {},
            {"facts", "label", "clip"},
            "how far an edit is meant to reach: as the facts say, every clip of the old label, or this clip"}},
          {{"decoding",
            "how answers are made",
            {{"max_new_tokens",
              integer,
              AskSettings{}.max_new_tokens,
              0,
              65536,
              {},
              "longest answer, in tokens; 0: options are scored, nothing is generated"}},
            {}},
           metrics_form(),
           require_form()}};
}

Form method_form(const std::string& method) {
  const EditingMethod& found = editing_method(method);
  return {"settings", found.info.word + ": " + found.info.summary, found.settings, {}};
}

namespace {

// Each kind of training has keys of its own.
Settings train_schema() {
  std::vector<std::pair<std::string, Form>> kinds = {{"lalm", train_recipe_form()}};
  for (const HyperNetworkKind& kind : hyper_network_kinds()) kinds.emplace_back(kind.word, hyper_recipe_form(kind));
  Settings words = Settings::array(), each = Settings::array();
  for (const auto& [word, form] : kinds) {
    words.push_back(word);
    each.push_back({{"if", {{"properties", {{"train", {{"const", word}}}}}}}, {"then", json_schema(form)}});
  }
  return {{"type", "object"},
          {"properties", {{"train", {{"type", "string"}, {"enum", std::move(words)}}}}},
          {"required", Settings::array({"train"})},
          {"allOf", std::move(each)}};
}

}  // namespace

std::string recipe_schema() {
  Settings edit = json_schema(recipe_form());
  edit["properties"]["settings"] = {{"type", "object"}, {"description", "of the method"}};
  edit["required"] = Settings::array({"method"});
  Settings methods = Settings::array();
  for (const std::string& word : method_words())
    methods.push_back({{"if", {{"properties", {{"method", {{"const", word}}}}}}},
                       {"then", {{"properties", {{"settings", json_schema(method_form(word))}}}}}});
  edit["allOf"] = std::move(methods);
  const Settings schema = {{"$schema", "https://json-schema.org/draft/2020-12/schema"},
                           {"title", "Retune recipe"},
                           {"if", {{"required", Settings::array({"train"})}}},
                           {"then", train_schema()},
                           {"else",
                            {{"if", {{"required", Settings::array({"study"})}}},
                             {"then", grid_recipe_schema()},
                             {"else", std::move(edit)}}}};
  return json_bytes(schema, 2) + "\n";
}

}  // namespace retune
