#include "eval/score.h"

#include <fmt/format.h>

#include "cli/arguments.h"
#include "cli/commands/commands.h"
#include "cli/console.h"
#include "eval/answer_log.h"
#include "eval/comparison.h"

namespace retune {

namespace {

int score_answers(const Arguments& arguments, Console& console) {
  MetricOptions options;
  if (arguments.given("judges")) {
    options.judges.clear();
    for (const std::string& name : arguments.texts("judges")) options.judges.push_back(judge_from_name(name));
  }
  options.bootstrap_samples = static_cast<int>(arguments.integer("bootstrap"));
  if (arguments.given("seed")) options.seed = static_cast<std::uint64_t>(arguments.integer("seed"));
  const std::vector<AnswerRecord> answers = load_answers(arguments.path("RESULTS"));
  if (arguments.given("OTHER")) {
    const Comparison comparison = compare(answers, load_answers(arguments.path("OTHER")), options);
    console.out() << (arguments.on("json") ? comparison_json(comparison) : comparison_table(comparison));
    return 0;
  }
  const MetricReport report = score(answers, options);
  if (report.changed_verdicts > 0)
    console.warning(fmt::format("{} stored verdicts differ from what their judges say now; the file was changed",
                                report.changed_verdicts));
  console.out() << (arguments.on("json") ? report_json(report) : report_table(report));
  return 0;
}

}  // namespace

Command score_command() {
  return {
      .name = "score",
      .summary =
          "Computes every metric again from stored answers, without a model. Of two files compares the answers to "
          "the same probes, by paired bootstrap and McNemar's test.",
      .positionals = {{.name = "RESULTS", .meaning = "a results.jsonl (docs/formats/results.md)"},
                      {.name = "OTHER", .meaning = "another one", .count = Positional::Count::kOptional}},
      .flags = {{.name = "judges",
                 .type = Flag::Type::kTexts,
                 .meaning = "who judges, the first for tables: J1, J1_strict, J2, J2_sum, J2_char, J3; not given: J1, "
                            "J1_strict, J2, J3"},
                {.name = "bootstrap",
                 .type = Flag::Type::kInteger,
                 .fallback = "10000",
                 .meaning = "samples of the clustered bootstrap; 0 leaves its intervals out",
                 .least = 0,
                 .most = 1000000}},
      .example = "retune score out/rome/results.jsonl out/ft/results.jsonl --judges J1,J2",
      .run = score_answers};
}

}  // namespace retune
