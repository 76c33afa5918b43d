#include <fmt/format.h>

#include "cli/arguments.h"
#include "cli/commands/commands.h"
#include "cli/console.h"
#include "cli/interrupt.h"
#include "cli/session_flags.h"
#include "recipes/grid_run.h"
#include "tensor/error.h"

namespace retune {

namespace {

using Json = nlohmann::ordered_json;

int run(const Arguments& arguments, Console& console) {
  GridRun grid{.recipe = GridRecipe::load(arguments.path("RECIPE")),
               .out = arguments.path("out"),
               .existing = existing_output(arguments)};
  const InterruptGuard guard;
  grid.watch = watch(console, guard);
  const GridReport report = run_grid(grid, session_options(arguments));
  grid.watch = {};
  if (arguments.on("json"))
    console.print(Json::parse(grid_json(report)));
  else
    console.out() << grid_table(report) << "\n" << timing_table(report);
  return 0;
}

int plan(const Arguments& arguments, Console& console) {
  const GridRecipe recipe = GridRecipe::load(arguments.path("RECIPE"));
  if (arguments.on("json")) {
    console.print(recipe.resolved());
    return 0;
  }
  for (const GridVariant& variant : recipe.variants())
    console.out() << fmt::format("{}  {}  {}\n", variant.name, variant.recipe.method(),
                                 variant.chosen.empty() ? "" : variant.chosen.dump());
  return 0;
}

const Positional kRecipe = {.name = "RECIPE", .meaning = "a study's recipe (docs/formats/recipe.md)"};

}  // namespace

Command study_run_command() {
  return {.name = "study run",
          .summary =
              "Runs several edit recipes, or one with a grid of settings, on the same facts, and sets them side by "
              "side. An interrupted run goes on where it stopped.",
          .positionals = {kRecipe},
          .flags = {{.name = "out", .type = Flag::Type::kOutputFolder, .meaning = "folder to write", .required = true},
                    {.name = "force",
                     .type = Flag::Type::kSwitch,
                     .meaning = "replace another study in the folder; files that are no study's stay"}},
          .example =
              "retune study run recipes/sake-table.json --out table\n\n"
              "leaves table/table.md, table/table.json, table/timing.md and a folder a method",
          .run = run};
}

Command study_plan_command() {
  return {.name = "study plan",
          .summary = "Lists what a study would run: each variant with its method and what the grid sets.",
          .positionals = {kRecipe},
          .example = "retune study plan recipes/tune-rome.json",
          .run = plan};
}

}  // namespace retune
