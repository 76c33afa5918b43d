// Every metric of a set of answers, as values, as JSON and as a table. Made by score() in score.h.
#pragma once

#include <cmath>
#include <cstdint>
#include <limits>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "eval/judge.h"
#include "eval/metric.h"
#include "eval/retention.h"
#include "eval/uncertainty.h"

namespace retune {

// A mean over items. No items is not 0: the value is then NaN, "no items" in tables and null in JSON.
struct Rate {
  std::int64_t items = 0;
  double value = std::numeric_limits<double>::quiet_NaN();
};

// One metric's items of one attribute. Shares in [0, 1]; intervals are Wilson's and absent without items.
struct AttributeRow {
  Rate score;
  std::optional<Interval> wilson;
  Rate right_before;
  Rate right_after;
  std::optional<Interval> right_after_wilson;
};

// One metric by one judge. Shares in [0, 1].
struct MetricRow {
  std::string metric;
  Rate score;  // micro: all items equal
  Rate macro;  // mean of the attributes' means; items = attributes that have a score
  std::map<std::string, AttributeRow> attributes;  // of the edit, or of a probe without one: its own, else its track
  std::int64_t clusters = 0;          // edits, clips (generality 2 and 3) or sequences: what the bootstrap draws
  std::optional<Interval> wilson;     // absent without items
  std::optional<Interval> bootstrap;  // absent with fewer than two clusters
  Rate right_before;                  // names the expected answer: the unedited model's own rate, R0
  Rate right_after;
  std::optional<Interval> right_after_wilson;
  Rate old_before;  // names the old label (reliability and generality)
  Rate old_after;
  Rate score_given_right;              // score of the items that the unedited model heard rightly, see score.h
  Rate score_degenerate_wrong;         // score with degenerate answers counted as wrong
  std::int64_t shares_old_answer = 0;  // items that shares_old_answer (answer_record.h) marks
  Rate score_outside_scope;            // score without those of them that an edit of scope label is meant to change
};

// What needs no judge, of one metric's items.
struct AnswerRow {
  std::string metric;
  std::int64_t items = 0;
  Rate first_token_kl;         // nats
  Rate token_accuracy_before;  // teacher-forced tokens of the expected answer that are the argmax; items = tokens
  Rate token_accuracy_after;
  Rate degenerate_before;
  Rate degenerate_after;
  Rate hit_limit_before;
  Rate hit_limit_after;
  Rate expected_probability_before;  // J2: softmax over the options (mean log-likelihood) of the expected one
  Rate expected_probability_after;
  Rate expected_rank_before;  // J2: 1 is best
  Rate expected_rank_after;
  Rate margin_before;  // J2: best less second best, nats a token
  Rate margin_after;
};

// One metric at one gap of sequential editing.
struct GapRow {
  int gap = 0;
  Rate score;                         // over items, comparable with SAKE's tables
  MeanOf retention;                   // over edits, Retention(g) of retention.h
  std::optional<Interval> bootstrap;  // whole sequences drawn
  Rate degenerate;
};
struct RetentionRow {
  std::string metric;
  std::vector<GapRow> gaps;
  std::optional<double> auc_5;
  std::optional<double> auc_9;
  std::optional<MeanOf> forgetting;
  std::optional<MeanOf> backward_transfer;
  std::optional<MeanOf> forward_transfer;
  std::optional<int> half_life;  // gaps; absent: not within the gaps asked
};

struct JudgeReport {
  Judge judge = Judge::kExtraction;
  std::vector<MetricRow> rows;          // every metric of edits if there are edits, accuracy if there are plain probes
  std::vector<RetentionRow> retention;  // sequential answers only
};

struct MetricReport {
  std::int64_t answers = 0;           // records read
  std::int64_t requests = 0;          // different edits
  bool has_before = false;            // false: no unedited answers, hence correctness only
  bool sequential = false;            // true: the rows are at gap 0, the rest is in `retention`
  std::int64_t changed_verdicts = 0;  // stored verdicts of today's judge versions that come out differently now: damage
  std::vector<AnswerRow> answer_rows;
  std::vector<JudgeReport> judges;  // the first is the one that tables and requirements use
};

// The micro score of a metric by name ("text_locality"); no items gives Rate{}. A user error on an unknown metric, or a
// judge that the report does not hold.
Rate score_of(const MetricReport& report, std::string_view metric);
Rate score_of(const MetricReport& report, std::string_view metric, Judge judge);

// One JSON object, indented by two blanks, newline at the end; keys in a fixed order; docs/formats/results.md.
std::string report_json(const MetricReport& report);

// For people, aligned in columns, in per cent. Of edits a line a metric: the first judge's interval and the right
// answers before and after beside its score, then the other judges' scores; below it the score of each attribute. Of
// probes without edits what share is answered rightly: first-hop questions, text facts and second-hop questions, each
// with a line an attribute.
std::string report_table(const MetricReport& report);

}  // namespace retune
