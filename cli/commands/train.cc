#include <fmt/format.h>

#include "cli/arguments.h"
#include "cli/commands/commands.h"
#include "cli/console.h"
#include "cli/interrupt.h"
#include "cli/session_flags.h"
#include "recipes/training_run.h"

namespace retune {

namespace {

void print_plan(const TrainPlan& plan, const Arguments& arguments, Console& console) {
  if (arguments.on("json")) {
    console.print({{"makes_data", plan.makes_data},
                   {"clips", plan.clips},
                   {"steps", plan.steps},
                   {"parameters", plan.parameters},
                   {"session_bytes", plan.session_bytes},
                   {"memory_bytes", plan.memory_bytes},
                   {"disk_bytes", plan.disk_bytes}});
    return;
  }
  if (plan.makes_data) console.out() << fmt::format("would make {} clips to train on\n", plan.clips);
  console.out() << fmt::format(
      "would train up to {} parameters in {} steps\nmemory: about {}, of it a step's values {}; disk: up to {}\n",
      plan.parameters, plan.steps, size_text(plan.memory_bytes), size_text(plan.session_bytes),
      size_text(plan.disk_bytes));
}

int train(const Arguments& arguments, Console& console) {
  const std::filesystem::path out = arguments.path("out");
  const InterruptGuard guard;
  TrainRecipe recipe = TrainRecipe::load(arguments.path("RECIPE"));
  if (arguments.given("seed")) recipe = recipe.with("seed", arguments.integer("seed"));
  TrainRun run{.recipe = std::move(recipe),
               .data = arguments.given("data") ? arguments.path("data") : std::filesystem::path(out.string() + ".data"),
               .work = arguments.given("work") ? arguments.path("work") : std::filesystem::path(out.string() + ".work"),
               .out = out,
               .existing = existing_output(arguments),
               .threads = static_cast<int>(arguments.integer("threads"))};
  run.watch = watch(console, guard);
  if (arguments.on("dry_run")) {
    const TrainPlan plan = plan_train(run);
    run.watch = {};
    print_plan(plan, arguments, console);
    return 0;
  }
  Session session(session_options(arguments));
  run_train(run, session);
  run.watch = {};
  if (arguments.on("json"))
    console.print({{"bundle", out.string()}, {"data", run.data.string()}, {"work", run.work.string()}});
  else
    console.out() << fmt::format("{}: trained; try: retune inspect {} --check\n", out.string(), out.string());
  return 0;
}

}  // namespace

Command train_command() {
  return {
      .name = "train",
      .summary =
          "Trains a bundle from random weights, as a training recipe says. An interrupted run goes on from its last "
          "checkpoint, with the same result.",
      .positionals = {{.name = "RECIPE", .meaning = "a training recipe (docs/formats/recipe.md)"}},
      .flags = {{.name = "out", .type = Flag::Type::kOutputFolder, .meaning = "folder of the bundle", .required = true},
                {.name = "data",
                 .type = Flag::Type::kPath,
                 .meaning = "folder of the data, made if it is missing and the recipe says how; not given: OUT.data"},
                {.name = "work",
                 .type = Flag::Type::kPath,
                 .meaning = "folder of checkpoint and loss curve; not given: OUT.work"},
                {.name = "force", .type = Flag::Type::kSwitch, .meaning = "replace the bundle if it is there"},
                {.name = "dry_run",
                 .type = Flag::Type::kSwitch,
                 .meaning = "only tell what would be done, and how much memory and disk it takes"}},
      .example = "retune train recipes/demo-lalm.json --data data --out demo/bundle",
      .run = train};
}

}  // namespace retune
