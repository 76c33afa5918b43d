#include "eval/score.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <map>
#include <set>

#include "eval/degeneration.h"
#include "eval/tally.h"
#include "facts/option_list.h"
#include "tensor/error.h"

namespace retune {
namespace {

// Adds up a mean; no items leave it NaN.
class Mean {
 public:
  void add(double value, std::int64_t items = 1) {
    sum_ += value;
    items_ += items;
  }
  void add(std::optional<bool> value) {
    if (value) add(*value ? 1.0 : 0.0);
  }
  Rate rate() const { return items_ == 0 ? Rate{} : Rate{items_, sum_ / static_cast<double>(items_)}; }
  // Of a mean of yes and no.
  std::optional<Interval> wilson() const {
    if (items_ == 0) return std::nullopt;
    return wilson_interval(std::llround(sum_), items_);
  }

 private:
  double sum_ = 0;
  std::int64_t items_ = 0;
};

// A record with everything that does not depend on the metric.
struct Judged {
  const AnswerRecord* record = nullptr;
  bool degenerate_before = false;
  bool degenerate_after = false;
  Verdict verdict;                  // of the judge at hand
  std::optional<bool> heard_right;  // by the unedited model, see score_given_right
};

std::vector<Judged> without_verdicts(const std::vector<AnswerRecord>& records) {
  std::vector<Judged> all;
  const auto is_degenerate = [](const std::optional<ProbeAnswer>& answer) {
    return answer && degeneration(answer->ids, answer->text, answer->hit_length_limit).degenerate;
  };
  for (const AnswerRecord& record : records) {
    Judged& judged = all.emplace_back();
    judged.record = &record;
    judged.degenerate_before = is_degenerate(record.before);
    judged.degenerate_after = is_degenerate(record.after);
  }
  return all;
}

void apply_judge(Judge one, std::vector<Judged>& all) {
  std::map<std::string_view, std::optional<bool>> reliability;  // by request: did the unedited model name the old label
  for (Judged& judged : all) {
    judged.verdict = judge(one, *judged.record);
    if (judged.record->kind == ProbeKind::kReliability)
      reliability[judged.record->request_id] = judged.verdict.old_before;
  }
  for (Judged& judged : all) {
    switch (judged.record->kind) {
      case ProbeKind::kReliability:
      case ProbeKind::kGenerality:
        judged.heard_right = judged.verdict.old_before;
        break;
      case ProbeKind::kPortability: {
        const auto found = reliability.find(judged.record->request_id);
        judged.heard_right = found == reliability.end() ? std::nullopt : found->second;
        break;
      }
      default:
        judged.heard_right = judged.verdict.right_before;
    }
  }
}

Rate macro_of(const std::map<std::string, AttributeRow>& attributes) {
  Mean mean;
  for (const auto& [name, row] : attributes)
    if (row.score.items > 0) mean.add(row.score.value);
  return mean.rate();
}

// The means of one attribute's items.
struct AttributeMeans {
  Mean score, right_before, right_after;

  AttributeRow row() const {
    return {score.rate(), score.wilson(), right_before.rate(), right_after.rate(), right_after.wilson()};
  }
};

const std::string& attribute_of(const AnswerRecord& record) {
  return record.attribute.empty() ? record.track : record.attribute;
}

// What the bootstrap of a row draws.
struct Draws {
  std::vector<double> values;
  std::vector<std::string> clusters;
};

MetricRow row_of(const Metric& metric, const std::vector<Judged>& all, Draws& draws) {
  Mean score, right_before, right_after, old_before, old_after, given_right, degenerate_wrong, outside;
  MetricRow row;
  std::map<std::string, AttributeMeans> attributes;
  for (const Judged& judged : all) {
    if (!is_item(metric, *judged.record)) continue;
    right_before.add(judged.verdict.right_before);
    right_after.add(judged.verdict.right_after);
    old_before.add(judged.verdict.old_before);
    old_after.add(judged.verdict.old_after);
    AttributeMeans& attribute = attributes[attribute_of(*judged.record)];
    attribute.right_before.add(judged.verdict.right_before);
    attribute.right_after.add(judged.verdict.right_after);
    const std::optional<bool> success = counted(metric, judged.verdict);
    if (!success) continue;
    score.add(success);
    attribute.score.add(success);
    degenerate_wrong.add(std::optional<bool>(*success && !judged.degenerate_after));
    if (judged.heard_right.value_or(false)) given_right.add(success);
    const bool shares = shares_old_answer(*judged.record);
    row.shares_old_answer += shares ? 1 : 0;
    if (!shares || judged.record->scope != Scope::kLabel) outside.add(success);
    draws.values.push_back(*success ? 1 : 0);
    draws.clusters.push_back(cluster_of(metric, *judged.record));
  }
  row.metric = metric.name;
  row.score = score.rate();
  for (const auto& [name, means] : attributes) row.attributes[name] = means.row();
  row.macro = macro_of(row.attributes);
  row.wilson = score.wilson();
  row.right_before = right_before.rate();
  row.right_after = right_after.rate();
  row.right_after_wilson = right_after.wilson();
  row.old_before = old_before.rate();
  row.old_after = old_after.rate();
  row.score_given_right = given_right.rate();
  row.score_degenerate_wrong = degenerate_wrong.rate();
  row.score_outside_scope = outside.rate();
  return row;
}

// The answer-only measures of one side (before or after) of an item.
struct AnswerMeans {
  Mean tokens, degenerate, hit_limit, probability, rank, margin;

