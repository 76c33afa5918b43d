// From stored answers to metrics: what `retune score FILE` does, without a model or the facts.
//
//   MetricReport report = score(load_answers("out/results.jsonl"));
//   std::string table = report_table(report);
#pragma once

#include <cstdint>
#include <vector>

#include "eval/answer_record.h"
#include "eval/metric_report.h"

namespace retune {

struct MetricOptions {
  // The first is the one that tables and requirements use. J1 and J2 side by side, since J2 ignores verbosity and J1
  // long explanations.
  std::vector<Judge> judges = {Judge::kExtraction, Judge::kExtractionStrict, Judge::kLikelihood, Judge::kExactMatch};
  int bootstrap_samples = 10000;  // 0 to 1,000,000; 0 leaves intervals by bootstrap out
  std::uint64_t seed = 0;         // of the bootstrap

  // A user error naming the field.
  void validate() const;
};

// Every metric of methods.md 8.2, computed from the answers; stored verdicts are only compared. The same records and
// options give the same report.
//
// - A consistency needs `before` and `after`; a correctness needs `after`. Items without are left out, not counted as
// wrong.
// - score_given_right keeps the items that the unedited model heard rightly: for reliability and generality it named
// the old label,
//   for the localities and plain probes the expected answer, for portability (whose truth before the edit SAKE does not
//   tell) the old label in the same edit's reliability probe.
// - Bootstrap clusters: edits; clips for generality 2 and 3; whole sequences for sequential answers; the probe itself
// for plain ones.
// - In sequential answers the rows are those asked right after their own edit (gap 0), and every gap is in `retention`.
MetricReport score(const std::vector<AnswerRecord>& records, const MetricOptions& options = {});

}  // namespace retune
