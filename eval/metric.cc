#include "eval/metric.h"

#include <algorithm>

#include "tensor/error.h"
#include "tensor/nearest_word.h"

namespace retune {

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
  std::vector<std::string> names;
  for (const Metric& metric : all) names.push_back(metric.name);
  throw user_error("no metric is called '{}'; the nearest name is '{}'", name, nearest_word(name, names));
}

}  // namespace retune
