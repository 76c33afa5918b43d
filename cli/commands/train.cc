#include <fmt/format.h>

#include "cli/arguments.h"
#include "cli/commands/commands.h"
#include "cli/console.h"
#include "cli/interrupt.h"
#include "cli/session_flags.h"
#include "recipes/hyper_training_run.h"
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

std::filesystem::path beside(const Arguments& arguments, const char* flag) {
  return arguments.given(flag) ? arguments.path(flag)
                               : std::filesystem::path(fmt::format("{}.{}", arguments.path("out").string(), flag));
}

std::string share_text(double share) { return share < 0 ? "no items" : fmt::format("{:.1f} %", 100 * share); }

std::string validation_text(const HyperValidation& v) {
  return fmt::format("step {}: reliability {}, generality {}, audio locality {}, text locality {}", v.step,
                     share_text(v.reliability), share_text(v.generality), share_text(v.audio_locality),
                     share_text(v.text_locality));
}

nlohmann::ordered_json validation_json(const HyperValidation& v) {
  nlohmann::ordered_json json = {{"step", v.step}};
  for (const auto& [name, share] : {std::pair{"reliability", v.reliability},
                                    {"generality", v.generality},
                                    {"audio_locality", v.audio_locality},
                                    {"text_locality", v.text_locality}})
    json[name] = share < 0 ? nlohmann::ordered_json() : nlohmann::ordered_json(share);
  return json;
}

void print_plan(const HyperPlan& plan, const Arguments& arguments, Console& console) {
  if (arguments.on("json")) {
    console.print({{"edits", plan.edits},
                   {"steps", plan.steps},
                   {"parameters", plan.parameters},
                   {"session_bytes", plan.session_bytes},
                   {"memory_bytes", plan.memory_bytes},
                   {"disk_bytes", plan.disk_bytes}});
    return;
  }
  console.out() << fmt::format(
      "would train {} parameters on {} edits in {} steps\nmemory: about {}, of it an edit's values {}; disk: up to "
      "{}\n",
      plan.parameters, plan.edits, plan.steps, size_text(plan.memory_bytes), size_text(plan.session_bytes),
      size_text(plan.disk_bytes));
}

int train_hyper(const Arguments& arguments, Console& console) {
  const InterruptGuard guard;
  HyperRecipe recipe = HyperRecipe::load(arguments.path("RECIPE"));
  if (arguments.given("seed")) recipe = recipe.with("seed", arguments.integer("seed"));
  if (!arguments.given("model") && !recipe.model())
    throw user_error("train: name the bundle that the network is for with --model, or in the recipe");
  HyperRun run{.recipe = recipe,
               .model = arguments.given("model") ? arguments.path("model") : std::filesystem::path(*recipe.model()),
               .data = beside(arguments, "data"),
               .work = beside(arguments, "work"),
               .out = arguments.path("out"),
               .existing = existing_output(arguments)};
  run.watch = watch(console, guard);
  if (arguments.on("dry_run")) {
    const HyperPlan plan = plan_hyper_training(run, static_cast<int>(arguments.integer("threads")));
    run.watch = {};
    print_plan(plan, arguments, console);
    return 0;
  }
  run.validated = [&console](const HyperValidation& validation) { console.info(validation_text(validation)); };
  Session session(session_options(arguments));
  const std::vector<HyperValidation> validations = run_hyper_training(run, session);
  run.watch = {};
  nlohmann::ordered_json list = nlohmann::ordered_json::array();
  for (const HyperValidation& validation : validations) list.push_back(validation_json(validation));
  if (arguments.on("json"))
    console.print({{"network", run.out.string()}, {"work", run.work.string()}, {"validations", std::move(list)}});
  else
    console.out() << fmt::format("{}: trained; {}\n", run.out.string(), validation_text(validations.back()));
  return 0;
}

int train(const Arguments& arguments, Console& console) {
  if (is_hyper_recipe(arguments.path("RECIPE"))) return train_hyper(arguments, console);
  if (arguments.given("model")) throw user_error("train: --model is for hyper-networks; this recipe makes a model");
  const std::filesystem::path out = arguments.path("out");
  const InterruptGuard guard;
  TrainRecipe recipe = TrainRecipe::load(arguments.path("RECIPE"));
  if (arguments.given("seed")) recipe = recipe.with("seed", arguments.integer("seed"));
  TrainRun run{.recipe = std::move(recipe),
               .data = beside(arguments, "data"),
               .work = beside(arguments, "work"),
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
          "Trains what a training recipe says: a bundle from random weights, or the hyper-network of an editing method "
          "for a bundle. An interrupted run goes on from its last checkpoint, with the same result.",
      .positionals = {{.name = "RECIPE", .meaning = "a training recipe (docs/formats/recipe.md)"}},
      .flags = {{.name = "out",
                 .type = Flag::Type::kOutputFolder,
                 .meaning = "folder of the bundle, or file of the hyper-network",
                 .required = true},
                {.name = "model",
                 .type = Flag::Type::kPath,
                 .meaning = "the bundle that a hyper-network is for; not given: as the recipe says"},
                {.name = "data",
                 .type = Flag::Type::kPath,
                 .meaning = "folder of the data (retune synth), made if it is missing and the recipe says how; not "
                            "given: OUT.data"},
                {.name = "work",
                 .type = Flag::Type::kPath,
                 .meaning = "folder of checkpoint and loss curve; not given: OUT.work"},
                {.name = "force", .type = Flag::Type::kSwitch, .meaning = "replace what is there"},
                {.name = "dry_run",
                 .type = Flag::Type::kSwitch,
                 .meaning = "only tell what would be done, and how much memory and disk it takes"}},
      .example =
          "retune train recipes/demo-lalm.json --data data --out demo/bundle\n"
          "retune train recipes/train-mend.json --data data --out mend.h5",
      .run = train};
}

}  // namespace retune
