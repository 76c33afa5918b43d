#include <fmt/format.h>

#include "cli/arguments.h"
#include "cli/commands/commands.h"
#include "cli/console.h"
#include "editors/registry.h"
#include "eval/text_table.h"
#include "recipes/recipe.h"

namespace retune {

namespace {

using Json = nlohmann::ordered_json;

Json settings_json(const EditingMethod& method) {
  Json settings = Json::array();
  for (const Setting& setting : method.settings) {
    Json entry = {{"name", setting.name}, {"type", type_name(setting.type)}, {"default", setting.fallback}};
    if (setting.least) entry["least"] = *setting.least;
    if (setting.most) entry["most"] = *setting.most;
    if (!setting.choices.empty()) entry["choices"] = setting.choices;
    entry["meaning"] = setting.meaning;
    settings.push_back(entry);
  }
  return settings;
}

Json method_json(const EditingMethod& method) {
  return {{"method", method.info.word},       {"summary", method.info.summary}, {"paper", method.info.paper},
          {"needs", method.info.needs},       {"batch", method.info.batch},     {"sequential", method.info.sequential},
          {"settings", settings_json(method)}};
}

// ", at least 0", ", 0 to 1", ", one of rome, r-rome".
std::string limits_text(const Setting& setting) {
  if (!setting.choices.empty()) return fmt::format(", one of {}", fmt::join(setting.choices, ", "));
  if (setting.least && setting.most) return fmt::format(", {} to {}", *setting.least, *setting.most);
  if (setting.least) return fmt::format(", at least {}", *setting.least);
  return setting.most ? fmt::format(", at most {}", *setting.most) : "";
}

void print_method(const EditingMethod& method, std::ostream& out) {
  out << fmt::format("{}: {}\n{}\nneeds {}; several facts in one patch: {}; one edit on another: {}\n\n",
                     method.info.word, method.info.summary, method.info.paper, method.info.needs,
                     method.info.batch ? "yes" : "no", method.info.sequential ? "yes" : "no");
  for (const Setting& setting : method.settings)
    out << fmt::format("  {}  {}, default {}{}\n      {}\n", setting.name, type_name(setting.type),
                       setting.fallback.dump(), limits_text(setting), setting.meaning);
}

int methods(const Arguments& arguments, Console& console) {
  if (arguments.on("schema")) {
    console.out() << recipe_schema();
    return 0;
  }
  if (arguments.given("METHOD")) {
    const EditingMethod& method = editing_method(arguments.text("METHOD"));
    if (arguments.on("json"))
      console.print(method_json(method));
    else
      print_method(method, console.out());
    return 0;
  }
  Json document = Json::array();
  std::vector<std::vector<std::string>> rows{{"method", "several facts in one patch", "one edit on another"}};
  std::string sentences;
  for (const EditingMethod& method : editing_methods()) {
    document.push_back(method_json(method));
    rows.push_back(
        {method.info.word, method.info.batch ? "yes" : "no", method.info.sequential ? "yes" : "no", method.info.needs});
    sentences += fmt::format("{}: {}; needs {}\n", method.info.word, method.info.summary, method.info.needs);
  }
  if (arguments.on("json"))
    console.print(document);
  else
    console.out() << text_table(rows) << "\n" << sentences;
  return 0;
}

}  // namespace

Command methods_command() {
  return {.name = "methods",
          .summary = "Lists the editing methods, what each needs and can do; of one method its settings.",
          .positionals = {{.name = "METHOD", .meaning = "one of them", .count = Positional::Count::kOptional}},
          .flags = {{.name = "schema", .type = Flag::Type::kSwitch, .meaning = "print the JSON schema of recipes"}},
          .example = "retune methods rome",
          .run = methods};
}

}  // namespace retune
