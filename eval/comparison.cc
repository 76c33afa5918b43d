#include "eval/comparison.h"

#include <fmt/format.h>

#include <map>
#include <tuple>

#include "eval/tally.h"
#include "eval/text_table.h"
#include "facts/json_text.h"
#include "tensor/error.h"

namespace retune {
namespace {

using Json = nlohmann::ordered_json;
using Key = std::tuple<std::string, int, int>;
using Pairs = std::vector<std::pair<const AnswerRecord*, const AnswerRecord*>>;

Key key_of(const AnswerRecord& record) {
  const SequenceStep step = record.step.value_or(SequenceStep{-1, 0, 0});
  return {record.probe_id, step.sequence, step.edits_applied};
}

void check_same_probe(const AnswerRecord& a, const AnswerRecord& b) {
  const auto check = [&](const char* what, const std::string& one, const std::string& other) {
    if (one != other) {
      throw user_error("probe '{}' has {} '{}' in one file and '{}' in the other; compare answers to the same facts",
                       a.probe_id, what, one, other);
    }
  };
  check("the question", a.question, b.question);
  check("the answer", a.expected, b.expected);
  check("the kind", kind_name(a.kind), kind_name(b.kind));
  check("the clip", a.clip_hash, b.clip_hash);
}

Pairs pair_up(const std::vector<AnswerRecord>& a, const std::vector<AnswerRecord>& b, Comparison& comparison) {
  std::map<Key, const AnswerRecord*> of_b;
  for (const AnswerRecord& record : b) of_b[key_of(record)] = &record;
  Pairs pairs;
  for (const AnswerRecord& record : a) {
    const auto found = of_b.find(key_of(record));
    if (found == of_b.end()) continue;
    check_same_probe(record, *found->second);
    pairs.emplace_back(&record, found->second);
  }
  comparison.paired = static_cast<std::int64_t>(pairs.size());
  comparison.only_in_a = static_cast<std::int64_t>(a.size()) - comparison.paired;
  comparison.only_in_b = static_cast<std::int64_t>(b.size()) - comparison.paired;
  if (pairs.empty()) throw user_error("the two files share no probe; compare answers to the same facts");
  return pairs;
}

ComparisonRow compare_metric(const Metric& metric, Judge one, const Pairs& pairs,
                             const std::vector<std::pair<Verdict, Verdict>>& verdicts, const MetricOptions& options) {
  ComparisonRow row;
  row.metric = metric.name;
  row.judge = one;
  std::vector<double> differences;
  std::vector<std::string> clusters;
  for (std::size_t i = 0; i < pairs.size(); ++i) {
    if (!is_item(metric, *pairs[i].first)) continue;
    const std::optional<bool> in_a = counted(metric, verdicts[i].first);
    const std::optional<bool> in_b = counted(metric, verdicts[i].second);
    if (!in_a || !in_b) continue;
    ++row.items;
    row.score_a += *in_a ? 1 : 0;
    row.score_b += *in_b ? 1 : 0;
    row.only_a += *in_a && !*in_b ? 1 : 0;
    row.only_b += *in_b && !*in_a ? 1 : 0;
    differences.push_back((*in_b ? 1.0 : 0.0) - (*in_a ? 1.0 : 0.0));
    clusters.push_back(cluster_of(metric, *pairs[i].first));
  }
  if (row.items == 0) return row;
  row.score_a /= static_cast<double>(row.items);
  row.score_b /= static_cast<double>(row.items);
  row.mcnemar_p = mcnemar_exact(row.only_a, row.only_b);
  const Rng rng = Rng(options.seed).fork("compare").fork(judge_name(one)).fork(metric.name);
  row.bootstrap = paired_bootstrap(cluster_totals(differences, clusters), options.bootstrap_samples, rng);
  return row;
}

// Over whole metrics only: a part and its whole are one test.
void adjust(std::vector<ComparisonRow>& rows) {
  std::vector<double> p_values;
  std::vector<ComparisonRow*> whole;
  for (ComparisonRow& row : rows) {
    if (metric_from_name(row.metric).type != 0) continue;
    p_values.push_back(row.mcnemar_p);
    whole.push_back(&row);
  }
  const std::vector<double> adjusted = holm(p_values);
  for (std::size_t i = 0; i < whole.size(); ++i) whole[i]->holm_p = adjusted[i];
}

Json interval_json(const std::optional<Interval>& interval) {
  return interval ? Json::array({interval->low, interval->high}) : Json(nullptr);
}

}  // namespace

Comparison compare(const std::vector<AnswerRecord>& a, const std::vector<AnswerRecord>& b,
                   const MetricOptions& options) {
  options.validate();
  Comparison comparison;
  const Pairs pairs = pair_up(a, b, comparison);
  for (const Judge one : options.judges) {
    std::vector<std::pair<Verdict, Verdict>> verdicts;
    for (const auto& [in_a, in_b] : pairs) verdicts.emplace_back(judge(one, *in_a), judge(one, *in_b));
    std::vector<ComparisonRow> rows;
    for (const Metric& metric : metrics()) {
      ComparisonRow row = compare_metric(metric, one, pairs, verdicts, options);
      if (row.items > 0) rows.push_back(std::move(row));
    }
    adjust(rows);
    comparison.rows.insert(comparison.rows.end(), rows.begin(), rows.end());
  }
  return comparison;
}

std::string comparison_json(const Comparison& comparison) {
  Json rows = Json::array();
  for (const ComparisonRow& row : comparison.rows) {
    rows.push_back({{"metric", row.metric},
                    {"judge", judge_name(row.judge)},
                    {"items", row.items},
                    {"score_a", row.score_a},
                    {"score_b", row.score_b},
                    {"difference", row.bootstrap.difference},
                    {"bootstrap_95", interval_json(row.bootstrap.interval)},
                    {"bootstrap_p", row.bootstrap.p_value},
                    {"only_a", row.only_a},
                    {"only_b", row.only_b},
                    {"mcnemar_p", row.mcnemar_p},
                    {"holm_p", row.holm_p ? Json(*row.holm_p) : Json(nullptr)}});
  }
  const Json json = {{"schema", 1},
                     {"paired", comparison.paired},
                     {"only_in_a", comparison.only_in_a},
                     {"only_in_b", comparison.only_in_b},
                     {"rows", std::move(rows)}};
  return json_bytes(json, 2) + "\n";
}

std::string comparison_table(const Comparison& comparison) {
  std::vector<std::vector<std::string>> rows = {
      {"metric", "items", "A", "B", "B - A", "95 % interval", "only A", "only B", "McNemar p", "Holm p"}};
  for (const ComparisonRow& row : comparison.rows) {
    if (row.judge != comparison.rows.front().judge) break;
    const auto& interval = row.bootstrap.interval;
    rows.push_back({row.metric, std::to_string(row.items), percent(row.score_a), percent(row.score_b),
                    fmt::format("{:+.1f}", 100 * row.bootstrap.difference),
                    interval ? fmt::format("{:+.1f} to {:+.1f}", 100 * interval->low, 100 * interval->high) : "-",
                    std::to_string(row.only_a), std::to_string(row.only_b), fmt::format("{:.4f}", row.mcnemar_p),
                    row.holm_p ? fmt::format("{:.4f}", *row.holm_p) : "-"});
  }
  std::string text = fmt::format("{} probes in both", comparison.paired);
  if (comparison.only_in_a + comparison.only_in_b > 0) {
    text += fmt::format("; left out: {} only in A, {} only in B", comparison.only_in_a, comparison.only_in_b);
  }
  if (!comparison.rows.empty()) text += fmt::format("; judge {}; per cent", judge_name(comparison.rows.front().judge));
  return text + "\n\n" + text_table(rows);
}

}  // namespace retune
