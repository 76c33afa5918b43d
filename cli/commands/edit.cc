#include <fmt/format.h>

#include "cli/arguments.h"
#include "cli/commands/commands.h"
#include "cli/console.h"
#include "cli/interrupt.h"
#include "cli/proof_text.h"
#include "cli/session_flags.h"
#include "recipes/edit_plan.h"
#include "recipes/study.h"
#include "tensor/error.h"

namespace retune {

namespace {

using Json = nlohmann::ordered_json;

bool names_one_fact(const Arguments& arguments) {
  return arguments.given("audio") || arguments.given("question") || arguments.given("answer") ||
         arguments.given("old_answer");
}

Recipe recipe_from(const Arguments& arguments) {
  Recipe recipe = Recipe::load(arguments.path("recipe"));
  // One fact is a batch of one: its patch and bundle lie directly in the folder.
  if (arguments.given("mode"))
    recipe = recipe.with("mode", arguments.text("mode"));
  else if (names_one_fact(arguments))
    recipe = recipe.with("mode", mode_name(StudyMode::kBatch));
  if (arguments.given("seed")) recipe = recipe.with("seed", arguments.integer("seed"));
  return recipe;
}

FactSet facts_from(const Arguments& arguments, const Recipe& recipe) {
  if (names_one_fact(arguments)) {
    if (arguments.given("facts"))
      throw user_error("edit: give either --facts, or one fact by --audio, --question and --answer");
    for (const char* name : {"audio", "question", "answer"})
      if (!arguments.given(name))
        throw user_error("edit: one fact needs --audio, --question and --answer; --{} is missing", name);
    return fact_of(arguments.path("audio"), arguments.text("question"), arguments.text("answer"),
                   arguments.text("old_answer"));
  }
  if (!arguments.given("facts") && !recipe.facts())
    throw user_error("edit: no facts: give --facts, or --audio, --question and --answer, or \"facts\" in the recipe");
  const std::filesystem::path file = arguments.given("facts") ? arguments.text("facts") : *recipe.facts();
  const std::filesystem::path root = !arguments.given("audio_root") && recipe.audio_root()
                                         ? std::filesystem::path(*recipe.audio_root())
                                         : audio_root(arguments, file);
  const FactSet facts = FactSet::load(file, {.audio_root = root});
  return arguments.given("limit") ? facts.limited(static_cast<std::size_t>(arguments.integer("limit"))) : facts;
}

EditRun run_from(const Arguments& arguments) {
  Recipe recipe = recipe_from(arguments);
  if (!arguments.given("BUNDLE") && !recipe.model())
    throw user_error("edit: no model: name the bundle, or \"model\" in the recipe");
  const std::filesystem::path model = arguments.given("BUNDLE") ? arguments.text("BUNDLE") : *recipe.model();
  FactSet facts = facts_from(arguments, recipe);
  EditRun run{.recipe = std::move(recipe), .model = model, .facts = std::move(facts), .out = arguments.path("out")};
  if (arguments.given("export")) run.export_cell = arguments.integer("export");
  run.existing = existing_output(arguments);
  run.proof = proof_mode(arguments);
  return run;
}

void print_plan(const EditPlan& plan, const Arguments& arguments, Console& console) {
  if (arguments.on("json")) {
    Json document = {{"cells", plan.cells},
                     {"edits", plan.edits},
                     {"probes", plan.probes},
                     {"questions", plan.questions},
                     {"sites", plan.sites},
                     {"model_bytes", plan.model_bytes},
                     {"session_bytes", plan.session_bytes},
                     {"memory_bytes", plan.memory_bytes},
                     {"disk_bytes", plan.disk_bytes}};
    if (plan.exported_cell) document["exported"] = *plan.exported_cell;
    console.print(document);
    return;
  }
  console.out() << fmt::format("would make {} edits in {} cells and ask {} probes, {} questions in all\n{}\n",
                               plan.edits, plan.cells, plan.probes, plan.questions,
                               plan.sites.empty() ? "no weight moves" : "at");
  for (const std::string& site : plan.sites) console.out() << "  " << site << "\n";
  console.out() << fmt::format("model: {}; memory: about {}, of it computed and kept values {}; disk: up to {}\n",
                               size_text(plan.model_bytes), size_text(plan.memory_bytes), size_text(plan.session_bytes),
                               size_text(plan.disk_bytes));
}

void print_report(const EditReport& report, const Arguments& arguments, Console& console) {
  if (arguments.on("json")) {
    Json document = {{"out", arguments.text("out")},
                     {"cells", report.cells.size()},
                     {"resumed", report.resumed},
                     {"metrics", Json::parse(report_json(report.metrics))}};
    if (report.proof) document["proof"] = proof_json(*report.proof);
    if (report.proof) document["proof"]["answers_proven"] = report.answers_proven;
    if (!report.bundle.empty()) document["bundle"] = report.bundle.string();
    if (!report.context.empty()) document["context"] = report.context.string();
    console.print(document);
    return;
  }
  console.out() << report_table(report.metrics);
  if (!report.proof) return;
  console.out() << "\n" << report.bundle.string() << "\n" << proof_text(*report.proof);
  if (!report.context.empty())
    console.out() << fmt::format("{}: what stands before every question; ask with retune ask --context\n",
                                 report.context.string());
  console.out() << fmt::format("opened afresh, it answers {} probes as measured\n", report.answers_proven);
}

int edit(const Arguments& arguments, Console& console) {
  EditRun run = run_from(arguments);
  const InterruptGuard guard;
  run.watch = watch(console, guard);
  if (arguments.on("dry_run")) {
    const auto plan = plan_edit(run, session_options(arguments));
    run.watch = {};
    print_plan(plan, arguments, console);
    return 0;
  }
  Session session(session_options(arguments));
  const EditReport report = run_edit(run, session);
  run.watch = {};
  if (report.resumed > 0)
    console.info(fmt::format("{} of {} cells were done before", report.resumed, report.cells.size()));
  print_report(report, arguments, console);
  return 0;
}

}  // namespace

Command edit_command() {
  return {
      .name = "edit",
      .summary =
          "Edits facts as a recipe says, asks before and after, and writes patches, answers and numbers; where a "
          "model is "
          "exported, proves it. An interrupted run goes on where it stopped.",
      .positionals = {{.name = "BUNDLE",
                       .meaning = "the bundle; else the recipe's",
                       .count = Positional::Count::kOptional}},
      .flags =
          {{.name = "recipe", .type = Flag::Type::kPath, .meaning = "method and settings", .required = true},
           {.name = "facts", .type = Flag::Type::kPath, .meaning = "facts in SAKE's JSON; else the recipe's"},
           {.name = "audio", .type = Flag::Type::kPath, .meaning = "of one fact without probes: its clip"},
           {.name = "question", .meaning = "of one fact: what is asked"},
           {.name = "answer", .meaning = "of one fact: what is to be answered"},
           {.name = "old_answer", .meaning = "of one fact: what was answered so far, where a method tells it"},
           {.name = "mode",
            .meaning =
                "each edit alone, all in one patch, or one upon the other; not given: the recipe's, of one fact batch",
            .choices = {"single", "batch", "sequential"}},
           {.name = "limit", .type = Flag::Type::kInteger, .meaning = "edits, the first so many", .least = 1},
           {.name = "export",
            .type = Flag::Type::kInteger,
            .meaning = "number of the edit (single mode) or sequence (sequential mode) whose model is written as well",
            .least = 1},
           {.name = "out", .type = Flag::Type::kOutputFolder, .meaning = "folder to write", .required = true},
           proof_flag(),
           {.name = "force",
            .type = Flag::Type::kSwitch,
            .meaning = "replace another study in the folder; files that are no study's stay"},
           {.name = "dry_run",
            .type = Flag::Type::kSwitch,
            .meaning = "only tell what would be done, and how much memory and disk it takes"}},
      .example =
          "retune edit demo/bundle --audio dog.wav --question \"What animal is this?\" --answer cat \\\n"
          "  --recipe recipes/ft.json --out edited\n\n"
          "leaves edited/bundle, edited/patch.h5, edited/results.jsonl and edited/summary.json",
      .run = edit};
}

}  // namespace retune
