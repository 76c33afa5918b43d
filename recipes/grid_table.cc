// The tables of grid_run.h.
#include <algorithm>
#include <array>
#include <set>

#include "eval/text_table.h"
#include "facts/json_text.h"
#include "recipes/grid_run.h"
#include "tensor/error.h"

namespace retune {

namespace {

struct Column {
  const char* head;
  const char* metric;
};
// The columns of SAKE's tables.
constexpr std::array<Column, 12> kColumns = {{{"Rel", "reliability"},
                                              {"G1", "generality_1"},
                                              {"G2", "generality_2"},
                                              {"G3", "generality_3"},
                                              {"Gen", "generality"},
                                              {"L1", "audio_locality_1"},
                                              {"L2", "audio_locality_2"},
                                              {"L3", "audio_locality_3"},
                                              {"L4", "audio_locality_4"},
                                              {"AL", "audio_locality"},
                                              {"Text", "text_locality"},
                                              {"Port", "portability"}}};
constexpr std::array<const char*, 4> kOverall = {"reliability", "generality", "audio_locality", "text_locality"};

const MetricRow* row_of(const MetricReport& report, std::string_view metric) {
  for (const MetricRow& row : report.judges.at(0).rows)
    if (row.metric == metric) return &row;
  return nullptr;
}

bool is_locality(std::string_view metric) { return metric.find("locality") != std::string_view::npos; }

std::string cell(const Rate& rate, const std::optional<Interval>& interval) {
  if (rate.items == 0) return "no items";
  return interval ? fmt::format("{} ({}-{})", percent(rate.value), percent(interval->low), percent(interval->high))
                  : percent(rate.value);
}

// Of edits the bootstrap over what belongs together, where it has a width.
std::optional<Interval> interval_of(const MetricRow& row) {
  return row.bootstrap && row.bootstrap->high > row.bootstrap->low ? row.bootstrap : row.wilson;
}

std::string line(const std::vector<std::string>& cells) { return fmt::format("| {} |\n", fmt::join(cells, " | ")); }
std::string head(const std::vector<std::string>& cells) {
  return line(cells) + line(std::vector<std::string>(cells.size(), "---"));
}

// What the model without an edit answers: the answers of the first variant before its edits, which all share. It is
// its own reference where nothing is to change.
std::vector<std::string> unedited(const MetricReport& report) {
  std::vector<std::string> cells = {"unedited"};
  for (const Column& column : kColumns) {
    const MetricRow* row = row_of(report, column.metric);
    if (row == nullptr || is_locality(column.metric))
      cells.emplace_back("-");
    else
      cells.push_back(row->right_before.items == 0 ? "no items" : percent(row->right_before.value));
  }
  return cells;
}

std::string setting_text(const Settings& value) { return value.is_string() ? value.get<std::string>() : value.dump(); }

std::string settings_table(const GridReport& report) {
  std::vector<std::string> names = {"variant"};
  for (const auto& [key, value] : report.rows.at(0).chosen.items()) names.push_back(key);
  names.emplace_back("overall");
  std::string text = head(names);
  for (const GridRow& row : report.rows) {
    std::vector<std::string> cells = {row.name};
    for (const auto& [key, value] : row.chosen.items()) cells.push_back(setting_text(value));
    cells.push_back(percent(overall_score(row.metrics)));
    text += line(cells);
  }
  return text + fmt::format("\nBest: {}.\n\n", report.rows[best_row(report)].name);
}

std::string attribute_table(const GridReport& report, const char* metric) {
  std::set<std::string> attributes;
  for (const GridRow& row : report.rows)
    if (const MetricRow* found = row_of(row.metrics, metric))
      for (const auto& [attribute, rate] : found->attributes) attributes.insert(attribute);
  std::vector<std::string> names = {metric};
  names.insert(names.end(), attributes.begin(), attributes.end());
  std::string text = head(names);
  for (const GridRow& row : report.rows) {
    std::vector<std::string> cells = {row.name};
    const MetricRow* found = row_of(row.metrics, metric);
    for (const std::string& attribute : attributes) {
      const bool has = found != nullptr && found->attributes.contains(attribute);
      cells.push_back(has ? cell(found->attributes.at(attribute).score, found->attributes.at(attribute).wilson)
                          : "no items");
    }
    text += line(cells);
  }
  return text;
}

}  // namespace

double overall_score(const MetricReport& report) {
  double sum = 0;
  int count = 0;
  for (const char* metric : kOverall) {
    const Rate rate = score_of(report, metric);
    if (rate.items == 0) continue;
    sum += rate.value;
    ++count;
  }
  return count == 0 ? 0 : sum / count;
}

std::size_t best_row(const GridReport& report) {
  std::size_t best = 0;
  for (std::size_t i = 1; i < report.rows.size(); ++i)
    if (overall_score(report.rows[i].metrics) > overall_score(report.rows[best].metrics)) best = i;
  return best;
}

std::string grid_json(const GridReport& report) {
  Settings rows = Settings::array();
  for (const GridRow& row : report.rows)
    rows.push_back({{"name", row.name},
                    {"method", row.method},
                    {"grid", row.chosen},
                    {"overall", overall_score(row.metrics)},
                    {"metrics", Settings::parse(report_json(row.metrics))}});
  Settings document = {{"variants", std::move(rows)}};
  if (report.is_grid) document["best"] = report.rows[best_row(report)].name;
  return json_bytes(document, 2) + "\n";
}

std::string grid_table(const GridReport& report) {
  const MetricReport& first = report.rows.at(0).metrics;
  std::string text = fmt::format(
      "{} edits; judge {}; per cent, in brackets 95 % intervals (cluster bootstrap; Wilson where that has no "
      "width)\n\n",
      first.requests, judge_name(first.judges.at(0).judge));
  if (report.is_grid) text += settings_table(report);
  std::vector<std::string> names = {"method"};
  for (const Column& column : kColumns) names.emplace_back(column.head);
  text += head(names) + line(unedited(first));
  for (const GridRow& row : report.rows) {
    std::vector<std::string> cells = {row.name};
    for (const Column& column : kColumns) {
      const MetricRow* found = row_of(row.metrics, column.metric);
      cells.push_back(found ? cell(found->score, interval_of(*found)) : "no items");
    }
    text += line(cells);
  }
  for (const char* metric : kOverall) text += fmt::format("\n{}", attribute_table(report, metric));
  return text + fmt::format("\n{}", attribute_table(report, "portability"));
}

std::string timing_table(const GridReport& report) {
  std::string text = head({"method", "seconds an edit (median)", "peak of activations and kept values"});
  for (const GridRow& row : report.rows)
    text += line({row.name, fmt::format("{:.3g}", row.edit_seconds),
                  fmt::format("{:.1f} MiB", static_cast<double>(row.peak_bytes) / 0x1p20)});
  return text;
}

}  // namespace retune
