#include "eval/metric_report.h"

#include <fmt/format.h>

#include <algorithm>

#include "eval/text_table.h"
#include "facts/json_text.h"
#include "tensor/error.h"

namespace retune {
namespace {

using Json = nlohmann::ordered_json;

Json number_json(double value) { return std::isfinite(value) ? Json(value) : Json(nullptr); }

Json rate_json(const Rate& rate) { return {{"items", rate.items}, {"value", number_json(rate.value)}}; }

Json interval_json(const std::optional<Interval>& interval) {
  return interval ? Json::array({interval->low, interval->high}) : Json(nullptr);
}

template <class T>
Json optional_json(const std::optional<T>& value) {
  return value ? Json(*value) : Json(nullptr);
}

Json mean_json(const std::optional<MeanOf>& mean) {
  return mean ? Json{{"edits", mean->count}, {"value", mean->value}} : Json(nullptr);
}

Json row_json(const MetricRow& row) {
  Json attributes = Json::object();
  for (const auto& [name, rate] : row.attributes) attributes[name] = rate_json(rate);
  return {{"metric", row.metric},
          {"score", rate_json(row.score)},
          {"wilson_95", interval_json(row.wilson)},
          {"bootstrap_95", interval_json(row.bootstrap)},
          {"clusters", row.clusters},
          {"macro", rate_json(row.macro)},
          {"attributes", std::move(attributes)},
          {"right_before", rate_json(row.right_before)},
          {"right_after", rate_json(row.right_after)},
          {"old_before", rate_json(row.old_before)},
          {"old_after", rate_json(row.old_after)},
          {"score_given_right", rate_json(row.score_given_right)},
          {"score_degenerate_wrong", rate_json(row.score_degenerate_wrong)}};
}

Json answer_row_json(const AnswerRow& row) {
  return {{"metric", row.metric},
          {"items", row.items},
          {"first_token_kl", rate_json(row.first_token_kl)},
          {"token_accuracy_before", rate_json(row.token_accuracy_before)},
          {"token_accuracy_after", rate_json(row.token_accuracy_after)},
          {"degenerate_before", rate_json(row.degenerate_before)},
          {"degenerate_after", rate_json(row.degenerate_after)},
          {"hit_limit_before", rate_json(row.hit_limit_before)},
          {"hit_limit_after", rate_json(row.hit_limit_after)},
          {"expected_probability_before", rate_json(row.expected_probability_before)},
          {"expected_probability_after", rate_json(row.expected_probability_after)},
          {"expected_rank_before", rate_json(row.expected_rank_before)},
          {"expected_rank_after", rate_json(row.expected_rank_after)},
          {"margin_before", rate_json(row.margin_before)},
          {"margin_after", rate_json(row.margin_after)}};
}

Json retention_json(const RetentionRow& row) {
  Json gaps = Json::array();
  for (const GapRow& gap : row.gaps) {
    gaps.push_back({{"gap", gap.gap},
                    {"score", rate_json(gap.score)},
                    {"bootstrap_95", interval_json(gap.bootstrap)},
                    {"retention", mean_json(gap.retention)},
                    {"degenerate", rate_json(gap.degenerate)}});
  }
  return {{"metric", row.metric},
          {"gaps", std::move(gaps)},
          {"auc_5", optional_json(row.auc_5)},
          {"auc_9", optional_json(row.auc_9)},
          {"forgetting", mean_json(row.forgetting)},
          {"backward_transfer", mean_json(row.backward_transfer)},
          {"forward_transfer", mean_json(row.forward_transfer)},
          {"half_life", optional_json(row.half_life)}};
}

Json judge_json(const JudgeReport& report) {
  Json rows = Json::array();
  for (const MetricRow& row : report.rows) rows.push_back(row_json(row));
  Json json = {
      {"judge", judge_name(report.judge)}, {"version", judge_version(report.judge)}, {"rows", std::move(rows)}};
  for (const RetentionRow& row : report.retention) json["retention"].push_back(retention_json(row));
  return json;
}

Json formulas_json(const MetricReport& report) {
  Json formulas = Json::array();
  for (const AnswerRow& row : report.answer_rows) {
    const Metric metric = metric_from_name(row.metric);
    formulas.push_back({{"metric", metric.name}, {"version", metric.version}, {"formula", metric.formula}});
  }
  return formulas;
}

std::string score_cell(const Rate& rate) { return rate.items == 0 ? "no items" : percent(rate.value); }

// Where every cluster is alike (a rate of 0 or 1, say) resampling has nothing to vary, and Wilson's interval is the
// honest one.
std::string interval_cell(const MetricRow& row) {
  const bool varies = row.bootstrap && row.bootstrap->high > row.bootstrap->low;
  const std::optional<Interval>& interval = varies ? row.bootstrap : row.wilson;
  return interval ? fmt::format("{}-{}", percent(interval->low), percent(interval->high)) : "-";
}

bool is_empty_part(const MetricRow& row) {
  return row.right_after.items == 0 && metric_from_name(row.metric).type != 0;
}

std::string score_table(const MetricReport& report) {
  std::vector<std::vector<std::string>> rows = {
      {"metric", "items", "score", "95 % interval", "macro", "right before", "right after"}};
  for (std::size_t j = 1; j < report.judges.size(); ++j) rows[0].push_back(judge_name(report.judges[j].judge));
  const std::vector<MetricRow>& first = report.judges.front().rows;
  for (std::size_t i = 0; i < first.size(); ++i) {
    const MetricRow& row = first[i];
    if (is_empty_part(row)) continue;
    const std::string indent = metric_from_name(row.metric).type == 0 ? "" : "  ";
    std::vector<std::string>& cells = rows.emplace_back();
    cells = {
        indent + row.metric,      std::to_string(row.score.items), score_cell(row.score),         interval_cell(row),
        percent(row.macro.value), percent(row.right_before.value), percent(row.right_after.value)};
    for (std::size_t j = 1; j < report.judges.size(); ++j)
      cells.push_back(percent(report.judges[j].rows[i].score.value));
  }
  return text_table(rows);
}

std::string retention_table(const JudgeReport& report) {
  std::vector<std::vector<std::string>> rows = {
      {"metric", "gap", "items", "score", "95 % interval", "retention", "degenerate"}};
  for (const RetentionRow& row : report.retention) {
    for (const GapRow& gap : row.gaps) {
      if (metric_from_name(row.metric).type != 0) continue;
      rows.push_back(
          {row.metric, std::to_string(gap.gap), std::to_string(gap.score.items), score_cell(gap.score),
           gap.bootstrap ? fmt::format("{}-{}", percent(gap.bootstrap->low), percent(gap.bootstrap->high)) : "-",
           percent(gap.retention.value), percent(gap.degenerate.value)});
    }
  }
  return text_table(rows);
}

std::string degenerate_line(const MetricReport& report) {
  double before = 0, after = 0;
  std::int64_t items_before = 0, items_after = 0;
  for (const AnswerRow& row : report.answer_rows) {
    if (metric_from_name(row.metric).type != 0) continue;
    const auto add = [](const Rate& rate, double& sum, std::int64_t& items) {
      if (rate.items > 0) sum += rate.value * static_cast<double>(rate.items);
      items += rate.items;
    };
    add(row.degenerate_before, before, items_before);
    add(row.degenerate_after, after, items_after);
  }
  std::string line = fmt::format("degenerate answers: {:.0f} of {} after", after, items_after);
  if (items_before > 0) line += fmt::format(", {:.0f} of {} before", before, items_before);
  return line + "\n";
}

}  // namespace

Rate score_of(const MetricReport& report, std::string_view metric) {
  return report.judges.empty() ? Rate{} : score_of(report, metric, report.judges.front().judge);
}

Rate score_of(const MetricReport& report, std::string_view metric, Judge judge) {
  const std::string name = metric_from_name(metric).name;
  for (const JudgeReport& one : report.judges) {
    if (one.judge != judge) continue;
    const auto row =
        std::find_if(one.rows.begin(), one.rows.end(), [&](const MetricRow& r) { return r.metric == name; });
    return row == one.rows.end() ? Rate{} : row->score;
  }
  throw user_error("the report holds nothing by judge {}; ask for it when scoring", judge_name(judge));
}

std::string report_json(const MetricReport& report) {
  Json answer_rows = Json::array();
  for (const AnswerRow& row : report.answer_rows) answer_rows.push_back(answer_row_json(row));
  Json judges = Json::array();
  for (const JudgeReport& one : report.judges) judges.push_back(judge_json(one));
  const Json json = {{"schema", 1},
                     {"answers", report.answers},
                     {"requests", report.requests},
                     {"has_before", report.has_before},
                     {"sequential", report.sequential},
                     {"changed_verdicts", report.changed_verdicts},
                     {"metrics", formulas_json(report)},
                     {"judges", std::move(judges)},
                     {"answers_by_metric", std::move(answer_rows)}};
  return json_bytes(json, 2) + "\n";
}

std::string report_table(const MetricReport& report) {
  if (report.judges.empty()) return "no judges\n";
  const bool bootstrapped = std::any_of(report.judges.front().rows.begin(), report.judges.front().rows.end(),
                                        [](const MetricRow& row) { return row.bootstrap.has_value(); });
  std::string text = fmt::format("{} answers, {} edits; judge {}; per cent; intervals by {}\n\n", report.answers,
                                 report.requests, judge_name(report.judges.front().judge),
                                 bootstrapped ? "cluster bootstrap, by Wilson where that has no width" : "Wilson");
  text += score_table(report);
  if (!report.has_before) text += "\nno unedited answers: correctness only\n";
  if (!report.judges.front().retention.empty()) {
    text += '\n';
    text += retention_table(report.judges.front());
  }
  text += '\n';
  text += degenerate_line(report);
  if (report.changed_verdicts > 0) {
    text += fmt::format("{} stored verdicts come out differently now; the file was changed after it was written\n",
                        report.changed_verdicts);
  }
  return text;
}

}  // namespace retune
