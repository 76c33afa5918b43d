// Two sets of answers to the same probes, e.g. of two methods: what `retune score FILE OTHER` does.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "eval/answer_record.h"
#include "eval/score.h"
#include "eval/uncertainty.h"

namespace retune {

// One metric by one judge, over the probes that both hold.
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
  // mcnemar_p adjusted over the whole metrics of this judge; absent for parts ("generality_2"), which are no tests of
  // their own.
  std::optional<double> holm_p;
};

struct Comparison {
  std::int64_t paired = 0;     // records in both
  std::int64_t only_in_a = 0;  // records without a partner, left out
  std::int64_t only_in_b = 0;
  std::vector<ComparisonRow> rows;  // by judge, then by metric; only metrics with items
};

// Pairs by probe id and step. A user error if nothing pairs, or if a pair differs in question, expected answer, kind or
// clip.
Comparison compare(const std::vector<AnswerRecord>& a, const std::vector<AnswerRecord>& b,
                   const MetricOptions& options = {});

// One JSON object, indented by two blanks, newline at the end; docs/formats/results.md.
std::string comparison_json(const Comparison& comparison);
// For people, the first judge only.
std::string comparison_table(const Comparison& comparison);

}  // namespace retune
