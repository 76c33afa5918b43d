#include "eval/metric.h"

#include <algorithm>
#include <numeric>

#include "tensor/error.h"

namespace retune {
namespace {

std::size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), std::size_t{0});
  for (std::size_t i = 0; i < a.size(); ++i) {
    std::size_t diagonal = row[0]++;
    for (std::size_t j = 0; j < b.size(); ++j) {
      const std::size_t replaced = diagonal + (a[i] == b[j] ? 0 : 1);
      diagonal = row[j + 1];
      row[j + 1] = std::min({replaced, row[j] + 1, diagonal + 1});
    }
  }
  return row.back();
}

}  // namespace

std::vector<Metric> metrics() {
  using enum ProbeKind;
  const std::string right = "mean of J_c(question, expected, answer after)";
  const std::string same = "mean of J_s(question, answer before, answer after)";
  std::vector<Metric> all;
  const auto add = [&](const std::string& name, ProbeKind kind, const std::string& formula) {
    all.push_back({name, kMetricVersion, formula, kind, 0});
    for (int type = 1; type <= type_count(kind); ++type) {
      all.push_back(
          {fmt::format("{}_{}", name, type), kMetricVersion, fmt::format("{}, type {}", formula, type), kind, type});
    }
  };
  add("reliability", kReliability, right);
  add("generality", kGenerality, right);
  add("audio_locality", kAudioLocality, same);
  add("text_locality", kTextLocality, same);
  add("portability", kPortability, right);
  add("accuracy", kPlain, right);
  return all;
}

bool counts_consistency(ProbeKind kind) {
  return kind == ProbeKind::kAudioLocality || kind == ProbeKind::kTextLocality;
}

Metric metric_from_name(std::string_view name) {
  const std::vector<Metric> all = metrics();
  const auto found = std::find_if(all.begin(), all.end(), [name](const Metric& metric) { return metric.name == name; });
  if (found != all.end()) return *found;
  const auto nearest = std::min_element(all.begin(), all.end(), [name](const Metric& a, const Metric& b) {
    return edit_distance(a.name, name) < edit_distance(b.name, name);
  });
  throw user_error("no metric is called '{}'; the nearest name is '{}'", name, nearest->name);
}

}  // namespace retune
