#include <fmt/format.h>

#include "cli/arguments.h"
#include "cli/commands/commands.h"
#include "cli/console.h"
#include "cli/interrupt.h"
#include "cli/session_flags.h"
#include "facts/probe_file.h"
#include "recipes/evaluation.h"
#include "tensor/error.h"

namespace retune {

namespace {

EvalRun run_from(const Arguments& arguments) {
  if (arguments.given("facts") == arguments.given("probes"))
    throw user_error("eval: give either --facts or --probes; see retune eval --help");
  EvalRun run;
  run.model = arguments.path("BUNDLE");
  if (arguments.given("base")) run.base = arguments.path("base");
  if (arguments.given("context")) run.context = arguments.path("context");
  if (arguments.given("facts")) {
    const auto file = arguments.path("facts");
    run.facts = FactSet::load(file, {.audio_root = audio_root(arguments, file)});
    if (arguments.given("limit")) run.facts = run.facts->limited(static_cast<std::size_t>(arguments.integer("limit")));
  } else {
    const auto file = arguments.path("probes");
    run.probes = load_probes(file, audio_root(arguments, file));
    if (arguments.given("limit") && static_cast<std::size_t>(arguments.integer("limit")) < run.probes.size())
      run.probes.resize(static_cast<std::size_t>(arguments.integer("limit")));
  }
  run.decoding.max_new_tokens = arguments.integer("max_new_tokens");
  if (arguments.given("seed")) run.metrics.seed = static_cast<std::uint64_t>(arguments.integer("seed"));
  if (arguments.given("out")) run.out = arguments.path("out");
  run.existing = existing_output(arguments);
  return run;
}

void print_plan(const EvalPlan& plan, const Arguments& arguments, Console& console) {
  if (arguments.on("json"))
    console.print({{"probes", plan.probes},
                   {"questions", plan.questions},
                   {"model_bytes", plan.model_bytes},
                   {"session_bytes", plan.session_bytes},
                   {"memory_bytes", plan.memory_bytes},
                   {"disk_bytes", plan.disk_bytes}});
  else
    console.out() << fmt::format(
        "would ask {} probes, {} questions in all\nmodels: {}; memory: about {}, of it computed and kept values {}; "
        "disk: up to {}\n",
        plan.probes, plan.questions, size_text(plan.model_bytes), size_text(plan.memory_bytes),
        size_text(plan.session_bytes), size_text(plan.disk_bytes));
}

int eval(const Arguments& arguments, Console& console) {
  EvalRun run = run_from(arguments);
  const InterruptGuard guard;
  run.watch = watch(console, guard);
  if (arguments.on("dry_run")) {
    const auto plan = plan_eval(run, session_options(arguments));
    run.watch = {};
    print_plan(plan, arguments, console);
    return 0;
  }
  Session session(session_options(arguments));
  const EvalReport report = run_eval(run, session);
  run.watch = {};
  if (run.facts && !run.base && !arguments.on("json"))
    console.out() << "Without --base nothing is known of the unedited model: correctness only.\n";
  console.out() << (arguments.on("json") ? report_json(report.metrics) : report_table(report.metrics));
  return 0;
}

}  // namespace

Command eval_command() {
  return {
      .name = "eval",
      .summary =
          "Measures a model: on facts, the metrics of SAKE, against the unedited model if --base names it; on a probe "
          "file, "
          "accuracy.",
      .positionals = {{.name = "BUNDLE", .meaning = "a bundle's folder"}},
      .flags =
          {{.name = "facts", .type = Flag::Type::kPath, .meaning = "facts in SAKE's JSON (docs/formats/facts.md)"},
           {.name = "base", .type = Flag::Type::kPath, .meaning = "the unedited bundle; without it: correctness only"},
           {.name = "context",
            .type = Flag::Type::kPath,
            .meaning = "what to tell it before every question: the folder that an in-context method exported"},
           {.name = "probes", .type = Flag::Type::kPath, .meaning = "instead of facts: a probe file, JSON Lines"},
           {.name = "limit", .type = Flag::Type::kInteger, .meaning = "edits or probes, the first so many", .least = 1},
           {.name = "max_new_tokens",
            .type = Flag::Type::kInteger,
            .fallback = "256",
            .meaning = "tokens generated at most for an answer; 0 scores options only",
            .least = 0,
            .most = 65536},
           {.name = "out", .type = Flag::Type::kOutputFolder, .meaning = "folder for results.jsonl and summary.json"},
           {.name = "force", .type = Flag::Type::kSwitch, .meaning = "replace an earlier evaluation in the folder"},
           {.name = "dry_run",
            .type = Flag::Type::kSwitch,
            .meaning = "only tell what would be asked, and how much memory and disk it takes"}},
      .example =
          "retune eval demo/bundle --probes data/test/probes.jsonl\n\n"
          "questions   items  accuracy  95 % interval  J1_strict     J2     J3\n"
          "first hop    3680      99.6      99.3-99.7       99.6   99.7   99.6\n"
          "  Animal      400     100.0     99.0-100.0      100.0  100.0  100.0\n...",
      .run = eval};
}

}  // namespace retune