  void add(const AnswerRecord& record, const std::optional<ProbeAnswer>& answer, bool is_degenerate) {
    if (!answer) return;
    tokens.add(answer->teacher_forced_hits, answer->teacher_forced_tokens);
    degenerate.add(std::optional<bool>(is_degenerate));
    hit_limit.add(std::optional<bool>(answer->hit_length_limit));
    const auto preference = option_preference(Judge::kLikelihood, answer->option_scores);
    if (!preference) return;
    margin.add(preference->margin);
    for (std::size_t i = 0; i < answer->option_scores.size(); ++i) {
      if (!same_label(answer->option_scores[i].text, record.expected)) continue;
      probability.add(preference->probabilities[i]);
      rank.add(preference->ranks[i]);
      break;
    }
  }
};

AnswerRow answer_row_of(const Metric& metric, const std::vector<Judged>& all) {
  AnswerRow row;
  row.metric = metric.name;
  Mean divergence;
  AnswerMeans before, after;
  for (const Judged& judged : all) {
    if (!is_item(metric, *judged.record)) continue;
    ++row.items;
    if (judged.record->first_token_kl) divergence.add(*judged.record->first_token_kl);
    before.add(*judged.record, judged.record->before, judged.degenerate_before);
    after.add(*judged.record, judged.record->after, judged.degenerate_after);
  }
  row.first_token_kl = divergence.rate();
  row.token_accuracy_before = before.tokens.rate();
  row.token_accuracy_after = after.tokens.rate();
  row.degenerate_before = before.degenerate.rate();
  row.degenerate_after = after.degenerate.rate();
  row.hit_limit_before = before.hit_limit.rate();
  row.hit_limit_after = after.hit_limit.rate();
  row.expected_probability_before = before.probability.rate();
  row.expected_probability_after = after.probability.rate();
  row.expected_rank_before = before.rank.rate();
  row.expected_rank_after = after.rank.rate();
  row.margin_before = before.margin.rate();
  row.margin_after = after.margin.rate();
  return row;
}

// One matrix a sequence: each cell the mean over the edit's items of the metric.
std::vector<RetentionMatrix> matrices_of(const Metric& metric, const std::vector<Judged>& all) {
  using Cell = std::pair<int, int>;  // edits applied, position
  std::map<int, std::map<Cell, Mean>> sequences;
  for (const Judged& judged : all) {
    const auto& step = judged.record->step;
    if (!step || !is_item_at_any_gap(metric, *judged.record)) continue;
    auto& cells = sequences[step->sequence];
    cells[{step->edits_applied, step->position}].add(counted(metric, judged.verdict));
    // The unedited model's own rate; a consistency with itself would say nothing.
    const bool first_time = step->edits_applied == step->position;
    if (!counts_consistency(metric.kind) && first_time) cells[{0, step->position}].add(judged.verdict.right_before);
  }
  std::vector<RetentionMatrix> matrices;
  for (const auto& [sequence, cells] : sequences) {
    RetentionMatrix& matrix = matrices.emplace_back();
    for (const auto& [cell, mean] : cells) {
      if (mean.rate().items > 0) matrix.set(cell.first, cell.second, mean.rate().value);
    }
  }
  return matrices;
}

GapRow gap_row_of(const Metric& metric, int gap, const std::vector<Judged>& all, int samples, Rng rng) {
  GapRow row;
  row.gap = gap;
  Mean score, degenerate;
  Draws draws;
  for (const Judged& judged : all) {
    const auto& step = judged.record->step;
    if (!step || step->edits_applied - step->position != gap || !is_item_at_any_gap(metric, *judged.record)) continue;
    degenerate.add(std::optional<bool>(judged.degenerate_after));
    const std::optional<bool> success = counted(metric, judged.verdict);
    if (!success) continue;
    score.add(success);
    draws.values.push_back(*success ? 1 : 0);
    draws.clusters.push_back(cluster_of(metric, *judged.record));
  }
  row.score = score.rate();
  row.degenerate = degenerate.rate();
  row.bootstrap = cluster_bootstrap(cluster_totals(draws.values, draws.clusters), samples, rng);
  return row;
}

RetentionRow retention_row_of(const Metric& metric, const std::vector<Judged>& all, int samples, const Rng& rng) {
  const std::vector<RetentionMatrix> matrices = matrices_of(metric, all);
  RetentionRow row;
  row.metric = metric.name;
  for (const int gap : asked_gaps(matrices)) {
    row.gaps.push_back(gap_row_of(metric, gap, all, samples, rng.fork("gap", static_cast<std::uint64_t>(gap))));
    row.gaps.back().retention = *retention(matrices, gap);
  }
  row.auc_5 = retention_auc(matrices, 5);
  row.auc_9 = retention_auc(matrices, 9);
  row.forgetting = forgetting(matrices);
  row.backward_transfer = backward_transfer(matrices);
  row.forward_transfer = forward_transfer(matrices);
  row.half_life = half_life(matrices);
  return row;
}

std::int64_t count_changed_verdicts(const std::vector<AnswerRecord>& records) {
  std::int64_t changed = 0;
  for (const AnswerRecord& record : records) {
    for (const Verdict& stored : record.verdicts) {
      for (const Judge one : kJudges) {
        if (stored.judge != judge_name(one) || stored.version != judge_version(one)) continue;
        changed += judge(one, record) == stored ? 0 : 1;
      }
    }
  }
  return changed;
}

// Metrics of edits are reported whenever there are edits, "no items" included; of probes without edits only what was
// asked.
std::vector<Metric> metrics_of(const std::vector<AnswerRecord>& records) {
  const bool edits = std::any_of(records.begin(), records.end(),
                                 [](const AnswerRecord& record) { return !record.request_id.empty(); });
  std::vector<Metric> kept;
  for (const Metric& metric : metrics()) {
    const bool asked = std::any_of(records.begin(), records.end(), [&metric](const AnswerRecord& record) {
      return is_item_at_any_gap(metric, record);
    });
    if (asked || (edits && metric.kind != ProbeKind::kPlain)) kept.push_back(metric);
  }
  return kept;
}

JudgeReport judge_report(Judge one, const std::vector<Metric>& metrics, std::vector<Judged>& all, bool sequential,
                         const MetricOptions& options) {
  apply_judge(one, all);
  JudgeReport report;
  report.judge = one;
  const Rng rng = Rng(options.seed).fork(judge_name(one));
  for (const Metric& metric : metrics) {
    Draws draws;
    MetricRow& row = report.rows.emplace_back(row_of(metric, all, draws));
    const std::vector<ClusterTotal> totals = cluster_totals(draws.values, draws.clusters);
    row.clusters = static_cast<std::int64_t>(totals.size());
    row.bootstrap = cluster_bootstrap(totals, options.bootstrap_samples, rng.fork(metric.name));
    const bool has_gaps = sequential && metric.kind != ProbeKind::kPlain;
    if (has_gaps)
      report.retention.push_back(retention_row_of(metric, all, options.bootstrap_samples, rng.fork(metric.name, 1)));
  }
  return report;
}

}  // namespace

void MetricOptions::validate() const {
  if (judges.empty()) throw user_error("metrics: judges: expected at least one judge");
  if (std::set<Judge>(judges.begin(), judges.end()).size() != judges.size()) {
    throw user_error("metrics: judges: a judge is named twice");
  }
  if (bootstrap_samples < 0 || bootstrap_samples > 1'000'000) {
    throw user_error("metrics: bootstrap_samples: expected 0 to 1000000, got {}", bootstrap_samples);
  }
}

MetricReport score(const std::vector<AnswerRecord>& records, const MetricOptions& options) {
  options.validate();
  MetricReport report;
  report.answers = static_cast<std::int64_t>(records.size());
  std::set<std::string_view> requests;
  for (const AnswerRecord& record : records) {
    if (!record.request_id.empty()) requests.insert(record.request_id);
    report.has_before = report.has_before || record.before.has_value();
    report.sequential = report.sequential || record.step.has_value();
  }
  report.requests = static_cast<std::int64_t>(requests.size());
  report.changed_verdicts = count_changed_verdicts(records);

  const std::vector<Metric> metrics = metrics_of(records);
  std::vector<Judged> all = without_verdicts(records);
  for (const Metric& metric : metrics) report.answer_rows.push_back(answer_row_of(metric, all));
  for (const Judge one : options.judges) {
    report.judges.push_back(judge_report(one, metrics, all, report.sequential, options));
  }
  return report;
}

}  // namespace retune
