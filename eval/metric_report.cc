#include "eval/metric_report.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

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

Json attribute_json(const AttributeRow& row) {
  Json json = rate_json(row.score);
  json["wilson_95"] = interval_json(row.wilson);
  json["right_before"] = rate_json(row.right_before);
  json["right_after"] = rate_json(row.right_after);
  json["right_after_wilson_95"] = interval_json(row.right_after_wilson);
  return json;
}

Json row_json(const MetricRow& row) {
  Json attributes = Json::object();
  for (const auto& [name, attribute] : row.attributes) attributes[name] = attribute_json(attribute);
  return {{"metric", row.metric},
          {"score", rate_json(row.score)},
          {"wilson_95", interval_json(row.wilson)},
          {"bootstrap_95", interval_json(row.bootstrap)},
          {"clusters", row.clusters},
          {"macro", rate_json(row.macro)},
          {"attributes", std::move(attributes)},
          {"right_before", rate_json(row.right_before)},
          {"right_after", rate_json(row.right_after)},
          {"right_after_wilson_95", interval_json(row.right_after_wilson)},
          {"old_before", rate_json(row.old_before)},
          {"old_after", rate_json(row.old_after)},
          {"score_given_right", rate_json(row.score_given_right)},
          {"score_degenerate_wrong", rate_json(row.score_degenerate_wrong)},
          {"shares_old_answer", row.shares_old_answer},
          {"score_outside_scope", rate_json(row.score_outside_scope)}};
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

std::string interval_cell(const std::optional<Interval>& interval) {
  return interval ? fmt::format("{}-{}", percent(interval->low), percent(interval->high)) : "-";
}

// Where every cluster is alike (a rate of 0 or 1, say) resampling has nothing to vary, and Wilson's interval is the
// honest one.
std::string interval_cell(const MetricRow& row) {
  const bool varies = row.bootstrap && row.bootstrap->high > row.bootstrap->low;
  return interval_cell(varies ? row.bootstrap : row.wilson);
}

bool is_empty_part(const MetricRow& row) {
  return row.right_after.items == 0 && metric_from_name(row.metric).type != 0;
}

std::string score_table(const MetricReport& report) {
  std::vector<std::vector<std::string>> rows = {
      {"metric", "items", "score", "95 % interval", "macro", "right before", "right after"}};
  for (std::size_t j = 1; j < report.judges.size(); ++j) rows[0].emplace_back(judge_name(report.judges[j].judge));
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

std::string attribute_name(const std::string& attribute) { return attribute.empty() ? "(none)" : attribute; }

// A line a metric, a column an attribute; empty where there are not at least two.
std::string attribute_table(const JudgeReport& report) {
  std::set<std::string> attributes;
  for (const MetricRow& row : report.rows)
    for (const auto& [name, attribute] : row.attributes) attributes.insert(name);
  if (attributes.size() < 2) return "";
  std::vector<std::vector<std::string>> rows = {{"score by attribute"}};
  for (const std::string& name : attributes) rows[0].push_back(attribute_name(name));
  for (const MetricRow& row : report.rows) {
    if (metric_from_name(row.metric).type != 0) continue;
    std::vector<std::string>& cells = rows.emplace_back();
    cells.push_back(row.metric);
    for (const std::string& name : attributes) {
      const auto found = row.attributes.find(name);
      cells.push_back(percent(found == row.attributes.end() ? Rate{}.value : found->second.score.value));
    }
  }
  return text_table(rows);
}

// What a probe file's questions of a metric's kind are called: nothing is edited there, so nothing is kept or carried.
std::string questions_name(const MetricRow& row) {
  switch (metric_from_name(row.metric).kind) {
    case ProbeKind::kPlain:
      return "first hop";
    case ProbeKind::kTextLocality:
      return "text facts";
    case ProbeKind::kPortability:
      return "second hop";
    default:
      return row.metric;
  }
}

// First-hop questions first, then as in every report.
std::vector<std::size_t> questions_order(const std::vector<MetricRow>& rows) {
  std::vector<std::size_t> order;
  for (std::size_t i = 0; i < rows.size(); ++i)
    if (metric_from_name(rows[i].metric).type == 0) order.push_back(i);
  std::stable_partition(order.begin(), order.end(),
                        [&rows](std::size_t i) { return metric_from_name(rows[i].metric).kind == ProbeKind::kPlain; });
  return order;
}

// Of probes without edits: how many are answered rightly, in all and by attribute.
std::string accuracy_table(const MetricReport& report) {
  std::vector<std::vector<std::string>> rows = {{"questions", "items", "accuracy", "95 % interval"}};
  if (report.has_before) rows[0].emplace_back("before");
  for (std::size_t j = 1; j < report.judges.size(); ++j) rows[0].emplace_back(judge_name(report.judges[j].judge));
  const auto add = [&](const std::string& name, const auto& row_by) {
    const auto& first = row_by(report.judges.front());
    rows.push_back({name, std::to_string(first.right_after.items), percent(first.right_after.value),
                    interval_cell(first.right_after_wilson)});
    if (report.has_before) rows.back().push_back(percent(first.right_before.value));
    for (std::size_t j = 1; j < report.judges.size(); ++j)
      rows.back().push_back(percent(row_by(report.judges[j]).right_after.value));
  };
  const std::vector<MetricRow>& metrics = report.judges.front().rows;
  for (const std::size_t i : questions_order(metrics)) {
    add(questions_name(metrics[i]), [i](const JudgeReport& judge) -> const MetricRow& { return judge.rows[i]; });
    for (const auto& [name, attribute] : metrics[i].attributes)
      add("  " + attribute_name(name), [i, key = name](const JudgeReport& judge) -> const AttributeRow& {
        return judge.rows[i].attributes.at(key);
      });
  }
  return text_table(rows);
}

std::string retention_table(const JudgeReport& report) {
  std::vector<std::vector<std::string>> rows = {
      {"metric", "gap", "items", "score", "95 % interval", "retention", "degenerate"}};
  for (const RetentionRow& row : report.retention) {
    for (const GapRow& gap : row.gaps) {
      if (metric_from_name(row.metric).type != 0) continue;
      rows.push_back({row.metric, std::to_string(gap.gap), std::to_string(gap.score.items), score_cell(gap.score),
                      interval_cell(gap.bootstrap), percent(gap.retention.value), percent(gap.degenerate.value)});
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

// Says so where locality items are about the very label that was edited.
std::string scope_line(const MetricReport& report) {
  for (const MetricRow& row : report.judges.front().rows)
    if (row.metric == "audio_locality" && row.shares_old_answer > 0)
      return fmt::format(
          "{} audio-locality items share the edited attribute's old answer; without those that an edit of scope label "
          "is "
          "meant to change the score is {} of {} items\n",
          row.shares_old_answer, score_cell(row.score_outside_scope), row.score_outside_scope.items);
  return "";
}

std::string changed_line(const MetricReport& report) {
  if (report.changed_verdicts == 0) return "";
  return fmt::format("{} stored verdicts come out differently now; the file was changed after it was written\n",
                     report.changed_verdicts);
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
  if (report.requests == 0 && report.answers > 0) {
    return fmt::format("{} answers; judge {}; per cent; intervals by Wilson\n\n{}\n{}{}", report.answers,
                       judge_name(report.judges.front().judge), accuracy_table(report), degenerate_line(report),
                       changed_line(report));
  }
  const bool bootstrapped = std::any_of(report.judges.front().rows.begin(), report.judges.front().rows.end(),
                                        [](const MetricRow& row) { return row.bootstrap.has_value(); });
  std::string text = fmt::format("{} answers, {} edits; judge {}; per cent; intervals by {}\n\n", report.answers,
                                 report.requests, judge_name(report.judges.front().judge),
                                 bootstrapped ? "cluster bootstrap, by Wilson where that has no width" : "Wilson");
  text += score_table(report);
  if (const std::string attributes = attribute_table(report.judges.front()); !attributes.empty())
    text += '\n' + attributes;
  if (!report.has_before) text += "\nno unedited answers: correctness only\n";
  if (!report.judges.front().retention.empty()) {
    text += '\n';
    text += retention_table(report.judges.front());
  }
  text += '\n';
  text += degenerate_line(report);
  text += scope_line(report);
  return text + changed_line(report);
}

}  // namespace retune
