// From stored answers to metrics: what `retune score FILE [OTHER]` does, without a model or the facts.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "eval/answer_record.h"
#include "eval/metric_report.h"

namespace retune {

struct MetricOptions {
  // The first is the one that tables and requirements use.
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

// One metric by one judge, over the probes that both files hold.
struct ComparisonRow {
  std::string metric;
  Judge judge = Judge::kExtraction;
  std::int64_t items = 0;
  double score_a = 0;  // shares in [0, 1]
  double score_b = 0;
  std::int64_t only_a = 0;  // counted in a, not in b
  std::int64_t only_b = 0;
  PairedBootstrap bootstrap;  // of b - a, clusters as in score()
  double mcnemar_p = 1;
  double holm_p = 1;  // mcnemar_p adjusted over the metrics of this judge that are no parts of others
};

struct Comparison {
  std::int64_t paired = 0;     // records in both
  std::int64_t only_in_a = 0;  // records without a partner, left out
  std::int64_t only_in_b = 0;
  std::vector<ComparisonRow> rows;
};

// Pairs by probe id and step. A user error if nothing pairs, or if a pair asks different questions or expects different
// answers.
Comparison compare(const std::vector<AnswerRecord>& a, const std::vector<AnswerRecord>& b,
                   const MetricOptions& options = {});

std::string comparison_json(const Comparison& comparison);
std::string comparison_table(const Comparison& comparison);

}  // namespace retune
