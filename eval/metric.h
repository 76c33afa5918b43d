// What is measured: names, versions and formulas (methods.md 8.2).
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "facts/probe.h"

namespace retune {

// Grows when any formula does; every line of a results file holds it.
inline constexpr int kMetricVersion = 1;

struct Metric {
  std::string name;  // "generality_2"
  int version = kMetricVersion;
  std::string formula;
  ProbeKind kind = ProbeKind::kPlain;
  int type = 0;  // 0: all types of the kind
};

// reliability; generality and generality_1..3; audio_locality and audio_locality_1..4; text_locality; portability;
// accuracy (plain probes). In this order, which is the order of every report.
std::vector<Metric> metrics();

// The localities count a probe if the answer is what it was before the edit, the others if it is the expected one.
bool counts_consistency(ProbeKind kind);

// A user error that names the nearest right name.
Metric metric_from_name(std::string_view name);

}  // namespace retune
